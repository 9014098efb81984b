"""Splits lie apart on the ground, whole regions stay whole, and nobody has to remember them."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from udfs.splits import Split, Splitting, reach_of, regions_of, splits_of

GEOD = Geod(ellps="WGS84")


def squares(west: float, south: float, count: int, side: float = 0.046) -> NDArray[np.object_]:
    """count x count squares of some 5 km, in degrees."""
    rows, columns = np.indices((count, count)).reshape(2, -1)
    x, y = west + columns * side, south + rows * side
    return np.asarray(shapely.box(x, y, x + side, y + side), object)


def metres_between(one: Any, other: Any) -> float:
    """Between the nearest points of two boxes."""
    near, far = (
        (point.coords[0] for point in shapely.get_geometry(shapely.shortest_line(one, other), 0).boundary.geoms)
        if one.disjoint(other)
        else ((0, 0), (0, 0))
    )
    return float(GEOD.inv(*near, *far)[2])


@pytest.mark.parametrize("south", [0.3, 47.0, -71.0])
def test_no_two_splits_come_within_the_gap(south: float) -> None:
    ground, how = squares(20.0, south, 20), Splitting(block_m=25_000, gap_m=1500, choose=0.2, judge=0.2)
    found = splits_of(ground, {}, how)
    used = [(outline, split.name) for outline, split in zip(ground, found, strict=True) if split.name != "dropped"]
    assert {name for _, name in used} == {"train", "choose", "judge"}
    apart = [metres_between(one, other) for (one, first), (other, second) in combinations(used, 2) if first != second]
    assert min(apart) >= 1500
    assert all((split.reason is not None) == (split.name == "dropped") for split in found)


def test_a_square_has_one_split_whatever_is_asked_with_it() -> None:
    ground, how = squares(-70.0, -34.0, 12), Splitting(judged=("south",))
    regions = {"south": shapely.box(-71, -40, -60, -33.8)}
    together = splits_of(ground, regions, how)
    assert [splits_of(ground[number : number + 1], regions, how)[0] for number in range(len(ground))] == together
    assert splits_of(ground, regions, Splitting(seed=2, judged=("south",))) != together


def test_shares_are_kept_over_much_ground() -> None:
    how = Splitting(block_m=5_000, gap_m=0.0, choose=0.2, judge=0.3)
    names = [split.name for split in splits_of(squares(5.0, 3.0, 60, 0.0001 + 0.0905), {}, how)]
    blocks = [name for name in names if name != "dropped"]
    assert 0.25 < names.count("judge") / len(names) < 0.35 and len(blocks) < len(names)


def test_judged_regions_are_judged_whole_and_others_keep_their_distance() -> None:
    ground = squares(20.0, 10.0, 16)
    regions = {"east": shapely.box(20.4, 9, 21, 11), "rest": shapely.box(19, 9, 21, 11)}
    how = Splitting(block_m=1e6, gap_m=2000, choose=0.0, judge=0.0, judged=("east",))
    inside = regions_of(ground, regions)
    found = splits_of(ground, regions, how)
    assert {split for split, region in zip(found, inside, strict=True) if region == "east"} == {Split("judge", None)}
    train = [one for one, split in zip(ground, found, strict=True) if split.name == "train"]
    judged = [one for one, split in zip(ground, found, strict=True) if split.name == "judge"]
    assert train and min(metres_between(one, other) for one in train for other in judged) >= 2000


def test_what_lies_in_no_region_has_none() -> None:
    assert regions_of(squares(0.0, 0.0, 1), {"far": shapely.box(50, 50, 51, 51)}) == [None]


@pytest.mark.parametrize("latitude", [0.0, 60.0, -80.0])
def test_reach_holds_the_ground_around(latitude: float) -> None:
    (square,) = squares(30.0, latitude, 1)
    (reach,) = reach_of(np.array([square], object), 3000.0)
    for angle in range(0, 360, 15):
        for lon, lat in square.exterior.coords:
            x, y, _ = GEOD.fwd(lon, lat, angle, 2999)
            assert reach.covers(shapely.Point(x, y))
