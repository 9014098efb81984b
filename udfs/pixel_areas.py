"""Geodesic pixel areas: what each pixel of a fixed block covers on the ellipsoid, in whole mm2."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Proj

from udfs.grid import BLOCK_PX, Grid

LATTICE = 5
"""Points a side where the areal scale is evaluated; a quartic through them is exact to 1e-12 on blocks of 26 km."""

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

    Rounded so that the block's sum is right to 1 mm2 however small its pixels are: a pixel may be 1 mm2 off.
    """
    exact = _geographic_m2(grid, row) if _is_geographic(grid.crs) else _projected_m2(grid, row, col)
    running = np.zeros(BLOCK_PX**2 + 1)
    np.cumsum(exact, out=running[1:])
    running *= MM2_PER_M2
    return np.diff(np.rint(running, out=running)).astype(np.int64).reshape(BLOCK_PX, BLOCK_PX)


def _geographic_m2(grid: Grid, row: int) -> NDArray[np.float64]:
    edges = grid.origin_y - (row * BLOCK_PX + np.arange(BLOCK_PX + 1)) * grid.pixel_height
    bands = band_m2(np.clip(edges, -90.0, 90.0), grid.crs)
    return np.repeat((bands[:-1] - bands[1:]) * math.radians(grid.pixel_width), BLOCK_PX)


def _projected_m2(grid: Grid, row: int, col: int) -> NDArray[np.float64]:
    """Plane area over the areal scale at the pixel's centre; the error is of the order (pixel side / earth radius)2."""
    nodes = np.linspace(0, BLOCK_PX, LATTICE)
    x = grid.origin_x + (col * BLOCK_PX + nodes) * grid.pixel_width
    y = grid.origin_y - (row * BLOCK_PX + nodes) * grid.pixel_height
    scale = _areal_scale(grid.crs, *np.meshgrid(x, y))
    return _interpolated(grid.pixel_width * grid.pixel_height / scale)


def _interpolated(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values at pixel centres, flat, by plain sums: the order of a matrix product's additions depends on the machine."""
    weights = _weights()
    rows = np.zeros((BLOCK_PX, LATTICE))
    for k in range(LATTICE):
        rows += np.multiply.outer(weights[:, k], lattice[k])
    pixels, part = np.zeros((BLOCK_PX, BLOCK_PX)), np.empty((BLOCK_PX, BLOCK_PX))
    for k in range(LATTICE):
        pixels += np.multiply.outer(rows[:, k], weights[:, k], out=part)
    return pixels.ravel()


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
def _weights() -> NDArray[np.float64]:
    """Lagrange weights (256, LATTICE) of the lattice at pixel centres."""
    nodes = np.linspace(0, BLOCK_PX, LATTICE)
    centres = np.arange(BLOCK_PX) + 0.5
    columns = []
    for k, node in enumerate(nodes):
        others = np.delete(nodes, k)
        columns.append(np.prod((centres[:, None] - others) / (node - others), axis=1))
    return np.stack(columns, axis=1)


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
