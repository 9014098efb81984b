"""Reading a scene onto the global grid. A pixel's value follows from its own position only, never from the window it is read in."""

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from conf.errors import ReadError
from conf.sensors import SENSORS, Sensor
from udfs.grid import Grid, PixelBounds
from udfs.images import GDAL_SETTINGS, TRANSIENT, ImagePool, is_georeferenced, read_pixels
from udfs.scenes import Scene

Values = NDArray[np.float32]
Positions = NDArray[np.float64]
TRIES = 3
BACK_OFF_SECONDS = 0.05
ALIGNED_PX = 0.01
"""Grids that differ by less, in pixels, over the whole image are one grid."""


class Points(NamedTuple):
    """Pixel centres in a scene's CRS, arrays that broadcast to (height, width)."""

    x: Positions
    y: Positions


def read_scene(pool: ImagePool, scene: Scene, bands: tuple[str, ...], grid: Grid, bounds: PixelBounds) -> tuple[Values, int]:
    """Physical values, float32 (bands, height, width), of the grid's pixels in `bounds`, and the tries it took.

    NaN in every band where any has no data: outside the image, nodata, masked, not clear. Bands of another resolution or CRS
    are sampled bilinearly at the pixel's centre. Transient faults are tried again with fresh handles; raises ReadError, never fills.
    """
    for attempt in range(1, TRIES + 1):
        try:
            with rasterio.Env(**GDAL_SETTINGS):
                return _read(pool, scene, bands, grid, bounds), attempt
        except ReadError as error:
            pool.drop(scene.files)
            if error.kind not in TRANSIENT or attempt == TRIES:
                error.tries = attempt
                raise
            time.sleep(BACK_OFF_SECONDS * 2**attempt)
    raise ReadError("read_failed", f"{scene.scene_id}: no try succeeded")


def _read(pool: ImagePool, scene: Scene, bands: tuple[str, ...], grid: Grid, bounds: PixelBounds) -> Values:
    sensor = SENSORS[scene.sensor]
    if scene.fault is not None:
        kind, _, message = scene.fault.partition(": ")
        raise ReadError(kind, message)
    points = pixel_centres(grid, bounds, scene.crs)
    values = np.full((len(bands), *bounds.shape_yx), np.nan, np.float32)
    if not _meets(scene, points):
        return values
    empty = np.ones(bounds.shape_yx, bool)
    for number, band in enumerate(bands):
        dataset = _dataset(pool, scene, band)
        raw, hollow = _sampled(dataset, scene, sensor, band, points, grid)
        values[number] = _physical(raw, scene, sensor, band)
        empty &= hollow
    invalid = np.isnan(values).any(axis=0) | (empty if sensor.nodata_in == "all" else False)
    if sensor.classes is not None and sensor.classes in scene.hrefs:
        invalid |= ~_clear(_dataset(pool, scene, sensor.classes), scene, sensor, points)
    values[:, invalid] = np.nan
    return values


def _dataset(pool: ImagePool, scene: Scene, band: str) -> Any:
    if band not in scene.hrefs:
        raise ReadError("missing_band", f"{scene.scene_id} has no band {band}; it has {', '.join(sorted(scene.hrefs))}")
    dataset = pool.get(scene.hrefs[band])
    name = Path(scene.hrefs[band]).name
    if not is_georeferenced(dataset):
        raise ReadError("georeference", f"{name}: no CRS or not north up")
    if scene.band_indexes[band] > dataset.count:
        raise ReadError("missing_band", f"{name} has {dataset.count} bands, {band} should be number {scene.band_indexes[band]}")
    return dataset


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Transformer | None:
    if source == target or CRS.from_user_input(source).equals(CRS.from_user_input(target), ignore_axis_order=True):
        return None
    return Transformer.from_crs(source, target, always_xy=True)


