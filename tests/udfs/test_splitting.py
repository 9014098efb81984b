"""Splitting: buildings side by side come apart where the network says so, and no cutting into tiles changes it."""

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from udfs.components import connected, label_components
from udfs.cores import cores_of, parted
from udfs.merging import packed_corners, pieces_of_tile, pixel_number, unpacked_corners
from udfs.splitting import split_frame
from udfs.tracing import Corners, Rings, corners_of_labels, corners_of_parts, mask_of_corners, polygons_of_rings, rings_of_corners, united

TOP, LEFT = 70_001, -11
DAYS = pd.to_datetime(["2020-01-01", "2020-06-01", "2020-12-01"])
BUILT = st.sampled_from([0, 124, 125, 250, 255])
VALUES = st.sampled_from([0, 40, 60, 120, 250])


def scene(*houses: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Probability and depth of houses, each as deep as it is by itself."""
    probability, depth = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    for number, house in enumerate(houses):
        alone = np.zeros(depth.shape, bool)
        alone[house] = True
        probability[house] = 200 + number
        depth = np.maximum(depth, np.minimum(25 * distance_transform_edt(alone), 250).astype(np.uint8))
    return probability, depth


def pieces_frame(probability: np.ndarray, depth: np.ndarray, side: int) -> pd.DataFrame:
    """Pieces of all tiles of `side` pixels with their components: the job on one core, with pandas in Spark's place."""
    frames, seams = [], []
    for top in range(0, depth.shape[0], side):
        for left in range(0, depth.shape[1], side):
            part = np.s_[top : top + side, left : left + side]
            tile = pieces_of_tile(probability[part], 125, TOP + top, LEFT + left, 0, depth[part])
            first = np.searchsorted(tile.corners.owner, np.arange(len(tile.pixels)))
            piece = pixel_number(tile.corners.y[first], tile.corners.x[first])
            columns = {
                "piece": piece, "corners": packed_corners(tile.corners, first), "pixels": tile.pixels, "cores": tile.cores,
                "probability_sum": tile.probability_sum, "inside": tile.inside, "model_sha256": "ab", "open_edge": left == 0,
                "first_date": DAYS[left // side % 2], "last_date": DAYS[1 + left // side % 2],
            }  # fmt: skip
            frames.append(pd.DataFrame(columns))
            seams.append(pd.DataFrame({"piece": piece[tile.borders.seam_owner], "key": tile.borders.seam_key}))
    frame = pd.concat(frames, ignore_index=True)
    ends = pd.concat(seams).groupby("key")["piece"].agg(["min", "max"])
    node, component = connected(ends["min"].to_numpy(np.int64), ends["max"].to_numpy(np.int64))
    named = frame["piece"].map(dict(zip(node, component, strict=True))).fillna(frame["piece"])
    return frame.assign(component=named.astype(np.int64))


def outlined(frame: pd.DataFrame) -> tuple[Rings, pd.DataFrame]:
    names, owner = np.unique(frame["component"], return_inverse=True)
    rings = rings_of_corners(united(unpacked_corners(list(frame["corners"]), owner)))
    return rings, frame.groupby("component")[["pixels", "probability_sum"]].sum().loc[names]


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    (rings, totals), (expected, expected_totals) = outlined(one), outlined(other)
    for found, wanted in zip(rings, expected, strict=True):
        assert found.tobytes() == wanted.tobytes()
    pd.testing.assert_frame_equal(totals, expected_totals)


ROW = [np.s_[5:15, 4:17], np.s_[5:15, 17:29], np.s_[8:22, 29:43]]
YARD = [np.s_[20:27, 10:30], np.s_[27:36, 10:17]]


@pytest.mark.parametrize("side", [7, 16, 60])
def test_houses_side_by_side_come_apart(side: int) -> None:
    """Three in a row, two around a corner, and one alone: each with its own pixels, whatever the tiles."""
    probability, depth = scene(*ROW, *YARD, np.s_[30:38, 40:55])
    found = split_frame(pieces_frame(probability, depth, side))
    rings, totals = outlined(found)
    houses = [*ROW, *YARD, np.s_[30:38, 40:55]]
    known = np.array([shapely.box(x.start + LEFT, y.start + TOP, x.stop + LEFT, y.stop + TOP) for y, x in houses])
    parts = polygons_of_rings(rings)
    shared = shapely.area(shapely.intersection(parts[:, None], known)) / shapely.area(shapely.union(parts[:, None], known))
    assert len(parts) == len(houses) and (shared.max(axis=0) > 0.85).all()  # a wall may lie on either side of a line of equal depth
    assert totals["pixels"].sum() == (probability > 0).sum()
    mean = totals["probability_sum"] / totals["pixels"]
    assert mean.to_numpy() == pytest.approx(200 + shared.argmax(axis=1), abs=0.2)
    assert_same(found, split_frame(pieces_frame(probability, depth, 100)))


def test_a_building_is_told_by_the_pieces_that_it_lies_in() -> None:
    probability, depth = scene(*ROW)
    found = split_frame(pieces_frame(probability, depth, 20)).sort_values("component")  # borders at columns 20 and 40
    assert found["open_edge"].tolist() == [True, True, False]
    assert found["first_date"].tolist() == [DAYS[0], DAYS[0], DAYS[0]] and found["last_date"].tolist() == [DAYS[1], DAYS[2], DAYS[2]]


@settings(max_examples=150, deadline=None)
@given(
    arrays(np.uint8, (13, 17), elements=st.sampled_from([0, 124, 125, 250, 255])),
    arrays(np.uint8, (13, 17), elements=VALUES),
    st.integers(2, 7),
)
def test_any_cutting_gives_the_same_buildings_and_loses_no_pixel(probability: np.ndarray, depth: np.ndarray, side: int) -> None:
    cut, whole = (split_frame(pieces_frame(probability, depth, each)) for each in (side, 20))
    assert_same(cut, whole)
    built = (probability >= 125) & (probability != 255)
    drawn = np.zeros(built.shape, int)
    for corners in cut.groupby("component")["corners"].agg(list):
        drawn += mask_of_corners(unpacked_corners(corners, np.zeros(len(corners), np.int64)), TOP, LEFT, built.shape)
    assert np.array_equal(drawn, built.astype(int))


@settings(max_examples=150, deadline=None)
@given(arrays(np.uint8, (9, 12), elements=VALUES), arrays(np.bool_, (9, 12)))
def test_parts_are_whole_and_each_has_a_core(depth: np.ndarray, inside: np.ndarray) -> None:
    components, count = label_components(inside)
    cores = cores_of(np.pad(depth, 1), np.pad(components, 1), count)
    for number in range(1, count + 1):
        parts = parted(depth, components == number)
        assert np.array_equal(parts > 0, components == number) and parts.max() == max(1, cores[number - 1])
        assert all(label_components(parts == part)[1] == 1 for part in range(1, parts.max() + 1))


@given(arrays(np.int32, (8, 9), elements=st.integers(0, 3)))
def test_corners_of_parts_are_those_of_each_part_alone(labels: np.ndarray) -> None:
    numbered = np.zeros_like(labels)
    for label in range(1, 4):
        found = label_components(labels == label)[0]
        numbered = np.where(found > 0, found + numbered.max(), numbered).astype(np.int32)
    together = corners_of_parts(numbered)
    for number in range(1, int(numbered.max()) + 1):
        alone = corners_of_labels((numbered == number).astype(np.int32))
        order = np.lexsort((alone.x, alone.y))
        own = together.owner == number - 1
        for values, wanted in zip(together[1:], alone[1:], strict=True):
            assert np.array_equal(values[own], wanted[order])
        corners = Corners(*(values[own] for values in together))
        assert np.array_equal(mask_of_corners(corners, 0, 0, labels.shape), numbered == number)


def test_a_component_that_another_network_mapped_in_part_stays_whole() -> None:
    """Tiles of an older map tell no depth."""
    frame = pieces_frame(*scene(*ROW, np.s_[30:38, 40:55]), 20)
    old = frame.assign(inside=frame["inside"].where(frame["first_date"] == DAYS[0], None))
    assert split_frame(frame)["component"].nunique() == 4
    pd.testing.assert_frame_equal(split_frame(old), old.assign(parted=False))


def test_a_component_in_too_large_a_box_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pieces_frame(*scene(*ROW), 100)
    monkeypatch.setattr("udfs.splitting.MOST_BOX_PX", 200)
    pd.testing.assert_frame_equal(split_frame(frame), frame.assign(parted=False))
