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
def _to_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)


@lru_cache(maxsize=1)
def _ellipsoid() -> Geod:
    return Geod(ellps="WGS84")


def lonlat_of_pixels(xy: NDArray[np.int64], origin: GridOrigin, crs: str) -> NDArray[np.float64]:
    """Longitude and latitude (n, 2) of pixel corners (n, 2) as (x, y) on a grid. Raises ValueError outside the projection."""
    x = origin.origin_x + xy[:, 0] * origin.pixel_width
    y = origin.origin_y - xy[:, 1] * origin.pixel_height
    lonlat = np.stack(_to_lonlat(crs).transform(x, y), axis=1)
    if not np.isfinite(lonlat).all():
        raise ValueError(f"{crs}: pixels outside the area where the projection is defined; check the scene's CRS")
    return lonlat


def ring_area_m2(lonlat: NDArray[np.float64]) -> float:
    """Geodesic area, m2, on WGS 84, of a ring (n, 2) of degrees: positive when counter-clockwise."""
    area, _ = _ellipsoid().polygon_area_perimeter(lonlat[:, 0], lonlat[:, 1])
    return float(area)


@lru_cache(maxsize=1024)
def pixel_area_m2(crs: str, transform: tuple[float, ...], tile_px: int) -> float:
    """Mean geodesic area, m2, of a pixel of a tile of side `tile_px` with transform (a, b, c, d, e, f)."""
    corners = np.array([(0, 0), (0, tile_px), (tile_px, tile_px), (tile_px, 0)], np.int64)
    origin = GridOrigin(transform[2], transform[5], transform[0], -transform[4])
    return abs(ring_area_m2(lonlat_of_pixels(corners, origin, crs))) / tile_px**2
