"""How far maps of one place err from date to date, told by the maps alone: growth is smooth, what scatters about it is error."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError

Doubles = NDArray[np.float64]
LEAST = 20
"""Looks at a unit between two others: with fewer the variance itself is hardly known."""


class Scatter(NamedTuple):
    """Of a built-up area V: variance V patch_m2 + (V common_sd)^2, of patches that a map has wrong here and there, and of what it has
    too much or too little of everywhere at a date."""

    patch_m2: float
    common_sd: float = 0.0


def refusal(why: str) -> InputError:
    """That a place's maps cannot tell their errors."""
    return InputError(f"indicators.growth_errors = repeats: {why}; give patch_m2 and common_sd, or built_sd")


def scatter(years: Doubles, built_m2: Doubles, comparable: NDArray[np.bool_] | bool = True) -> Scatter:
    """Errors that differ from date to date, in the smallest units of a place.

    `years`: dates (epochs,), rising; `built_m2`: (units, epochs), NaN where not known; `comparable`: as `comparable_dates` gives it.
    Each value is held against the line between those
    before and after it (Gasser, Sroka and Jennen-Steinmetz 1986, Biometrika 73:625): those of units tell patches, those of the sum of
    all units what is left for the common part. Errors that stay from date to date are not seen: they cancel in growth. Where growth
    itself bends the variance comes out too large. Sums are exact: the same for any order of units. Raises InputError with fewer than
    LEAST values.
    """
    first, last = _shares(years)
    weights = np.stack([first**2 * built_m2[:, :-2], last**2 * built_m2[:, 2:], built_m2[:, 1:-1]])
    terms = np.stack([first * built_m2[:, :-2], last * built_m2[:, 2:], built_m2[:, 1:-1]])
    residual = terms[0] + terms[1] - terms[2]
    known = np.isfinite(residual) & (built_m2[:, 1:-1] > 0) & comparable
    if known.sum() < LEAST:
        raise refusal(f"{int(known.sum())} values of smallest units have as much data at the epochs before and after, {LEAST} are needed")
    apart, weight, own = math.fsum(residual[known] ** 2), math.fsum(weights[:, known].ravel()), math.fsum(terms[:, known].ravel() ** 2)
    together = _of_sums(residual[None], known) - apart
    common = max(together, 0.0) / max(_of_sums(terms, known) - own, math.ulp(own))
    return Scatter(max(apart - common * own, 0.0) / weight, math.sqrt(common))


def comparable_dates(valid: Doubles, most_gap: float) -> NDArray[np.bool_]:
    """(units, epochs - 2): where the share with data, `valid` (units, epochs), differs by no more than `most_gap` between a date and those
    before and after it."""
    return np.asarray(np.ptp(np.lib.stride_tricks.sliding_window_view(valid, 3, axis=1), axis=2) <= most_gap)


def _of_sums(values: Doubles, known: NDArray[np.bool_]) -> float:
    """Squares of the sums over known units, all dates together; `values` (n, units, dates)."""
    sums = [math.fsum(part[:, date][known[:, date]]) for part in values for date in range(known.shape[1])]
    return math.fsum(np.square(sums))


def _shares(years: Doubles) -> tuple[Doubles, Doubles]:
    """How much the values before and after weigh on the line between them."""
    before, after = years[1:-1] - years[:-2], years[2:] - years[1:-1]
    return after / (before + after), before / (before + after)
