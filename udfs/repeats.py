"""How far maps of one place err, told by the maps alone: growth is smooth, what scatters about it from date to date is error."""

import math

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError

LEAST = 20
"""Looks at a unit between two others: with fewer the variance itself is hardly known."""


def patch_m2(years: NDArray[np.float64], built_m2: NDArray[np.float64]) -> float:
    """Variance of a built-up area over the area, m2: the size of patches that a map has wrong, as it were.

    `years`: dates (epochs,), rising; `built_m2`: (units, epochs), NaN where not known. Each value is held against the line between those
    before and after it (Gasser, Sroka and Jennen-Steinmetz 1986, Biometrika 73:625), with a variance in proportion to the area, since
    units hold many such patches. Errors that stay from date to date are not seen: they cancel in growth. Where growth itself bends the
    variance comes out too large. The sum is exact: the same for any order of units. Raises InputError with fewer than LEAST values.
    """
    before, after = years[1:-1] - years[:-2], years[2:] - years[1:-1]
    first, last = after / (before + after), before / (before + after)
    residual = first * built_m2[:, :-2] + last * built_m2[:, 2:] - built_m2[:, 1:-1]
    weight = first**2 * built_m2[:, :-2] + last**2 * built_m2[:, 2:] + built_m2[:, 1:-1]
    known = np.isfinite(residual) & (weight > 0)
    if known.sum() < LEAST:
        raise InputError(
            f"indicators.built_patch_m2 = repeats: {int(known.sum())} values of smallest units have data at the epochs before and after, "
            f"{LEAST} are needed; give a number of m2, or built_sd"
        )
    return math.fsum(residual[known] ** 2) / math.fsum(weight[known])
