"""Which of two buildings gives way, on polygons by hand and on a crowd of them."""

import numpy as np
import shapely
from shapely import affinity

from udfs.overlaps import overlapping, precedence, without_overlaps


def crowd(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    at, turn = random.uniform(0, 60, (count, 2)), random.uniform(0, 90, count)
    sizes = random.uniform(4, 14, (count, 2))
    boxes = [affinity.rotate(shapely.box(x, y, x + w, y + h), t) for (x, y), (w, h), t in zip(at, sizes, turn, strict=True)]
    return np.array(boxes, object)


def test_raw_ones_stay_then_small_ones_then_those_that_begin_earlier() -> None:
    rank = precedence(np.array([True, True, False, True]), np.array([50, 20, 900, 50]), np.array([7, 8, 9, 3]))
    assert rank.tolist() == [3, 1, 0, 2]


def test_the_larger_one_gives_way_and_a_house_in_a_yard_stays() -> None:
    block, house, neighbour, corner = (
        shapely.box(0, 0, 30, 20),
        shapely.box(5, 5, 9, 9),
        shapely.box(28, 2, 40, 12),
        shapely.box(30, 20, 33, 24),
    )
    polygons = np.array([block, house, neighbour, corner], object)
    apart = without_overlaps(polygons, precedence(np.ones(4, bool), shapely.area(polygons).astype(int), np.arange(4)))
    assert apart[1:].tolist() == [house, neighbour, corner]
    assert apart[0].equals(block.difference(house).difference(neighbour))
    assert apart[0].exterior.is_ccw is False


def test_a_crowd_shares_no_ground_whatever_its_order_and_loses_only_cut_off_parts() -> None:
    polygons = crowd(25, 4)
    rank = np.random.default_rng(1).permutation(25)
    apart = without_overlaps(polygons, rank)
    assert shapely.is_valid(apart).all()
    here, there = np.triu_indices(25, 1)
    assert shapely.area(shapely.intersection(apart[here], apart[there])).max() < 1e-9
    assert len(overlapping(polygons, rank)[0]) > 10
    order = np.random.default_rng(2).permutation(25)
    again = without_overlaps(polygons[order], rank[order])
    assert shapely.to_wkb(again).tolist() == shapely.to_wkb(apart[order]).tolist()
    assert shapely.within(apart, shapely.buffer(polygons, 1e-9)).all()
