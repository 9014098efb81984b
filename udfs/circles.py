"""Round outlines: rings that one circle describes with less than walls do (a minimum description length, as in udfs/walls.py)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PRICE_OF_CIRCLE = 8.0
"""As a multiple of the price of a wall along an axis: twice a rectangle's, for few buildings are round."""
QUARTER = 4
"""Corners of a round outline are a multiple of it, so that it has an east, a north, a west and a south."""
SAGITTA_PX = 0.25
"""From the arc to the chord."""


class Circles(NamedTuple):
    """One of each ring's area about its middle: `middle` (n, 2), `radius` (n,), `turn` (n,) +1 counter-clockwise or -1, and `off` (n,):
    squared distance of the ring from its circle, times length, m3."""

    middle: Floats
    radius: Floats
    turn: Floats
    off: Floats


def circles_of(xy: Floats, ring_offsets: Ints) -> Circles:
    """Of open rings (the first point not repeated) of three points or more, points (n, 2) in metres."""
    following = np.arange(1, len(xy) + 1)
    following[ring_offsets[1:] - 1] = ring_offsets[:-1]
    cross = xy[:, 0] * xy[following, 1] - xy[following, 0] * xy[:, 1]
    area = np.add.reduceat(cross, ring_offsets[:-1]) / 2
    middle = np.add.reduceat((xy + xy[following]) * cross[:, None], ring_offsets[:-1]) / (6 * area[:, None])
    radius = np.sqrt(np.abs(area) / np.pi)
    about, out = (np.repeat(each, np.diff(ring_offsets), axis=0) for each in (middle, radius))
    off = _off_circle(xy - about, xy[following] - about, out)
    return Circles(middle, radius, np.sign(area), np.add.reduceat(off, ring_offsets[:-1]))


def _off_circle(start: Floats, end: Floats, radius: Floats) -> Floats:
    """Integral along segments (n,) of (distance from the middle - radius) squared."""
    edge = end - start
    length = np.hypot(*edge.T)
    height = np.abs(start[:, 0] * end[:, 1] - end[:, 0] * start[:, 1]) / length
    begin, stop = ((each * edge).sum(1) / length for each in (start, end))
    distance = _distance_along(stop, height) - _distance_along(begin, height)
    squared = (stop**3 - begin**3) / 3 + height**2 * length
    return np.asarray(squared - 2 * radius * distance + radius**2 * length, np.float64)


def _distance_along(position: Floats, height: Floats) -> Floats:
    """Integral of the distance from the middle along a line that passes it at `height`, from the foot to a position."""
    slope = np.divide(position, height, out=np.zeros_like(height), where=height > 0)
    return np.asarray((position * np.hypot(position, height) + height**2 * np.arcsinh(slope)) / 2, np.float64)


def corners_of_circle(circles: Circles, number: int, pixel_m: float) -> Floats:
    """Corners (m, 2) of a polygon of the circle's area whose chords lie within SAGITTA_PX of their arcs."""
    radius = circles.radius[number]
    half = np.arccos(max(1 - SAGITTA_PX * pixel_m / radius, 0.0))
    count = QUARTER * int(np.ceil(np.pi / half / QUARTER))
    out = radius * np.sqrt(2 * np.pi / (count * np.sin(2 * np.pi / count)))
    angle = circles.turn[number] * 2 * np.pi * np.arange(count) / count
    return np.asarray(circles.middle[number] + out * np.stack([np.cos(angle), np.sin(angle)], axis=1), np.float64)
