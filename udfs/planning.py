"""Planning the work: a layer's grid, the tiles that scenes touch, what a tile will cost."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from conf.errors import InputError
from conf.sensors import SENSORS
from udfs.earth import to_lonlat
from udfs.grid import Grid, Tile, native_grid, tiles_over
from udfs.lonlat import lonlat_polygons
from udfs.sampling import ALIGNED_PX
from udfs.scenes import Scene, same_crs
from udfs.zones import from_lonlat, one_zone, zone_grid, zones_of

REACH_PX = 384
"""A tile's scenes are those within this many pixels of it: more than any model's halo and composite's margin together."""
SLIVER_PX = 0.05
SECONDS_PER_TILE = 0.02
SECONDS_PER_VALUE = 2.0e-8
"""To read and composite one pixel of one band of one scene, one core."""
SECONDS_PER_PIXEL = 3.0e-6
"""To run a network over one pixel, one core."""
PACKED = 0.6
"""What deflate makes of optical bands: of the simulated city and of Sentinel-2 COGs alike."""


def place_zones(ground: Any, resolution: float) -> tuple[dict[str, Grid], bool]:
    """The UTM and UPS grids, by name, of a place on some ground (polygon, EPSG:4326), and whether their strips cut it.

    One zone, that of its middle, and no cut where it fits in about six degrees of longitude.
    """
    alone = one_zone(ground)
    zones = zones_of(ground) if alone is None else [alone]
    return {zone.name: zone_grid(zone, resolution) for zone in zones}, alone is None


def layer_grid(layer: str, resolution: float | None, scenes: list[Scene]) -> Grid:
    """The grid of a native layer: its scenes' own. Raises InputError where they differ in CRS, pixel size or alignment."""
    if not scenes:
        raise InputError(f"layer {layer}: no scene of its sensor; add one to scenes.sources or remove the layer")
    first = min((scene for scene in scenes if scene.fault is None), key=lambda scene: scene.scene_id, default=scenes[0])
    grid = native_grid(first.crs, Affine(*first.transform))
    for scene in scenes:
        _check_native(grid, layer, resolution, scene)
    return grid


def _check_native(grid: Grid, layer: str, resolution: float | None, scene: Scene) -> None:
    a, _, c, _, e, f = scene.transform
    name = f"layer {layer}, scene {scene.scene_id}"
    if resolution is not None and abs(a - resolution) > 1e-6 * resolution:
        raise InputError(f"{name}: its pixels are {a!r} wide, the layer's resolution is {resolution!r}; set it to that, or use `grid: utm`")
    if not same_crs(scene.crs, grid.crs):
        raise InputError(f"{name}: CRS {scene.crs} is not the grid's {grid.crs}; use `grid: utm` or warp the image")
    shifts = (c - grid.origin_x) / grid.pixel_width, (grid.origin_y - f) / grid.pixel_height
    sizes = (a / grid.pixel_width - 1) * scene.width, (-e / grid.pixel_height - 1) * scene.height
    if any(abs(shift - round(shift)) > ALIGNED_PX for shift in shifts) or any(abs(size) > ALIGNED_PX for size in sizes):
        raise InputError(f"{name}: its pixels are not those of the layer's first scene; use `grid: utm` or warp the image")


def tiles_touching(footprint: bytes, grid: Grid, tile_px: int) -> list[Tile]:
    """Tiles that a footprint (WKB, EPSG:4326) may touch, by its box on the grid."""
    shape = on_grid(shapely.from_wkb(footprint), grid)
    west, south, east, north = (float(value) for value in shapely.bounds(shape))
    # Footprints lose a little on the way through degrees, and their chords bend: such a sliver is no tile.
    slack_x, slack_y = grid.pixel_width * SLIVER_PX, grid.pixel_height * SLIVER_PX
    return tiles_over(grid.pixels_over(west + slack_x, south + slack_y, east - slack_x, north - slack_y), tile_px)


def on_grid(shapes: Any, grid: Grid) -> Any:
    """Shapes (one or an array), EPSG:4326, in the grid's CRS: edges get a vertex each 32nd of a shape's longer side, to keep their bend."""
    if same_crs(grid.crs, "EPSG:4326"):
        return shapes
    west, south, east, north = np.moveaxis(shapely.bounds(shapes), -1, 0)
    dense = shapely.segmentize(shapes, np.maximum(np.maximum(east - west, north - south), 1e-9) / 32)
    return shapely.transform(dense, from_lonlat(grid.crs).transform, interleaved=False)


def outlines(grid: Grid, tiles: list[Tile], margin: int = 0) -> NDArray[np.object_]:
    """Outlines of tiles grown by `margin` pixels: (multi)polygons in EPSG:4326, eight segments a side."""
    edges = np.array([tile.pixels.grown(margin) for tile in tiles], np.float64).reshape(-1, 4)
    return lonlat_polygons(*to_lonlat(grid.crs).transform(*_rings(grid, edges)))


def _rings(grid: Grid, edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y (n, 33) of the closed outlines of pixel bounds (n, 4)."""
    top, left, bottom, right = (edges[:, [number]] for number in range(4))
    steps, one = np.arange(8) / 8, np.ones(8)
    across, down = left + steps * (right - left), top + steps * (bottom - top)
    columns = np.concatenate([across, right * one, right - (across - left), left * one, left], axis=1)
    rows = np.concatenate([top * one, down, bottom * one, bottom - (down - top), top], axis=1)
    return grid.origin_x + columns * grid.pixel_width, grid.origin_y - rows * grid.pixel_height


def predicted_seconds(covered: Mapping[str, float], tile_px: int) -> float:
    """Seconds of one core for a tile; `covered` is, by sensor, the sum over its scenes of the share each covers."""
    pixels = tile_px * tile_px
    values = sum(pixels * share * len(SENSORS[sensor].bands) for sensor, share in covered.items())
    return SECONDS_PER_TILE + SECONDS_PER_VALUE * values + SECONDS_PER_PIXEL * pixels * min(1.0, sum(covered.values()))


def predicted_bytes(covered: Mapping[str, float], tile_px: int) -> int:
    """Bytes to read for a tile, at PACKED of their size in memory; `covered` as in `predicted_seconds`."""
    return sum(round(PACKED * _bytes_of_pixel(sensor) * tile_px * tile_px * share) for sensor, share in covered.items())


@lru_cache(maxsize=64)
def _bytes_of_pixel(name: str) -> float:
    """Of all bands of a sensor together, in memory, for a pixel of the finest."""
    sensor = SENSORS[name]
    finest = min(band.gsd for band in sensor.bands)
    return sum(np.dtype(sensor.dtype_of(band.name)).itemsize * (finest / band.gsd) ** 2 for band in sensor.bands)
