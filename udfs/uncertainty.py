"""95 % bounds of indicators by Monte Carlo, with Sobol's points in place of random ones: fewer settle, and all rows share them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, qmc

from udfs.lcrpgr import Pair, Values
from udfs.repeats import Scatter

Formula = Callable[[Pair], Values]

QUANTILES = (0.025, 0.5, 0.975)
SETTLED = 0.01
"""Draws are doubled until neither the median nor a bound moves by more than this share of the interval."""
MOST_DRAWS = 1 << 17
"""No more by doubling: of that many the bounds of a tail that never settles are known to 1 %, in 4 MB."""


class Errors(NamedTuple):
    """Of one epoch's built-up area and people; None: not declared. `*_sd`: relative standard deviations. `growth`: of built-up area, what
    differs from date to date; for growth alone. Correlations: of the errors that `*_sd` tell between the two epochs; `cross`: of all errors
    of built-up area with those of people at the same date. `draws`: at least; the next power of two."""

    built_sd: float | None = None
    people_sd: float | None = None
    built_correlation: float = 0.0
    people_correlation: float = 0.0
    draws: int = 2048
    cross_correlation: float = 0.0
    growth: Scatter | None = None

    @property
    def of_built(self) -> bool:
        return self.built_sd is not None or self.growth is not None

    @property
    def of_people(self) -> bool:
        return self.people_sd is not None


def most_cross_correlation(built: float, people: float) -> float:
    """What the errors of built-up area and people can have in common at both dates, at most: quantities that keep their errors from date
    to date to another degree cannot have the same ones."""
    return float(np.sqrt((1 + built) * (1 + people)) + np.sqrt((1 - built) * (1 - people))) / 2


def settled_bounds(pair: Pair, formulas: Sequence[Formula], errors: Errors) -> NDArray[np.float64]:
    """(formulas, 2): lower and upper 95 % bound of one period (scalars as shape (1,)); NaN where any draw of a formula has no value."""
    count = 1 << (errors.draws - 1).bit_length()
    values = np.empty((len(formulas), 0))
    told = np.full((len(QUANTILES), len(formulas)), np.inf)
    while True:
        drawn = drawn_pair(pair, errors, _normals(count)[:, values.shape[1] :])
        values = np.concatenate([values, np.stack([formula(drawn) for formula in formulas])], axis=1)
        before, told = told, np.quantile(values, QUANTILES, axis=1)
        moved, width = np.abs(told - before).max(axis=0), told[-1] - told[0]
        if count >= MOST_DRAWS or not (moved > SETTLED * width).any():
            return np.where(np.isfinite(values).all(axis=1, keepdims=True), told[[0, -1]].T, np.nan)
        count *= 2


@cache
def _normals(count: int) -> NDArray[np.float64]:
    """(4, count) normal deviates at the first of Sobol's points, scrambled (Owen 1998): of more the first are the same."""
    points = qmc.Sobol(4, scramble=True, rng=np.random.default_rng(0)).random(count)
    return np.asarray(norm.ppf(np.clip(points, 1e-12, 1 - 1e-12)).T)


def drawn_pair(pair: Pair, errors: Errors, normal: NDArray[np.float64]) -> Pair:
    """One period (scalars as shape (1,)) as equally likely ones, one for each of `normal` (4, draws): each quantity times a log-normal
    factor of mean 1. What has no declared error stays as it is; an area of 0 is NaN: no relative error tells how much is missed."""
    sigma, kept = _built_sigma(pair, errors)
    mixed = errors.cross_correlation / most_cross_correlation(kept, errors.people_correlation)
    built = _factors(normal[:2], sigma, kept)
    of_people = np.full((2, 1), np.sqrt(np.log1p((errors.people_sd or 0.0) ** 2)))
    people = _factors(mixed * normal[:2] + np.sqrt(max(1 - mixed**2, 0.0)) * normal[2:], of_people, errors.people_correlation)
    return Pair(
        pair.built_start * built[0],
        pair.built_end * built[1],
        pair.people_start * people[0],
        pair.people_end * people[1],
        np.broadcast_to(pair.years, built[0].shape),
    )


def _built_sigma(pair: Pair, errors: Errors) -> tuple[Values, float]:
    """(2, 1) deviations of ln(built-up area) at start and end, and their correlation: growth's errors have none."""
    area = np.stack([pair.built_start, pair.built_end])
    growth = errors.growth or Scatter(0.0)
    of_patches = np.divide(growth.patch_m2, area, out=np.full_like(area, np.nan), where=area > 0)
    kept, changing = np.log1p((errors.built_sd or 0.0) ** 2), np.log1p(growth.common_sd**2 + of_patches)
    sigma = np.sqrt(kept + changing)
    share = kept / np.prod(sigma) if kept else 0.0
    return np.asarray(sigma), errors.built_correlation * float(np.nan_to_num(share))


def _factors(normal: NDArray[np.float64], sigma: Values, correlation: float) -> NDArray[np.float64]:
    """(2, draws) factors of mean 1, of deviations `sigma` (2, 1) and correlated between rows on the log scale; rows of `normal` tell what
    both dates have in common and how they differ."""
    common, apart = np.sqrt((1 + correlation) / 2) * normal[0], np.sqrt((1 - correlation) / 2) * normal[1]
    return np.asarray(np.exp(sigma * np.stack([common + apart, common - apart]) - sigma * sigma / 2))
