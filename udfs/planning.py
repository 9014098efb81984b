"""Planning the work: a layer's grid, the tiles that scenes touch, what a tile will cost."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer

from conf.errors import InputError
from conf.sensors import SENSORS
from udfs.grid import Grid, PixelBounds, Tile, native_grid, tile_id, tiles_over, utm_grid
from udfs.reading import ALIGNED_PX
from udfs.scenes import Scene, same_crs

REACH_PX = 384
"""A tile's scenes are those within this many pixels of it: more than any model's halo and composite's margin together."""
SECONDS_PER_TILE = 0.02
SECONDS_PER_VALUE = 2.0e-8
"""To read and composite one pixel of one band of one scene, one core."""
SECONDS_PER_PIXEL = 3.0e-6
"""To run a network over one pixel, one core."""


def place_point(footprints: Iterable[bytes]) -> tuple[float, float]:
    """Longitude, latitude of the middle of all scenes: its zone is the place's."""
    west, south, east, north = shapely.total_bounds(shapely.from_wkb(list(footprints)))
    return (west + east) / 2, (south + north) / 2


def layer_grid(kind: str, layer: str, resolution: float | None, scenes: list[Scene], point: tuple[float, float]) -> Grid:
    """The layer's pixel grid. Raises InputError when a native grid's scenes differ in CRS, pixel size or alignment."""
    if not scenes:
        raise InputError(f"layer {layer}: no scene of its sensor; add one to scenes.sources or remove the layer")
    if kind == "utm":
        if resolution is None:
            raise InputError(f"layer {layer}: give its resolution in metres")
        return utm_grid(*point, resolution)
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


@lru_cache(maxsize=16)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def tiles_touching(footprint: bytes, grid: Grid, tile_px: int) -> list[Tile]:
    """Tiles that a footprint (WKB, EPSG:4326) may touch, by its box on the grid."""
    shape = shapely.from_wkb(footprint)
    if not same_crs(grid.crs, "EPSG:4326"):
        spans = shapely.bounds(shape)
        dense = shapely.segmentize(shape, max(spans[2] - spans[0], spans[3] - spans[1], 1e-9) / 32)
        transformer = _transformer("EPSG:4326", grid.crs)
        shape = shapely.transform(dense, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    west, south, east, north = (float(value) for value in shapely.bounds(shape))
    # Footprints lose a few nanometres on the way through degrees: such a sliver is no tile.
    slack_x, slack_y = grid.pixel_width * 1e-3, grid.pixel_height * 1e-3
    return tiles_over(grid.pixels_over(west + slack_x, south + slack_y, east - slack_x, north - slack_y), tile_px)


def outlines(grid: Grid, tiles: list[Tile], margin: int = 0) -> NDArray[np.object_]:
    """Outlines of tiles grown by `margin` pixels: polygons in EPSG:4326, eight segments a side."""
    transformer = _transformer(grid.crs, "EPSG:4326")
    rings = np.stack([_ring(grid, tile.pixels.grown(margin)) for tile in tiles])
    lon, lat = transformer.transform(rings[..., 0], rings[..., 1])
    return np.asarray(shapely.polygons(np.stack([lon, lat], axis=-1)), dtype=object)


def _ring(grid: Grid, bounds: PixelBounds) -> NDArray[np.float64]:
    steps = np.arange(8) / 8
    across = bounds.left + steps * (bounds.right - bounds.left)
    down = bounds.top + steps * (bounds.bottom - bounds.top)
    columns = np.concatenate(
        [across, np.full(8, bounds.right), bounds.right - (across - bounds.left), np.full(8, bounds.left), [bounds.left]]
    )
    rows = np.concatenate([np.full(8, bounds.top), down, np.full(8, bounds.bottom), bounds.bottom - (down - bounds.top), [bounds.top]])
    return np.column_stack([grid.origin_x + columns * grid.pixel_width, grid.origin_y - rows * grid.pixel_height])


def predicted_seconds(sensor: str, tile_px: int, covered: float) -> float:
    """Seconds of one core for a tile; `covered` is the sum over its scenes of the share each covers."""
    pixels = tile_px * tile_px
    values = pixels * covered * len(SENSORS[sensor].bands)
    return SECONDS_PER_TILE + SECONDS_PER_VALUE * values + SECONDS_PER_PIXEL * pixels * min(1.0, covered)


def planned_batches(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int) -> Iterator[pd.DataFrame]:
    """Frames of `footprint` to those of `outlined_batches`, a tile again for each frame that touches it."""
    return outlined_batches(_touched(frames, grid, tile_px), grid, tile_px)


def _touched(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int) -> Iterator[pd.DataFrame]:
    for frame in frames:
        tiles = sorted({tile for footprint in frame["footprint"].unique() for tile in tiles_touching(footprint, grid, tile_px)})
        yield pd.DataFrame({"row": [tile.row for tile in tiles], "col": [tile.col for tile in tiles]}, dtype="int32")


def outlined_batches(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int) -> Iterator[pd.DataFrame]:
    """Frames of (`row`, `col`) to the columns of `tiles` that follow from the grid, and `reach`: the outline grown, WKB."""
    for frame in frames:
        tiles = [Tile(int(row), int(col), tile_px) for row, col in zip(frame["row"], frame["col"], strict=True)]
        if not tiles:
            continue
        shapes = outlines(grid, tiles)
        boxes = shapely.bounds(shapes)
        yield pd.DataFrame({
            "tile_id": [tile_id(grid, tile) for tile in tiles],
            "row": np.array([tile.row for tile in tiles], "int32"),
            "col": np.array([tile.col for tile in tiles], "int32"),
            "transform": [list(grid.transform(*tile.pixels[:2]))[:6] for tile in tiles],
            "geometry": shapely.to_wkb(shapes),
            "reach": shapely.to_wkb(outlines(grid, tiles, REACH_PX)),
            **{name: boxes[:, number] for number, name in enumerate(("xmin", "ymin", "xmax", "ymax"))},
        })  # fmt: skip
