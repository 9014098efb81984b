"""Straight walls in closed outlines: of all ways to cut a ring into walls from one corner on, the one that costs least.

A wall lies along a building's two main directions, half way between them, or anywhere, each at a price; the squared distance of the
outline from its walls, times length, is added (a minimum description length, solved exactly by dynamic programming over the corners).
"""

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ALONG_X, ALONG_Y, RISING, FALLING, FREE = range(5)
"""Directions of walls in a frame turned to the building: along its axes, half way between them, any."""
PRICES = (1.0, 1.0, 2.5, 2.5, 3.0)
"""Of a wall by direction, as multiples of the price of one along an axis."""
LEAST_WALLS = 4
PRICE_OF_THREE = 4.0
"""Hardly any building has three walls: an outline that would is fitted along the axes alone, unless that costs so many walls more."""
LEAST_SINE = 0.25
"""Walls that meet at less than 14 degrees have no corner to speak of: a step joins them."""
MOST_CORNERS = 2**16
"""A ring of more is a town grown together, or noise, and gets no walls: they would take minutes."""


class Walls(NamedTuple):
    """Of the rings of a batch, wall after wall around each; ring r has the walls ring_offsets[r] to ring_offsets[r + 1].

    `first`: point of the batch where a wall begins. `normal` (n, 2) and `offset` of its line: normal . point = offset. `spread` (n, 3):
    second moments xx, xy, yy of its part of the outline about its middle, times length. `cost` (rings,), m3: of all walls of a ring with
    what the outline lies off them; 0 where it has none."""

    first: Ints
    direction: Ints
    normal: Floats
    offset: Floats
    spread: Floats
    ring_offsets: Ints
    cost: Floats

    @property
    def ring_of_wall(self) -> Ints:
        return np.repeat(np.arange(len(self.ring_offsets) - 1), np.diff(self.ring_offsets))


def fitted_walls(xy: Floats, ring_offsets: Ints, corner: NDArray[np.bool_], price: float) -> Walls:
    """Walls of open rings (the first point not repeated), points (n, 2) in metres in frames turned to their buildings. `corner`: where
    walls may meet. `price`, m3: of one more wall along an axis, in squared metres off the outline times metres."""
    count, cost, first, direction, normal, offset, spread = _all_rings(xy, ring_offsets, corner, price * np.array(PRICES))
    return Walls(first, direction, normal, offset, spread, np.concatenate([[0], np.cumsum(count)]), cost)