def pixel_centres(grid: Grid, bounds: PixelBounds, crs: str) -> Points:
    """Centres of the grid's pixels in `crs`: a row and a column vector where the CRS is the grid's, else full arrays."""
    x = (grid.origin_x + (np.arange(bounds.left, bounds.right) + 0.5) * grid.pixel_width)[None, :]
    y = (grid.origin_y - (np.arange(bounds.top, bounds.bottom) + 0.5) * grid.pixel_height)[:, None]
    transformer = _transformer(grid.crs, crs)
    if transformer is None:
        return Points(x, y)
    return Points(*transformer.transform(*np.broadcast_arrays(x, y)))


def _meets(scene: Scene, points: Points) -> bool:
    west, south, east, north = scene.bounds
    inside = (points.x >= west) & (points.x <= east) & (points.y >= south) & (points.y <= north)
    return bool(inside.any())


def _pixel_positions(transform: Affine, points: Points) -> tuple[Positions, Positions]:
    """Fractional (column, row) of points in an image; the centre of its first pixel is (0.5, 0.5)."""
    return (points.x - transform.c) / transform.a, (points.y - transform.f) / transform.e


def _is_aligned(dataset: Any, scene: Scene, grid: Grid) -> bool:
    """Whether the image's pixels are pixels of the grid, everywhere on the image: so the answer is one for all windows."""
    if _transformer(grid.crs, scene.crs) is not None:
        return False
    transform = dataset.transform
    starts = (transform.c - grid.origin_x) / grid.pixel_width, (grid.origin_y - transform.f) / grid.pixel_height
    ends = starts[0] + dataset.width * transform.a / grid.pixel_width, starts[1] - dataset.height * transform.e / grid.pixel_height
    spans = ends[0] - starts[0] - dataset.width, ends[1] - starts[1] - dataset.height
    return all(abs(value - round(value)) < ALIGNED_PX for value in (*starts, *ends)) and all(abs(span) < ALIGNED_PX for span in spans)


def _sampled(dataset: Any, scene: Scene, sensor: Sensor, band: str, points: Points, grid: Grid) -> tuple[Values, NDArray[np.bool_]]:
    """DN of a band as float32, NaN where it has no data; and where the nearest pixel holds the nodata value."""
    columns, rows = _pixel_positions(dataset.transform, points)
    if _is_aligned(dataset, scene, grid):
        return _gathered(dataset, scene, sensor, band, np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64))
    left, top = np.floor(columns - 0.5).astype(np.int64), np.floor(rows - 0.5).astype(np.int64)
    across, down = columns - 0.5 - left, rows - 0.5 - top
    block = _Block.around(dataset, scene, sensor, band, left, top)
    total, weight = np.zeros(np.broadcast_shapes(left.shape, top.shape)), np.zeros(np.broadcast_shapes(left.shape, top.shape))
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        share = (across if right else 1 - across) * (down if below else 1 - down)
        corner = block.at(left + right, top + below)
        known = ~np.isnan(corner)
        total += np.where(known, corner, 0) * share
        weight += np.where(known, share, 0)
    nearest = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
    hollow = block.is_hollow(*nearest)
    valid = ~np.isnan(block.at(*nearest)) & (weight > 0)
    return np.where(valid, total / np.where(weight > 0, weight, 1), np.nan).astype(np.float32), hollow


