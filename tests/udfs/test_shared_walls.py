"""Parts of one component share walls: by hand, and over random rows of houses."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely import affinity

from udfs.overlaps import without_overlaps
from udfs.shared_walls import grown_together, seams_of

REACH = 2.4


def walled(polygons: list[shapely.Polygon], raw: list[shapely.Polygon], rank: list[int], regular: list[bool] | None = None) -> np.ndarray:
    chosen = np.array(regular or [True] * len(rank))
    grown = grown_together(np.array(polygons), np.array(raw), np.array(rank), chosen, REACH)
    return without_overlaps(grown, np.array(rank), chosen)


def test_the_gap_between_two_goes_to_the_one_that_gives_way() -> None:
    """Two of unlike depth: a step stays where the deeper one goes on; its corners are few and exact."""
    raw = [shapely.box(0, 0, 20, 30), shapely.box(20, 0, 36, 22)]
    straight = [shapely.box(0, 0, 19, 30), shapely.box(21, 0, 36, 22)]
    small_keeps = walled(straight, raw, [1, 0])
    assert small_keeps[1].equals(straight[1])
    assert (
        small_keeps[0].normalize().equals_exact(shapely.Polygon([(0, 0), (21, 0), (21, 22), (19, 22), (19, 30), (0, 30)]).normalize(), 1e-3)
    )
    assert common_length(*small_keeps) == pytest.approx(22, abs=0.2)
    other_keeps = walled(straight, raw, [0, 1])
    assert other_keeps[0].equals(straight[0]) and other_keeps[1].area == pytest.approx(17 * 22, abs=0.1)


@pytest.mark.parametrize(
    ("raw", "straight", "regular"),
    [
        # A neck of three pixels is no wall.
        ([shapely.box(0, 0, 20, 30), shapely.box(20, 27, 36, 60)], [shapely.box(0, 0, 19, 30), shapely.box(21, 27, 36, 60)], None),
        # What gives way is an outline of pixels: it stays.
        ([shapely.box(0, 0, 20, 30), shapely.box(20, 0, 36, 22)], [shapely.box(0, 0, 20, 30), shapely.box(22, 0, 36, 22)], [False, True]),
        # An alley that pixels leave open, beside a seam far away.
        ([shapely.box(0, 0, 18, 30), shapely.box(22, 0, 36, 30)], [shapely.box(0, 0, 18, 30), shapely.box(22, 0, 36, 30)], None),
        # Walls too far from one another.
        ([shapely.box(0, 0, 20, 30), shapely.box(20, 0, 36, 30)], [shapely.box(0, 0, 17, 30), shapely.box(22.5, 0, 36, 30)], None),
    ],
)
def test_what_shares_no_wall_stays(raw: list, straight: list, regular: list[bool] | None) -> None:
    left = walled(straight, raw, [1, 0], regular)
    assert all(one.equals(other) for one, other in zip(left, straight, strict=True))


def test_corners_and_necks_are_no_seams() -> None:
    raw = np.array([shapely.box(0, 0, 10, 10), shapely.box(10, 10, 20, 20), shapely.box(10, 4, 20, 10), shapely.box(20, 8, 30, 30)])
    seams = seams_of(raw, 5)
    assert list(zip(seams.one, seams.other, strict=True)) == [(0, 2), (1, 2), (1, 3)]
    assert list(shapely.length(seams.line)) == [6, 10, 10]


def common_length(one: shapely.Polygon, other: shapely.Polygon) -> float:
    """Of the one's boundary on that of the other, by points a tenth of a pixel apart."""
    points = shapely.line_interpolate_point(one.exterior, np.arange(0, one.length, 0.1))
    return 0.1 * float((shapely.distance(points, other.exterior) < 1e-5).sum())


@given(st.integers(0, 10**6), st.floats(-3, 3))
def test_a_row_of_houses_becomes_one_row_in_any_order(seed: int, turn: float) -> None:
    """Straight walls up to a pixel off their pixels: no ground is shared or left between, and the order changes nothing."""
    random = np.random.default_rng(seed)
    edges = np.cumsum(random.integers(14, 30, 6))
    tops = random.integers(20, 34, 5)
    raw = [shapely.box(a, 0, b, top) for a, b, top in zip(edges[:-1], edges[1:], tops, strict=True)]
    moved = [shapely.box(a + random.uniform(0, 1.2), 0, b - random.uniform(0, 1.2), t) for (a, _, b, t) in (r.bounds for r in raw)]
    turned = [affinity.rotate(each, turn * 0.2) for each in moved]
    straight = [shapely.transform(each, lambda xy: np.round(xy * 256) / 256) for each in turned]  # as fitted walls are
    rank = random.permutation(5)
    found = walled(straight, raw, list(rank))
    one, other = np.arange(4), np.arange(1, 5)
    assert shapely.area(shapely.intersection(found[one], found[other])).max() < 1e-4
    shared = [common_length(*pair) for pair in zip(found[one], found[other], strict=True)]
    assert (np.array(shared) > 0.8 * np.minimum(tops[1:], tops[:-1])).all()
    assert shapely.is_valid(found).all() and not shapely.is_empty(found).any()
    order = random.permutation(5)
    again = walled([straight[n] for n in order], [raw[n] for n in order], list(rank[order]))
    assert [again[k].wkb for k in np.argsort(order)] == [each.wkb for each in found]
