"""Maps of the parts of built-up land for which something holds: in cells that look informal, within reach of services. Public space."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.extent_masks import CARRIED, SEPARATOR, mask_of
from udfs.grid import Tile
from udfs.pixel_areas import MM2_PER_M2
from udfs.rasters import NO_DATA, ONE, decode_raster, encode_raster
from udfs.units import geodesic_area_m2

INFORMAL, PUBLIC_SPACE = "informal", "public_space"
PART, WHOLE = "part", "whole"
"""What it holds for, and all of which that is known."""
PUBLIC_DDL = "unit_id string, area_mm2 bigint"
Mask = NDArray[np.bool_]


def share_name(what: str, side: str, epoch: str) -> str:
    """Under which a map stands in the place of an epoch."""
    return SEPARATOR.join((what, side, epoch))


def share_map_frames(frames: Iterable[pd.DataFrame], near: tuple[str, ...], informal: bool) -> Iterator[pd.DataFrame]:
    """Shell: rows of maps with `cells` (row, col, cell_px, informal) and `reaches` (what, WKB EPSG:4326) to maps of PART and WHOLE: 250 or
    0, 255 where the map has no data, of all of `near`, and of INFORMAL where asked; without pixels where a map has none."""
    for frame in frames:
        for row in frame.itertuples():
            yield pd.DataFrame(_share_rows(row, near, informal))


def _share_rows(row: Any, near: tuple[str, ...], informal: bool) -> list[dict[str, Any]]:
    placed = {name: getattr(row, name) for name in CARRIED} | {"status": row.status, "threshold": ONE}
    names = [share_name(what, side, row.epoch) for what in (*near, *([INFORMAL] if informal else [])) for side in (PART, WHOLE)]
    if row.status != "done":
        return [{**placed, "epoch": name, "probability": None} for name in names]
    side = int(row.tile_px)
    values = decode_raster(row.probability, (side, side))
    given = [] if row.reaches is None else row.reaches
    parts = {what: (mask_of([one["geometry"] for one in given if one["what"] == what], row, side), values != NO_DATA) for what in near}
    if informal:
        parts[INFORMAL] = _cells_of(row, side)
    masks = [mask & (values >= row.threshold) for pair in parts.values() for mask in pair]
    rasters = [np.where(values == NO_DATA, NO_DATA, np.where(mask, ONE, 0)).astype(np.uint8) for mask in masks]
    return [{**placed, "epoch": name, "probability": encode_raster(one)} for name, one in zip(names, rasters, strict=True)]


def _cells_of(row: Any, side: int) -> tuple[Mask, Mask]:
    """Pixels of a tile in cells that look informal, and in cells of which that is known."""
    tile = Tile(int(row.row), int(row.col), side)
    informal, known = np.zeros((side, side), bool), np.zeros((side, side), bool)
    for cell in [] if row.cells is None else row.cells:
        if cell["informal"] is not None:
            y, x = (slice(max(cell[axis] * cell["cell_px"] - first, 0), max((cell[axis] + 1) * cell["cell_px"] - first, 0))
                    for axis, first in zip(("row", "col"), tile.pixels[:2], strict=True))  # fmt: skip
            known[y, x], informal[y, x] = True, cell["informal"]
    return informal, known


def public_frame(key: tuple[Any, ...], frame: pd.DataFrame) -> pd.DataFrame:
    """Shell: public spaces (`piece` WKB, EPSG:4326) of a unit in a square of degrees to their area, mm2, geodesic: what several of them
    share counts once."""
    pieces = shapely.from_wkb(frame["piece"].to_numpy())
    parts = shapely.get_parts(pieces)
    whole = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    area = 0.0 if whole.is_empty else float(geodesic_area_m2(np.array([whole], object))[0])
    return pd.DataFrame({"unit_id": [key[0]], "area_mm2": [round(area * MM2_PER_M2)]})
