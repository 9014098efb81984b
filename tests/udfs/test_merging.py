"""Merging: any cutting of a scene gives the bytes of the whole scene."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from udfs.components import connected
from udfs.merging import EAST, NORTH, SOUTH, WEST, Pieces, packed_corners, pieces_of_tile, pixel_number, unpacked_corners
from udfs.tracing import Corners, Rings, rings_of_corners, united

SCENES = arrays(np.uint8, st.tuples(st.integers(1, 11), st.integers(1, 13)), elements=st.sampled_from([0, 124, 125, 250, 255]))
TOP, LEFT = 1_000_003, -7


def cut(scene: np.ndarray, side: int, min_px: float = 0) -> list[Pieces]:
    corners = [(top, left) for top in range(0, scene.shape[0], side) for left in range(0, scene.shape[1], side)]
    return [pieces_of_tile(scene[t : t + side, x : x + side], 125, TOP + t, LEFT + x, min_px) for t, x in corners]


def merged(tiles: list[Pieces]) -> tuple[Rings, pd.DataFrame]:
    """The whole job on one core, with pandas in Spark's place."""
    frames, seams = [], []
    for tile in tiles:
        first = np.searchsorted(tile.corners.owner, np.arange(len(tile.pixels)))
        piece = pixel_number(tile.corners.y[first], tile.corners.x[first])
        columns = {"piece": piece, "corners": packed_corners(tile.corners, first), "pixels": tile.pixels, "sum": tile.probability_sum}
        frames.append(pd.DataFrame(columns))
        seams.append(pd.DataFrame({"piece": piece[tile.borders.seam_owner], "key": tile.borders.seam_key}))
    pieces = pd.concat(frames)
    ends = pd.concat(seams).groupby("key")["piece"].agg(["min", "max"])
    node, component = connected(ends["min"].to_numpy(np.int64), ends["max"].to_numpy(np.int64))
    pieces["component"] = pieces["piece"].map(dict(zip(node, component, strict=True))).fillna(pieces["piece"]).astype(np.int64)
    _, owner = np.unique(pieces["component"], return_inverse=True)
    rings = rings_of_corners(united(unpacked_corners(list(pieces["corners"]), owner)))
    return rings, pieces.groupby("component")[["pixels", "sum"]].sum()


def assert_same(cut_in_tiles: list[Pieces], whole: list[Pieces]) -> None:
    (rings, totals), (expected, expected_totals) = merged(cut_in_tiles), merged(whole)
    for found, wanted in zip(rings, expected, strict=True):
        assert found.tobytes() == wanted.tobytes()
    pd.testing.assert_frame_equal(totals, expected_totals)


@settings(max_examples=200)
@given(SCENES, st.integers(2, 6))
def test_any_cutting_gives_the_bytes_of_the_whole(scene: np.ndarray, side: int) -> None:
    assert_same(cut(scene, side), cut(scene, 20))


def painted(*pixels: tuple[slice | int, slice | int]) -> np.ndarray:
    scene = np.zeros((12, 12), np.uint8)
    for place in pixels:
        scene[place] = 200
    return scene


# (scene cut into tiles of 4 pixels, polygons, rings)
CASES = {
    "over two tiles": (painted((slice(1, 3), slice(2, 7))), 1, 1),
    "over three tiles": (painted((slice(1, 6), 3), (1, slice(3, 6))), 1, 1),
    "over four tiles at their corner": (painted((slice(3, 5), slice(2, 6))), 1, 1),
    "ring around a tile": (painted((slice(3, 9), slice(3, 9)), (0, 0)) - painted((slice(4, 8), slice(4, 8))), 2, 3),
    "touching by a corner on a tile corner": (painted((3, 3), (4, 4)), 2, 2),
    "touching by a corner on a border": (painted((3, 1), (4, 2)), 2, 2),
    "u shape whose arms meet two tiles away": (painted((slice(0, 11), 1), (slice(0, 11), 5), (10, slice(1, 6))), 1, 1),
    "everything built": (painted((slice(None), slice(None))), 1, 1),
    "self contact on a tile corner": (painted((3, 3), (4, 4), (slice(2, 5), 5), (2, slice(3, 6))), 1, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_seams_by_hand(name: str) -> None:
    scene, polygons, rings = CASES[name]
    found, _ = merged(cut(scene, 4))
    assert (len(found.owner), len(found.ring_offsets) - 1) == (polygons, rings)
    assert_same(cut(scene, 4), cut(scene, 12))


def test_no_data_and_below_threshold_are_never_built() -> None:
    tile = pieces_of_tile(np.array([[255, 124, 125], [0, 255, 255]], np.uint8), 125, 0, 0, 0)
    assert tile.pixels.tolist() == [1]
    assert tile.probability_sum.tolist() == [125]
    assert tile.borders.sides.tolist() == [NORTH | EAST]


def test_only_small_components_inside_are_sieved_before_tracing() -> None:
    scene = painted((5, 5), (slice(1, 3), slice(1, 3)), (11, 3))
    tile = pieces_of_tile(scene, 125, 0, 0, 3)
    assert sorted(tile.pixels.tolist()) == [1, 4]
    assert tile.borders.sides.tolist() == [0, SOUTH]
    assert not tile.borders.sides[0] & WEST


def test_parts_of_any_size_and_order_add_up() -> None:
    scene = painted((slice(2, 9), slice(1, 11)))
    corners = [tile.corners for tile in cut(scene, 4) if len(tile.pixels)]
    shuffled = Corners(*(np.concatenate(parts[::-1]) for parts in zip(*corners, strict=True)))
    assert united(shuffled).turn.tolist() == [1, -1, -1, 1]
