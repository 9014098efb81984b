"""The town of benchmark `buildings_scale`: the same pixels however it is cut, houses as many as are said."""

import numpy as np
import pandas as pd
from scipy import ndimage

from benchmarks.buildings_scale import FIRST_COLUMN, FIRST_ROW, TILE_PX, ground, tile_frames
from benchmarks.drawn_houses import count_of_houses, drawn
from udfs.rasters import decode_raster


def test_tiles_are_parts_of_the_whole_town() -> None:
    probability, depth = drawn(ground(2, 2))
    numbers = pd.DataFrame({"row": [FIRST_ROW, FIRST_ROW + 1], "col": [FIRST_COLUMN + 1, FIRST_COLUMN]})
    tiles = pd.concat(tile_frames(iter([numbers]))).to_dict("records")
    for tile, part in zip(tiles, (np.s_[:TILE_PX, TILE_PX:], np.s_[TILE_PX:, :TILE_PX]), strict=True):
        assert (decode_raster(tile["probability"], (TILE_PX, TILE_PX)) == probability[part]).all()
        assert (decode_raster(tile["depth"], (TILE_PX, TILE_PX)) == depth[part]).all()


def test_houses_are_as_many_as_are_said_and_some_touch() -> None:
    bounds = ground(2, 3)
    probability, depth = drawn(bounds)
    count = count_of_houses(bounds)
    assert 350 < count / 6 < 400
    _, cores = ndimage.label(depth >= 50)
    _, together = ndimage.label(probability >= 125)
    assert abs(cores / count - 1) < 0.05
    assert 0.6 < together / count < 0.95
    assert count == count_of_houses(ground(1, 3)) + count_of_houses(ground(2, 3)._replace(top=ground(1, 3).bottom))
