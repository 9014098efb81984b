"""Maps from tiles: shares of valid pixels, tiles in their places, and the first epoch built."""

import numpy as np
import pandas as pd
import pytest

from udfs.map_pixels import built_shares, first_built, map_grid, map_pixel_batches, pictures, valid_part
from udfs.rasters import encode_raster


def test_shares_leave_pixels_without_data_out():
    probability = np.array([[250, 124, 255, 255], [125, 255, 255, 255]], np.uint8)
    # Two of three valid pixels reach 125; the right square has none.
    assert built_shares(probability, 125, 2).tolist() == [[167, 255]]
    assert built_shares(probability, 125, 1).tolist() == [[250, 0, 255, 255], [250, 255, 255, 255]]


@pytest.mark.parametrize("tile_px", [256, 512])
@pytest.mark.parametrize("most_px", [2000, 300])
def test_a_map_is_the_place_however_it_is_tiled(tile_px, most_px):
    rng = np.random.default_rng(5)
    whole = rng.integers(0, 256, (512, 1024)).astype(np.uint8)
    tiles = [(r, c) for r in range(0, 512, tile_px) for c in range(0, 1024, tile_px)]
    frame = pd.DataFrame([
        {"epoch": "a", "tile_px": tile_px, "transform": [10.0, 0, 7000.0 + c * 10, 0, -10.0, 9000.0 - r * 10], "threshold": 100,
         "probability": encode_raster(whole[r : r + tile_px, c : c + tile_px])}
        for r, c in tiles[::-1]
    ])  # fmt: skip
    grid = map_grid("EPSG:32636", (7000.0, 9000.0 - 5120, 7000.0 + 10240, 9000.0), (10.0, 10.0), most_px)
    assert grid.step == (1 if most_px == 2000 else 4)
    made = pictures(next(map_pixel_batches(iter([frame]), grid)), grid)["a"]
    assert np.array_equal(made, built_shares(whole, 100, grid.step))


def test_cropping_keeps_the_corner():
    picture = np.full((6, 9), 255, np.uint8)
    picture[2:4, 5:8] = 0
    rows, cols = valid_part({"a": picture})
    cropped = map_grid("EPSG:32636", (100.0, 0.0, 190.0, 60.0), (10.0, 10.0), 99).cropped(rows, cols)
    assert cropped.bounds == (150.0, 20.0, 180.0, 40.0)
    with pytest.raises(ValueError, match="valid pixel"):
        valid_part({"a": np.full((2, 2), 255, np.uint8)})


def test_first_built_tells_never_built_from_never_seen():
    early, late = np.array([[200, 255, 255, 10]], np.uint8), np.array([[10, 200, 255, 255]], np.uint8)
    assert first_built([early, late]).tolist() == [[0, 1, -2, -1]]
