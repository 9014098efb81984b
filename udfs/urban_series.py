"""A tile's series: what its maps, or a network of series, show date by date, made one answer that never contradicts itself."""

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from conf.errors import PASSING, ReadError
from models.series_states import BUILT_FROM, Raster, Series, Steadiness, as_series, series_of_maps
from udfs.grid import Tile
from udfs.images import ImagePool
from udfs.lanes import read_by_rules
from udfs.rasters import NO_DATA, decode_raster, encode_raster
from udfs.series_images import SeriesImages, SeriesReading, SeriesRecipe, read_series, told_series

COPIED = (
    "layer", "tile_id", "grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry", "xmin", "ymin", "xmax", "ymax",
    "settings_digest",
)  # fmt: skip


class _Work(NamedTuple):
    """A tile with its maps of known epochs, by date; `recipe`: of its layer's network of series, if it has one."""

    row: Any
    maps: list[Any]
    recipe: SeriesRecipe | None
    started: float

    @property
    def failed(self) -> list[Any]:
        return [one for one in self.maps if one["status"] == "quarantined"]

    @property
    def can_be_told(self) -> bool:
        """A map that waits for another run lets its series wait: a fault that passes never changes pixels."""
        return not any(one["error_class"] in PASSING for one in self.failed) and any(one["status"] == "done" for one in self.maps)


def series_batches(
    frames: Iterable[pd.DataFrame], dates: dict[str, dt.date], held: Steadiness, reading: SeriesReading | None = None
) -> Iterator[pd.DataFrame]:
    """Shell: tiles with `maps`, their rows of `built_up`, to rows of `urban_series`. `dates` by epoch, in the order of the series;
    `reading`: of layers with a network of series, whose rows have `plans`, the scenes of each epoch, too.

    Memory: of one tile the decoded maps and series, 2 x epochs x tile_px^2 bytes, and some BYTES_AT_ONCE; of one with a network
    also epochs x channels x (tile_px + 2 halo)^2 x 4 bytes, for each reader and once more."""
    recipes = reading.recipes if reading else {}
    works = (_work_of(row, dates, recipes) for frame in frames for row in frame.itertuples())
    if reading is None:
        for work in works:
            yield pd.DataFrame([_series_row(work, None, dates, held)])
        return

    def read(pool: ImagePool, work: _Work) -> SeriesImages | None:
        if work.recipe is None or not work.can_be_told:
            return None
        return read_series(pool, work.row, [one["epoch"] for one in work.maps], reading)

    for work, images in read_by_rules(works, read, reading.scenes, reading.rules, reading.readers):
        yield pd.DataFrame([_series_row(work, images, dates, held)])


def _work_of(row: Any, dates: dict[str, dt.date], recipes: dict[str, SeriesRecipe]) -> _Work:
    maps = sorted((one for one in row.maps if one["epoch"] in dates), key=lambda one: list(dates).index(one["epoch"]))
    return _Work(row, maps, recipes.get(row.layer), time.monotonic())


def _series_row(work: _Work, images: SeriesImages | None, dates: dict[str, dt.date], held: Steadiness) -> dict[str, Any]:
    maps, when = work.maps, [dates[one["epoch"]] for one in work.maps]
    models = {one["model_sha256"] for one in maps}
    if images and work.recipe:
        models.add(work.recipe.model_sha256)
    return {
        **{name: getattr(work.row, name) for name in COPIED},
        "epochs": [one["epoch"] for one in maps],
        "dates": when,
        "threshold": BUILT_FROM,
        "scenes_used": sorted({scene for one in maps for scene in one["scenes_used"]}),
        "epochs_failed": [one["epoch"] for one in work.failed],
        "model_sha256": sorted(models),
        "attempts": max([1, *(failure.tries for failure in images.failures if failure)]) if images else 1,
        **_outcome(work, images, when, held),
        "seconds": time.monotonic() - work.started,
    }


def _outcome(work: _Work, images: SeriesImages | None, dates: list[dt.date], held: Steadiness) -> dict[str, Any]:
    """Status and what goes with it."""
    if not work.can_be_told:
        waiting = [one for one in work.failed if one["error_class"] in PASSING]
        error = (waiting or work.failed or [None])[0]
        return _nothing("quarantined" if error else "nodata", _error(error))
    side = int(work.row.tile_px)
    blank = np.full((side, side), NO_DATA, np.uint8)
    maps = np.stack([decode_raster(one["probability"], (side, side)) if one["status"] == "done" else blank for one in work.maps])
    if images is None or work.recipe is None:
        return _told(series_of_maps(maps, [one["threshold"] for one in work.maps], dates, held))
    tile = Tile(int(work.row.row), int(work.row.col), side)
    found = told_series(images, maps, dates, tile, held, work.recipe.predictor)
    if isinstance(found, ReadError):
        return _nothing("quarantined", {"error_class": found.kind, "message": str(found)})
    return _told(as_series(found))


def _told(found: Series) -> dict[str, Any]:
    return {
        "status": "done",
        "valid_share": float((found.first_built != NO_DATA).mean()),
        "series": [_raster(values) for values in found.values],
        "first_built": encode_raster(found.first_built),
        "last_built": encode_raster(found.last_built),
        **_error(None),
    }


def _raster(values: Raster) -> bytes | None:
    return None if (values == NO_DATA).all() else encode_raster(values)


def _nothing(status: str, error: dict[str, Any]) -> dict[str, Any]:
    return {"status": status, "valid_share": 0.0, "series": None, "first_built": None, "last_built": None, **error}


def _error(one: Any) -> dict[str, Any]:
    if one is None:
        return {"error_class": None, "message": None}
    return {"error_class": one["error_class"], "message": f"epoch {one['epoch']}: {one['message']}"}
