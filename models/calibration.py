"""Does a probability of 0.7 come true seven times in ten? Reliability, its error, and the two numbers that mend it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.predictor import LEAST

BINS = 15
MOST_PIXELS = 200_000
"""Enough for two numbers; pixels are taken at even distances."""


class Reliability(NamedTuple):
    """Per bin of equal width that holds pixels: mean probability, share that is labelled, number of pixels."""

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    pixels: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |predicted - observed| over pixels (Guo et al. 2017, ICML, eq. 3)."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.pixels))


def reliability(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Of pixels (n,)."""
    number = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    filled = count > 0
    predicted, observed = (np.bincount(number, values, bins)[filled] / count[filled] for values in (probabilities, labels))
    return Reliability(predicted, observed, count[filled])


def fitted_calibration(probabilities: NDArray[np.float64], labels: NDArray[np.bool_]) -> dict[str, float]:
    """Slope and shift of `calibrated` that make pixels (n,) most likely (Platt 1999; without shift it is temperature scaling, slope
    1 / T). The identity where labels are all of one kind or fall as probabilities rise: no map is turned round by a few pixels."""
    from sklearn.linear_model import LogisticRegression

    step = max(1, len(labels) // MOST_PIXELS)
    taken, known = probabilities[::step], labels[::step]
    if known.all() or not known.any():
        return {"slope": 1.0, "shift": 0.0}
    fitted = LogisticRegression(C=np.inf).fit(_logit(taken)[:, None], known)  # type: ignore[no-untyped-call]
    if fitted.coef_[0, 0] <= 0:
        return {"slope": 1.0, "shift": 0.0}
    return {"slope": round(float(fitted.coef_[0, 0]), 4), "shift": round(float(fitted.intercept_[0]), 4)}


def calibrated(probabilities: NDArray[np.float64], calibration: dict[str, float]) -> NDArray[np.float64]:
    """sigmoid(slope * logit(probability) + shift)."""
    return np.asarray(1 / (1 + np.exp(-(calibration["slope"] * _logit(probabilities) + calibration["shift"]))))


def _logit(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = probabilities.clip(LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))
