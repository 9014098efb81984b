"""Scores, matches and thresholds against counts made by hand."""

import numpy as np
import pytest
import shapely

from models.metrics import (
    block_counts,
    bootstrap_f1,
    matched_objects,
    object_counts,
    pixel_counts,
    scores,
    threshold_of_best_f1,
    threshold_of_equal_area,
)


def test_pixel_scores_of_a_lopsided_map():
    truth = np.zeros((5, 7), bool)
    truth[0:2, 0:3] = True
    found = np.zeros((5, 7), bool)
    found[0:2, 1:6] = True
    valid = np.ones((5, 7), bool)
    valid[1, 5] = False
    assert pixel_counts(found, truth, valid).tolist() == [4, 5, 2]
    assert block_counts(found, truth, valid, 3).sum(0).tolist() == [4, 5, 2]
    assert scores(4, 5, 2) == pytest.approx((4 / 9, 4 / 6, 8 / 15, 4 / 11))
    assert np.isnan(scores(0, 0, 0).f1)


def test_each_object_is_matched_once_and_the_best_pair_first():
    truth = shapely.box([0, 20], [0, 0], [10, 30], [10, 10])
    predicted = shapely.box([0, 1, 20, 50], [0, 0, 0, 0], [7, 10, 24.9, 60], [10, 10, 10, 9])
    found, known = matched_objects(predicted, truth)
    assert found.tolist() == [False, True, False, False]
    assert known.tolist() == [True, False]
    assert object_counts(predicted, truth).tolist() == [1, 3, 1]
    assert object_counts(predicted[:0], truth).tolist() == [0, 0, 2]


def test_bootstrap_bounds_hold_the_value_and_repeat():
    counts = np.array([[9, 1, 2], [1, 5, 0], [4, 4, 4], [7, 0, 1]])
    interval = bootstrap_f1(counts, seed=4)
    assert interval.value == pytest.approx(42 / 59)
    assert interval.lower < interval.value < interval.upper
    assert interval == bootstrap_f1(counts, seed=4)


def test_thresholds_of_best_f1_and_of_equal_area():
    probabilities = np.array([0.1, 0.2, 0.31, 0.35, 0.62, 0.9])
    labels = np.array([0, 0, 1, 0, 1, 1], bool)
    candidates = np.arange(2, 99) / 100
    f1 = [2 * (labels & (probabilities >= t)).sum() / (labels.sum() + (probabilities >= t).sum()) for t in candidates]
    assert threshold_of_best_f1(probabilities, labels) == candidates[int(np.argmax(f1))]
    threshold = threshold_of_equal_area(probabilities, labels)
    assert (probabilities >= threshold).sum() == labels.sum()
