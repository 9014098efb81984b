"""Outlines in degrees: split at the antimeridian, closed over a pole, never world-wide by accident."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

WORLD = shapely.box(-180, -90, 180, 90)
Degrees = NDArray[np.float64]


def lonlat_polygons(longitude: Degrees, latitude: Degrees) -> NDArray[np.object_]:
    """Polygons, EPSG:4326, of closed rings (n, points) of degrees; a neighbour in a ring is less than half the earth away.

    Where a ring crosses 180 degrees it becomes a multipolygon of its two sides; where it runs round a pole, that pole is inside.
    """
    whole = np.unwrap(longitude, period=360, axis=1)
    turn = whole[:, -1] - whole[:, 0]
    shapes = np.asarray(shapely.polygons(np.stack([whole, latitude], axis=-1)), dtype=object)
    across = (whole.min(axis=1) < -180) | (whole.max(axis=1) > 180) | (np.abs(turn) > 180)
    for number in np.flatnonzero(across):
        shapes[number] = _wrapped(whole[number], latitude[number], turn[number])
    return shapes


def _wrapped(longitude: Degrees, latitude: Degrees, turn: float) -> Any:
    if abs(turn) > 180:
        pole = 90.0 if latitude.mean() > 0 else -90.0
        # Repeated to both sides, so that every longitude is under the ring.
        parts = [(longitude + shift, latitude) for shift in np.sort([-turn, 0.0, turn])]
        longitude, latitude = (np.concatenate(column) for column in zip(*parts, strict=True))
        longitude = np.concatenate([longitude, [longitude[-1], longitude[0]]])
        latitude = np.concatenate([latitude, [pole, pole]])
    return within_world(shapely.make_valid(shapely.polygons(np.column_stack([longitude, latitude]))))


def within_world(shapes: Any) -> Any:
    """The union of polygons whose longitudes may lie beyond 180 degrees, EPSG:4326, split there; empty where they have no area."""
    moved = [shapely.intersection(shapely.transform(shapes, lambda xy, by=by: np.add(xy, [by, 0])), WORLD) for by in (-360, 0, 360)]
    parts = shapely.get_parts(moved if np.ndim(moved) == 1 else np.concatenate(moved))
    return shapely.union_all(parts[shapely.area(parts) > 0])
