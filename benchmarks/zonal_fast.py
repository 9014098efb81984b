"""Zonal sums of whole pixels, and of exact shares of pixels, ÷ exactextract at its best, one core, on the same ground; and of whole
pixels ÷ rasterstats, both from files.

All give built, valid and total area of each unit. Ours threshold and weigh by geodesic area within the time taken; exactextract and
rasterstats are handed the three finished rasters."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterstats
import shapely
from exactextract import exact_extract
from exactextract.feature import JSONFeatureSource
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray

from benchmarks.pairs import Measure, speed_ratio
from udfs.grid import BLOCK_PX, Grid, PixelBounds, tiles_over
from udfs.pixel_areas import block_areas_mm2
from udfs.zonal import Layer, tile_sums

SIDE, TILE_PX, UNITS, THRESHOLD = 2048, 512, 300, 125
GRID = Grid("utm43n", "EPSG:32643", 0.0, 10_000_000.0, 10.0, 10.0)
GROUND = PixelBounds(786_432, 26_624, 786_432 + SIDE, 26_624 + SIDE)
STRATEGIES = ("feature-sequential", "raster-sequential")
Sums = NDArray[np.float64]


def wards(count: int, seed: int = 5) -> NDArray[np.object_]:
    """Cells around random points with wavy shared edges, about 150 vertices each, in the grid's CRS."""
    west, north = GRID.transform(GROUND.top, GROUND.left) @ (0, 0)
    frame = shapely.box(west, north - SIDE * 10, west + SIDE * 10, north)
    random = np.random.default_rng(seed)
    points = shapely.MultiPoint(np.array([west, north - SIDE * 10]) + (0.05 + 0.9 * random.random((count, 2))) * SIDE * 10)
    cells = shapely.get_parts(shapely.voronoi_polygons(points, extend_to=frame))
    fine = shapely.segmentize(shapely.intersection(cells, frame.buffer(-600)), 30)
    # A smooth shift of the plane: neighbours keep their common edges.
    waves = shapely.transform(fine, lambda xy: xy + 40 * np.sin(xy[:, ::-1] / 170))
    outlines: NDArray[np.object_] = shapely.orient_polygons(waves, exterior_cw=False)
    return outlines


