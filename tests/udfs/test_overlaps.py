"""Which of two buildings gives way, on polygons by hand and on a crowd of them."""

import numpy as np
import pandas as pd
import shapely
from shapely import affinity

from udfs.merging import pixel_number
from udfs.overlaps import cut_frame, overlapping, precedence, without_overlaps


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
    every = np.ones(4, bool)
    apart = without_overlaps(polygons, precedence(every, shapely.area(polygons).astype(int), np.arange(4)), every)
    assert apart[1:].tolist() == [house, neighbour, corner]
    assert apart[0].equals(block.difference(house).difference(neighbour))
    assert apart[0].exterior.is_ccw is False


def test_a_crowd_shares_no_ground_whatever_its_order_and_loses_only_cut_off_parts() -> None:
    polygons = crowd(25, 4)
    rank = np.random.default_rng(1).permutation(25)
    every = np.ones(25, bool)
    apart = without_overlaps(polygons, rank, every)
    assert shapely.is_valid(apart).all()
    here, there = np.triu_indices(25, 1)
    assert shapely.area(shapely.intersection(apart[here], apart[there])).max() < 1e-4
    assert len(overlapping(polygons, rank, every)[0]) > 10
    order = np.random.default_rng(2).permutation(25)
    again = without_overlaps(polygons[order], rank[order], every)
    assert shapely.to_wkb(again).tolist() == shapely.to_wkb(apart[order]).tolist()
    assert shapely.within(apart, shapely.buffer(polygons, 1e-5)).all()


def test_one_whose_ground_is_all_anothers_is_empty_and_raw_ones_are_not_asked() -> None:
    polygons = np.array([shapely.box(0, 0, 9, 9), shapely.box(-1, -1, 10, 10)], object)
    assert shapely.is_empty(without_overlaps(polygons, np.array([1, 0]), np.ones(2, bool))).tolist() == [True, False]
    assert not len(overlapping(polygons, np.array([1, 0]), np.zeros(2, bool))[0])


def test_only_what_comes_from_another_cell_cuts() -> None:
    """Three houses, two of them in one cell, that overlap in a row."""
    first = pixel_number(np.array([10, 12, 8]), np.array([4090, 4080, 4100]))
    shapes = [shapely.box(4085, 5, 4098, 20), shapely.box(4075, 5, 4087, 20), shapely.box(4096, 5, 4110, 20)]
    frame = pd.DataFrame(
        {
            "layer": "b", "epoch": "2020", "grid": "g", "component": first, "pixels": [900, 50, 60], "shape": "regularised",
            "planar": shapely.to_wkb(shapes), "home": [1, 1, 2],
        }
    )  # fmt: skip
    cuts = cut_frame(frame)
    assert cuts["component"].tolist() == [first[0]] and cuts["cut"].tolist() == [shapely.to_wkb(shapes[2])]
