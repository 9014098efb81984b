"""Does a probability of 0.7 come true seven times in ten? Reliability, its error, and the two numbers that mend it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.predictor import LEAST

BINS = 15
MOST_PIXELS = 200_000
"""Enough for two numbers; pixels are taken at even distances."""
PRIOR_SD = 0.25
"""How far slopes are thought to be from 1, and shifts from 0, before any ground is seen. Five courses, on a city and on a column of
Kampala, gave 1.30 to 1.42 and -0.25 to 0.06 without it."""
ALIKE_PX = 64 * 64
"""Pixels of one block of ground, as bootstraps draw them, err together."""


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


def fitted_calibration(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], alike_px: int = ALIKE_PX) -> dict[str, float]:
    """Slope and shift of `calibrated` that make pixels (n,) most likely (Platt 1999; without shift it is temperature scaling, slope
    1 / T), given that they are about 1 and 0, to PRIOR_SD. `alike_px` neighbours tell no more than one pixel. The identity where labels
    are all of one kind or fall as probabilities rise: no map is turned round by a few pixels."""
    from scipy.optimize import minimize

    step = max(1, len(labels) // MOST_PIXELS)
    logit, known = _logit(probabilities[::step]), labels[::step]
    if known.all() or not known.any() or np.cov(logit, known)[0, 1] <= 0:
        return {"slope": 1.0, "shift": 0.0}

    def unlikely(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        raised = line[0] * logit + line[1]
        off, usual = 1 / (1 + np.exp(-raised)) - known, line - np.array([1.0, 0.0])
        weight = step / alike_px
        loss = weight * np.sum(np.logaddexp(0, raised) - known * raised) + np.sum(usual**2) / (2 * PRIOR_SD**2)
        return loss, weight * np.array([off @ logit, off.sum()]) + usual / PRIOR_SD**2

    slope, shift = minimize(unlikely, [1.0, 0.0], jac=True, method="BFGS").x
    return {"slope": round(float(slope), 4), "shift": round(float(shift), 4)}


def calibrated(probabilities: NDArray[np.float64], calibration: dict[str, float]) -> NDArray[np.float64]:
    """sigmoid(slope * logit(probability) + shift)."""
    return np.asarray(1 / (1 + np.exp(-(calibration["slope"] * _logit(probabilities) + calibration["shift"]))))


def _logit(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = probabilities.clip(LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))
