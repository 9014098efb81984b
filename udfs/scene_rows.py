"""Scenes as rows of `scenes`; and rows of a stac-geoparquet file, however many, as such rows."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import shapely

from conf.errors import InputError
from conf.place import Source
from conf.tables import SCENES
from udfs.catalogs import planned_scene
from udfs.images import Opener, OpeningRules
from udfs.scenes import Scene
from udfs.stac_items import scene_of_item

REFUSED = "refused"
"""Column beside those of `scenes`: why an item is no scene; its row holds nothing else of use."""
UNREAD = "unread"
"""Column beside them: why an image that planning must look into cannot be opened."""
NOTHING: dict[str, Any] = dict.fromkeys((*SCENES.names, REFUSED, UNREAD))
TOP_LEVEL = frozenset({"id", "collection", "assets", "type", "stac_version", "stac_extensions", "links", "bbox", "geometry"})


def scene_row(scene: Scene, attribution: str | None) -> dict[str, Any]:
    """A row of `scenes`; `attribution`: the place's, where the scene has none."""
    west, south, east, north = (float(value) for value in shapely.bounds(shapely.from_wkb(scene.footprint)))
    return {
        **{name: getattr(scene, name, None) for name in SCENES.names},
        "transform": [float(value) for value in scene.transform],
        "nodata": None if scene.nodata is None else float(scene.nodata),
        "geometry": bytearray(scene.footprint),
        "attribution": scene.attribution or attribution or None,
        "xmin": west,
        "ymin": south,
        "xmax": east,
        "ymax": north,
    }


def item_batches(frames: Iterable[pd.DataFrame], source: Source, rules: OpeningRules, attribution: str | None) -> Iterator[pd.DataFrame]:
    """Frames of (`item`: its columns as JSON, `geometry`: WKB) to rows of `scenes` and columns `refused`, `unread`."""
    with Opener(rules) as opener:
        for frame in frames:
            rows = [
                _row(str(item), bytes(geometry), source, opener, attribution)
                for item, geometry in zip(frame["item"], frame["geometry"], strict=True)
            ]
            yield pd.DataFrame(rows, columns=[*SCENES.names, REFUSED, UNREAD])


def _row(text: str, geometry: bytes, source: Source, opener: Opener, attribution: str | None) -> dict[str, Any]:
    columns: dict[str, Any] = json.loads(text)
    properties = {key: value for key, value in columns.items() if key not in TOP_LEVEL}
    item = {**columns, "properties": properties, "geometry": shapely.geometry.mapping(shapely.from_wkb(geometry))}
    try:
        scene = planned_scene(scene_of_item(item, source), source, opener)
    except InputError as error:
        return {**NOTHING, "scene_id": str(columns.get("id")), REFUSED: str(error)}
    if scene.fault is not None:
        return {**NOTHING, "scene_id": scene.scene_id, UNREAD: f"scene {scene.scene_id}: {scene.fault}"}
    row = scene_row(scene, attribution)
    return {**row, "datetime": pd.Timestamp(scene.datetime).tz_convert("UTC").tz_localize(None), REFUSED: None, UNREAD: None}
