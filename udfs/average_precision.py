"""Average precision and recall of found objects, after COCO's evaluation, from counts by confidence."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU from which a found object counts as right: 0.50:0.05:0.95."""
CONFIDENCE_BINS = 1000
"""Confidences are told apart by thousandths, bins 0 to 999."""
RECALLS = np.linspace(0, 1, 101)


def average_precision(hits: Ints, found: Ints, known: int) -> float:
    """Of objects found by bin of confidence (bins,), of which `hits` are right: precision at 101 recalls, each the greatest at that recall
    or a higher one, on average (Lin et al. 2014). Objects of one bin count together. NaN where nothing is known."""
    if not known:
        return float("nan")
    right, all_found = (np.cumsum(each[::-1]) for each in (hits, found))
    some = all_found > 0
    precision = np.maximum.accumulate((right[some] / all_found[some])[::-1])[::-1]
    at = np.searchsorted(right[some] / known, RECALLS - 1e-12)
    return float(np.append(precision, 0.0)[at].mean())


def average_recall(hits: Ints, known: int) -> float:
    """Mean over IoU thresholds of the share of known objects that are found; `hits` (thresholds,)."""
    return float(np.mean(hits) / known) if known else float("nan")
