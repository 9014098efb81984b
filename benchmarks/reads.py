"""Windows of a Sentinel-2-like image by our reader ÷ rasterio with the file kept open, by file blocks and by windows, and ÷ a file
opened anew for each window: the same arrays.

All give float32 reflectance of a tile with its halo, NaN without data. Tiles lie on the global grid, so that file blocks and tiles
do not line up, as with real images."""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from benchmarks.pairs import Measure, speed_ratio
from udfs.compositing import composite_region
from udfs.grid import Grid, PixelBounds, tiles_over
from udfs.images import ImagePool, gdal
from udfs.reading import read_scene
from udfs.scenes import Scene, footprint

SIDE, BLOCK, TILE_PX, HALO = 4096, 512, 512, 40
BANDS = ("B02", "B03", "B04", "B08")
SCALE, OFFSET, BASELINE = 1e-4, -0.1, "05.09"
GRID = Grid("utm33n", "EPSG:32633", 0.0, 10_000_000.0, 10.0, 10.0)
CORNER = PixelBounds(539_998, 39_996, 539_998 + SIDE, 39_996 + SIDE)
"""Pixels of the grid under the image: its upper left corner is that of a real granule."""
REACH, NAIVE_REACH, PAIRS = 0.95, 2.5, 5
Values = NDArray[np.float32]
Reader = Callable[[], Iterator[Values]]


def image(folder: Path, side: int = SIDE) -> Scene:
    """A file a band: smooth ground and noise, uint16, deflate, blocks of 512; 0, no data, beyond a slanting edge as at a swath's."""
    random = np.random.default_rng(11)
    rows, columns = np.indices((side, side), np.float32)
    for number, band in enumerate(BANDS):
        ground = 1500 + 300 * number + 400 * np.sin(rows / 90 + number) * np.cos(columns / 130)
        pixels = (ground + random.normal(0, 60, ground.shape)).astype(np.uint16)
        pixels[columns > 1.2 * side - rows / 2] = 0
        _write(folder / f"{band}.tif", pixels)
    hrefs = {band: str(folder / f"{band}.tif") for band in BANDS}
    transform = tuple(GRID.transform(CORNER.top, CORNER.left))[:6]
    scene = Scene(
        "s", "sentinel2_l2a", dt.datetime(2023, 7, 1, tzinfo=dt.UTC), hrefs, dict.fromkeys(BANDS, 1), GRID.crs, transform, side, side,
        nodata=0.0, baseline=BASELINE,
    )  # fmt: skip
    return replace(scene, footprint=footprint(scene))


def _write(path: Path, pixels: NDArray[np.uint16]) -> None:
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "predictor": 2}
    profile = {"count": 1, "height": len(pixels), "width": len(pixels), "dtype": "uint16", "crs": GRID.crs, "nodata": 0}
    with rasterio.open(path, "w", transform=GRID.transform(CORNER.top, CORNER.left), **profile, **layout) as file:
        file.write(pixels, 1)


def windows(side: int = SIDE) -> list[PixelBounds]:
    """The tiles over the image with their halo, pixels of the grid, in the job's order."""
    under = PixelBounds(CORNER.top, CORNER.left, CORNER.top + side, CORNER.left + side)
    return [tile.pixels.grown(HALO) for tile in tiles_over(under, TILE_PX)]


def ours(scene: Scene, asked: list[PixelBounds]) -> Iterator[Values]:
    """The reader."""
    with ImagePool() as pool:
        for bounds in asked:
            yield read_scene(pool, scene, BANDS, GRID, bounds)[0]


def composited(scene: Scene, asked: list[PixelBounds]) -> Iterator[Values]:
    """The reader as the job uses it, through the composite of one date."""
    with ImagePool() as pool:
        for bounds in asked:
            yield composite_region(pool, (scene,), BANDS, GRID, bounds, "median").values


def kept(scene: Scene, asked: list[PixelBounds], aligned: bool) -> Iterator[Values]:
    """rasterio, each file opened once; `aligned`: whole file blocks are read, and the window is cut out of them."""
    with gdal():
        files = [rasterio.open(scene.hrefs[band]) for band in BANDS]
        for bounds in asked:
            yield _reflectance(scene, bounds, [partial(_block_aligned if aligned else _plain, file) for file in files])
        for file in files:
            file.close()


