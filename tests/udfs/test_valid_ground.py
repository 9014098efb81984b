"""Boxes of valid pixels: exact, and the same for any tiles."""

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Transformer

from udfs.grid import Grid, PixelBounds, tile_id, tiles_over
from udfs.rasters import NO_DATA, encode_raster
from udfs.valid_ground import ground_batches, valid_boxes

GRID = Grid("utm43n", "EPSG:32643", 0.0, 10_000_000.0, 10.0, 10.0)
GROUND = PixelBounds(1024, 2048, 2048, 3072)


def raster() -> np.ndarray:
    values = np.full((1024, 1024), NO_DATA, np.uint8)
    values[10:300, 700:801] = 7
    values[900, 5] = 0
    return values


def frame(tile_px: int) -> pd.DataFrame:
    rows = []
    for tile in tiles_over(GROUND, tile_px):
        top, left = tile.pixels.top - GROUND.top, tile.pixels.left - GROUND.left
        part = encode_raster(raster()[top : top + tile_px, left : left + tile_px])
        transform = list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6]
        rows.append(("2020", tile_id(GRID, tile), GRID.name, GRID.crs, tile_px, tile.row, tile.col, transform, part))
    return pd.DataFrame(rows, columns=["epoch", "tile_id", "grid", "crs", "tile_px", "row", "col", "transform", "probability"])


def test_boxes_are_those_of_valid_pixels_in_each_block() -> None:
    (tile,) = tiles_over(GROUND, 1024)
    assert valid_boxes(raster(), tile) == [
        PixelBounds(1034, 2748, 1280, 2816),
        PixelBounds(1034, 2816, 1280, 2849),
        PixelBounds(1280, 2748, 1324, 2816),
        PixelBounds(1280, 2816, 1324, 2849),
        PixelBounds(1924, 2053, 1925, 2054),
    ]


@pytest.mark.parametrize("tile_px", [256, 512])
def test_ground_is_the_same_for_any_tiles(tile_px: int) -> None:
    found, whole = (set(pd.concat(ground_batches([frame(side)]))["ground"]) for side in (tile_px, 1024))
    assert found == whole
    project = Transformer.from_crs("EPSG:4326", GRID.crs, always_xy=True)
    metres = shapely.transform(shapely.from_wkb(sorted(whole)), lambda xy: np.column_stack(project.transform(*xy.T)))
    assert shapely.area(metres).sum() == pytest.approx((290 * 101 + 1) * 100, rel=1e-6)
