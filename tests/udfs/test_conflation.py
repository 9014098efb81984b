"""Pairs of buildings on the same ground, which of both stays, and what is left of one that others cut."""

from typing import Any

import pandas as pd
import pytest
import shapely

from udfs.conflation import left_frames, meeting_frame
from udfs.polygon_matching import SQUARE_DEGREES
from udfs.units import geodesic_area_m2

WEST, SOUTH = 32.501, 0.301
DEGREES = 1 / 111_320
"""Of a metre."""


def box(west: float, south: float, east: float, north: float) -> Any:
    """In degrees, of metres from a corner near the equator."""
    return shapely.box(WEST + west * DEGREES, SOUTH + south * DEGREES, WEST + east * DEGREES, SOUTH + north * DEGREES)


def meeting(first: Any, second: Any) -> Any:
    """The one pair of two polygons, the first of the more trusted source."""
    shapes = [first, second]
    frame = pd.DataFrame({"id": ["a", "b"], "preference": [1, 2], "size_m2": geodesic_area_m2(shapes)})
    frame["geometry"] = shapely.to_wkb(shapes)
    frame["square_y"], frame["square_x"] = int(SOUTH // SQUARE_DEGREES), int(WEST // SQUARE_DEGREES)
    (pair,) = meeting_frame(frame).itertuples()
    assert (pair.first_id, pair.second_id) == ("a", "b")
    return pair


def left(whole: Any, cuts: list[Any]) -> tuple[Any, float]:
    """What is left, and its share of the whole."""
    frame = pd.DataFrame({"id": ["a"], "geometry": [whole.wkb], "cuts": [[cut.wkb for cut in cuts]]})
    (row,) = pd.concat(left_frames(iter([frame]))).itertuples()
    return shapely.from_wkb(row.geometry), row.left_share


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (box(10, 10, 12, 12), box(0, 0, 60, 40), False),  # a shed in a hall
        (box(0, 0, 8, 10), box(0, 0, 40, 10), False),  # a house of a row of five
        (box(0, 0, 8, 7), box(0, 0, 8, 16), False),  # a house of a pair
        (box(0, 0, 8, 9), box(0, 0, 8, 16), True),  # most of the other
        (box(0, 0, 40, 10), box(0, 0, 8, 10), True),  # a row, and a house of it
        (box(0, 0, 10, 10), box(6, 0, 16, 10), True),  # the same house twice, shifted
        (box(0, 0, 10, 10), box(8, 0, 18, 10), False),  # neighbours
    ],
)
def test_a_conflict_is_judged_by_the_one_that_would_give_way(first: Any, second: Any, conflict: bool) -> None:
    pair = meeting(first, second)
    assert pair.conflict == conflict
    assert pair.share == pytest.approx((first & second).area / second.area, abs=1e-4)


def test_even_parts_are_no_crumbs() -> None:
    """A long building that twelve others cross."""
    whole = box(0, 0, 122, 10)
    found, share = left(whole, [box(10 * k + 6, -5, 10 * k + 10, 15) for k in range(12)])
    assert share == pytest.approx(1 - 12 * 4 / 122)
    assert (len(found.geoms), found.area) == (13, pytest.approx(share * whole.area))


def test_parts_much_smaller_than_the_largest_are_crumbs() -> None:
    found, share = left(box(0, 0, 20, 10), [box(16, 0, 19, 10)])
    assert found.equals_exact(box(0, 0, 16, 10).normalize(), 1e-9, normalize=True)
    assert share == pytest.approx(17 / 20)
