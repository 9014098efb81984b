"""Formulas of SDG 11.3.1 on arrays. A value that the formula does not define is NaN, never infinite."""

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.regimes import REGIMES, STEP_TOLERANCE, ZERO_RATE

Values = NDArray[np.float64]


class Pair(NamedTuple):
    """Start and end of periods, arrays of one shape: built-up area (m2), people, length (years). NaN: not known."""

    built_start: Values
    built_end: Values
    people_start: Values
    people_end: Values
    years: Values


def years_between(start: dt.date, end: dt.date) -> float:
    """Whole years from anniversary to anniversary, the rest as a share of its own year: ten years are 10, leap days or not."""
    whole = end.year - start.year
    whole -= _anniversary(start, start.year + whole) > end
    last, following = _anniversary(start, start.year + whole), _anniversary(start, start.year + whole + 1)
    return whole + (end - last).days / (following - last).days


def _anniversary(day: dt.date, year: int) -> dt.date:
    leap_day = (day.month, day.day) == (2, 29)
    return dt.date(year, 2, 28) if leap_day and not _is_leap(year) else day.replace(year=year)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def built_change(pair: Pair) -> Values:
    """(V2 - V1) / V1, a share. UN-Habitat metadata 11.3.1, secondary indicator."""
    return _quotient(pair.built_end - pair.built_start, pair.built_start)


def land_consumption(pair: Pair) -> Values:
    """(V2 - V1) / V1 / T, per year. UN-Habitat metadata 11.3.1, 2021 revision."""
    return _quotient(built_change(pair), pair.years)


def land_consumption_ln(pair: Pair) -> Values:
    """ln(V2 / V1) / T, per year. UN-Habitat metadata 11.3.1 before 2021."""
    return _quotient(_log_growth(pair.built_start, pair.built_end), pair.years)


def population_growth(pair: Pair) -> Values:
    """ln(P2 / P1) / T, per year. UN-Habitat metadata 11.3.1. Exactly 0 where it is below ZERO_RATE."""
    rate = _quotient(_log_growth(pair.people_start, pair.people_end), pair.years)
    return np.where(np.abs(rate) < ZERO_RATE, 0.0, rate)


def lcrpgr(pair: Pair) -> Values:
    """Land consumption rate (un-2021) over population growth rate, without unit."""
    return _quotient(land_consumption(pair), population_growth(pair))


def lcrpgr_ln(pair: Pair) -> Values:
    """Land consumption rate (ln-legacy) over population growth rate, without unit."""
    return _quotient(land_consumption_ln(pair), population_growth(pair))


def built_per_person(pair: Pair) -> Values:
    """V2 / P2, m2 per resident. UN-Habitat metadata 11.3.1, secondary indicator."""
    return _quotient(pair.built_end, pair.people_end)


FORMULAS: dict[tuple[str, str], Callable[[Pair], Values]] = {
    ("11.3.1-lcr", "un-2021"): land_consumption,
    ("11.3.1-lcr", "ln-legacy"): land_consumption_ln,
    ("11.3.1-pgr", "pgr"): population_growth,
    ("11.3.1", "un-2021"): lcrpgr,
    ("11.3.1", "ln-legacy"): lcrpgr_ln,
    ("11.3.1-built-per-person", "built-per-person"): built_per_person,
    ("11.3.1-change", "change"): built_change,
}
"""Function of each declaration of conf/indicators.py, by indicator and formula."""

LAND_RATES: dict[str, Callable[[Pair], Values]] = {"un-2021": land_consumption, "ln-legacy": land_consumption_ln}


def regimes(lcr: Values, pgr: Values) -> NDArray[np.object_]:
    """Regime R1-R17 of each pair of yearly rates (n,); None where either is NaN. Zero rates have a regime, though no ratio."""
    known = np.isfinite(lcr) & np.isfinite(pgr)
    land, people = _sign(lcr), _sign(pgr)
    distance = np.abs(_quotient(lcr, pgr)) - 1
    step = np.where(np.abs(distance) <= STEP_TOLERANCE, 0.0, np.sign(distance))
    step = np.where((land == 0) | (people == 0), 0.0, step)
    result = np.full(lcr.shape, None, dtype=object)
    for regime in REGIMES:
        result[known & (land == regime.land) & (people == regime.people) & (step == regime.step)] = regime.id
    return result


def _sign(rate: Values) -> Values:
    return np.where(np.abs(rate) < ZERO_RATE, 0.0, np.sign(rate))


def _quotient(above: Values, below: Values) -> Values:
    with np.errstate(all="ignore"):
        result = np.divide(above, below)
    return np.where(np.isfinite(result), result, np.nan)


def _log_growth(start: Values, end: Values) -> Values:
    with np.errstate(all="ignore"):
        result = np.log(np.divide(end, start))
    return np.where(np.isfinite(result), result, np.nan)
