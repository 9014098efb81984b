"""SCOT on a handful of boxes, counted by hand."""

import numpy as np
import shapely

from udfs.tracking_scores import Scot, Seen, scot

A, B, C = shapely.box(0, 0, 10, 10), shapely.box(20, 0, 30, 10), shapely.box(40, 0, 50, 10)


def seen(**boxes):
    return Seen(tuple(boxes), np.array(list(boxes.values()), object))


def test_what_is_told_exactly_has_full_marks():
    series = {1: seen(a=A), 2: seen(a=A, b=B), 3: seen(a=A, b=B, c=C)}
    assert scot(series, series) == Scot(1.0, 1.0, 1.0, 0)


def test_names_that_change_are_mismatches_and_no_change():
    """b is found at all three dates, under another name at the third: one mismatch; of the two that appear, one hit at date 2, and the
    new name is a false alarm."""
    truth = {1: seen(a=A), 2: seen(a=A, b=B), 3: seen(a=A, b=B)}
    found = {1: seen(x=A), 2: seen(x=A, y=B), 3: seen(x=A, z=B)}
    tracking, change = 2 * 4 / 10, 2 * 1 / (1 + 2)
    assert scot(truth, found) == Scot(5 * change * tracking / (4 * change + tracking), tracking, change, 1)


def test_pairs_need_a_quarter_and_as_many_as_can_be_match():
    """Of two true boxes and a wide one that lies on both, either may match, the better one does; an IoU of 1/4 is none."""
    truth = {1: seen(), 2: seen(a=A, b=shapely.box(10, 0, 14, 10))}
    found = {1: truth[1], 2: seen(w=shapely.box(0, 0, 14, 10))}
    assert scot(truth, found)[1:] == (2 / 3, 2 / 3, 0)
    quarter = {1: seen(a=A), 2: seen(a=A)}, {1: seen(x=shapely.box(0, 0, 40, 10)), 2: seen(x=shapely.box(0, 0, 40, 10))}
    assert scot(*quarter).tracking == 0


def test_dates_without_truth_count_but_as_published():
    truth = {1: seen(a=A), 3: seen(a=A, b=B)}
    found = {1: seen(x=A), 2: seen(x=A, f=C), 3: seen(x=A, y=B)}
    assert scot(truth, found, as_published=True) == Scot(1.0, 1.0, 1.0, 0)
    corrected = scot(truth, found)
    assert corrected.tracking == 2 * 3 / (3 + 5) and corrected.change == 2 * 1 / (1 + 2)


def test_what_stands_at_the_first_date_of_either_series_does_not_appear():
    truth = {2: seen(a=A), 3: seen(a=A, b=B)}
    assert scot(truth, {1: seen(x=A), 2: seen(x=A), 3: seen(x=A, y=B)}).change == 1.0