def _gathered(
    dataset: Any, scene: Scene, sensor: Sensor, band: str, columns: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[Values, NDArray[np.bool_]]:
    block = _Block.around(dataset, scene, sensor, band, columns, rows)
    return block.at(columns, rows), block.is_hollow(columns, rows)


class _Block(NamedTuple):
    """Pixels of a band around some positions, NaN and hollow outside the image: looked up by column and row of the image."""

    values: Values
    hollow: NDArray[np.bool_]
    left: int
    top: int

    @staticmethod
    def around(dataset: Any, scene: Scene, sensor: Sensor, band: str, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> "_Block":
        window, left, top, shape = _window(dataset, columns, rows)
        values = np.full(shape, np.nan, np.float32)
        hollow = np.ones(shape, bool)
        if window is not None:
            index = scene.band_indexes[band]
            raw = read_pixels(dataset, index, window)
            known = np.isfinite(raw) if raw.dtype.kind == "f" else np.ones(raw.shape, bool)
            if {"per_dataset", "alpha"} & {flag.name for flag in dataset.mask_flag_enums[index - 1]}:
                known &= read_pixels(dataset, index, window, mask=True) > 0
            zero = np.zeros(raw.shape, bool) if scene.nodata is None else raw == scene.nodata
            if sensor.nodata_in == "any":
                known &= ~zero
            place = _inside(window, left, top)
            values[place] = np.where(known, raw, np.nan)
            hollow[place] = zero
        return _Block(values, hollow, left, top)

    def at(self, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> Values:
        return np.asarray(self.values[self._row(rows), self._column(columns)])

    def is_hollow(self, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.asarray(self.hollow[self._row(rows), self._column(columns)])

    def _row(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.clip(rows - self.top, 0, self.values.shape[0] - 1)

    def _column(self, columns: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.clip(columns - self.left, 0, self.values.shape[1] - 1)


def _window(dataset: Any, columns: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Window | None, int, int, tuple[int, int]]:
    """The part of the image under positions and their right and lower neighbours; and the block's corner and shape: at most the image and
    a rim of one pixel, so that positions far off land on the rim."""
    left, right = max(int(columns.min()), -1), min(int(columns.max()) + 2, dataset.width + 1)
    top, bottom = max(int(rows.min()), -1), min(int(rows.max()) + 2, dataset.height + 1)
    if left > dataset.width or top > dataset.height or right < 0 or bottom < 0:
        return None, left, top, (1, 1)
    first, last = max(left, 0), min(right, dataset.width)
    upper, lower = max(top, 0), min(bottom, dataset.height)
    shape = max(bottom - top, 1), max(right - left, 1)
    if first >= last or upper >= lower:
        return None, left, top, shape
    return Window(first, upper, last - first, lower - upper), left, top, shape


def _inside(window: Window, left: int, top: int) -> tuple[slice, slice]:
    row, column = window.row_off - top, window.col_off - left
    return slice(row, row + window.height), slice(column, column + window.width)


def _clear(dataset: Any, scene: Scene, sensor: Sensor, points: Points) -> NDArray[np.bool_]:
    columns, rows = _pixel_positions(dataset.transform, points)
    nearest = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
    window, left, top, shape = _window(dataset, *nearest)
    clear = np.zeros(shape, bool)
    if window is not None:
        classes = read_pixels(dataset, scene.band_indexes[str(sensor.classes)], window)
        clear[_inside(window, left, top)] = np.isin(classes, sorted(sensor.clear))
    row, column = np.clip(nearest[1] - top, 0, shape[0] - 1), np.clip(nearest[0] - left, 0, shape[1] - 1)
    return np.asarray(clear[row, column])


def _physical(raw: Values, scene: Scene, sensor: Sensor, band: str) -> Values:
    if sensor.values != "stretched":
        return raw * np.float32(sensor.scale) + np.float32(sensor.offset(scene.baseline))
    low, high = (scene.stretch or {}).get(band, (None, None))
    if low is None or high is None:
        raise ReadError("no_stretch", f"{scene.scene_id}: its pixels could not be read for percentiles; fetch the image again")
    return np.clip((raw - np.float32(low)) / np.float32(max(high - low, 1.0)), 0, 1)


def strips(bounds: PixelBounds, rows: int) -> Iterator[PixelBounds]:
    """`bounds` cut into strips of at most `rows` rows."""
    for top in range(bounds.top, bounds.bottom, rows):
        yield PixelBounds(top, bounds.left, min(top + rows, bounds.bottom), bounds.right)
