"""Figures of a series of four dates and a row of six pixels, counted by hand."""

import numpy as np
import pytest

from models.change_metrics import change_block_counts, change_figures, shown_changes

DAYS = [0, 365, 730, 1826]
TRUTH = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 1]], bool).T[:, None, :]
FOUND = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 0]], bool).T[:, None, :]
KNOWN = np.ones(TRUTH.shape, bool)
KNOWN[2, 0, 5] = False


def test_figures_by_hand():
    figures = change_figures(FOUND, TRUTH, KNOWN, DAYS)
    # States, by pixel: 4 hits; 2 false alarms; 2 hits, a miss; a hit; 2 hits, 2 false alarms; of the sixth, at three dates, a false alarm,
    # a hit, a miss.
    assert figures.segmentation == pytest.approx(2 * 10 / (2 * 10 + 5 + 2))
    assert figures.segmentation_first_last == pytest.approx(2 * 5 / (2 * 5 + 4))
    # Changes: pixel 2 has three false alarms; 3 a false alarm and a miss; 4 a hit; 5 a miss.
    assert figures.change == pytest.approx(2 * 1 / (2 * 1 + 4 + 2))
    assert figures.change_first_last == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    # Appear once in both: pixel 3, a year late, and pixel 4, in time.
    assert figures.date_error_days == pytest.approx(365 / 2)
    assert figures.flicker == pytest.approx(2 / 5)


def test_counts_of_blocks_add_up_to_all():
    # The sixth pixel appears unseen by ours, and its last turn is from the second date, past the one that hides it.
    (found, told), (truth, _) = (shown_changes(states, KNOWN) for states in (FOUND, TRUTH))
    assert change_block_counts(found, truth, told, 2).tolist() == [[0, 3, 0], [1, 1, 1], [0, 1, 2]]


def test_nothing_to_be_found_is_no_figure():
    none = np.zeros((3, 2, 2), bool)
    figures = change_figures(none, none, ~none, [0, 1, 2])
    assert np.isnan(figures.change) and np.isnan(figures.date_error_days) and figures.flicker == 0
