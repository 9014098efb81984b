"""Built-up tiles at a picture's resolution: each tile becomes a few bytes, the picture is put together from them."""

from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from affine import Affine
from numpy.typing import NDArray

from udfs.rasters import NO_DATA, ONE, decode_raster

Shares = NDArray[np.uint8]
FINEST_TILE_PX = 256
MAP_PIXELS_DDL = "epoch string, top int, left int, side int, shares binary"
"""Position and side of a tile in map pixels from the map's upper left corner, and its shares as bytes."""


class MapGrid(NamedTuple):
    """A picture's pixels: CRS, upper left corner, pixel width and height (> 0) in the CRS's units, size, and how many
    pixels of the tiles' grid are one of its own, along each side."""

    crs: str
    left: float
    top: float
    pixel_width: float
    pixel_height: float
    width: int
    height: int
    step: int

    @property
    def transform(self) -> Affine:
        return Affine(self.pixel_width, 0.0, self.left, 0.0, -self.pixel_height, self.top)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the CRS."""
        return self.left, self.top - self.height * self.pixel_height, self.left + self.width * self.pixel_width, self.top

    def cropped(self, rows: slice, cols: slice) -> "MapGrid":
        """The part of the picture given by half-open pixel ranges."""
        left, top = self.left + cols.start * self.pixel_width, self.top - rows.start * self.pixel_height
        return self._replace(left=left, top=top, width=cols.stop - cols.start, height=rows.stop - rows.start)


def map_grid(crs: str, bounds: tuple[float, float, float, float], pixel: tuple[float, float], most_px: int) -> MapGrid:
    """The finest picture of `bounds` (west, south, east, north; edges of tiles) with at most `most_px` pixels a side;
    `pixel` is the width and height of a pixel of the tiles. A step is a power of two, at most 256, so that it divides every tile."""
    columns = round((bounds[2] - bounds[0]) / pixel[0])
    rows = round((bounds[3] - bounds[1]) / pixel[1])
    step = 1
    while max(rows, columns) > most_px * step and step < FINEST_TILE_PX:
        step *= 2
    return MapGrid(crs, bounds[0], bounds[3], pixel[0] * step, pixel[1] * step, columns // step, rows // step, step)


def built_shares(probability: Shares, threshold: int, step: int) -> Shares:
    """Share of built-up among the valid pixels of each step x step square, 0-250; 255 where none is valid.
    `probability` is (height, width), 0-250 and 255 no data; both sides are multiples of `step`."""
    height, width = probability.shape
    squares = probability.reshape(height // step, step, width // step, step)
    valid = (squares != NO_DATA).sum(axis=(1, 3))
    built = ((squares >= threshold) & (squares != NO_DATA)).sum(axis=(1, 3))
    shares = (built * ONE + valid // 2) // np.maximum(valid, 1)
    return np.where(valid > 0, shares, NO_DATA).astype(np.uint8)


def map_pixel_batches(frames: Iterator[pd.DataFrame], grid: MapGrid) -> Iterator[pd.DataFrame]:
    """Shell: done rows of `built_up` to MAP_PIXELS_DDL. About tile_px^2 bytes a row are unpacked at a time."""
    for frame in frames:
        rows = [_map_tile(row, grid) for row in frame.to_dict("records")]
        yield pd.DataFrame(rows, columns=["epoch", "top", "left", "side", "shares"])


def _map_tile(row: dict[Hashable, Any], grid: MapGrid) -> tuple[str, int, int, int, bytes]:
    side = row["tile_px"]
    shares = built_shares(decode_raster(row["probability"], (side, side)), row["threshold"], grid.step)
    top = round((grid.top - row["transform"][5]) / grid.pixel_height)
    left = round((row["transform"][2] - grid.left) / grid.pixel_width)
    return row["epoch"], top, left, shares.shape[0], shares.tobytes()


def pictures(pixels: pd.DataFrame, grid: MapGrid) -> dict[str, Shares]:
    """Rows of MAP_PIXELS_DDL as one array (height, width) per epoch; 255 where no tile is."""
    result: dict[str, Shares] = {}
    for row in pixels.to_dict("records"):
        picture = result.setdefault(row["epoch"], np.full((grid.height, grid.width), NO_DATA, np.uint8))
        top, left, side = row["top"], row["left"], row["side"]
        picture[top : top + side, left : left + side] = np.frombuffer(row["shares"], np.uint8).reshape(side, side)
    return result


def valid_part(maps: dict[str, Shares]) -> tuple[slice, slice]:
    """Rows and columns that hold every valid pixel of any epoch; raises ValueError when there is none."""
    valid = np.any([picture != NO_DATA for picture in maps.values()], axis=0)
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if not len(rows):
        raise ValueError("no epoch has a valid pixel")
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def first_built(maps: list[Shares]) -> NDArray[np.int16]:
    """Index of the first epoch (by date) in which at least half of a pixel is built-up, (height, width);
    -1 never built though seen, -2 never seen."""
    built = np.stack([(picture >= ONE / 2) & (picture != NO_DATA) for picture in maps])
    seen = np.any([picture != NO_DATA for picture in maps], axis=0)
    return np.where(built.any(axis=0), built.argmax(axis=0), np.where(seen, -1, -2)).astype(np.int16)
