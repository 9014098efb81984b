"""A tile's images at all dates, and what a network of series says of them."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import PASSING, ReadError
from models.predictor import ModelError, ModelSpec
from models.series_predictor import SeriesPredictor, load_series_predictor
from models.series_states import Raster, Steadiness, Told, needed_edges, series_of_maps
from udfs.channels import Channels
from udfs.coregistration import aligned, offsets
from udfs.grid import Tile, tiles_over
from udfs.images import ImagePool, OpeningRules
from udfs.mapping import Plan, first_failure, plan_of, planned_composite
from udfs.rasters import NO_DATA, ONE
from udfs.scenes import Scene

PLACED = ("layer", "grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry")


@dataclass(frozen=True)
class SeriesRecipe:
    """How a layer's series are told from images: plain values, so that it can travel to a worker."""

    model_path: str
    model_sha256: str
    bands: tuple[str, ...]
    """In the network's order."""
    halo: int
    composite: str
    looks: float
    """Equivalent number of looks of a radar image."""
    threads: int
    backend: str
    beside: Channels | None = None
    """Of the layer's second sensor."""

    @property
    def predictor(self) -> SeriesPredictor:
        """The network, loaded once in a process."""
        return load_series_predictor(self.model_path, self.model_sha256, self.threads, self.backend)


class SeriesReading(NamedTuple):
    """How a process reads images: recipes of those layers that have a network of series, and what `reading_of` gives."""

    recipes: dict[str, SeriesRecipe]
    scenes: dict[str, Scene]
    sensors: dict[str, str]
    references: dict[str, dt.date]
    rules: OpeningRules
    readers: int


class SeriesImages(NamedTuple):
    """Composites of the dates (T, channels, tile_px + 2 halo, ...) float32, NaN = no data; of each date the first failure, if any."""

    values: NDArray[np.float32]
    failures: tuple[ReadError | None, ...]


def read_series(pool: ImagePool, row: Any, epochs: Sequence[str], reading: SeriesReading) -> SeriesImages:
    """The images of a tile's row at epochs, from the scenes that were planned for its maps."""
    recipe = reading.recipes[row.layer]
    scenes = {one["epoch"]: one["scenes"] for one in row.plans}
    found = []
    for epoch in epochs:
        placed = {name: getattr(row, name) for name in PLACED}
        plan = plan_of(SimpleNamespace(**placed, epoch=epoch, scenes=scenes[epoch]), reading.scenes, reading.sensors, reading.references)
        found.append(planned_composite(pool, plan, _channels(plan, recipe), plan.tile.pixels.grown(recipe.halo), recipe.looks))
    failures = (_failure(epoch, region.failed) for epoch, region in zip(epochs, found, strict=True))
    return SeriesImages(np.stack([region.values for region in found]), tuple(failures))


def _failure(epoch: str, failed: dict[str, ReadError]) -> ReadError | None:
    """One that passes before others."""
    if not failed:
        return None
    first = first_failure({name: error for name, error in failed.items() if error.kind in PASSING} or failed)
    return ReadError(first.kind, f"epoch {epoch}: {first}", first.tries)


def _channels(plan: Plan, recipe: SeriesRecipe) -> tuple[Channels, ...]:
    own = Channels(plan.sensor, recipe.bands, recipe.composite)
    return (own, recipe.beside) if recipe.beside else (own,)


def series_of_images(
    images: NDArray[np.float32], maps: Raster, dates: Sequence[dt.date], tile: Tile, held: Steadiness, predictor: SeriesPredictor
) -> Raster:
    """States of a tile (T, tile_px, tile_px), as `series_of_maps` gives them, from images with their halo and the maps (T, tile_px,
    tile_px) of the same dates. Where a map shows nothing nothing is told, and where it is 0, as on water, it stands. Raises ModelError."""
    spec, days = predictor.spec, np.array([date.toordinal() for date in dates])
    result = np.full(maps.shape, NO_DATA, np.uint8)
    for window in tiles_over(tile.pixels, spec.centre):
        top, left = window.pixels.top - tile.pixels.top, window.pixels.left - tile.pixels.left
        centre = np.s_[:, top : top + spec.centre, left : left + spec.centre]
        seen = registered(images[:, :, top : top + spec.window, left : left + spec.window], spec)
        inner = np.s_[:, spec.halo : spec.halo + spec.centre, spec.halo : spec.halo + spec.centre]
        shown = (maps[centre] != NO_DATA) & np.asarray(np.isfinite(seen).any(1))[inner]
        if shown.any():
            edges = needed_edges(shown)
            states, changes = predictor.predict(seen, days, edges)
            told = np.where(shown, np.where(maps[centre] == 0, 0, states), NO_DATA).astype(np.uint8)
            thresholds = [round(spec.threshold * ONE)] * len(dates)
            result[centre] = series_of_maps(told, thresholds, dates, held, Told(edges, changes, spec.change["weight"])).values
    return result


def registered(images: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """Dates (T, channels, window, window) laid upon each other by whole pixels: windows lie on the global grid, so no tile shows in it."""
    return aligned(images, offsets(images, np.asarray(spec.normalisation["scale"], np.float32)))


def told_series(
    images: SeriesImages, maps: Raster, dates: Sequence[dt.date], tile: Tile, held: Steadiness, predictor: SeriesPredictor
) -> Raster | ReadError:
    """The same, or why not: a fault that passes lets the series wait; one that stays ends it where a map shows what the images no longer
    do."""
    inner = slice(predictor.spec.halo, predictor.spec.halo + tile.tile_px)
    for failure, image, known in zip(images.failures, images.values[..., inner, inner], maps != NO_DATA, strict=True):
        if failure and (failure.kind in PASSING or (known & ~np.isfinite(image).any(0)).any()):
            return failure
    try:
        return series_of_images(images.values, maps, dates, tile, held, predictor)
    except ModelError as error:
        return ReadError("model", str(error))
