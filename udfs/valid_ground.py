"""Where a layer has data: of each fixed block the box of its valid pixels, the same for any tiles."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from udfs.earth import to_lonlat
from udfs.grid import BLOCK_PX, PixelBounds, Tile, blocks_of, grid_of_tile
from udfs.rasters import NO_DATA, decode_raster

GROUND_DDL = "epoch string, ground binary"


def valid_boxes(raster: NDArray[np.uint8], tile: Tile) -> list[PixelBounds]:
    """Boxes, on the grid, of the pixels with data in each block of a tile that has any; raster (tile_px, tile_px), 255 = no data."""
    found = []
    for block in blocks_of(tile):
        top, left = block.pixels.top - tile.pixels.top, block.pixels.left - tile.pixels.left
        valid = raster[top : top + BLOCK_PX, left : left + BLOCK_PX] != NO_DATA
        rows, cols = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
        if rows.size:
            y, x = block.pixels.top, block.pixels.left
            found.append(PixelBounds(y + int(rows[0]), x + int(cols[0]), y + int(rows[-1]) + 1, x + int(cols[-1]) + 1))
    return found


def ground_batches(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Frames of finished tiles (epoch, grid, crs, tile_px, row, col, transform, probability) to boxes with data, WKB, EPSG:4326."""
    for frame in frames:
        rows = [(row.epoch, outline) for row in frame.itertuples() for outline in _outlines(row)]
        yield pd.DataFrame(rows, columns=["epoch", "ground"])


def _outlines(row: Any) -> list[bytes]:
    tile = Tile(int(row.row), int(row.col), int(row.tile_px))
    transform, crs = Affine(*row.transform), row.crs
    grid = grid_of_tile(row.grid, crs, transform, tile)
    boxes = valid_boxes(decode_raster(row.probability, (tile.tile_px, tile.tile_px)), tile)
    to_crs, to_degrees = grid.transform(0, 0), to_lonlat(crs)
    shapes = [shapely.box(*(to_crs @ (box.left, box.bottom)), *(to_crs @ (box.right, box.top))) for box in boxes]
    degrees = shapely.transform(shapes, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))
    return [bytes(wkb) for wkb in shapely.to_wkb(degrees)]
