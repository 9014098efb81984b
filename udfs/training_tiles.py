"""Labelled ground out of planned tiles: the composite a network would see, with footprints as labels. One row a tile."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rasterio.features
import shapely
from numpy.typing import NDArray

from conf.windows import FULL_LABEL
from udfs.channels import Channels
from udfs.compositing import Region
from udfs.images import EVERY_FILE, ImagePool, OpeningRules
from udfs.labels import (
    Rule,
    Shift,
    days_from_label,
    estimated_shift,
    label_weights,
    perceptual_hash,
    rasterised,
    unsure_beside,
    with_sealed,
)
from udfs.lanes import read_by_rules
from udfs.mapping import Plan, plan_of, planned_composite
from udfs.planning import on_grid
from udfs.scenes import Scene
from udfs.sealed import sealed_share
from udfs.speckle import LOOKS

COPIED = ("layer", "epoch", "tile_id", "region", "geometry", "xmin", "ymin", "xmax", "ymax")

MANY = 30
"""Footprints that cannot all be hidden, or too small to show."""


@dataclass(frozen=True)
class Labelling:
    """How tiles are labelled: plain values, so that it can travel to a worker."""

    channels: dict[str, tuple[Channels, ...]]
    """By layer, of each of its sensors."""
    looks: float = LOOKS
    rule: Rule = "fraction"
    most_shift_px: int = 3
    """Labels that fit best further away are not used."""
    least_fit: float = 0.05
    """R2 that the labels of MANY footprints must have on the image."""
    least_valid: float = 0.5
    """Share of the tile that must have data."""
    built_up: str | None = None
    """The layer whose labels are of built-up ground, not of roofs alone."""
    sealed: str | None = None
    """Raster of its sealed surfaces."""
    unsure_px: int = 0
    """Without it: so near a footprint, ground that none covers by half has no label."""


class Buildings(NamedTuple):
    """Footprints around a tile: outlines in pixels from its upper left corner, confidence (NaN: not told), label dates."""

    outlines: NDArray[np.object_]
    confidence: NDArray[np.float32]
    label_dates: list[dt.date | None]


class Labelled(NamedTuple):
    """Labels (height, width) 0-250, their weights in tenths, and how they were moved, None: it could not be told; or why the tile is
    dropped."""

    labels: NDArray[np.uint8] | None
    weights: NDArray[np.uint8] | None
    shift: Shift | None
    reason: str | None


def labelled(
    values: NDArray[np.float32],
    known: NDArray[np.bool_],
    buildings: Buildings,
    image_date: dt.date | None,
    how: Labelling,
    sealed: NDArray[np.float32] | None = None,
    unsure_px: int = 0,
) -> Labelled:
    """The labels of ground with data where it is `known` (height, width), by an image of it (bands, height, width), NaN = no data;
    `sealed`: share of sealed surfaces (height, width)."""
    if known.mean() < how.least_valid:
        return Labelled(None, None, None, f"data in {known.mean():.0%} of it, {how.least_valid:.0%} wanted")
    shape = (known.shape[0], known.shape[1])
    shift = estimated_shift(values, rasterised(buildings.outlines, shape, "fraction"), how.most_shift_px)
    count = len(buildings.outlines)
    if shift is not None and not shift.is_sure(count):
        shift = shift.at_rest
    if shift is not None and shift.at_edge:
        return Labelled(None, None, shift, f"labels lie {how.most_shift_px} pixels or more beside the image")
    if shift is not None and count >= MANY and shift.fit < how.least_fit:
        return Labelled(None, None, shift, f"{count} footprints do not show in the image: R2 {shift.fit:.3f}, {how.least_fit:g} wanted")
    moved = (
        buildings.outlines if shift is None else shapely.transform(buildings.outlines, lambda xy: xy + np.array([shift.right, shift.down]))
    )
    covered = rasterised(moved, shape, how.rule)
    labels = covered if sealed is None else with_sealed(covered, sealed)
    told = known & ~unsure_beside(covered, unsure_px)
    days = None if image_date is None else days_from_label(image_date, buildings.label_dates)
    return Labelled(labels, label_weights(labels, _sure(moved, buildings.confidence, shape), told, days), shift, None)


def _sure(outlines: NDArray[np.object_], confidence: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Of each pixel, the confidence of the surest footprint that touches it; 1 where it is not told, and where there is none."""
    told = np.nan_to_num(confidence, nan=1.0)
    pairs = [(outlines[number], float(told[number])) for number in np.argsort(told, kind="stable") if told[number] < 1]
    if not pairs:
        return np.ones(shape, np.float32)
    burnt = rasterio.features.rasterize(pairs, shape, fill=1.0, all_touched=True, dtype="float32")
    sure = [outline for outline, share in zip(outlines, told, strict=True) if share >= 1]
    if sure:
        burnt[rasterio.features.rasterize(sure, shape, all_touched=True, dtype="uint8") > 0] = 1
    return np.asarray(burnt)