@numba.njit(nogil=True)
def _all_rings(xy, ring_offsets, corner, prices):  # type: ignore[no-untyped-def]
    size, at = len(xy), 0
    first, direction, offset = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    normal, spread = np.empty((size, 2)), np.empty((size, 3))
    count, cost = np.zeros(len(ring_offsets) - 1, np.int64), np.zeros(len(ring_offsets) - 1)
    for ring in range(len(ring_offsets) - 1):
        begin, end = ring_offsets[ring], ring_offsets[ring + 1]
        points, corners = xy[begin:end], np.flatnonzero(corner[begin:end])
        if len(corners) < 3 or len(corners) > MOST_CORNERS:
            continue
        sums = _running_sums(points)
        start = np.argmax(points[corners, 0] + points[corners, 1])
        breaks, _, _ = cheapest_walls(sums, corners, start, prices)
        # A cut that the best walls chose themselves is a better place to begin than the outermost corner.
        start = np.searchsorted(corners, breaks[len(breaks) // 2] % len(points))
        breaks, directions, least = cheapest_walls(sums, corners, start, prices)
        if len(directions) == LEAST_WALLS - 1:
            square = cheapest_walls(sums, corners, start, prices[: ALONG_Y + 1])
            if square[2] <= least + PRICE_OF_THREE * prices[ALONG_X]:
                breaks, directions, least = square
        for wall in range(len(directions)):
            _, x, y, xx, mixed, yy = _moments(sums, breaks[wall], breaks[wall + 1])
            across = _normal(directions[wall], xx, mixed, yy)
            first[at], direction[at] = begin + breaks[wall] % len(points), directions[wall]
            normal[at, 0], normal[at, 1], offset[at] = across[0], across[1], across[0] * x + across[1] * y
            spread[at, 0], spread[at, 1], spread[at, 2] = xx, mixed, yy
            at += 1
        count[ring], cost[ring] = len(directions), least
    return count, cost, first[:at], direction[:at], normal[:at], offset[:at], spread[:at]


@numba.njit(nogil=True)
def _running_sums(points):  # type: ignore[no-untyped-def]
    """Integrals along the ring up to each vertex (n + 1, 6): length, x, y, xx, xy, yy."""
    sums = np.zeros((len(points) + 1, 6))
    for k in range(len(points)):
        ax, ay = points[k]
        bx, by = points[(k + 1) % len(points)]
        length = math.hypot(bx - ax, by - ay)
        sums[k + 1, 0] = sums[k, 0] + length
        sums[k + 1, 1] = sums[k, 1] + length * (ax + bx) / 2
        sums[k + 1, 2] = sums[k, 2] + length * (ay + by) / 2
        sums[k + 1, 3] = sums[k, 3] + length * (ax * ax + ax * bx + bx * bx) / 3
        sums[k + 1, 4] = sums[k, 4] + length * (2 * ax * ay + ax * by + bx * ay + 2 * bx * by) / 6
        sums[k + 1, 5] = sums[k, 5] + length * (ay * ay + ay * by + by * by) / 3
    return sums


@numba.njit(nogil=True)
def _moments(sums, begin, end):  # type: ignore[no-untyped-def]
    """Length, middle and second moments about it, times length, of the outline from vertex `begin` to `end`; `end` may lie past the
    ring's end."""
    size = len(sums) - 1
    if begin >= size:
        begin, end = begin - size, end - size
    part = sums[end] - sums[begin] if end <= size else sums[size] - sums[begin] + sums[end - size]
    length, x, y = part[0], part[1] / part[0], part[2] / part[0]
    return length, x, y, max(part[3] - part[1] * x, 0.0), part[4] - part[1] * y, max(part[5] - part[2] * y, 0.0)


@numba.njit(nogil=True)
def cheapest_walls(sums, corners, start, prices):  # type: ignore[no-untyped-def]
    """Vertices where walls begin and end, their directions, and the cost of all, when the first begins at corner number `start`."""
    size, count, kinds = len(sums) - 1, len(corners), len(prices)
    at = np.empty(count + 1, np.int64)
    for k in range(count + 1):
        at[k] = corners[(start + k) % count] + (size if start + k >= count else 0)
    cost, before, kind = np.full((count + 1, kinds), np.inf), np.zeros((count + 1, kinds), np.int64), np.zeros((count + 1, kinds), np.int64)
    cost[0] = 0.0
    # Corners where a wall may still begin, and least costs up to there with it (pruning: Killick et al. 2012, PELT).
    open_at, open_count, least = np.zeros(count + 1, np.int64), 1, np.full(count + 1, np.inf)
    for j in range(1, count + 1):
        place = open_count - 1
        while place >= 0:
            i = open_at[place]
            _, _, _, xx, mixed, yy = _moments(sums, at[i], at[j])
            mean, half = (xx + yy) / 2, (xx - yy) / 2
            off = (yy, xx, mean - mixed, mean + mixed, mean - math.sqrt(half * half + mixed * mixed))
            # Longer walls are further off: no cut before this one can be better.
            if off[FREE] + prices[0] > cost[j].max():
                break
            least[place] = cost[i].min() + off[FREE]
            for c in range(kinds if least[place] + prices[0] <= cost[j].max() else 0):
                for d in range(kinds):
                    # Two parallel walls need a step between them.
                    step = prices[0] if i > 0 and d == c and c != FREE else 0.0
                    total = cost[i, d] + step + off[c] + prices[c]
                    if total < cost[j, c]:
                        cost[j, c], before[j, c], kind[j, c] = total, i, d
            place -= 1
        # A wall from where a cut here, with a step, costs less is never the best of any later corner.
        kept = place + 1
        for place in range(kept, open_count):
            if least[place] <= cost[j].min() + prices[0]:
                open_at[kept] = open_at[place]
                kept += 1
        open_at[kept], open_count = j, kept + 1
    breaks, directions = _walked_back(at, cost, before, kind)
    return breaks, directions, cost[-1].min()


@numba.njit(nogil=True)
def _walked_back(at, cost, before, kind):  # type: ignore[no-untyped-def]
    j, c = len(at) - 1, int(np.argmin(cost[-1]))
    breaks, directions = [at[j]], [c]
    while before[j, c] > 0:
        j, c = before[j, c], kind[j, c]
        breaks.append(at[j])
        directions.append(c)
    breaks.append(at[0])
    return np.array(breaks[::-1]), np.array(directions[::-1])


@numba.njit(nogil=True)
def _normal(direction, xx, mixed, yy):  # type: ignore[no-untyped-def]
    """Of a wall; of a free one that of the line with the least squared distances."""
    if direction == ALONG_X:
        return 0.0, 1.0
    if direction == ALONG_Y:
        return 1.0, 0.0
    if direction == RISING:
        return math.sqrt(0.5), -math.sqrt(0.5)
    if direction == FALLING:
        return math.sqrt(0.5), math.sqrt(0.5)
    angle = 0.5 * math.atan2(2 * mixed, xx - yy)
    return -math.sin(angle), math.cos(angle)


def corners_of_walls(walls: Walls, xy: Floats, far: float) -> tuple[Floats, Ints]:
    """Rings (m, 2) and their offsets: where consecutive walls cross; where they are nearly parallel, or cross more than `far` metres
    from the outline, a step joins them."""
    number, ring = np.arange(len(walls.first)), walls.ring_of_wall
    before = np.where(number == walls.ring_offsets[ring], walls.ring_offsets[ring + 1] - 1, number - 1)
    one, two, met = walls.normal[before], walls.normal, xy[walls.first]
    sine = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    sure = np.where(np.abs(sine) > LEAST_SINE, sine, 1.0)
    here, there = walls.offset[before], walls.offset
    crossing = np.stack([here * two[:, 1] - there * one[:, 1], there * one[:, 0] - here * two[:, 0]], axis=1) / sure[:, None]
    stepped = (np.abs(sine) <= LEAST_SINE) | (np.hypot(*(crossing - met).T) > far)
    left, right = _foot(met, one, here), _foot(met, two, there)
    points = np.stack([np.where(stepped[:, None], left, crossing), right], axis=1)
    kept = np.stack([np.ones(len(stepped), bool), stepped], axis=1)
    total = np.concatenate([[0], np.cumsum(1 + stepped)])
    return points[kept], total[walls.ring_offsets]


def _foot(points: Floats, normal: Floats, offset: Floats) -> Floats:
    """The nearest points (n, 2) on lines."""
    return np.asarray(points - ((points * normal).sum(1) - offset)[:, None] * normal, np.float64)
