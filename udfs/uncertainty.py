"""95 % bounds of indicators by Monte Carlo. Draws are seeded by the row's key: the same for any order or partitioning."""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.lcrpgr import Pair, Values

Formula = Callable[[Pair], Values]

LOWER, MEDIAN, UPPER = QUANTILES = (0.025, 0.5, 0.975)
SETTLED = 0.01
"""Draws are doubled until neither the median nor a bound moves by more than this share of the interval."""
MOST_DOUBLINGS = 4


class Errors(NamedTuple):
    """Of one epoch's built-up area and people; None: not declared. `*_sd`: relative standard deviations. `patch_m2`: variance of a built-up
    area over the area: mapping errors come in patches, so large areas err less. Correlations of each one's errors between the two epochs,
    and (`cross`) of built-up area with people. `draws`: at least."""

    built_sd: float | None = None
    people_sd: float | None = None
    built_correlation: float = 0.0
    people_correlation: float = 0.0
    draws: int = 4000
    cross_correlation: float = 0.0
    patch_m2: float | None = None

    @property
    def of_built(self) -> bool:
        return self.built_sd is not None or self.patch_m2 is not None

    @property
    def of_people(self) -> bool:
        return self.people_sd is not None


def settled_bounds(pair: Pair, formulas: Sequence[Formula], errors: Errors, key: str) -> NDArray[np.float64]:
    """(formulas, 2): lower and upper 95 % bound of one period (scalars as shape (1,)); NaN where any draw of a formula has no value."""
    values = np.empty((len(formulas), 0))
    told = np.full((len(QUANTILES), len(formulas)), np.inf)
    for doubling in range(MOST_DOUBLINGS + 1):
        drawn = drawn_pair(pair, errors._replace(draws=max(errors.draws, values.shape[1])), f"{key}\n{doubling}")
        values = np.concatenate([values, np.stack([formula(drawn) for formula in formulas])], axis=1)
        before, told = told, np.quantile(values, QUANTILES, axis=1)
        moved, width = np.abs(told - before).max(axis=0), told[-1] - told[0]
        if not (moved > SETTLED * width).any():
            break
    return np.where(np.isfinite(values).all(axis=1, keepdims=True), told[[0, -1]].T, np.nan)


def drawn_pair(pair: Pair, errors: Errors, key: str) -> Pair:
    """One period (scalars as shape (1,)) as `draws` equally likely ones: each quantity times a log-normal factor of mean 1.
    What has no declared error stays as it is."""
    normal = np.random.Generator(np.random.PCG64(_seed(key))).standard_normal((4, errors.draws))
    cross = errors.cross_correlation
    built = _factors(normal[:2], _built_sd(pair, errors), errors.built_correlation)
    people = _factors(cross * normal[:2] + np.sqrt(1 - cross**2) * normal[2:], errors.people_sd or 0.0, errors.people_correlation)
    return Pair(
        pair.built_start * built[0],
        pair.built_end * built[1],
        pair.people_start * people[0],
        pair.people_end * people[1],
        np.broadcast_to(pair.years, built[0].shape),
    )


def _built_sd(pair: Pair, errors: Errors) -> Values:
    """(2, 1) relative standard deviations at start and end."""
    built = np.stack([pair.built_start, pair.built_end])
    of_patches = np.divide(errors.patch_m2 or 0.0, built, out=np.zeros_like(built), where=built > 0)
    return np.asarray(np.sqrt((errors.built_sd or 0.0) ** 2 + of_patches))


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")


def _factors(normal: NDArray[np.float64], sd: Values | float, correlation: float) -> NDArray[np.float64]:
    """(2, draws) factors of mean 1 and relative deviation `sd`, correlated between rows on the log scale."""
    sigma = np.sqrt(np.log1p(np.square(sd)))
    second = correlation * normal[0] + np.sqrt(1 - correlation**2) * normal[1]
    return np.asarray(np.exp(sigma * np.stack([normal[0], second]) - sigma * sigma / 2))
