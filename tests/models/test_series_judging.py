"""Ways to tell change, judged alike: pairs of dates that show a pixel in turn, whatever hides the dates between."""

from itertools import pairwise

import numpy as np
import pytest

from models.change_integration import edges_of
from models.series import ImageSeries
from models.series_judging import answer_figures, better_by, first_and_last, index_states, of_pairs, of_states, thinned, with_missing
from models.series_training import Said

RANDOM = np.random.default_rng(8)
SHAPE = (5, 70, 90)
SEEN = RANDOM.random(SHAPE) < 0.6
TRUTH = RANDOM.random(SHAPE) < 0.5


def series_of_truth() -> ImageSeries:
    values = np.where(SEEN[:, None], RANDOM.normal(0.3, 0.1, (5, 3, *SHAPE[1:])), np.nan).astype(np.float16)
    days = 736_000 + 365 * np.arange(5)
    return ImageSeries("drawn", "judge", 1.0, days, values, (TRUTH * 250).astype(np.uint8), np.full(SHAPE, 10, np.uint8))


def pixel_by_pixel(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Changes from the date before that shows the pixel, and from the first to the last."""
    changes, ends = np.zeros((4, *SHAPE[1:]), bool), np.zeros((1, *SHAPE[1:]), bool)
    for y, x in np.ndindex(*SHAPE[1:]):
        dates = np.flatnonzero(SEEN[:, y, x])
        for before, after in pairwise(dates):
            changes[after - 1, y, x] = states[before, y, x] != states[after, y, x]
        ends[0, y, x] = len(dates) > 1 and states[dates[0], y, x] != states[dates[-1], y, x]
    return changes, ends


def test_states_and_pairs_tell_changes_between_dates_that_show_a_pixel_in_turn() -> None:
    changes, ends = pixel_by_pixel(TRUTH)
    from_states = of_states(TRUTH, SEEN)
    edges = edges_of("dense", 5)
    said = np.stack([np.where(TRUTH[one] != TRUTH[other], 200, 40) for one, other in edges]).astype(np.uint8)
    from_pairs = of_pairs(Said(np.zeros(SHAPE, np.uint8), said, edges), SEEN, 0.5)
    for answer in (from_states, from_pairs):
        np.testing.assert_array_equal(answer.changes, changes)
        np.testing.assert_array_equal(answer.first_last, ends)
    assert not of_pairs(Said(np.zeros(SHAPE, np.uint8), said, edges), SEEN, 0.9).changes.any()


def test_who_tells_all_is_better_than_who_tells_half_by_what_is_lacking() -> None:
    series = series_of_truth()
    half = np.where(RANDOM.random(SHAPE[1:]) < 0.5, TRUTH, TRUTH[0])
    answers = [{"network": of_states(TRUTH, SEEN), "half": of_states(half, SEEN), "none": of_states(TRUTH[[0] * 5], SEEN)}]
    figures = answer_figures(answers, [series], 3)
    assert figures["change_f1_network"] == 1 and figures["change_first_last_f1_network"] == 1
    assert 0.6 < figures["change_f1_half"] < 0.73 and figures["change_f1_none"] == 0
    better = better_by(answers, [series], "network", ["half", "none"], 3)
    assert better["better_than_half_by"] == pytest.approx(1 - figures["change_f1_half"])
    assert better["better_than_half_by_lower"] < better["better_than_half_by"] < better["better_than_half_by_upper"]


def test_fewer_dates_keep_both_ends_and_what_is_missing_is_drawn_by_its_share() -> None:
    series = series_of_truth()
    assert thinned(series, 3).days.tolist() == [736_000, 736_730, 737_460]
    large = series._replace(
        values=np.zeros((5, 1, 1280, 1280), np.float16),
        labels=np.zeros((5, 1280, 1280), np.uint8),
        weights=np.full((5, 1280, 1280), 10, np.uint8),
    )
    hidden = ~with_missing(large, 0.4, 2).known
    assert 0.35 < hidden.mean() < 0.45 and not np.array_equal(hidden[0], hidden[1])
    np.testing.assert_array_equal(hidden, ~with_missing(large, 0.4, 2).known)


def test_the_index_calls_bright_short_wave_built() -> None:
    built = np.kron(RANDOM.random((7, 9)) < 0.4, np.ones((10, 10))) > 0
    bands = np.stack([np.where(built, 0.2, 0.05), np.where(built, 0.22, 0.4), np.where(built, 0.3, 0.2)])[None].repeat(5, 0)
    series = series_of_truth()._replace(values=np.where(SEEN[:, None], bands, np.nan).astype(np.float16))
    np.testing.assert_array_equal(index_states(series, (0, 1, 2)), SEEN & built)


def test_the_ends_of_a_pixel_that_one_date_shows_are_not_two() -> None:
    seen = np.zeros((3, 1, 2), bool)
    seen[1, 0, 0], seen[[0, 2], 0, 1] = True, True
    _, told = first_and_last(np.ones((3, 1, 2), bool), seen)
    assert told.tolist() == [[[False, True]]] * 2
