"""How informal a quarter looks: drawn quarters, the measures pixel by pixel, and any cut of the work."""

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from udfs.informality import BANDS, FIXED_POINT, MEASURES, SUMS, Anchors, cell_sums, measures_of, pixel_terms, score_of

ANCHORS = Anchors((0.35, 0.1), (0.7, 0.95), (0.12, 0.03), (0.6, 0.1))


def image(seed: int, shape: tuple[int, int] = (34, 47)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.05, 0.4, (4, *shape)).astype(np.float32)


def told(values: NDArray[np.float32], known: NDArray[np.bool_] | None = None, aspect: float = 1.0) -> NDArray[np.float64]:
    """Measures of all pixels as one cell."""
    inside = values.shape[1] - 2, values.shape[2] - 2
    terms = pixel_terms(values, np.ones(inside, bool) if known is None else known, aspect)
    sums = terms.reshape(len(SUMS), -1).sum(axis=1)
    return measures_of(pd.DataFrame([sums], columns=list(SUMS)))[0]


def test_measures_are_those_written_out_pixel_by_pixel() -> None:
    values = image(1).astype(np.float64)
    ndvis, steep, swir, cosine, sine = [], [], [], 0.0, 0.0
    for y in range(1, 33):
        for x in range(1, 46):
            east, south = (values[0, y, x + 1] - values[0, y, x - 1]) / 2, (values[0, y + 1, x] - values[0, y - 1, x]) / 2
            angle = 4 * math.atan2(south, east)
            steep.append(east**2 + south**2)
            cosine, sine = cosine + steep[-1] * math.cos(angle), sine + steep[-1] * math.sin(angle)
            swir.append(((values[2, y, x + 1] - values[2, y, x - 1]) / 2) ** 2 + ((values[2, y + 1, x] - values[2, y - 1, x]) / 2) ** 2)
            ndvis.append(values[:, y, x])
    red, nir, swir1, swir2 = np.mean(ndvis, axis=0)
    expected = (nir - red) / (nir + red), swir2 / swir1, math.sqrt(np.mean(swir)) / swir1, math.hypot(cosine, sine) / sum(steep)
    assert told(image(1)) == pytest.approx(expected, rel=1e-5)


def test_streets_at_right_angles_are_aligned_however_they_lie_and_a_disc_is_not() -> None:
    y, x = np.indices((122, 122))
    disc = np.hypot(y - 60, x - 60)
    for turn in (0.0, 0.3, math.pi / 4, 1.2):
        along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        streets = 0.2 + 0.05 * np.maximum(np.sin(along / 3), np.sin(across / 4))
        assert told(np.stack([streets] * 4).astype(np.float32))[3] > 0.8
    rings = 0.2 + 0.05 * np.sin(disc / 2)
    assert told(np.stack([rings] * 4).astype(np.float32), disc[1:-1, 1:-1] < 58)[3] < 0.05


def test_pixels_twice_as_high_as_wide_have_the_directions_of_the_ground() -> None:
    y, x = np.indices((120, 240))
    ground = lambda y, x: 0.2 + 0.02 * np.sin((x + y) / 9) + 0.03 * np.sin((x - y) / 7 + 1)  # noqa: E731
    fine = np.stack([ground(y, x)] * 4).astype(np.float32)
    coarse = np.stack([ground(2 * y[:60] + 0.5, x[:60])] * 4).astype(np.float32)
    assert told(coarse, aspect=2.0)[3] == pytest.approx(told(fine)[3], abs=0.05)
    assert abs(told(coarse)[3] - told(fine)[3]) > 0.1


def test_what_has_no_data_or_a_neighbour_without_counts_for_nothing() -> None:
    values, known = image(3), np.ones((32, 45), bool)
    values[2, 10, 10], known[20:, 30:] = np.nan, False
    count = pixel_terms(values, known, 1.0)[0].sum()
    assert count == 32 * 45 - 5 - 12 * 15
    other = values.copy()
    other[:, 23:, 33:] = 9.0  # beyond the neighbours of what is known
    assert (told(values, known) == told(other, known)).all()


@pytest.mark.parametrize("cut", [(7, 16), (20, 5)])
def test_sums_of_cells_do_not_depend_on_where_the_pixels_are_cut(cut: tuple[int, int]) -> None:
    terms = pixel_terms(image(4, (42, 62)), np.ones((40, 60), bool), 1.0)
    whole = frame(terms, 103, 977)
    y, x = cut
    parts = [frame(terms[:, a:b, c:d], 103 + a, 977 + c) for a, b in ((0, y), (y, 40)) for c, d in ((0, x), (x, 60))]
    joined = pd.concat(parts).groupby(["row", "col"], as_index=False).sum()
    pd.testing.assert_frame_equal(joined[whole.columns], whole.sort_values(["row", "col"], ignore_index=True))
    assert whole[list(SUMS)].sum().tolist() == terms.sum(axis=(1, 2)).tolist()
    assert whole["pixels"].max() == 100 and whole["row"].min() == 10 and whole["col"].min() == 97


def frame(terms: NDArray[np.int64], top: int, left: int) -> pd.DataFrame:
    rows, columns, sums = cell_sums(terms, top, left, 10)
    return pd.DataFrame(sums, columns=list(SUMS)).assign(row=rows, col=columns)


def test_one_sign_against_is_enough_and_what_is_dark_has_no_score() -> None:
    measures = np.array(
        [[0.1, 0.95, 0.03, 0.1], [0.225, 0.825, 0.075, 0.35], [0.5, 0.95, 0.03, 0.1], [-1, 2, 0, 0], [0.1, 0.9, np.nan, 0.1]]
    )
    assert score_of(measures, ANCHORS)[:4] == pytest.approx([1, 0.5, 0, 1])
    assert np.isnan(score_of(measures, ANCHORS)[4])
    dark = {name: [int(FIXED_POINT)] for name in SUMS} | {"nir": [0]}
    assert np.isnan(measures_of(pd.DataFrame(dark))).all() and len(MEASURES) == len(BANDS) == 4
