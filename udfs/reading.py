"""Reading a scene onto the global grid. A pixel's value follows from its own position only, never from the window it is read in."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from conf.errors import ReadError
from conf.sensors import SENSORS, Mask, Sensor
from udfs.grid import Grid, PixelBounds
from udfs.images import ImagePool, gdal
from udfs.open_images import read_sound_blocks
from udfs.retrying import retried
from udfs.scenes import Scene, check_as_planned
from udfs.sensor_values import is_clear, is_water, scaled

Values = NDArray[np.float32]
Water = NDArray[np.bool_] | None
Bands = tuple[str, ...]
Positions = NDArray[np.float64]
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
MASKS = frozenset({"per_dataset", "alpha"})
ALIGNED_PX = 0.01
"""Grids that differ by less, in pixels, over the whole image are one grid."""


class Points(NamedTuple):
    """Pixel centres in a scene's CRS, arrays that broadcast to (height, width)."""

    x: Positions
    y: Positions


def read_scene(pool: ImagePool, scene: Scene, bands: Bands, grid: Grid, bounds: PixelBounds, water: Water = None) -> tuple[Values, int]:
    """Physical values, float32 (bands, height, width), of the grid's pixels in `bounds`, and the tries it took.

    NaN in every band where any has no data: outside the image, nodata, masked, not clear. Bands of another resolution or CRS
    are sampled bilinearly at the pixel's centre. Transient faults are tried again with fresh handles; raises ReadError, never fills.
    In `water`, all False (height, width), pixels with data are marked that the scene's own classes call water.
    """
    if scene.fault is not None:
        kind, _, message = scene.fault.partition(": ")
        raise ReadError(kind, message)
    try:
        values, tries = retried(
            lambda: _read(pool, scene, bands, grid, bounds, water),
            fresh=lambda: pool.drop(scene.files),
            wait=pool.waited_for.isdisjoint(scene.files),
        )
        return values, max(tries, pool.tries_of(scene.files))
    except ReadError:
        pool.waited_for.update(scene.files)
        raise


def read_sound_part(pool: ImagePool, scene: Scene, bands: Bands, grid: Grid, bounds: PixelBounds, water: Water = None) -> Values:
    """As `read_scene` where that failed: NaN for pixels that need a block of the files which cannot be read, the rest as ever.

    So what is lost does not depend on `bounds`. Raises ReadError where the files cannot be opened at all.
    """
    return _read(pool, scene, bands, grid, bounds, water, partly=True)


def _read(pool: ImagePool, scene: Scene, bands: Bands, grid: Grid, bounds: PixelBounds, water: Water, partly: bool = False) -> Values:
    with gdal():
        return _sampled(pool, scene, bands, grid, bounds, water, partly)


def _sampled(pool: ImagePool, scene: Scene, bands: Bands, grid: Grid, bounds: PixelBounds, water: Water, partly: bool) -> Values:
    sensor = SENSORS[scene.sensor]
    points = pixel_centres(grid, bounds, scene.crs)
    values = np.full((len(bands), *bounds.shape_yx), np.nan, np.float32)
    if not _meets(scene, points):
        return values
    lattices: dict[tuple[float, ...], _Lattice] = {}
    placed: list[tuple[_Lattice, _Block]] = []
    for band in bands:
        dataset = _dataset(pool, scene, band)
        lattice = _lattice(lattices, dataset, scene, grid, points)
        placed.append((lattice, _block(dataset, scene, sensor, band, lattice, partly)))
    empty = _emptied(placed) if sensor.nodata_in == "all" else np.bool_(False)
    for number, (band, (lattice, block)) in enumerate(zip(bands, placed, strict=True)):
        values[number] = _physical(lattice.sampled(block), scene, sensor, band)
    invalid = np.isnan(values).any(axis=0) | empty
    for lattice, block in placed:
        if partly:
            invalid |= lattice.touched(block, block.lost)
    for mask in sensor.masks:
        if mask.band in scene.hrefs:
            dataset = _dataset(pool, scene, mask.band)
            invalid |= ~_clear(dataset, scene, mask, _lattice(lattices, dataset, scene, grid, points), water, partly)
    values[:, invalid] = np.nan
    if water is not None:
        water &= ~invalid
    return values


def _emptied(placed: list[tuple["_Lattice", "_Block"]]) -> NDArray[np.bool_]:
    """Points where every band is hollow. Bands of one size become NaN there before sampling: nodata never mixes into neighbours."""
    if len({id(lattice) for lattice, _ in placed}) == 1:
        hollow = np.logical_and.reduce([block.hollow for _, block in placed])
        for _, block in placed:
            block.values[hollow] = np.nan
    return np.asarray(np.logical_and.reduce([block.at(block.hollow, *lattice.nearest) for lattice, block in placed]), bool)


