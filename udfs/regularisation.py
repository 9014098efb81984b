"""Regular outlines of buildings: the stairs of pixels become walls along each building's main directions."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.circles import PRICE_OF_CIRCLE, Circles, circles_of, corners_of_circle
from udfs.polygon_metrics import iou
from udfs.tracing import Rings, polygons_chosen, polygons_of_rings
from udfs.walls import ALONG_Y, Floats, Ints, Walls, corners_of_walls, fitted_walls

Shapes = NDArray[np.object_]
Mask = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

PLANE = np.array([1, 1j])
"""(x, y) times this is x + iy."""

PRICE_OF_DETAIL = 0.4
"""A wall costs 0.4 d3 in m3: a notch d metres deep and wide, of four walls, is then just not worth them."""
STAIR_PX, STAIR_SHARE = 0.75, 0.25
"""Corners of a staircase lie within 0.75 pixels of the wall; what lies within a quarter of the detail is no corner either."""
FINER = (1.0, 0.5)
"""Shares of the detail, tried one after the other."""
LEAST_DETAIL_PX, LEAST_TOLERANCE_PX = 2.4, 2.0
LEAST_IOU = 0.75
"""Walls of a building of few pixels can cross over, or leave it, and yet be valid and near."""
SURE_PX, SURE_SHARE = 200, 0.25
"""Of 17,000 outlines of noise none of over 53 pixels shared less than half of its ground: from 200 on, with about its area, it is sure;
with another, as of a lattice whose holes are closed, the fit is poor."""
NEAR_DETAILS = 3.0
"""Walls cross within so many details of the outline; else a step joins them."""
STEPS = 256
"""Corners lie on multiples of 1 / 256 pixel, so that bytes do not hang on the last bit of a sum."""


class Regular(NamedTuple):
    """Polygons (n,) in pixels of the grid, and which of them are regular; the others are raw."""

    polygons: Shapes
    regular: Mask


class Outlines(NamedTuple):
    """Open rings in metres about their polygon's first point, rows northwards: `xy` (n, 2); ring r is
    xy[ring_offsets[r]:ring_offsets[r + 1]] of polygon `owner[r]`, whose exterior comes first."""

    xy: Floats
    ring_offsets: Ints
    owner: Ints

    @property
    def ring_of_point(self) -> Ints:
        return np.repeat(np.arange(len(self.owner)), np.diff(self.ring_offsets))

    @property
    def exteriors(self) -> Mask:
        """Which rings are exteriors."""
        return np.diff(self.owner, prepend=-1) > 0


def regular_polygons(rings: Rings, pixel_m: tuple[float, float], detail_m: float, tolerance_m: float) -> Regular:
    """Of traced pixel rings, without details under `detail_m`, or under half of it where they would be more than `tolerance_m` from the
    pixels, not valid, or on other ground; where that does not help either, raw. `pixel_m`: width and height of a pixel on the ground;
    `detail_m` and `tolerance_m` are no less than some pixels, for stairs are no detail."""
    pixel = max(pixel_m)
    tolerance, raw = max(tolerance_m / pixel, LEAST_TOLERANCE_PX), polygons_of_rings(rings)
    found = Regular(raw.copy(), np.zeros(len(raw), bool))
    for detail in (least_detail_px(pixel_m, detail_m) * pixel * share for share in FINER):
        left = np.flatnonzero(~found.regular)
        chosen = polygons_chosen(rings, ~found.regular)
        fitted = _in_pixels(fitted_outlines(outlines_of(chosen, pixel_m), pixel, detail), chosen, pixel_m)
        near = _near(fitted, raw[left], tolerance)
        found.polygons[left[near]], found.regular[left[near]] = fitted[near], True
    return found


def least_detail_px(pixel_m: tuple[float, float], detail_m: float) -> float:
    """Depth and width of what is a detail, in pixels."""
    return max(detail_m / max(pixel_m), LEAST_DETAIL_PX)


def outlines_of(rings: Rings, pixel_m: tuple[float, float]) -> Outlines:
    """Of traced pixel rings."""
    owner = np.repeat(np.arange(len(rings.owner)), np.diff(rings.polygon_offsets))
    xy = (rings.xy - np.repeat(_origins(rings)[owner], np.diff(rings.ring_offsets), axis=0)) * _metres(pixel_m)
    return Outlines(np.delete(xy, rings.ring_offsets[1:] - 1, axis=0), rings.ring_offsets - np.arange(len(owner) + 1), owner)


def _origins(rings: Rings) -> Ints:
    """First point (n, 2) of each polygon: coordinates about it keep their last bits."""
    return rings.xy[rings.ring_offsets[rings.polygon_offsets[:-1]]]


def _metres(pixel_m: tuple[float, float]) -> Floats:
    return np.array([pixel_m[0], -pixel_m[1]])


def fitted_outlines(raw: Outlines, pixel_m: float, detail_m: float) -> Outlines:
    """Walls of all rings along their polygon's directions, or circles where they cost less; a ring may have fewer than three corners.
    Small holes are left out."""
    price = PRICE_OF_DETAIL * detail_m**3
    large = _without_small_holes(raw, (2 * detail_m) ** 2)
    corner = _corners(large, max(STAIR_PX * pixel_m, STAIR_SHARE * detail_m))
    angle = main_directions(large, corner, price)[large.owner]
    turned = _turned(large.xy, large.ring_offsets, -angle)
    walls = fitted_walls(turned, large.ring_offsets, corner, price)
    xy, offsets = corners_of_walls(walls, turned, NEAR_DETAILS * detail_m)
    straight, circles = Outlines(_turned(xy, offsets, angle), offsets, large.owner), circles_of(large.xy, large.ring_offsets)
    return _rounded(straight, circles, circles.off + PRICE_OF_CIRCLE * price < walls.cost, pixel_m)


def _rounded(straight: Outlines, circles: Circles, chosen: Mask, pixel_m: float) -> Outlines:
    """With circles in place of the chosen rings."""
    if not chosen.any():
        return straight
    rings = np.split(straight.xy, straight.ring_offsets[1:-1])
    for ring in np.flatnonzero(chosen):
        rings[ring] = corners_of_circle(circles, ring, pixel_m)
    return Outlines(np.concatenate(rings), np.concatenate([[0], np.cumsum([len(xy) for xy in rings])]), straight.owner)


def main_directions(outlines: Outlines, corner: Mask, price: float) -> Floats:
    """Of each polygon, the angle of its walls' axes, radians: that of its long edges, then that of the walls fitted so."""
    exterior = _rings(outlines, outlines.exteriors)
    corner = corner[outlines.exteriors[outlines.ring_of_point]]
    angle = np.angle(_edge_moments(exterior, corner)) / 4
    walls = fitted_walls(_turned(exterior.xy, exterior.ring_offsets, -angle), exterior.ring_offsets, corner, price)
    return np.asarray(angle + np.angle(_wall_moments(walls)) / 4, np.float64)


