"""The global pixel grid: names, tiles, blocks. Pixels are counted from the grid's origin, rows southwards."""

import hashlib
import math
from typing import NamedTuple

from affine import Affine
from pyproj import CRS

from conf.errors import InputError

BLOCK_PX = 256
"""Side of the fixed blocks that windows are centred on and sums are taken over; every tile_px is a multiple."""

TILE_SIDES = (256, 512, 1024)
UTM_TOP = 10_000_000.0
"""Northing of row 0 on UTM grids, so that rows are never negative in either hemisphere."""

UPS_TOP = 4_000_000.0
"""Northing of row 0 on UPS grids, whose pole is at (2e6, 2e6): rows and columns are positive, 10 km divides it."""


class PixelBounds(NamedTuple):
    """Half-open pixel ranges on a grid: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape_yx(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    def grown(self, margin: int) -> "PixelBounds":
        return PixelBounds(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)


class Grid(NamedTuple):
    """A pixel grid: CRS, coordinates of the upper left corner of pixel (0, 0), pixel width and height (> 0)."""

    name: str
    crs: str
    origin_x: float
    origin_y: float
    pixel_width: float
    pixel_height: float

    def transform(self, top: int, left: int) -> Affine:
        """Pixel to CRS coordinates, for an array whose first pixel is (top, left)."""
        x = self.origin_x + left * self.pixel_width
        y = self.origin_y - top * self.pixel_height
        return Affine(self.pixel_width, 0.0, x, 0.0, -self.pixel_height, y)

    def pixels_over(self, west: float, south: float, east: float, north: float) -> PixelBounds:
        """The pixels that a box in the grid's CRS touches; an edge within 1e-6 pixel of a line counts as on it."""
        left = (west - self.origin_x) / self.pixel_width
        right = (east - self.origin_x) / self.pixel_width
        top = (self.origin_y - north) / self.pixel_height
        bottom = (self.origin_y - south) / self.pixel_height
        return PixelBounds(math.floor(top + 1e-6), math.floor(left + 1e-6), math.ceil(bottom - 1e-6), math.ceil(right - 1e-6))


class Tile(NamedTuple):
    """A square of `tile_px` pixels, counted in tiles from the grid's origin."""

    row: int
    col: int
    tile_px: int

    @property
    def pixels(self) -> PixelBounds:
        top, left = self.row * self.tile_px, self.col * self.tile_px
        return PixelBounds(top, left, top + self.tile_px, left + self.tile_px)


def utm_grid(longitude: float, latitude: float, resolution: float) -> Grid:
    """The UTM grid of the zone that holds a point; resolution in metres."""
    zone = min(int((longitude + 180) // 6) + 1, 60)
    south = latitude < 0
    crs = f"EPSG:{32700 + zone if south else 32600 + zone}"
    return Grid(f"utm{zone:02d}{'s' if south else 'n'}", crs, 0.0, UTM_TOP, resolution, resolution)


def native_grid(crs: str, transform: Affine) -> Grid:
    """A scene's own north-up grid, its upper left corner the origin. Raises InputError on rotation."""
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise InputError(f"transform {tuple(transform)[:6]}: a native grid is north-up; warp the image first, e.g. gdalwarp")
    key = repr((CRS.from_user_input(crs).to_string(), tuple(transform)[:6]))
    name = f"native-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return Grid(name, crs, transform.c, transform.f, transform.a, -transform.e)


def grid_of_tile(name: str, crs: str, transform: Affine, tile: Tile) -> Grid:
    """The grid that a row of `tiles` lies on, from the transform of its upper left corner."""
    width, height = transform.a, -transform.e
    tops = {"utm": UTM_TOP, "ups": UPS_TOP}
    if name[:3] in tops:  # exact, where going back from a corner could lose the last bit
        return Grid(name, crs, 0.0, tops[name[:3]], width, height)
    return Grid(name, crs, transform.c - tile.pixels.left * width, transform.f + tile.pixels.top * height, width, height)


def tile_id(grid: Grid, tile: Tile) -> str:
    """E.g. `utm43n_10_512_r1573_c58`."""
    return f"{grid.name}_{grid.pixel_width:g}_{tile.tile_px}_r{tile.row}_c{tile.col}"


def tiles_over(bounds: PixelBounds, tile_px: int) -> list[Tile]:
    """The tiles that pixels touch, by row, then column."""
    rows = range(bounds.top // tile_px, -(-bounds.bottom // tile_px))
    cols = range(bounds.left // tile_px, -(-bounds.right // tile_px))
    return [Tile(row, col, tile_px) for row in rows for col in cols]


def blocks_of(tile: Tile) -> list[Tile]:
    """The fixed blocks inside a tile, by row, then column."""
    return tiles_over(tile.pixels, BLOCK_PX)
