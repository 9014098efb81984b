"""How close the outlines of found buildings are to true ones: a value for each matched pair. Polygons lie in one metric CRS."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP_M = 0.5
"""About the distance of the points at which tangents are compared, m: near the two pixels of 0.3 m imagery of Girard et al. (2021)."""
MOST_STRETCH = 2.0
"""Edges that their projection makes longer or shorter by more tell of a wrong partner, not of a wrong angle."""


class Points(NamedTuple):
    """Points of n polygons: `xy` (m, 2), `owner` (m,) from 0 to n - 1, `ring` (m,) numbered over all polygons."""

    xy: Floats
    owner: Ints
    ring: Ints


def vertex_counts(shapes: Shapes) -> Ints:
    """Of all rings of (multi)polygons (n,), closing vertices not counted."""
    return np.asarray(shapely.get_num_coordinates(shapes) - _ring_counts(shapes), np.int64)


def _ring_counts(shapes: Shapes) -> Ints:
    owner = _rings(shapes)[1]
    return np.bincount(owner, minlength=len(shapes))


def _rings(shapes: Shapes) -> tuple[Shapes, Ints]:
    """All rings, holes too, and the numbers of their polygons."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    return rings, np.asarray(owner[part], np.int64)


def vertices_of(shapes: Shapes) -> Points:
    """Vertices of all rings, without the last of each, which is the first again."""
    rings, owner = _rings(shapes)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    kept = _begins_edge(ring)
    return Points(xy[kept], owner[ring[kept]], ring[kept])


def _begins_edge(ring: Ints) -> NDArray[np.bool_]:
    """Which coordinates, by their rings' numbers, are not the last of their ring."""
    return np.append(ring[1:] == ring[:-1], np.zeros(min(len(ring), 1), bool))


def polis(found: Shapes, known: Shapes, as_published: bool = False) -> Floats:
    """PoLiS distance of pairs (n,), in m: half the mean distance of the vertices of each to the boundary of the other, added (Avbelj et
    al. 2015, IEEE GRSL). `as_published`: as the code that papers quote has it, which divides by a vertex too many."""
    return (_mean_distance(found, known, as_published) + _mean_distance(known, found, as_published)) / 2


def _mean_distance(shapes: Shapes, others: Shapes, as_published: bool) -> Floats:
    points = vertices_of(shapes)
    distance = shapely.distance(shapely.points(points.xy), shapely.boundary(others)[points.owner])
    count = np.bincount(points.owner, minlength=len(shapes)) + (_ring_counts(shapes) if as_published else 0)
    return np.asarray(np.bincount(points.owner, distance, len(shapes)) / count, np.float64)


def iou(found: Shapes, known: Shapes) -> Floats:
    """Common area by joint area of pairs (n,), 0-1."""
    common = shapely.area(shapely.intersection(found, known))
    return np.asarray(common / (shapely.area(found) + shapely.area(known) - common), np.float64)


def boundary_iou(found: Shapes, known: Shapes, width: float) -> Floats:
    """IoU of what lies within `width` metres inside of the outlines of pairs (n,), 0-1 (Cheng et al. 2021, CVPR): errors of outlines count
    the same on large buildings as on small ones."""
    one, other = (shapely.difference(each, shapely.buffer(each, -width)) for each in (found, known))
    return iou(one, other)


def complexity_aware_iou(found: Shapes, known: Shapes, as_published: bool = False) -> Floats:
    """C-IoU of pairs (n,), 0-1: IoU times 1 - |N - M| / (N + M), N and M their vertices (Zorzi et al. 2022, CVPR).
    `as_published`: of outer rings alone."""
    count, of = (vertex_counts(_without_holes(each) if as_published else each) for each in (found, known))
    return np.asarray(iou(found, known) * (1 - np.abs(count - of) / (count + of)), np.float64)


def _without_holes(shapes: Shapes) -> Shapes:
    parts, owner = shapely.get_parts(shapes, return_index=True)
    filled: Shapes = shapely.multipolygons(shapely.polygons(shapely.get_exterior_ring(parts)), indices=owner)
    return filled


def vertex_ratio(found: Shapes, known: Shapes) -> float:
    """N ratio: vertices found by vertices known, of all pairs together."""
    return float(vertex_counts(found).sum() / vertex_counts(known).sum())


def max_tangent_angle_error(found: Shapes, known: Shapes, step: float = STEP_M) -> Floats:
    """MTA of pairs (n,), degrees 0-90: the greatest angle between an outline and its projection on the true one, among its vertices and
    points about `step` metres apart between them (Girard et al. 2021, CVPR). NaN where no edge could be compared."""
    points = _along(found, step)
    nearest = shapely.shortest_line(shapely.boundary(known)[points.owner], shapely.points(points.xy))
    projected = shapely.get_coordinates(shapely.get_point(nearest, 0))
    edge, other = np.diff(points.xy, axis=0), np.diff(projected, axis=0)
    length, stretched = np.hypot(*edge.T), np.hypot(*other.T)
    told = (np.diff(points.ring) == 0) & (stretched > length / MOST_STRETCH) & (stretched < length * MOST_STRETCH)
    cosine = np.abs((edge[told] * other[told]).sum(1)) / (length[told] * stretched[told])
    worst = np.full(len(found), -np.inf)
    np.maximum.at(worst, points.owner[1:][told], np.degrees(np.arccos(cosine.clip(0, 1))))
    return np.where(np.isfinite(worst), worst, np.nan)


def _along(shapes: Shapes, step: float) -> Points:
    """Vertices of all rings, and points that part each edge evenly, about every `step`; each ring ends where it begins."""
    rings, owner = _rings(shapes)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    edge = np.diff(xy, axis=0, append=xy[-1:]) * _begins_edge(ring)[:, None]
    parts = np.maximum(np.rint(np.hypot(*edge.T) / step).astype(np.int64), 1)
    vertex = np.repeat(np.arange(len(xy)), parts)
    number = np.arange(len(vertex)) - np.repeat(np.cumsum(parts) - parts, parts)
    return Points(xy[vertex] + edge[vertex] * (number / parts[vertex])[:, None], owner[ring[vertex]], ring[vertex])
