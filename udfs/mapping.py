"""From images to probabilities, tile by tile. The network only ever sees windows of one size on the global grid."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from conf.errors import PASSING, ReadError
from models.predictor import ModelError, Predictor, load_predictor
from udfs.channels import Channels, composite_channels
from udfs.choosing import tile_blocks, unpacked
from udfs.compositing import Region, chosen_pixels
from udfs.grid import Grid, PixelBounds, Tile, grid_of_tile, tiles_over
from udfs.images import EVERY_FILE, ImagePool, OpeningRules
from udfs.lanes import read_by_rules
from udfs.masks import PolygonFile, inside
from udfs.rasters import NO_DATA, encode_raster
from udfs.scenes import Scene
from udfs.zone_pixels import owned_or_touched
from udfs.zones import zone_called

Frames = Iterable[pd.DataFrame]
Raster = NDArray[np.uint8]
COPIED = (
    "layer", "epoch", "tile_id", "grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry", "xmin", "ymin", "xmax", "ymax",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a layer is mapped: plain values, so that it can travel to a worker."""

    model_path: str
    model_name: str
    model_version: str
    model_sha256: str
    bands: tuple[str, ...]
    """In the network's order."""
    centre: int
    """Side of what is kept of a window, pixels; divides 256."""
    halo: int
    """Pixels seen around the centre."""
    threshold: int
    """0-250."""
    composite: str
    looks: float
    """Equivalent number of looks of a radar image."""
    min_clear: float
    """After a scene failed: the share of the ground the scenes cover for which scenes without a failure must have data."""
    threads: int
    batch: int
    backend: str
    settings_digest: str
    dates: int = 1
    """Images that the network sees, one upon the other."""
    beside: Channels | None = None
    """Of the layer's second sensor."""
    water_share: float | None = None
    """Of a pixel's clear dates, at which permanent water is water by the scenes' own classes; None: they are not asked."""
    water: PolygonFile | None = None
    """Never built-up, as permanent water."""
    exclude: PolygonFile | None = None
    """No data."""
    layers: int = 1
    """Rasters that the network gives: the probability and, of some, the depth inside buildings."""
    model_labels: str = "unknown"
    """What the model learned from: `labels` of its spec."""

    @property
    def predictor(self) -> Predictor:
        """The network, loaded once in a process."""
        return load_predictor(self.model_path, self.model_sha256, self.threads, self.batch, self.backend)


class Plan(NamedTuple):
    """A tile to map. `scenes`, of all sensors, may hold more than touch it."""

    grid: Grid
    tile: Tile
    sensor: str
    scenes: tuple[Scene, ...]
    outline: bytes
    reference: dt.date | None = None
    """The epoch's reference date, for composite best_date."""
    strip: str | None = None
    """The zone whose strip cuts the tile."""
    blocks: dict[str, NDArray[np.bool_]] | None = None
    """Of scenes that are not chosen everywhere: for which blocks of the tile and REACH_BLOCKS around it they are."""


class Outcome(NamedTuple):
    """A tile's result: `probability` uint8 (tile_px, tile_px), 255 no data, or None with the reason in `error`; `depth` of the same shape
    where the network tells it."""

    probability: Raster | None
    valid_share: float
    region: Region | None
    error: ReadError | None = None
    depth: Raster | None = None


def read_tile(pool: ImagePool, plan: Plan, recipe: Recipe) -> Region:
    """The composite of a tile and its halo, of each sensor, every pixel read once."""
    own = Channels(plan.sensor, recipe.bands, recipe.composite, recipe.dates)
    parts = (own, recipe.beside) if recipe.beside else (own,)
    return planned_composite(pool, plan, parts, plan.tile.pixels.grown(recipe.halo), recipe.looks, recipe.water_share)


def planned_composite(
    pool: ImagePool, plan: Plan, parts: tuple[Channels, ...], bounds: PixelBounds, looks: float, water_share: float | None = None
) -> Region:
    """The composites over `bounds`, in or around the tile, from the scenes that are planned for it; as `composite_channels`."""
    return composite_channels(
        pool, plan.scenes, parts, plan.grid, bounds, reference=plan.reference, looks=looks,
        chosen=chosen_pixels(plan.tile, plan.blocks or {}), water_share=water_share,
    )  # fmt: skip


