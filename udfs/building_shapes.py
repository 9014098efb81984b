"""What shape a building has: perimeter, orientation, compactness, on the ellipsoid."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.earth import GridOrigin, ellipsoid, lonlat_of_pixels, pixel_sides_m

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
    first = shapely.get_coordinates(shapely.get_point(shapely.get_exterior_ring(planar), 0))
    edges, sides = _edges(planar), _long_sides(planar, pixel_sides_m(crs, origin, first))
    start, end = (np.concatenate([getattr(lines, name) for lines in (edges, sides)]) for name in ("start", "end"))
    lonlat = lonlat_of_pixels(np.concatenate([start, end]), origin, crs)
    azimuth, _, length = ellipsoid().inv(*lonlat[: len(start)].T, *lonlat[len(start) :].T)
    perimeter = np.asarray(np.bincount(edges.owner, length[: len(edges.owner)], len(planar)), np.float64)
    return BuildingShapes(perimeter, azimuth[len(edges.owner) :] % 180, 4 * np.pi * area_m2 / perimeter**2)


def _edges(planar: Shapes) -> _Lines:
    """Of exteriors."""
    xy, owner = shapely.get_coordinates(shapely.get_exterior_ring(planar), return_index=True)
    same = owner[1:] == owner[:-1]
    return _Lines(xy[:-1][same], xy[1:][same], owner[1:][same])


def _long_sides(planar: Shapes, size: Floats) -> _Lines:
    """Of the smallest rectangles around on the ground, where a degree of longitude is not one of latitude; `size` of a pixel (n, 2), m."""
    xy, owner = shapely.get_coordinates(planar, return_index=True)
    around = shapely.oriented_envelope(shapely.set_coordinates(planar.copy(), xy * size[owner]))
    first, middle, last = np.moveaxis(shapely.get_coordinates(around).reshape(len(planar), 5, 2)[:, :3], 1, 0)
    first_is_longer = np.hypot(*(middle - first).T) >= np.hypot(*(last - middle).T)
    return _Lines(np.where(first_is_longer[:, None], first, last) / size, middle / size, np.arange(len(planar)))
