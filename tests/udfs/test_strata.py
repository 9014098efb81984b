"""Strata of hand-made images: Otsu against exhaustive search, edges where both classes meet, allocation by Neyman."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.strata import (
    EXPECTED,
    INDEX_BINS,
    STRATA,
    WET_BINS,
    Binned,
    Cuts,
    allocated,
    binned,
    built_index,
    counted,
    cuts_of,
    otsu,
    stratified,
)

NAN = np.float32(np.nan)


def bands(**values: list[list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(rows, np.float32) for name, rows in values.items()}


@given(st.lists(st.integers(0, 40), min_size=2, max_size=30).filter(lambda counts: sum(map(bool, counts)) >= 2))
def test_otsu_leaves_least_variance_inside_the_classes(counts: list[int]) -> None:
    values = np.repeat(np.arange(len(counts)), counts)

    def within(cut: int) -> float:
        parts = [values[values < cut], values[values >= cut]]
        return sum(len(part) * part.var() for part in parts if len(part))

    found = otsu(np.array(counts))
    assert (values < found).any() and (values >= found).any()
    assert within(found) == pytest.approx(min(within(cut) for cut in range(1, len(counts))), abs=1e-6)


def test_indices_by_hand_and_unknown_where_a_band_is() -> None:
    image = bands(green=[[0.1, 0.1, NAN]], red=[[0.1, NAN, 0.1]], nir=[[0.3, 0.3, 0.3]], swir1=[[0.2, 0.2, 0.2]])
    np.testing.assert_allclose(built_index(image, "ndbi_ndvi"), [[-0.2 - 0.5, np.nan, -0.7]], rtol=1e-6)
    np.testing.assert_allclose(built_index(image, "ndvi"), [[-0.5, np.nan, -0.5]], rtol=1e-6)
    found = binned(image, "ndbi_ndvi")
    np.testing.assert_array_equal(found.built, [[int((2 - 0.7) * INDEX_BINS / 4), -1, int((2 - 0.7) * INDEX_BINS / 4)]])
    np.testing.assert_array_equal(found.wet, [[int((1 - 1 / 3) * WET_BINS / 2)] * 2 + [-1]])
    counts = counted(found, np.array([[True, True, True]]))
    assert counts.sum() == 1 and counts.reshape(INDEX_BINS, WET_BINS)[332, 42] == 1
    assert counted(found, np.array([[False, True, True]])).sum() == 0


def test_wetness_is_cut_among_what_looks_built() -> None:
    joint = np.zeros((INDEX_BINS, WET_BINS), np.int64)
    joint[100, 120], joint[600, 20], joint[600, 90] = 500, 300, 100
    cuts = cuts_of(joint.ravel())
    assert 100 < cuts.built <= 600 and 20 < cuts.wet <= 90


def test_strata_of_a_picture_without_symmetry() -> None:
    """V, D, W: not like built, dry, wet; ?: no data, which makes no edge."""
    rows = ["VVVVDDDD", "VVVVDDDD", "VVVVVDDD", "V???VVVV", "W???VVVV", "WWWVVVVV"]
    built = np.array([[{"V": 1, "D": 5, "W": 5, "?": -1}[c] for c in row] for row in rows])
    wet = np.array([[{"V": 9, "D": 1, "W": 9, "?": 9}[c] for c in row] for row in rows])
    found = stratified(Binned(built, wet), Cuts(5, 5))
    v, e, d, w = (STRATA.index(name) for name in ("vegetation", "edge", "dry", "wet"))
    np.testing.assert_array_equal(found, [[v, v, e, e, e, d], [v, v, e, e, e, e], [-1, -1, -1, e, e, e], [-1, -1, -1, v, v, v]])
    assert w not in found  # the wet corner is all edge or margin
    wide = stratified(Binned(np.full((3, 3), 7), np.full((3, 3), 8)), Cuts(5, 5))
    np.testing.assert_array_equal(wide, [[w]])


def test_allocation_is_neyman_s_but_for_the_least() -> None:
    pixels = {"vegetation": 700_000, "edge": 200_000, "dry": 99_990, "wet": 10}
    given_ = allocated(pixels, 200, 20)
    assert given_["wet"] == 10 and sum(given_.values()) == 200
    spread = {name: pixels[name] * (EXPECTED[name] * (1 - EXPECTED[name])) ** 0.5 for name in ("vegetation", "edge", "dry")}
    for name, weight in spread.items():
        assert given_[name] == pytest.approx(190 * weight / sum(spread.values()), abs=1)
    assert allocated({"edge": 5, "dry": 0}, 200, 20) == {"edge": 5}
