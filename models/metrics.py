"""How good a map is: pixel scores, object scores, bootstrap intervals. Numpy and shapely only."""

from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

MATCH_IOU = 0.5


class Scores(NamedTuple):
    """Shares 0-1; NaN where nothing was there to be found or nothing was found."""

    precision: float
    recall: float
    f1: float
    iou: float


class Interval(NamedTuple):
    """A value and its 95 % bootstrap bounds."""

    value: float
    lower: float
    upper: float


def scores(hits: float, false_alarms: float, misses: float) -> Scores:
    """Scores from counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.float64(hits) / (hits + false_alarms)
        recall = np.float64(hits) / (hits + misses)
        f1 = np.float64(2 * hits) / (2 * hits + false_alarms + misses)
        iou = np.float64(hits) / (hits + false_alarms + misses)
    return Scores(float(precision), float(recall), float(f1), float(iou))


def pixel_counts(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Hits, false alarms and misses of arrays of one shape."""
    return np.array([(predicted & truth & valid).sum(), (predicted & ~truth & valid).sum(), (~predicted & truth & valid).sum()], np.int64)


def matched_objects(predicted: NDArray[np.object_], truth: NDArray[np.object_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which predicted and which true polygons have a partner: greedily by falling IoU, from 0.5 up, each used once (SpaceNet's rule)."""
    found, known = np.zeros(len(predicted), bool), np.zeros(len(truth), bool)
    if not len(predicted) or not len(truth):
        return found, known
    here, there = shapely.STRtree(truth).query(predicted, predicate="intersects")
    common = shapely.area(shapely.intersection(predicted[here], truth[there]))
    iou = common / (shapely.area(predicted[here]) + shapely.area(truth[there]) - common)
    for pair in np.lexsort((there, here, -iou)):
        first, second = here[pair], there[pair]
        if iou[pair] >= MATCH_IOU and not found[first] and not known[second]:
            found[first] = known[second] = True
    return found, known


def object_counts(predicted: NDArray[np.object_], truth: NDArray[np.object_]) -> NDArray[np.int64]:
    """Hits, false alarms and misses of polygons in one CRS, matched at IoU 0.5."""
    found, known = matched_objects(predicted, truth)
    return np.array([found.sum(), (~found).sum(), (~known).sum()], np.int64)


def bootstrap_f1(counts: NDArray[np.int64], seed: int, draws: int = 2000) -> Interval:
    """F1 of summed counts (n, 3), with bounds from drawing the n rows (blocks of ground, or objects) with replacement."""
    drawn = np.random.default_rng(seed).integers(0, len(counts), (draws, len(counts)))
    values = np.array([scores(*counts[rows].sum(0)).f1 for rows in drawn])
    lower, upper = np.nanquantile(values, [0.025, 0.975])
    return Interval(scores(*counts.sum(0)).f1, float(lower), float(upper))


def bootstrap_difference(one: NDArray[np.int64], other: NDArray[np.int64], seed: int, draws: int = 2000) -> Interval:
    """F1 of `other` less that of `one`, both (n, 3) over the same n blocks or objects, which are drawn together: a paired bootstrap."""
    drawn = np.random.default_rng(seed).integers(0, len(one), (draws, len(one)))
    values = np.array([scores(*other[rows].sum(0)).f1 - scores(*one[rows].sum(0)).f1 for rows in drawn])
    lower, upper = np.nanquantile(values, [0.025, 0.975])
    return Interval(scores(*other.sum(0)).f1 - scores(*one.sum(0)).f1, float(lower), float(upper))


def block_counts(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Pixel counts (n, 3) of each square block of a map (height, width): what a bootstrap of ground draws from."""
    rows, cols = (range(0, size, side) for size in truth.shape)
    squares = [np.s_[row : row + side, col : col + side] for row in rows for col in cols]
    return np.array([pixel_counts(predicted[square], truth[square], valid[square]) for square in squares])


def threshold_of_best_f1(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The threshold, of 0.02 to 0.98 by 0.01, with the highest F1; arrays (n,)."""
    candidates = np.arange(2, 99) / 100
    built = np.histogram(probabilities[labels], [*candidates, np.inf])[0][::-1].cumsum()[::-1]
    other = np.histogram(probabilities[~labels], [*candidates, np.inf])[0][::-1].cumsum()[::-1]
    f1 = 2 * built / (built + other + labels.sum())
    return float(candidates[int(np.argmax(f1))])


def threshold_of_equal_area(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The threshold above which as many pixels lie as are labelled; arrays (n,). Kept within 0.05-0.95."""
    return float(np.clip(np.quantile(probabilities, 1 - labels.mean()), 0.05, 0.95))