def training_tile_batches(
    frames: Iterable[pd.DataFrame],
    scenes: dict[str, Scene],
    sensors: dict[str, str],
    how: Labelling,
    references: dict[str, dt.date],
    rules: OpeningRules = EVERY_FILE,
    readers: int = 1,
) -> Iterator[pd.DataFrame]:
    """Shell: planned tiles with `footprints` [geometry, confidence, label_date], `region`, `split`, `reason` to rows of
    `training_tiles`. A dropped tile is not read."""
    rows = ((row, plan_of(row, scenes, sensors, references)) for frame in frames for row in frame.itertuples())
    for (row, plan), region in read_by_rules(rows, partial(_read, how=how), scenes, rules, readers):
        yield pd.DataFrame([_row(row, plan, region, how)])


def _read(pool: ImagePool, item: tuple[Any, Plan], how: Labelling) -> Region | None:
    row, plan = item
    if row.split == "dropped":
        return None
    return planned_composite(pool, plan, how.channels[row.layer], plan.tile.pixels, how.looks)


def _row(row: Any, plan: Plan, region: Region | None, how: Labelling) -> dict[str, Any]:
    buildings = _buildings(row.footprints, plan)
    copied = {name: getattr(row, name) for name in COPIED} | {
        "footprints": len(buildings.outlines),
        "sensor": plan.sensor,
        "band_names": [name for part in how.channels[row.layer] for name in part.names],
    }
    if region is None:
        return {**EMPTY, **copied, "split": "dropped", "reason": row.reason}
    image_date = _middle([scene.datetime.date() for scene in plan.scenes if scene.scene_id in region.used])
    image, (sealed, unsure_px) = _image(region, how.least_valid), _beside_roofs(row, plan, how)
    result = labelled(image, region.valid, buildings, image_date, how, sealed, unsure_px)
    known = {
        "image_date": image_date, "label_date": _middle([day for day in buildings.label_dates if day]),
        "scenes_used": sorted(region.used), **_moved(result.shift),
        "sealed_share": None if sealed is None else float(np.nan_to_num(sealed).mean(dtype=np.float64)),
    }  # fmt: skip
    failed = min(region.failed, default=None)
    reason = f"scene {failed}: {region.failed[failed]}" if failed is not None else result.reason
    if reason is not None or result.labels is None or result.weights is None:
        return {**EMPTY, **copied, **known, "split": "dropped", "reason": reason}
    bands, height, width = region.values.shape
    return {
        **EMPTY, **copied, **known, "split": row.split, "bands": bands, "height": height, "width": width,
        "values": region.values.astype(np.float16).tobytes(), "labels": result.labels.tobytes(), "weights": result.weights.tobytes(),
        "built_share": float(result.labels.mean()) / FULL_LABEL, "hash": perceptual_hash(image),
    }  # fmt: skip


def _image(region: Region, least_valid: float) -> NDArray[np.float32]:
    """Of two sensors' images the first that shows enough of the tile: radar shifts what is high, and both in one have no scale."""
    images = np.split(region.values, region.begins[1:])
    return next((image for image in images if np.isfinite(image[0]).mean() >= least_valid), images[0])


EMPTY: dict[str, Any] = dict.fromkeys((
    "reason", "bands", "height", "width", "values", "labels", "weights", "built_share", "image_date", "label_date", "shift_down",
    "shift_right", "fit", "hash", "sealed_share",
)) | {"scenes_used": []}  # fmt: skip


def _beside_roofs(row: Any, plan: Plan, how: Labelling) -> tuple[NDArray[np.float32] | None, int]:
    """Of a tile of the built-up layer: sealed surfaces where a raster tells them, else how far around footprints labels are unsure."""
    if row.layer != how.built_up:
        return None, 0
    return (None, how.unsure_px) if how.sealed is None else (sealed_share(how.sealed, plan.grid, plan.tile.pixels), 0)


def _moved(shift: Shift | None) -> dict[str, float | None]:
    values = (None, None, None) if shift is None else (shift.down, shift.right, shift.fit)
    return dict(zip(("shift_down", "shift_right", "fit"), values, strict=True))


def _buildings(given: Any, plan: Plan) -> Buildings:
    """Footprints (WKB, EPSG:4326) in pixels of the tile, in a fixed order."""
    listed = sorted(given if given is not None else (), key=lambda one: bytes(one["geometry"]))
    shapes = np.asarray(shapely.from_wkb([bytes(one["geometry"]) for one in listed]), object)
    corner = plan.grid.transform(*plan.tile.pixels[:2])
    scale, origin = np.array([corner.a, corner.e]), np.array([corner.c, corner.f])
    pixels = shapely.transform(on_grid(shapes, plan.grid), lambda xy: (xy - origin) / scale) if len(shapes) else shapes
    told = np.array([np.nan if one["confidence"] is None else one["confidence"] for one in listed], np.float32)
    return Buildings(pixels, told, [one["label_date"] for one in listed])


def _middle(days: list[dt.date]) -> dt.date | None:
    return sorted(days)[len(days) // 2] if days else None
