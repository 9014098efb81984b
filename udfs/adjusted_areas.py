"""Built-up area of units, set right by what a reference sample says of the map.

Of the ground that the map calls built-up a share `users` is (user's accuracy), of the rest a share `omitted`; a unit has
A = built users + (valid - built) omitted. Both shares are ratios of stratified means (udfs/accuracy.py); their covariance is that of the
means of their residuals. Source: Olofsson et al. 2014, Remote Sensing of Environment 148:42, for the whole ground; that the shares hold in
each unit of it is an assumption (a synthetic estimate: Rao and Molina 2015, Small area estimation, 3.2).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from conf.errors import InputError
from udfs.accuracy import LEVEL, Sample, mean_of, ratio, variance_of

Doubles = NDArray[np.float64]
Z = float(norm.ppf(0.5 + LEVEL / 2))
ADJUSTED_DDL = (
    "unit_id string, epoch string, built_m2 double, adjusted_m2 double, lower_m2 double, upper_m2 double, users double, omitted double"
)


class Rates(NamedTuple):
    """Shares of ground that is built-up, where the map says so and elsewhere; variances of both, and their covariance."""

    users: float
    omitted: float
    users_variance: float
    omitted_variance: float
    covariance: float


def rates_of(sample: Sample) -> Rates:
    """Raises InputError where no point lies on one of the map's two classes."""
    built, other = sample.mapped.astype(np.float64), (~sample.mapped).astype(np.float64)
    for name, on in (("built-up", built), ("not built-up", other)):
        if not on.any():
            raise InputError(f"no point of the sample lies where the map says {name}; draw more points (reference_sample.points)")
    (users, of_users), (omitted, of_omitted) = _ratio(sample, built), _ratio(sample, other)
    variance, elsewhere = variance_of(sample, of_users), variance_of(sample, of_omitted)
    covariance = (variance_of(sample, of_users + of_omitted) - variance - elsewhere) / 2
    return Rates(users, omitted, variance or _unseen(sample, sample.mapped), elsewhere or _unseen(sample, ~sample.mapped), covariance)


def _unseen(sample: Sample, on: NDArray[np.bool_]) -> float:
    """Variance of a share that all points agree on, by the farther of Wilson's bounds: few right answers do not prove a perfect map."""
    value, lower, upper = ratio(sample, (sample.reference & on).astype(np.int64), on.astype(np.int64))
    return float((max(value - lower, upper - value) / Z) ** 2)


def _ratio(sample: Sample, on: Doubles) -> tuple[float, Doubles]:
    """Share of built-up ground of that with `on`, and each point's residual."""
    size = mean_of(sample, on)
    share = mean_of(sample, on * sample.reference) / size
    return share, on * (sample.reference - share) / size


def adjusted(built_m2: Doubles, valid_m2: Doubles, rates: Rates) -> Doubles:
    """(3, units) adjusted area, m2, and its 95 % bounds by a normal, inside 0 and `valid_m2`."""
    rest = valid_m2 - built_m2
    area = built_m2 * rates.users + rest * rates.omitted
    variance = built_m2**2 * rates.users_variance + rest**2 * rates.omitted_variance + 2 * built_m2 * rest * rates.covariance
    half = Z * np.sqrt(variance.clip(min=0))
    return np.stack([area, (area - half).clip(min=0), np.maximum(np.minimum(area + half, valid_m2), area)])


def adjusted_batches(frames: Iterable[pd.DataFrame], rates: Rates) -> Iterator[pd.DataFrame]:
    """Shell: rows unit_id, epoch, built_m2, valid_m2 to rows of ADJUSTED_DDL."""
    for frame in frames:
        area, lower, upper = adjusted(frame["built_m2"].to_numpy(np.float64), frame["valid_m2"].to_numpy(np.float64), rates)
        columns = {"adjusted_m2": area, "lower_m2": lower, "upper_m2": upper, "users": rates.users, "omitted": rates.omitted}
        yield frame.drop(columns="valid_m2").assign(**columns)
