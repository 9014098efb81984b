"""Outlines in degrees: split at the antimeridian, closed over a pole, never world-wide by accident."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

WORLD = shapely.box(-180, -90, 180, 90)
Degrees = NDArray[np.float64]
Points = NDArray[np.float64]
"""(n, 2): x and y."""
STEP_DEGREES = 1e-6
"""From a pole, to see in which direction of a CRS a meridian leaves it: 0.1 m."""
AT_POLE = 1e-6
"""Points of a CRS in metres that are nearer to a pole are the pole itself."""


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


def over_pole(shape: Any, to_degrees: Transformer, pole: float) -> Any:
    """A small polygon of a CRS in metres as polygons, EPSG:4326, from -180 to 180, where its box holds `pole`, 90 or -90; else None.

    Cut along the meridians of 0 and 180 degrees first, so that all new points lie on its own edges, or at the pole.
    """
    at, ahead, right = _pole_and_beside(to_degrees, pole)
    west, south, east, north = shape.bounds
    if np.hypot(*ahead) > 1 or not (west <= at[0] <= east and south <= at[1] <= north):
        return None
    reach = 2 * np.hypot(east - west, north - south) / np.hypot(*ahead)
    halves = []
    for sign in (1, -1):
        near, far = at - reach * ahead, at + reach * ahead
        half = shapely.polygons([near, at, far, far + sign * reach * right, near + sign * reach * right])
        parts = shapely.get_parts(shapely.intersection(shape, half))
        halves += [_half_in_degrees(part, to_degrees, at, pole, sign) for part in parts if shapely.area(part) > 0]
    return shapely.union_all(halves)


def _pole_and_beside(to_degrees: Transformer, pole: float) -> tuple[Points, Points, Points]:
    """The pole, and how far from it points beside it lie at 180 and at 90 degrees: far off where a CRS does not show it as a point."""
    beside = pole - np.sign(pole) * STEP_DEGREES
    at, ahead, right = np.column_stack(to_degrees.transform([0, 180, 90], [pole, beside, beside], direction="INVERSE"))
    return at, ahead - at, right - at


def _half_in_degrees(part: Any, to_degrees: Transformer, at: Points, pole: float, sign: int) -> Any:
    """A polygon whose longitudes are 0 to 180 (`sign` 1) or -180 to 0. The pole has the longitudes of both its neighbours."""
    rings = [_ring_in_degrees(shapely.get_coordinates(ring)[:-1], to_degrees, at, pole, sign) for ring in (part.exterior, *part.interiors)]
    return shapely.polygons(rings[0], rings[1:] or None)


def _ring_in_degrees(xy: Points, to_degrees: Transformer, at: Points, pole: float, sign: int) -> Points:
    longitude, latitude = to_degrees.transform(*xy.T)
    turned = longitude * sign
    turned = np.clip(np.where(turned < -90, 180.0, turned), 0.0, 180.0) * sign  # what lies on the cut may fall on its other side
    points: list[tuple[float, float]] = []
    for number, is_pole in enumerate(np.hypot(*(xy - at).T) < AT_POLE):
        beside = ((number - 1) % len(xy), (number + 1) % len(xy)) if is_pole else (number,)
        points += [(turned[other], pole if is_pole else latitude[number]) for other in beside]
    return np.array(points)