def reopened(scene: Scene, asked: list[PixelBounds]) -> Iterator[Values]:
    """rasterio, each file opened for each window."""
    for bounds in asked:
        yield _reflectance(scene, bounds, [partial(_anew, scene.hrefs[band]) for band in BANDS])


def _anew(path: str, window: Window) -> NDArray[Any]:
    with rasterio.open(path) as file:
        return _plain(file, window)


def _plain(file: Any, window: Window) -> NDArray[Any]:
    return np.asarray(file.read(1, window=window))


def _block_aligned(file: Any, window: Window) -> NDArray[Any]:
    top, left = window.row_off // BLOCK * BLOCK, window.col_off // BLOCK * BLOCK
    bottom = min(-(-(window.row_off + window.height) // BLOCK) * BLOCK, file.height)
    right = min(-(-(window.col_off + window.width) // BLOCK) * BLOCK, file.width)
    blocks = file.read(1, window=Window(left, top, right - left, bottom - top))
    row, column = window.row_off - top, window.col_off - left
    return np.asarray(blocks[row : row + window.height, column : column + window.width])


def _reflectance(scene: Scene, bounds: PixelBounds, reads: list[Callable[[Window], NDArray[Any]]]) -> Values:
    """Reflectance of a window that may reach over the image's edge."""
    values = np.full((len(reads), *bounds.shape_yx), np.nan, np.float32)
    top, left = max(bounds.top - CORNER.top, 0), max(bounds.left - CORNER.left, 0)
    bottom, right = min(bounds.bottom - CORNER.top, scene.height), min(bounds.right - CORNER.left, scene.width)
    inside = values[:, CORNER.top + top - bounds.top :, CORNER.left + left - bounds.left :][:, : bottom - top, : right - left]
    raw = np.stack([read(Window(left, top, right - left, bottom - top)) for read in reads])
    np.multiply(raw, np.float32(SCALE), out=inside)
    inside += np.float32(OFFSET)
    inside[:, (raw == 0).any(axis=0)] = np.nan
    return values


def agree(one: Iterator[Values], other: Iterator[Values]) -> None:
    """Raises ValueError unless every window is the same: equal values, NaN in the same places."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        if not np.array_equal(mine, theirs, equal_nan=True):
            raise ValueError(f"window {number}: pixels differ")


def drained(windows: Iterator[Values]) -> int:
    """Reads all windows and keeps none."""
    return sum(values.size for values in windows)


def measure() -> list[Measure]:
    """Of one core, the image in the page cache. The composite is what the job adds for one date."""
    with tempfile.TemporaryDirectory() as folder:
        scene, asked = image(Path(folder)), windows()
        blocks, plain = (partial(kept, scene, asked, aligned) for aligned in (True, False))
        mine, composite, naive = (partial(reader, scene, asked) for reader in (ours, composited, reopened))
        for other in (blocks, plain, composite, naive):
            agree(mine(), other())
        note = f"{len(asked)} windows of {TILE_PX + 2 * HALO} px, {len(BANDS)} bands;"
        return [
            _ratio("reads", mine, blocks, REACH, f"{note} rasterio by file blocks;"),
            _ratio("reads: by windows", mine, plain, None, "rasterio by windows, whose blocks GDAL keeps;"),
            _ratio("reads: of a composite", composite, blocks, None, "as the job reads one date;"),
            _ratio("reads: opened anew", mine, naive, NAIVE_REACH, note),
            _ratio("reads: kept, opened anew", blocks, naive, None, "what is there to take;"),
        ]


def _ratio(name: str, mine: Reader, theirs: Reader, reach: float | None, note: str) -> Measure:
    """Arrays are compared beforehand: keeping them all would be timed, too."""
    found = speed_ratio(name, lambda: drained(mine()), lambda: drained(theirs()), _as_many, reach or 0.0, PAIRS, note)
    return found._replace(reach=reach)


def _as_many(mine: int, theirs: int) -> None:
    if mine != theirs:
        raise ValueError(f"{mine} and {theirs} values read")