def _edge_moments(outlines: Outlines, corner: Mask) -> Complexes:
    """Sum of squared length times exp(4 i angle) over the edges between corners, by ring: the same for walls at right angles."""
    at = np.flatnonzero(corner)
    ring = outlines.ring_of_point[at]
    first = np.searchsorted(ring, ring)
    following = np.where(np.append(ring[1:] == ring[:-1], False), np.arange(1, len(at) + 1), first)
    edge = (outlines.xy[at[following]] - outlines.xy[at]) @ PLANE
    return _summed(np.abs(edge) ** 2 * np.exp(4j * np.angle(edge)), ring, len(outlines.owner))


def _wall_moments(walls: Walls) -> Complexes:
    """The same of walls along the axes, by the lines nearest to their part of the outline."""
    xx, mixed, yy = walls.spread.T
    moment = np.where(walls.direction <= ALONG_Y, (xx + yy) * np.exp(2j * np.arctan2(2 * mixed, xx - yy)), 0)
    return _summed(moment, walls.ring_of_wall, len(walls.ring_offsets) - 1)


def _summed(values: Complexes, group: Ints, count: int) -> Complexes:
    return np.bincount(group, values.real, count) + 1j * np.bincount(group, values.imag, count)


def _corners(outlines: Outlines, within_m: float) -> Mask:
    """Points (n,) that are left when each ring is simplified (Douglas and Peucker 1973); the third coordinate tells their number."""
    numbered = shapely.linearrings(np.column_stack([outlines.xy, np.arange(len(outlines.xy))]), indices=outlines.ring_of_point)
    left = shapely.get_coordinates(shapely.simplify(numbered, within_m, preserve_topology=False), include_z=True)
    corner = np.zeros(len(outlines.xy), bool)
    corner[left[:, 2].astype(np.int64)] = True
    return corner