def map_tile(plan: Plan, region: Region, recipe: Recipe, predict: Callable[[NDArray[np.float32]], Raster]) -> Outcome:
    """Probabilities of a tile from its composite: 0 on water, none where left out; windows are not shown to the network where their
    centre has no data or is water."""
    halo, side = recipe.halo, plan.tile.tile_px
    inner = slice(halo, halo + side)
    valid = region.valid[inner, inner]
    try:
        water, left_out = _masks(plan, region, recipe)
    except ReadError as error:
        return Outcome(None, float(np.count_nonzero(valid)) / valid.size, region, error)
    meant = ~left_out & _owned(plan, valid.shape)
    if not meant.any():
        return Outcome(None, 0.0, region)
    valid &= meant
    share = float(np.count_nonzero(valid)) / valid.size
    sound = float(np.count_nonzero(region.sound[inner, inner] & meant)) / valid.size
    if failure := _failure(plan, region, recipe, sound, float(meant.mean())):
        return Outcome(None, sound, region, failure)
    if share == 0:
        return Outcome(None, 0.0, region)
    try:
        layers = _predicted(plan.tile, region.values, valid & ~water, recipe, predict)
    except ModelError as error:
        return Outcome(None, share, region, ReadError("model", str(error)))
    layers[:, water | ~valid] = 0
    layers[0, ~valid] = NO_DATA
    return Outcome(layers[0], share, region, depth=layers[1] if len(layers) > 1 else None)


