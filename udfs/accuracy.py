"""How right a map is, by points drawn from strata that need not be its classes. Every figure with a 95 % interval.

Each figure is a ratio of two means over all pixels, R = Y / X, of values y and x at the points. Of stratum h: its share W of all pixels,
n points of N pixels, variances and covariance s. Y = sum W mean(y); var R = 1 / X2 sum W2 (1 - n / N) (s2y + R2 s2x - 2 R sxy) / n.
Source: Stehman 2014, Int. J. Remote Sensing 35:4923, equations 27 and 28; F1 is 2 tp / (map + reference), one more such ratio.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from conf.errors import InputError
from udfs.interpretation import Interpreted

Whole = NDArray[np.int64]
LEVEL = 0.95


class Estimate(NamedTuple):
    """NaN where no point tells it."""

    value: float
    lower: float
    upper: float


class Sample(NamedTuple):
    """Points: stratum numbers (n,), reference and map, bool (n,). By stratum: share of all pixels (strata,), and its pixels."""

    stratum: NDArray[np.int64]
    reference: NDArray[np.bool_]
    mapped: NDArray[np.bool_]
    share: NDArray[np.float64]
    pixels: NDArray[np.int64]


def sample_of(points: pd.DataFrame, strata: pd.DataFrame) -> Sample:
    """Rows [stratum, reference, mapped] and [stratum, pixels, area_m2]; shares are of area. Raises InputError for a stratum of fewer
    than two points: it has no variance."""
    number = {name: index for index, name in enumerate(strata["stratum"])}
    counts = points["stratum"].value_counts()
    for name in number:
        if counts.get(name, 0) < 2:
            raise InputError(f"stratum {name}: {counts.get(name, 0)} points with an answer, two are the least; settle more of them")
    area = strata["area_m2"].to_numpy(float)
    return Sample(
        points["stratum"].map(number).to_numpy(np.int64), points["reference"].to_numpy(bool), points["mapped"].to_numpy(bool),
        area / area.sum(), strata["pixels"].to_numpy(np.int64),
    )  # fmt: skip


def ratio(sample: Sample, y: Whole, x: Whole) -> Estimate:
    """Y / X with 0 <= y <= x at every point, and Wilson's interval for as many simple random points as would have its variance.

    Such an interval stays inside 0-1; without any variance it is that of the points with x, so that few right answers do not prove a
    perfect map. Wilson 1927; Korn and Graubard 1998, Survey Methodology 24:193, for the effective number.
    """
    above, below = mean_of(sample, y), mean_of(sample, x)
    if below == 0:
        return Estimate(np.nan, np.nan, np.nan)
    value = min(above / below, 1.0)
    variance = variance_of(sample, y - value * x) / below**2
    spread = value * (1 - value)
    points = spread / variance if variance > 0 and spread > 0 else float(np.count_nonzero(x))
    return Estimate(value, *_wilson(value, points))


def _wilson(value: float, points: float) -> tuple[float, float]:
    z = float(norm.ppf(0.5 + LEVEL / 2))
    middle = (value + z**2 / (2 * points)) / (1 + z**2 / points)
    half = z / (1 + z**2 / points) * np.sqrt(value * (1 - value) / points + z**2 / (4 * points**2))
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def accuracy(sample: Sample) -> dict[str, Estimate]:
    """Overall accuracy; of built-up user's and producer's accuracy and F1; the share of the ground that is built-up, and that the map
    says is. All weighted by area."""
    reference, mapped = sample.reference.astype(np.int64), sample.mapped.astype(np.int64)
    both, each = reference * mapped, np.ones_like(reference)
    return {
        "overall": ratio(sample, (reference == mapped).astype(np.int64), each),
        "users": ratio(sample, both, mapped),
        "producers": ratio(sample, both, reference),
        "f1": ratio(sample, 2 * both, reference + mapped),
        "built_share": ratio(sample, reference, each),
        "mapped_share": ratio(sample, mapped, each),
    }


def error_matrix(sample: Sample) -> dict[str, float]:
    """Share of the ground of each pair of map and reference; their sum is 1."""
    names = {True: "built", False: "other"}
    return {
        f"map_{names[mapped]}_reference_{names[reference]}": mean_of(
            sample, ((sample.mapped == mapped) & (sample.reference == reference)).astype(np.int64)
        )
        for mapped in names
        for reference in names
    }


def beside_map(points: pd.DataFrame, found: Interpreted, mapped: pd.Series) -> pd.DataFrame:
    """Rows [stratum, reference, mapped] by point_id, null where there is no answer or no map data."""
    return pd.concat({"stratum": points.set_index("point_id")["stratum"], "reference": found.built, "mapped": mapped}, axis=1)


def judged(points: pd.DataFrame, strata: pd.DataFrame, found: Interpreted, mapped: pd.Series) -> dict[str, float]:
    """Figures of a map (bool by point_id) at points [point_id, stratum], area in km2: values, `_lower` and `_upper` bounds, the error
    matrix, points without map data, and F1 if the map were wrong at each point that was left out. What no point tells is absent."""
    told = beside_map(points, found, mapped)
    sample = sample_of(told.dropna(), strata)
    figures: dict[str, float] = error_matrix(sample) | {"no_map_data": int(told["mapped"].isna().sum())}
    for name, estimate in accuracy(sample).items():
        figures |= {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
    km2 = float(strata["area_m2"].sum()) / 1e6
    figures |= {name.replace("share", "km2"): value * km2 for name, value in figures.items() if "_share" in name}
    worst = told.assign(reference=told["reference"].where(told["reference"].notna(), ~told["mapped"].astype("boolean")))
    figures |= {"f1_if_left_out_are_wrong": accuracy(sample_of(worst.dropna(), strata))["f1"].value}
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def mean_of(sample: Sample, values: Whole | NDArray[np.float64]) -> float:
    """Over all pixels."""
    counts = np.bincount(sample.stratum, minlength=len(sample.share))
    return float((sample.share * np.bincount(sample.stratum, values, len(sample.share)) / counts).sum())


def variance_of(sample: Sample, residual: NDArray[np.float64]) -> float:
    """Of the mean of a value: the ratio's residual y - R x has s2y + R2 s2x - 2 R sxy as its variance."""
    total = 0.0
    for number, (share, pixels) in enumerate(zip(sample.share, sample.pixels, strict=True)):
        values = residual[sample.stratum == number]
        total += share**2 * (1 - len(values) / pixels) * values.var(ddof=1) / len(values)
    return total