def _without_small_holes(outlines: Outlines, least_m2: float) -> Outlines:
    rings = shapely.linearrings(outlines.xy, indices=outlines.ring_of_point)
    return _rings(outlines, outlines.exteriors | (shapely.area(shapely.polygons(rings)) >= least_m2))


def _rings(outlines: Outlines, chosen: Mask) -> Outlines:
    """The chosen ones of the rings."""
    offsets = np.concatenate([[0], np.cumsum(np.diff(outlines.ring_offsets)[chosen])])
    return Outlines(outlines.xy[chosen[outlines.ring_of_point]], offsets, outlines.owner[chosen])


def _turned(xy: Floats, ring_offsets: Ints, angle: Floats) -> Floats:
    """Points turned by their rings' angles, counter-clockwise."""
    turned = np.repeat(np.exp(1j * angle), np.diff(ring_offsets)) * (xy @ PLANE)
    return np.stack([turned.real, turned.imag], axis=1)


def _in_pixels(outlines: Outlines, rings: Rings, pixel_m: tuple[float, float]) -> Shapes:
    """Polygons on the grid, in steps of 1 / STEPS pixel; None where a ring has no three corners."""
    whole = np.bincount(outlines.owner, np.diff(outlines.ring_offsets) < 3) == 0
    kept = _rings(outlines, whole[outlines.owner])
    xy = kept.xy / _metres(pixel_m) + _origins(rings)[kept.owner[kept.ring_of_point]]
    closed = np.insert(np.rint(xy * STEPS) / STEPS, kept.ring_offsets[1:], 0, axis=0)
    ring_offsets = kept.ring_offsets + np.arange(len(kept.ring_offsets))
    closed[ring_offsets[1:] - 1] = closed[ring_offsets[:-1]]
    polygons = np.full(len(whole), None, object)
    polygons[whole] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, closed, (ring_offsets, np.append(np.flatnonzero(kept.exteriors), len(kept.owner)))
    )
    return polygons


def _near(fitted: Shapes, raw: Shapes, tolerance: float) -> Mask:
    """Which are valid, on the ground of the raw ones, turning as they do, and with an exterior no further than `tolerance` from theirs
    (Hausdorff)."""
    near = shapely.is_valid(fitted)
    near[near] = _same_ground(fitted[near], raw[near]) & ~shapely.is_ccw(shapely.get_exterior_ring(fitted[near]))
    outer = [shapely.get_exterior_ring(shapes[near]) for shapes in (fitted, raw)]
    near[near] = shapely.hausdorff_distance(*outer) <= tolerance
    return np.asarray(near)


def _same_ground(fitted: Shapes, raw: Shapes) -> Mask:
    """Whether most of it is common; what is large is asked for its area only."""
    area, of = shapely.area(fitted), shapely.area(raw)
    same, small = np.asarray(np.abs(area / of - 1) < SURE_SHARE), of < SURE_PX
    same[small] = iou(fitted[small], raw[small]) >= LEAST_IOU
    return same