def _lattice(known: dict[tuple[float, ...], "_Lattice"], dataset: Any, scene: Scene, grid: Grid, points: Points) -> "_Lattice":
    key = (*tuple(dataset.transform), dataset.width, dataset.height)
    if key not in known:
        known[key] = _Lattice(dataset, scene, grid, points)
    return known[key]


def _dataset(pool: ImagePool, scene: Scene, band: str) -> Any:
    if band not in scene.hrefs:
        raise ReadError("missing_band", f"{scene.scene_id} has no band {band}; it has {', '.join(sorted(scene.hrefs))}")
    dataset = pool.get(scene.hrefs[band])
    if (scene.scene_id, band) not in pool.checked:
        check_as_planned(dataset, scene, band)
        pool.checked.add((scene.scene_id, band))
    return dataset


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Transformer | None:
    if source == target or CRS.from_user_input(source).equals(CRS.from_user_input(target), ignore_axis_order=True):
        return None
    return Transformer.from_crs(source, target, always_xy=True)


def pixel_centres(grid: Grid, bounds: PixelBounds, crs: str) -> Points:
    """Centres of the grid's pixels in `crs`: a row and a column vector where the CRS is the grid's, else full arrays."""
    x: Positions = np.asarray(grid.origin_x + (np.arange(bounds.left, bounds.right) + 0.5) * grid.pixel_width, np.float64)[None, :]
    y: Positions = np.asarray(grid.origin_y - (np.arange(bounds.top, bounds.bottom) + 0.5) * grid.pixel_height, np.float64)[:, None]
    transformer = _transformer(grid.crs, crs)
    if transformer is None:
        return Points(x, y)
    full_x, full_y = np.broadcast_arrays(x, y)
    return Points(*transformer.transform(full_x, full_y))


def _meets(scene: Scene, points: Points) -> bool:
    west, south, east, north = scene.bounds
    inside = (points.x >= west) & (points.x <= east) & (points.y >= south) & (points.y <= north)
    return bool(inside.any())


