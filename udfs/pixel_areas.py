"""Geodesic pixel areas: what each pixel of a fixed block covers on the ellipsoid, in whole mm2."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Proj

from udfs.grid import BLOCK_PX, Grid, Tile, blocks_of

LATTICE = 4
"""Points a side where the areal scale is evaluated; a cubic through them is right to 2e-8 even for pixels of 1 km."""

STRIP_PX = 64
"""Rows worked on at once, so that they stay in the processor's cache."""

MM2_PER_M2 = 1_000_000


def band_m2(latitude: NDArray[np.float64], crs: str) -> NDArray[np.float64]:
    """Area between the equator and a latitude (degrees), m2 per radian of longitude, negative southwards.

    b2/2 (sin p / (1 - e2 sin2 p) + atanh(e sin p) / e), Snyder 1987, equation 3-12; e > 0.
    """
    eccentricity, semi_minor = _ellipsoid(crs)
    sine = np.sin(np.radians(latitude))
    flat = sine / (1 - (eccentricity * sine) ** 2)
    return np.asarray(semi_minor**2 / 2 * (flat + np.arctanh(eccentricity * sine) / eccentricity), np.float64)


def block_areas_mm2(grid: Grid, row: int, col: int) -> NDArray[np.int64]:
    """Pixel areas of block (row, col), int64 (256, 256), mm2; they depend on nothing but the grid and the block.

    Rounded so that every row's sum is right to 1 mm2 however small its pixels are: a pixel may be 1 mm2 off.
    """
    rows, columns = _geographic(grid, row) if _is_geographic(grid.crs) else _projected(grid, row, col)
    areas = np.empty((BLOCK_PX, BLOCK_PX), np.int64)
    for top in range(0, BLOCK_PX, STRIP_PX):
        strip = rows[top : top + STRIP_PX] * MM2_PER_M2
        # Sums of products one by one: the order of additions in a matrix product depends on the machine.
        running = np.multiply.outer(strip[:, 0], columns[0])
        for k in range(1, len(columns)):
            running += np.multiply.outer(strip[:, k], columns[k])
        areas[top : top + STRIP_PX] = np.diff(np.rint(running, out=running), axis=1)
    return areas


def tile_areas_mm2(grid: Grid, tile: Tile) -> NDArray[np.int64]:
    """The same of a tile's pixels, int64 (tile_px, tile_px)."""
    areas = np.empty((tile.tile_px, tile.tile_px), np.int64)
    for block in blocks_of(tile):
        y, x = block.pixels.top - tile.pixels.top, block.pixels.left - tile.pixels.left
        areas[y : y + BLOCK_PX, x : x + BLOCK_PX] = block_areas_mm2(grid, block.row, block.col)
    return areas


def _geographic(grid: Grid, row: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Factors (256, k) and (k, 257) whose product is the area from the block's left edge to each pixel line, m2."""
    edges = grid.origin_y - (row * BLOCK_PX + np.arange(BLOCK_PX + 1)) * grid.pixel_height
    bands = band_m2(np.clip(edges, -90.0, 90.0), grid.crs)
    heights = (bands[:-1] - bands[1:]) * math.radians(grid.pixel_width)
    return heights[:, None], np.arange(BLOCK_PX + 1, dtype=np.float64)[None]


def _projected(grid: Grid, row: int, col: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_geographic`. Plane area over the areal scale at the pixel's centre: right to (pixel side / earth radius)2."""
    nodes = np.linspace(0, BLOCK_PX, LATTICE)
    x = grid.origin_x + (col * BLOCK_PX + nodes) * grid.pixel_width
    y = grid.origin_y - (row * BLOCK_PX + nodes) * grid.pixel_height
    lattice = grid.pixel_width * grid.pixel_height / _areal_scale(grid.crs, *np.meshgrid(x, y))
    weights, running_weights = _weights()
    rows = np.zeros((BLOCK_PX, LATTICE))
    for k in range(LATTICE):
        rows += np.multiply.outer(weights[:, k], lattice[k])
    return rows, running_weights


def _areal_scale(crs: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    projection = _projection(crs)
    longitude, latitude = projection(x, y, inverse=True)
    scale = np.asarray(projection.get_factors(longitude, latitude, errcheck=False).areal_scale, np.float64)
    if _is_web_mercator(crs):
        # PROJ gives this projection's scale on a sphere, although its latitudes are of the ellipsoid: 0.7 % too much area.
        squared = _ellipsoid(crs)[0] ** 2
        scale = scale * (1 - squared * np.sin(np.radians(latitude)) ** 2) ** 2 / (1 - squared)
    if not np.isfinite(scale).all():
        raise ValueError(f"a block near x {x.flat[0]:g}, y {y.flat[0]:g} lies outside of what {crs[:40]} can show")
    return scale


@lru_cache(maxsize=1)
def _weights() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lagrange weights of the lattice at pixel centres (256, LATTICE), and their sums up to each pixel line (LATTICE, 257)."""
    nodes = np.linspace(0, BLOCK_PX, LATTICE)
    centres = np.arange(BLOCK_PX) + 0.5
    columns = []
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        columns.append(np.prod((centres[:, None] - others) / (node - others), axis=1))
    weights = np.stack(columns, axis=1)
    return weights, np.concatenate([np.zeros((LATTICE, 1)), np.cumsum(weights, axis=0).T], axis=1)


@lru_cache(maxsize=8)
def _projection(crs: str) -> Proj:
    return Proj(CRS.from_user_input(crs))


@lru_cache(maxsize=8)
def _is_geographic(crs: str) -> bool:
    return bool(CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=8)
def _is_web_mercator(crs: str) -> bool:
    operation = CRS.from_user_input(crs).coordinate_operation
    return operation is not None and operation.method_name == "Popular Visualisation Pseudo Mercator"


@lru_cache(maxsize=8)
def _ellipsoid(crs: str) -> tuple[float, float]:
    """Eccentricity and semi-minor axis in metres."""
    geod = CRS.from_user_input(crs).get_geod()
    if geod is None:
        raise ValueError(f"{crs[:40]} has no ellipsoid; give a geographic or projected CRS")
    return math.sqrt(geod.es), float(geod.b)
