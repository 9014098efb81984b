"""The cheapest walls of a ring against every way to cut it."""

from functools import lru_cache
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from udfs.walls import FREE, PRICES, cheapest_walls, corners_of_walls, fitted_walls
from udfs.walls import _running_sums as running_sums

ROOT = np.sqrt(0.5)
NORMALS = {0: (0, 1), 1: (1, 0), 2: (ROOT, -ROOT), 3: (ROOT, ROOT)}


@lru_cache
def off_line(points, direction):
    """Integral of the squared distance of a polyline from its best line in a direction, by many small steps."""
    where = np.concatenate([np.linspace(start, end, 1001) for start, end in pairwise(np.array(points))])
    middle, length = (where[1:] + where[:-1]) / 2, np.hypot(*np.diff(where, axis=0).T)
    away = middle - np.average(middle, axis=0, weights=length)
    spread = (away.T * length) @ away
    return np.linalg.eigvalsh(spread)[0] if direction == FREE else np.array(NORMALS[direction]) @ spread @ np.array(NORMALS[direction])


def price_of(points, breaks, directions, prices):
    around = [tuple(point) for point in np.concatenate([points, points])]
    walls = sum(off_line(tuple(around[a : b + 1]), d) + prices[d] for (a, b), d in zip(pairwise(breaks), directions, strict=True))
    return walls + prices[0] * sum(one == other != FREE for one, other in pairwise(directions))


@pytest.mark.parametrize("seed", range(6))
def test_no_other_walls_are_cheaper(seed):
    random = np.random.default_rng(seed)
    size, start = 6, seed % 6
    angle = np.sort(random.uniform(0, 2 * np.pi, size))
    points = np.stack([5 * np.cos(angle), 3 * np.sin(angle)], 1) + random.normal(0, 0.4, (size, 2))
    prices = random.uniform(0.2, 3) * np.array(PRICES)
    breaks, directions, least = cheapest_walls(running_sums(points), np.arange(size), start, prices)
    assert breaks[0] == start and breaks[-1] == start + size
    inner = range(start + 1, start + size)
    cuts = [(start, *cut, start + size) for count in range(4) for cut in combinations(inner, count)]
    best = min(price_of(points, cut, kinds, prices) for cut in cuts for kinds in product(range(5), repeat=len(cut) - 1))
    assert price_of(points, breaks, directions, prices) <= best * (1 + 1e-3)
    assert least == pytest.approx(price_of(points, breaks, directions, prices), rel=1e-3)


def test_walls_of_a_notched_house_cross_at_its_corners():
    house = np.array([(0, 0), (12, 0), (12, 7), (8, 7), (8, 10), (0, 10)], float)
    bumpy = np.concatenate([np.linspace(start, end, 8, endpoint=False) for start, end in zip(house, np.roll(house, -1, 0), strict=True)])
    bumpy += np.random.default_rng(2).normal(0, 0.03, bumpy.shape)
    offsets = np.array([0, len(bumpy), 2 * len(bumpy)])
    both = np.concatenate([bumpy, bumpy[::-1] + 100])
    walls = fitted_walls(both, offsets, np.ones(len(both), bool), 0.4)
    corners, ring_offsets = corners_of_walls(walls, both, 3.0)
    assert ring_offsets.tolist() == [0, 6, 12]
    for ring, moved in ((corners[:6], 0), (corners[6:], 100)):
        assert np.abs(ring[:, None] - (house + moved)).sum(2).min(1).max() < 0.15


def test_parallel_walls_are_joined_by_a_step_and_a_ring_of_two_corners_has_none():
    stepped = np.array([(0, 0), (10, 0), (10, 1.2), (20, 1.2), (20, 9), (0, 9)], float)
    speck = np.array([(0, 0), (0.1, 0), (0.1, 0.1)])
    corner = np.ones(9, bool)
    corner[[1, 2]] = False
    corner[[7, 8]] = False
    points = np.concatenate([stepped, speck])
    walls = fitted_walls(points, np.array([0, 6, 9]), corner, 0.01)
    ring, offsets = corners_of_walls(walls, points, 3.0)
    assert offsets.tolist() == [0, len(ring), len(ring)]
    walls = fitted_walls(stepped, np.array([0, 6]), np.ones(6, bool), 0.01)
    assert sorted(map(tuple, np.round(corners_of_walls(walls, stepped, 3.0)[0], 6))) == sorted(map(tuple, stepped))