class _Lattice:
    """Where points lie among an image's pixels. Bands of one size share it, for its arrays are most of the work."""

    def __init__(self, dataset: Any, scene: Scene, grid: Grid, points: Points) -> None:
        transform = dataset.transform
        columns, rows = (points.x - transform.c) / transform.a, (points.y - transform.f) / transform.e
        self.nearest = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
        self.aligned = _is_aligned(dataset, scene, grid)
        left, top = np.floor(columns - 0.5).astype(np.int64), np.floor(rows - 0.5).astype(np.int64)
        self.corner = left, top
        across, down = columns - 0.5 - left, rows - 0.5 - top
        corners = () if self.aligned else CORNERS
        self.shares = {(right, below): (across if right else 1 - across) * (down if below else 1 - down) for right, below in corners}

    def sampled(self, block: "_Block") -> Values:
        """DN at the points, float32: on an aligned grid the pixel's own, else bilinear among those with data; NaN where the nearest is."""
        nearest = block.at(block.values, *self.nearest)
        if self.aligned:
            return nearest
        whole = not np.isnan(block.values).any()  # then all weights count: the same sums, sooner
        total, weight = np.zeros(nearest.shape), np.zeros(nearest.shape)
        for (right, below), share in self.shares.items():
            corner = block.at(block.values, self.corner[0] + right, self.corner[1] + below)
            total += corner * share if whole else np.where(np.isnan(corner), 0, corner) * share
            weight += share if whole else ~np.isnan(corner) * share
        valid = ~np.isnan(nearest) & (weight > 0)
        mean: Positions = np.divide(total, weight, out=np.full(nearest.shape, np.nan), where=valid)
        return mean.astype(np.float32)

    def touched(self, block: "_Block", marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Points that are sampled from a marked pixel."""
        touched: NDArray[np.bool_] = block.at(marked, *self.nearest)
        for right, below in self.shares:
            touched = touched | block.at(marked, self.corner[0] + right, self.corner[1] + below)
        return touched


def _is_aligned(dataset: Any, scene: Scene, grid: Grid) -> bool:
    """Whether the image's pixels are pixels of the grid, everywhere on the image: so the answer is one for all windows."""
    if _transformer(grid.crs, scene.crs) is not None:
        return False
    transform = dataset.transform
    starts = (transform.c - grid.origin_x) / grid.pixel_width, (grid.origin_y - transform.f) / grid.pixel_height
    spans = dataset.width * (transform.a / grid.pixel_width - 1), dataset.height * (-transform.e / grid.pixel_height - 1)
    return all(abs(start - round(start)) < ALIGNED_PX for start in starts) and all(abs(span) < ALIGNED_PX for span in spans)


class _Block(NamedTuple):
    """The pixels of a band around some points: looked up by column and row of the image. NaN and hollow outside it."""

    values: Values
    hollow: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    left: int
    top: int

    def at(self, array: NDArray[Any], columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[Any]:
        row = np.clip(rows - self.top, 0, array.shape[0] - 1)
        column = np.clip(columns - self.left, 0, array.shape[1] - 1)
        if len(row[0]) == 1 and len(column) == 1:  # a row and a column vector: taking one after the other is faster
            return np.asarray(array[row[:, 0]][:, column[0]])
        return np.asarray(array[row, column])


def _block(dataset: Any, scene: Scene, sensor: Sensor, band: str, lattice: _Lattice, partly: bool) -> _Block:
    window, left, top, shape = _window(dataset, lattice, 0 if lattice.aligned else 1)
    values, hollow, lost = np.full(shape, np.nan, np.float32), np.ones(shape, bool), np.zeros(shape, bool)
    if window is None:
        return _Block(values, hollow, lost, left, top)
    index = scene.band_indexes[band]
    raw, missed = _pixels(dataset, index, window, partly)
    inside = _inside(window, left, top)
    values[inside] = raw
    empty = dataset.absent(index, window)  # after the pixels: what cannot be read has failed by now
    nodata = _nodata(dataset, scene, sensor, band)
    if nodata is not None:
        empty |= raw == nodata
    unknown = ~np.isfinite(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, bool)
    if MASKS & {flag.name for flag in dataset.mask_flag_enums[index - 1]}:
        mask, unmasked = _pixels(dataset, index, window, partly, mask=True)
        unknown |= mask == 0
        missed = missed | unmasked
    values[inside][unknown | empty if sensor.nodata_in == "any" else unknown] = np.nan
    hollow[inside], lost[inside] = empty, missed
    return _Block(values, hollow, lost, left, top)


def _nodata(dataset: Any, scene: Scene, sensor: Sensor, band: str) -> float | None:
    """The file's own, else what is declared of the scene, else the band's."""
    own = dataset.nodatavals[scene.band_indexes[band] - 1]
    if own is not None:
        return float(own)
    return sensor.nodata_of(band) if scene.nodata == sensor.nodata else scene.nodata


def _pixels(dataset: Any, index: int, window: Window, partly: bool, mask: bool = False) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Raw pixels, or the mask; and where they are lost: nowhere, or, read `partly`, in the blocks that cannot be read."""
    if partly:
        return read_sound_blocks(dataset, index, window, mask)
    return dataset.pixels(index, window, mask), np.zeros((), bool)


def _window(dataset: Any, lattice: _Lattice, around: int) -> tuple[Window | None, int, int, tuple[int, int]]:
    """The part of the image under the points and `around` pixels further; and the corner and shape of a block that holds it,
    with a rim of one pixel where it reaches over the image's edge: points far off land on the rim."""
    columns, rows = lattice.nearest
    left, right = max(int(columns.min()) - around, -1), min(int(columns.max()) + 1 + around, dataset.width + 1)
    top, bottom = max(int(rows.min()) - around, -1), min(int(rows.max()) + 1 + around, dataset.height + 1)
    first, last = max(left, 0), min(right, dataset.width)
    upper, lower = max(top, 0), min(bottom, dataset.height)
    if first >= last or upper >= lower:
        return None, left, top, (1, 1)
    return Window(first, upper, last - first, lower - upper), left, top, (bottom - top, right - left)


def _inside(window: Window, left: int, top: int) -> tuple[slice, slice]:
    row, column = window.row_off - top, window.col_off - left
    return slice(row, row + window.height), slice(column, column + window.width)


def _clear(dataset: Any, scene: Scene, mask: Mask, lattice: _Lattice, water: Water, partly: bool) -> NDArray[np.bool_]:
    """Clear points; those that the mask calls water are marked in `water`."""
    window, left, top, shape = _window(dataset, lattice, 0)
    clear, wet = np.zeros(shape, bool), np.zeros(shape, bool)
    if window is not None:
        pixels, lost = _pixels(dataset, scene.band_indexes[mask.band], window, partly)
        here = _inside(window, left, top)
        clear[here] = is_clear(mask, pixels) & ~lost
        wet[here] = is_water(mask, pixels) if water is not None else False
    block = _Block(clear, wet, wet, left, top)
    if water is not None:
        water |= block.at(wet, *lattice.nearest)
    return np.asarray(block.at(clear, *lattice.nearest), bool)


def _physical(raw: Values, scene: Scene, sensor: Sensor, band: str) -> Values:
    if sensor.values_of(band) != "stretched":
        linear = sensor.linear(band, scene.baseline, scene.calibration)
        if linear is None:
            raise ReadError("profile", f"{scene.scene_id}: nothing says what DN of {band} mean; give the scene's metadata file")
        return scaled(raw, linear, sensor.in_decibel)
    low, high = (scene.stretch or {}).get(band, (None, None))
    if low is None or high is None:
        raise ReadError("no_stretch", f"{scene.scene_id}: its pixels could not be read for percentiles; fetch the image again")
    return np.clip((raw - np.float32(low)) / np.float32(max(high - low, 1.0)), 0, 1)
