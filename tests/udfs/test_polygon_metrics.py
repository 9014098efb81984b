"""Distances of outlines against values by hand, and against the formulas written out vertex by vertex."""

from itertools import pairwise

import numpy as np
import pytest
import shapely
from shapely import affinity

from udfs.polygon_metrics import (
    complexity_aware_iou,
    iou,
    max_tangent_angle_error,
    polis,
    vertex_counts,
    vertex_ratio,
    vertices_of,
)

SQUARE = shapely.box(0, 0, 1, 1)
DENSE = shapely.Polygon([(0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5)])
YARD = shapely.Polygon([(0, 0), (20, 0), (20, 12), (9, 12), (9, 15), (0, 15)], [[(3, 3), (6, 3), (6, 7), (3, 7)]])


def pairs(*shapes):
    return np.array(shapes, object)


def test_polis_by_definition_and_as_the_common_code_has_it():
    shifted = affinity.translate(SQUARE, 0.1, 0)
    assert polis(pairs(SQUARE), pairs(shifted)) == pytest.approx([0.05])
    assert polis(pairs(SQUARE), pairs(shifted), as_published=True) == pytest.approx([0.04])


def test_polis_of_shapes_with_holes_vertex_by_vertex():
    other = affinity.rotate(affinity.translate(YARD, 1.5, -0.7), 8)

    def one_way(shape, boundary):
        rings = [shape.exterior, *shape.interiors]
        return np.mean([boundary.distance(shapely.Point(point)) for ring in rings for point in ring.coords[:-1]])

    wanted = (one_way(YARD, other.boundary) + one_way(other, YARD.boundary)) / 2
    assert polis(pairs(SQUARE, YARD), pairs(SQUARE, other)) == pytest.approx([0, wanted])


def test_vertices_are_counted_on_all_rings():
    both = shapely.MultiPolygon([YARD, affinity.translate(SQUARE, 50, 0)])
    assert vertex_counts(pairs(SQUARE, DENSE, YARD, both)).tolist() == [4, 8, 10, 14]
    assert np.bincount(vertices_of(pairs(YARD, SQUARE)).owner).tolist() == [10, 4]
    assert vertex_ratio(pairs(DENSE, YARD), pairs(SQUARE, YARD)) == 18 / 14


def test_complexity_aware_iou_of_one_mask_with_more_vertices():
    assert complexity_aware_iou(pairs(DENSE), pairs(SQUARE)) == pytest.approx([2 / 3])
    filled = shapely.Polygon(YARD.exterior)
    assert complexity_aware_iou(pairs(YARD), pairs(filled)) == pytest.approx([filled.intersection(YARD).area / filled.area * (1 - 4 / 16)])
    assert complexity_aware_iou(pairs(YARD), pairs(filled), as_published=True) == pytest.approx(iou(pairs(YARD), pairs(filled)))


def test_outer_rings_of_a_building_in_parts_are_counted_as_published():
    parts = shapely.MultiPolygon([YARD, affinity.translate(SQUARE, 50, 0)])
    one, other = pairs(parts), pairs(affinity.translate(parts, 0.2, 0))
    assert complexity_aware_iou(one, other, as_published=True) == pytest.approx(iou(one, other))


def test_tangents_of_equal_outlines_agree_and_those_of_stairs_do_not():
    turned = affinity.rotate(YARD, 30, origin=(0, 0))
    assert max_tangent_angle_error(pairs(YARD, turned), pairs(YARD, turned)) == pytest.approx([0, 0], abs=1e-3)
    stairs = shapely.Polygon([(0, 0), *[(x + dx, x) for x in range(10) for dx in (0, 1)][1:], (10, 10), (0, 10)])
    straight = shapely.Polygon([(0, 0), (10, 10), (0, 10)])
    assert 40 < max_tangent_angle_error(pairs(stairs), pairs(straight))[0] < 90


def test_worst_tangent_of_a_turned_outline_point_by_point():
    outline, other = shapely.Polygon(YARD.exterior), affinity.rotate(shapely.Polygon(YARD.exterior), 7)
    corners = [shapely.Point(xy) for xy in outline.exterior.coords]
    points = [corners[0]]
    for start, end in pairwise(corners):
        parts = round(start.distance(end) / 0.5)
        points += [shapely.LineString([start, end]).interpolate(number / parts, normalized=True) for number in range(1, parts + 1)]
    there = [other.exterior.interpolate(other.exterior.project(point)) for point in points]
    angles = []
    for one, two, first, second in zip(points[:-1], points[1:], there[:-1], there[1:], strict=True):
        edge, image = (np.array([b.x - a.x, b.y - a.y]) for a, b in ((one, two), (first, second)))
        if 0.5 < np.linalg.norm(image) / np.linalg.norm(edge) < 2:
            angles.append(np.degrees(np.arccos(abs(edge @ image) / np.linalg.norm(edge) / np.linalg.norm(image))))
    assert max(angles) > 7
    assert max_tangent_angle_error(pairs(SQUARE, outline), pairs(SQUARE, other)) == pytest.approx([0, max(angles)], abs=1e-3)


def test_worst_tangent_does_not_hang_on_the_first_corner():
    other = affinity.rotate(YARD, 3)
    begun = [shapely.Polygon(YARD.exterior.coords[first:-1] + YARD.exterior.coords[: first + 1]) for first in range(6)]
    assert np.ptp(max_tangent_angle_error(pairs(*begun), pairs(*[other] * 6))) < 1e-6


def test_no_chord_across_a_corner_is_taken_for_an_edge():
    around, known = shapely.box(-0.3, -0.3, 10.5, 7.6), shapely.box(0, 0, 10.2, 7.3)
    assert max_tangent_angle_error(pairs(around), pairs(known))[0] == pytest.approx(0, abs=1e-3)
