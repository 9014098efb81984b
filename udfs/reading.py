"""Reading a scene onto the global grid. A pixel's value follows from its own position only, never from the window it is read in."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from conf.errors import ReadError
from conf.sensors import SENSORS, Mask, Sensor
from udfs.grid import Grid, PixelBounds
from udfs.images import ImagePool, gdal
from udfs.open_images import read_sound_blocks
from udfs.retrying import retried
from udfs.sampling import Block, Frame, Lattice, Points, pixel_centres
from udfs.scenes import Scene, check_as_planned
from udfs.sensor_values import is_clear, is_water, scaled

Values = NDArray[np.float32]
Water = NDArray[np.bool_] | None
Bands = tuple[str, ...]
PointsOf = Callable[[Frame, NDArray[np.bool_]], NDArray[np.bool_]]
"""From marked pixels of a frame to the points that follow from them."""


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
    points = pixel_centres(grid, bounds, scene.crs)
    values: Values = np.empty((len(bands), *bounds.shape_yx), np.float32)
    if not _meets(scene, points):
        values.fill(np.nan)
        return values
    with gdal():
        invalid = _sample(_View(pool, scene, grid, points, partly), bands, values, water)
    if invalid.any():
        np.copyto(values, np.float32(np.nan), where=invalid)
    if water is not None:
        water &= ~invalid
    return values


def _meets(scene: Scene, points: Points) -> bool:
    west, south, east, north = scene.bounds
    across, along = (points.x >= west) & (points.x <= east), (points.y >= south) & (points.y <= north)
    if across.shape == along.shape:
        return bool((across & along).any())
    return bool(across.any() and along.any())  # a row and a column


def _sample(view: "_View", bands: Bands, values: Values, water: Water) -> NDArray[np.bool_]:
    """Writes physical values and water; returns the pixels (height, width) where they mean nothing."""
    sensor = SENSORS[view.scene.sensor]
    placed = [view.block(band) for band in bands]
    invalid = np.zeros(values.shape[1:], bool)
    if sensor.nodata_in == "all":
        placed = _emptied(placed)
        invalid |= np.logical_and.reduce([lattice.nearest(block.frame, block.hollow) for lattice, block in placed])
    for band, (lattice, block), physical in zip(bands, placed, values, strict=True):
        _write_physical(lattice.sampled(block), view.scene, sensor, band, physical)
        invalid |= lattice.nearest(block.frame, block.unknown)
        if sensor.in_decibel:
            invalid |= np.isnan(physical)
    for mask in sensor.masks:
        if mask.band in view.scene.hrefs:
            invalid |= ~view.clear(mask, water)
    return np.asarray(invalid | view.lost, bool)


def _emptied(placed: list[tuple[Lattice, Block]]) -> list[tuple[Lattice, Block]]:
    """Bands of one size are unknown where all of them are hollow, before sampling: nodata never mixes into neighbours."""
    if len({id(lattice) for lattice, _ in placed}) > 1:
        return placed
    hollow = np.logical_and.reduce([block.hollow for _, block in placed])
    return [(lattice, block._replace(unknown=block.unknown | hollow)) for lattice, block in placed]


class _View:
    """A scene's images, seen from some points; read `partly`, blocks that cannot be read are lost and no fault."""

    def __init__(self, pool: ImagePool, scene: Scene, grid: Grid, points: Points, partly: bool) -> None:
        self.scene, self.partly = scene, partly
        self._pool, self._grid, self._points = pool, grid, points
        self._lattices: dict[tuple[float, ...], Lattice] = {}
        self.lost = np.zeros((), bool)
        """Points, once broadcast to (height, width), that need a block which cannot be read."""

    def block(self, band: str) -> tuple[Lattice, Block]:
        """The pixels of a band that the points need, and where they lie among them."""
        sensor, (dataset, lattice), index = SENSORS[self.scene.sensor], self._placed(band), self.scene.band_indexes[band]
        frame = lattice.sampled_frame
        if frame.window is None:
            beyond = np.ones(frame.shape_yx, bool)
            return lattice, Block(frame, np.zeros(frame.shape_yx, np.float32), beyond, beyond)
        raw = self._pixels(dataset, index, frame, frame.window, lattice.touched)
        empty = dataset.absent(index, frame.window)  # after the pixels: what cannot be read has failed by now
        nodata = _nodata(dataset, self.scene, sensor, band)
        if nodata is not None:
            empty |= _equal(raw, float(nodata))
        unknown = empty.copy() if sensor.nodata_in == "any" else np.zeros(empty.shape, bool)
        if raw.dtype.kind == "f":
            unknown |= ~np.isfinite(raw)
        if index in dataset.masked_bands:
            unknown |= self._pixels(dataset, index, frame, frame.window, lattice.touched, mask=True) == 0
        values = raw if raw.dtype.itemsize <= 2 else raw.astype(np.float32)
        return lattice, Block(frame, frame.around(values, 0), frame.around(unknown, True), frame.around(empty, True))

    def clear(self, mask: Mask, water: Water) -> NDArray[np.bool_]:
        """Points of clear ground; those that the mask calls water are marked in `water`."""
        dataset, lattice = self._placed(mask.band)
        frame = lattice.frame
        if frame.window is None:
            return np.zeros((), bool)
        pixels = self._pixels(dataset, self.scene.band_indexes[mask.band], frame, frame.window, lattice.nearest)
        if water is not None:
            water |= lattice.nearest(frame, frame.around(is_water(mask, pixels), False))
        return lattice.nearest(frame, frame.around(is_clear(mask, pixels), False))

    def _placed(self, band: str) -> tuple[Any, Lattice]:
        """The open image of a band, found to be as planned, and where the points lie in it."""
        scene = self.scene
        if band not in scene.hrefs:
            raise ReadError("missing_band", f"{scene.scene_id} has no band {band}; it has {', '.join(sorted(scene.hrefs))}")
        dataset = self._pool.get(scene.hrefs[band])
        if (scene.scene_id, band) not in self._pool.checked:
            check_as_planned(dataset, scene, band)
            self._pool.checked.add((scene.scene_id, band))
        if dataset.place not in self._lattices:
            self._lattices[dataset.place] = Lattice(dataset, scene.crs, self._grid, self._points)
        return dataset, self._lattices[dataset.place]

    def _pixels(self, dataset: Any, index: int, frame: Frame, window: Window, points_of: PointsOf, mask: bool = False) -> NDArray[Any]:
        """Raw pixels of a frame's window, or the mask. Read `partly`, the points of blocks that cannot be read are noted as lost."""
        if not self.partly:
            return np.asarray(dataset.pixels(index, window, mask))
        pixels, lost = read_sound_blocks(dataset, index, window, mask)
        self.lost = self.lost | points_of(frame, frame.around(lost, False))
        return pixels


