"""From pixels of a grid to the earth: origin, projection, areas. One engine: PROJ."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import Geod, Transformer

METRES_PER_DEGREE = 111_320.0
DEGREES_BELOW = 0.01
"""No image has pixels of under a centimetre: a smaller pixel size is in degrees."""
NEAR_POLE = 89.9
"""Latitude from which areas are measured on a plane, 11 km around a pole."""


SOME_PIXELS = 64
"""Over which the side of a pixel is measured."""


class GridOrigin(NamedTuple):
    """CRS coordinates of the upper left corner of pixel (0, 0); pixel size > 0 in CRS units, rows southwards."""

    origin_x: float
    origin_y: float
    pixel_width: float
    pixel_height: float


def grid_origin(transform: tuple[float, ...], top: int, left: int) -> GridOrigin:
    """The origin of the grid from the transform (a, b, c, d, e, f) of pixel (top, left).

    Rounded to less than 1/1000 pixel: the last bits of a tile's transform depend on the tile, the origin may not.
    """
    width, height = transform[0], -transform[4]
    x, y = transform[2] - left * width, transform[5] + top * height
    return GridOrigin(_rounded(x, width), _rounded(y, height), width, height)


def _rounded(value: float, pixel: float) -> float:
    step = 2.0 ** (math.floor(math.log2(pixel)) - 10)
    return round(value / step) * step


def ground_resolution_m(resolution: float) -> float:
    """A declared pixel size in metres; below DEGREES_BELOW it is taken as degrees of latitude."""
    return resolution * METRES_PER_DEGREE if resolution < DEGREES_BELOW else resolution


@lru_cache(maxsize=16)
def to_lonlat(crs: str) -> Transformer:
    """A CRS to degrees, kept for each process."""
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


@lru_cache(maxsize=1)
def ellipsoid() -> Geod:
    """WGS 84, kept for each process."""
    return Geod(ellps="WGS84")


def crs_of_pixels(xy: NDArray[np.int64] | NDArray[np.float64], origin: GridOrigin) -> NDArray[np.float64]:
    """CRS coordinates (n, 2) of points (n, 2) as (x, y) in pixels of a grid."""
    x = origin.origin_x + xy[:, 0] * origin.pixel_width
    y = origin.origin_y - xy[:, 1] * origin.pixel_height
    return np.stack([x, y], axis=1)


def lonlat_of_pixels(xy: NDArray[np.int64] | NDArray[np.float64], origin: GridOrigin, crs: str) -> NDArray[np.float64]:
    """Longitude and latitude (n, 2) of points (n, 2) as (x, y) in pixels of a grid. Raises ValueError outside the projection."""
    lonlat = np.stack(to_lonlat(crs).transform(*crs_of_pixels(xy, origin).T), axis=1)
    if not np.isfinite(lonlat).all():
        raise ValueError(f"{crs}: pixels outside the area where the projection is defined; check the scene's CRS")
    return lonlat


def ring_area_m2(lonlat: NDArray[np.float64]) -> float:
    """Geodesic area, m2, on WGS 84, of a ring (n, 2) of degrees: positive when counter-clockwise."""
    if np.abs(lonlat[:, 1]).min() > NEAR_POLE:
        return _polar_area_m2(lonlat)
    area, _ = ellipsoid().polygon_area_perimeter(lonlat[:, 0], lonlat[:, 1])
    return float(area)


def _polar_area_m2(lonlat: NDArray[np.float64]) -> float:
    """On the stereographic plane, whose areas are too large by less than 1e-6 there. A geodesic area is a difference of areas that reach
    to the equator: beside a pole 0.1 m2 are lost."""
    x, y = _polar_plane(bool(lonlat[0, 1] > 0)).transform(*lonlat.T)
    x, y = x - x[0], y - y[0]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


@lru_cache(maxsize=2)
def _polar_plane(north: bool) -> Transformer:
    return Transformer.from_crs("EPSG:4326", f"+proj=stere +lat_0={90 if north else -90} +k_0=1 +datum=WGS84 +type=crs", always_xy=True)


def pixel_sides_m(crs: str, origin: GridOrigin, at: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Width and height on the ground (n, 2), m, of pixels about points (n, 2) as (x, y)."""
    steps = np.array([(0, 0), (SOME_PIXELS, 0), (0, SOME_PIXELS)])
    corner, right, below = lonlat_of_pixels((at + steps[:, None]).reshape(-1, 2), origin, crs).reshape(3, -1, 2)
    both, ends = np.concatenate([corner, corner]), np.concatenate([right, below])
    _, _, metres = ellipsoid().inv(*both.T, *ends.T)
    return np.asarray(metres.reshape(2, -1).T / SOME_PIXELS, np.float64)


def area_of_pixel_m2(crs: str, origin: GridOrigin, y: int, x: int) -> float:
    """On the ground, m2, of a pixel about (y, x)."""
    left, top = crs_of_pixels(np.array([(x, y)], np.int64), origin)[0]
    return pixel_area_m2(crs, (origin.pixel_width, 0.0, float(left), 0.0, -origin.pixel_height, float(top)), SOME_PIXELS)


@lru_cache(maxsize=1024)
def pixel_area_m2(crs: str, transform: tuple[float, ...], tile_px: int) -> float:
    """Mean geodesic area, m2, of a pixel of a tile of side `tile_px` with transform (a, b, c, d, e, f)."""
    corners = np.array([(0, 0), (0, tile_px), (tile_px, tile_px), (tile_px, 0)], np.int64)
    origin = GridOrigin(transform[2], transform[5], transform[0], -transform[4])
    return abs(ring_area_m2(lonlat_of_pixels(corners, origin, crs))) / tile_px**2
