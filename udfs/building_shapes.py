"""What shape a building has: perimeter, orientation, compactness, on the ellipsoid."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from udfs.earth import SOME_PIXELS, GridOrigin, lonlat_of_pixels

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]


class BuildingShapes(NamedTuple):
    """Of polygons (n,): geodesic length of their exterior, m; azimuth of the long side of the smallest rectangle around them, degrees from
    north, 0-180; 4 pi area / perimeter2 (Polsby and Popper 1991), 1 for a circle."""

    perimeter_m: Floats
    orientation_deg: Floats
    compactness: Floats


class _Lines(NamedTuple):
    """Straight lines (m, 2) in grid pixels, from where to where, and the polygon that each is of."""

    start: Floats
    end: Floats
    owner: NDArray[np.int64]


def building_shapes(planar: Shapes, area_m2: Floats, origin: GridOrigin, crs: str) -> BuildingShapes:
    """Of polygons (n,), at least one, in grid pixels and their geodesic areas."""
    edges, sides = _edges(planar), _long_sides(planar, _pixel_sides_m(planar, origin, crs))
    start, end = (np.concatenate([getattr(lines, name) for lines in (edges, sides)]) for name in ("start", "end"))
    lonlat = lonlat_of_pixels(np.concatenate([start, end]), origin, crs)
    azimuth, _, length = Geod(ellps="WGS84").inv(*lonlat[: len(start)].T, *lonlat[len(start) :].T)
    perimeter = np.asarray(np.bincount(edges.owner, length[: len(edges.owner)], len(planar)), np.float64)
    return BuildingShapes(perimeter, azimuth[len(edges.owner) :] % 180, 4 * np.pi * area_m2 / perimeter**2)


def _edges(planar: Shapes) -> _Lines:
    """Of exteriors."""
    xy, owner = shapely.get_coordinates(shapely.get_exterior_ring(planar), return_index=True)
    same = owner[1:] == owner[:-1]
    return _Lines(xy[:-1][same], xy[1:][same], owner[1:][same])


def _pixel_sides_m(planar: Shapes, origin: GridOrigin, crs: str) -> Floats:
    """Width and height on the ground (n, 2), m, of a pixel at each polygon: a degree of longitude is not one of latitude."""
    at = shapely.get_coordinates(shapely.get_point(shapely.get_exterior_ring(planar), 0))
    steps = np.array([[0, 0], [SOME_PIXELS, 0], [0, SOME_PIXELS]])
    corner, right, below = lonlat_of_pixels((at + steps[:, None]).reshape(-1, 2), origin, crs).reshape(3, -1, 2)
    both, ends = np.concatenate([corner, corner]), np.concatenate([right, below])
    _, _, length = Geod(ellps="WGS84").inv(*both.T, *ends.T)
    return np.asarray(length.reshape(2, -1).T / SOME_PIXELS, np.float64)


def _long_sides(planar: Shapes, size: Floats) -> _Lines:
    """Of the smallest rectangles around on the ground."""
    xy, owner = shapely.get_coordinates(planar, return_index=True)
    around = shapely.oriented_envelope(shapely.set_coordinates(planar.copy(), xy * size[owner]))
    first, middle, last = np.moveaxis(shapely.get_coordinates(around).reshape(len(planar), 5, 2)[:, :3], 1, 0)
    first_is_longer = np.hypot(*(middle - first).T) >= np.hypot(*(last - middle).T)
    return _Lines(np.where(first_is_longer[:, None], first, last) / size, middle / size, np.arange(len(planar)))