def _equal(raw: NDArray[Any], value: float) -> NDArray[np.bool_]:
    """Whole DN are compared as such: as floats that takes ten times as long."""
    return np.asarray(raw == (int(value) if raw.dtype.kind in "iu" and value.is_integer() else value), bool)


def _nodata(dataset: Any, scene: Scene, sensor: Sensor, band: str) -> float | None:
    """The file's own, else what is declared of the scene, else the band's."""
    own = dataset.nodatavals[scene.band_indexes[band] - 1]
    if own is not None:
        return float(own)
    return sensor.nodata_of(band) if scene.nodata == sensor.nodata else scene.nodata


def _write_physical(raw: NDArray[Any], scene: Scene, sensor: Sensor, band: str, physical: Values) -> None:
    if sensor.values_of(band) != "stretched":
        linear = sensor.linear(band, scene.baseline, scene.calibration)
        if linear is None:
            raise ReadError("profile", f"{scene.scene_id}: nothing says what DN of {band} mean; run scenes again")
        scaled(raw, linear, sensor.in_decibel, physical)
        return
    low, high = (scene.stretch or {}).get(band, (None, None))
    if low is None or high is None:
        raise ReadError("no_stretch", f"{scene.scene_id}: its pixels could not be read for percentiles; fetch the image again")
    np.clip((raw - np.float32(low)) / np.float32(max(high - low, 1.0)), 0, 1, out=physical)