def _owned(plan: Plan, shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of the tile that the zone's strip touches."""
    if plan.strip is None:
        return np.ones(shape_yx, bool)
    return owned_or_touched(plan.grid.crs, plan.grid.transform(*plan.tile.pixels[:2]), shape_yx, zone_called(plan.strip))


def _failure(plan: Plan, region: Region, recipe: Recipe, sound: float, meant: float) -> ReadError | None:
    """Why the tile cannot be mapped without the scenes that failed, if it cannot. `sound`, `meant`: shares of the tile.

    A fault that passes never changes pixels: with it the tile waits for another run, however much the other scenes show.
    """
    if not region.failed:
        return None
    passing = {name: error for name, error in region.failed.items() if error.kind in PASSING}
    if passing:
        return first_failure(passing)
    needed = max(recipe.min_clear * _covered(plan) * meant, 1 / plan.tile.tile_px**2)
    return first_failure(region.failed) if sound < needed else None


def _masks(plan: Plan, region: Region, recipe: Recipe) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels of the tile that are water, and those that are left out. Raises ReadError."""
    water, left_out = (inside(file, plan.grid, plan.tile) for file in (recipe.water, recipe.exclude))
    if region.water is not None:
        side = slice(recipe.halo, recipe.halo + plan.tile.tile_px)
        water |= region.water[side, side]
    return water, left_out


def _predicted(
    tile: Tile, values: NDArray[np.float32], valid: NDArray[np.bool_], recipe: Recipe, predict: Callable[[NDArray[np.float32]], Raster]
) -> Raster:
    """(layers, tile_px, tile_px)."""
    corners = [
        (window.pixels.top - tile.pixels.top, window.pixels.left - tile.pixels.left)
        for window in tiles_over(tile.pixels, recipe.centre)
    ]  # fmt: skip
    seen = [(top, left) for top, left in corners if valid[top : top + recipe.centre, left : left + recipe.centre].any()]
    result = np.zeros((recipe.layers, *valid.shape), np.uint8)
    width = recipe.centre + 2 * recipe.halo
    for start in range(0, len(seen), recipe.batch):
        part = seen[start : start + recipe.batch]
        windows = np.stack([values[:, top : top + width, left : left + width] for top, left in part])
        for (top, left), centre in zip(part, predict(windows), strict=True):
            result[:, top : top + recipe.centre, left : left + recipe.centre] = centre
    return result


def _covered(plan: Plan) -> float:
    """Share of the tile that its scenes' footprints cover, 0-1."""
    outline = shapely.from_wkb(plan.outline)
    whole = shapely.union_all(shapely.from_wkb([scene.footprint for scene in plan.scenes]))
    return float(shapely.area(shapely.intersection(outline, whole)) / shapely.area(outline))


def first_failure(failed: dict[str, ReadError]) -> ReadError:
    scene_id = min(failed)
    error = failed[scene_id]
    more = f" (and {len(failed) - 1} more scenes)" if len(failed) > 1 else ""
    return ReadError(error.kind, f"scene {scene_id}: {error}{more}", error.tries)


class _Work(NamedTuple):
    row: Any
    plan: Plan
    recipe: Recipe
    started: float


def built_up_batches(
    frames: Frames,
    scenes: dict[str, Scene],
    recipes: dict[str, Recipe],
    sensors: dict[str, str],
    references: dict[str, dt.date] | None = None,
    rules: OpeningRules = EVERY_FILE,
    readers: int = 1,
) -> Iterator[pd.DataFrame]:
    """Frames of planned tiles to frames of `built_up`, one row each. `recipes`, `sensors` by layer,
    reference dates by epoch.

    The next tiles are read in `readers` threads while the network runs, each with its own open images:
    at most readers + 1 composites are held, each channels x (tile_px + 2 halo)^2 x 4 bytes.
    """
    works = (
        _Work(row, plan_of(row, scenes, sensors, references), recipes[str(row.layer)], time.monotonic())
        for frame in frames
        for row in frame.itertuples()
    )
    for work, region in read_by_rules(works, _timed_read, scenes, rules, readers):
        yield pd.DataFrame([_result(work, region)])


def _timed_read(pool: ImagePool, work: _Work) -> tuple[Region, float]:
    started = time.monotonic()
    return read_tile(pool, work.plan, work.recipe), time.monotonic() - started


def plan_of(row: Any, scenes: dict[str, Scene], sensors: dict[str, str], references: dict[str, dt.date] | None = None) -> Plan:
    """The plan of a planned tile's row; `scenes` by id, `sensors` by layer, `references` by epoch."""
    tile = Tile(int(row.row), int(row.col), int(row.tile_px))
    grid = grid_of_tile(row.grid, row.crs, Affine(*row.transform), tile)
    chosen = [(str(one["scene_id"]), one["blocks"]) for one in row.scenes]
    side = tile_blocks(tile.tile_px)
    return Plan(
        grid=grid, tile=tile, sensor=sensors[row.layer], scenes=tuple(scenes[name] for name, _ in chosen), outline=bytes(row.geometry),
        reference=(references or {}).get(row.epoch), strip=row.strip,
        blocks={name: unpacked(int(bits), side) for name, bits in chosen if bits is not None and not pd.isna(bits)},
    )  # fmt: skip


def _result(work: _Work, read: tuple[Region, float]) -> dict[str, Any]:
    region, reading = read
    started = time.monotonic()
    outcome = map_tile(work.plan, region, work.recipe, lambda windows: work.recipe.predictor.predict_layers(windows))
    used = [scene for scene in work.plan.scenes if scene.scene_id in region.used]
    dates = sorted(scene.datetime for scene in used)
    raster, error = outcome.probability, outcome.error
    return {
        **{name: getattr(work.row, name) for name in COPIED},
        "status": "quarantined" if error else "nodata" if raster is None else "done",
        "probability": None if raster is None else encode_raster(raster),
        "depth": None if outcome.depth is None else encode_raster(outcome.depth),
        "threshold": work.recipe.threshold,
        "valid_share": outcome.valid_share,
        "error_class": error.kind if error else None,
        "message": str(error) if error else None,
        "attempts": max(region.attempts, error.tries if error else 1),
        "first_date": _timestamp(dates[0]) if dates else pd.NaT,
        "last_date": _timestamp(dates[-1]) if dates else pd.NaT,
        "scenes_used": sorted(scene.scene_id for scene in used),
        "scenes_failed": sorted(region.failed),
        "model_name": work.recipe.model_name,
        "model_version": work.recipe.model_version,
        "model_sha256": work.recipe.model_sha256,
        "model_labels": work.recipe.model_labels,
        "settings_digest": work.recipe.settings_digest,
        "seconds": reading + time.monotonic() - started,
    }


def _timestamp(moment: Any) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_convert("UTC").tz_localize(None)
