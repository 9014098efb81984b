"""95 % bounds of indicators by Monte Carlo. Draws are seeded by the row's key: the same for any order or partitioning."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.lcrpgr import Pair, Values

BOUNDS = (0.025, 0.975)


class Errors(NamedTuple):
    """Relative standard deviations of one epoch's built-up area and people (None: not declared), and the correlation
    of each one's errors between the two epochs."""

    built_sd: float | None
    people_sd: float | None
    built_correlation: float
    people_correlation: float
    draws: int


def drawn_pair(pair: Pair, errors: Errors, key: str) -> Pair:
    """One period (scalars as shape (1,)) as `draws` equally likely ones: each quantity times a log-normal factor of mean 1.
    What has no declared error stays as it is."""
    normal = np.random.Generator(np.random.PCG64(_seed(key))).standard_normal((4, errors.draws))
    built = _factors(normal[:2], errors.built_sd, errors.built_correlation)
    people = _factors(normal[2:], errors.people_sd, errors.people_correlation)
    return Pair(
        pair.built_start * built[0],
        pair.built_end * built[1],
        pair.people_start * people[0],
        pair.people_end * people[1],
        np.broadcast_to(pair.years, built[0].shape),
    )


def bounds(formula: Callable[[Pair], Values], drawn: Pair) -> tuple[float, float]:
    """Lower and upper 95 % bound of a formula over draws; NaN where any draw has no value."""
    values = formula(drawn)
    if not np.isfinite(values).all():
        return np.nan, np.nan
    lower, upper = np.quantile(values, BOUNDS)
    return float(lower), float(upper)


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")


def _factors(normal: NDArray[np.float64], sd: float | None, correlation: float) -> NDArray[np.float64]:
    """(2, draws) factors of mean 1 and relative deviation `sd`, correlated between rows on the log scale."""
    if sd is None:
        return np.ones_like(normal)
    sigma = np.sqrt(np.log1p(sd * sd))
    second = correlation * normal[0] + np.sqrt(1 - correlation**2) * normal[1]
    return np.asarray(np.exp(sigma * np.stack([normal[0], second]) - sigma * sigma / 2))