def town(seed: int = 6) -> NDArray[np.uint8]:
    """Probability (SIDE, SIDE): blocks of about 8 pixels and a stripe without data."""
    random = np.random.default_rng(seed)
    probability = np.kron(random.integers(0, 251, (SIDE // 8, SIDE // 8)), np.ones((8, 8))).astype(np.uint8)
    probability[300:340] = 255
    return probability


def ours(units: NDArray[np.object_], probability: NDArray[np.uint8], method: str) -> Sums:
    """Built, valid and total m2 (3, units), tile by tile as the job does it."""
    tree, total = shapely.STRtree(units), np.zeros((3, len(units)))
    for tile in tiles_over(GROUND, TILE_PX):
        top, left = tile.pixels.top - GROUND.top, tile.pixels.left - GROUND.left
        west, north = GRID.transform(tile.pixels.top, tile.pixels.left) @ (0, 0)
        touching = np.sort(tree.query(shapely.box(west, north - TILE_PX * 10, west + TILE_PX * 10, north), predicate="intersects"))
        layer = Layer(probability[top : top + TILE_PX, left : left + TILE_PX], THRESHOLD)
        sums = tile_sums(list(units[touching]), [layer], GRID, tile, method)
        total[:, touching] += np.array(sums)[:, 0].T / 1e6
    return total


def finished(probability: NDArray[np.uint8]) -> list[Sums]:
    """Area of built, valid and all pixels, m2, each (SIDE, SIDE)."""
    areas = np.zeros((SIDE, SIDE))
    for block in tiles_over(GROUND, BLOCK_PX):
        top, left = block.pixels.top - GROUND.top, block.pixels.left - GROUND.left
        areas[top : top + BLOCK_PX, left : left + BLOCK_PX] = block_areas_mm2(GRID, block.row, block.col) / 1e6
    valid = probability != 255
    return [areas * (valid & (probability >= THRESHOLD)), areas * valid, areas]


def theirs(units: NDArray[np.object_], rasters: list[Sums]) -> Callable[[], Sums]:
    """exactextract with the faster of its strategies, features and raster made beforehand."""
    west, north = GRID.transform(GROUND.top, GROUND.left) @ (0, 0)
    names = ("built", "valid", "total")
    sources = [NumPyRasterSource(r, west, north - SIDE * 10, west + SIDE * 10, north, name=n) for n, r in zip(names, rasters, strict=True)]
    features = JSONFeatureSource([{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(unit)} for unit in units])

    def run(strategy: str) -> Sums:
        found = exact_extract(sources, features, ["sum"], strategy=strategy)
        return np.array([[feature["properties"][f"{name}_sum"] for feature in found] for name in names], np.float64)

    seconds = {}
    for strategy in STRATEGIES:
        started = time.perf_counter()
        run(strategy)
        seconds[strategy] = time.perf_counter() - started
    best = min(STRATEGIES, key=lambda strategy: seconds[strategy])
    return lambda: run(best)


def near(ours: Sums, theirs: Sums) -> None:
    """Raises ValueError beyond a mean difference of 0.2 % or a difference of the total of 0.05 %."""
    mean, total = float(np.abs(ours / theirs - 1).mean()), abs(float(ours.sum() / theirs.sum() - 1))
    if mean > 2e-3 or total > 5e-4:
        raise ValueError(f"mean difference {mean:.2%} (0.2 % allowed), total {total:.3%} (0.05 % allowed)")


def equal(ours: Sums, theirs: Sums) -> None:
    """Raises ValueError beyond a relative difference of 1e-6 in any unit."""
    worst = float(np.abs(ours / theirs - 1).max())
    if worst > 1e-6:
        raise ValueError(f"difference {worst:.2g} (1e-6 allowed)")


def written(path: Path, layers: list[NDArray[Any]], nodata: float | None) -> Path:
    """A GeoTIFF, tiled and packed."""
    with rasterio.open(
        path, "w", driver="GTiff", width=SIDE, height=SIDE, count=len(layers), dtype=layers[0].dtype, crs=GRID.crs, nodata=nodata,
        transform=GRID.transform(GROUND.top, GROUND.left), tiled=True, blockxsize=256, blockysize=256, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.stack(layers))
    return path


def ours_of(path: Path, units: NDArray[np.object_]) -> Sums:
    """As `ours`, with whole pixels, of a file."""
    with rasterio.open(path) as file:
        return ours(units, file.read(1), "fast")


def rasterstats_of(path: Path, units: NDArray[np.object_]) -> Sums:
    """Built, valid and total m2 (3, units) of the finished rasters."""
    found = (rasterstats.zonal_stats(list(units), str(path), band=band, stats=["sum"], nodata=-1) for band in (1, 2, 3))
    return np.array([[each["sum"] for each in band] for band in found], np.float64)


def measure_of_files(units: NDArray[np.object_], probability: NDArray[np.uint8], note: str) -> Measure:
    """Whole pixels beside rasterstats."""
    with tempfile.TemporaryDirectory() as folder:
        town, areas = Path(folder) / "town.tif", Path(folder) / "areas.tif"
        written(town, [probability], 255)
        written(areas, [layer.astype(np.float32) for layer in finished(probability)], None)
        return speed_ratio("zonal_rasterstats", lambda: ours_of(town, units), lambda: rasterstats_of(areas, units), near, 20.0, note=note)


def measure() -> list[Measure]:
    """Both methods, and whole pixels of a file."""
    units, probability = wards(UNITS), town()
    reference = theirs(units, finished(probability))
    note = f"{len(units)} units, {SIDE} x {SIDE} pixels"
    beside_exactextract = [
        speed_ratio(f"zonal_{method}", lambda m=method: ours(units, probability, m), reference, agree, reach, note=note)
        for method, agree, reach in (("fast", near, 3.0), ("exact", equal, 0.9))
    ]
    return [*beside_exactextract, measure_of_files(units, probability, note)]
