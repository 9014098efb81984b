"""Rows of table `indicators` from the sums of a unit at the start and the end of a period."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from conf.indicators import INDICATORS, Indicator, Share
from conf.tables import INDICATORS as TABLE
from udfs.lcrpgr import FORMULAS, LAND_RATES, Pair, Values, population_growth, regimes
from udfs.null_reasons import Limits, Rows, Sums, Texts, is_null, null_reasons
from udfs.uncertainty import Errors, settled_bounds

PAIR_COLUMNS = (
    "unit_id", "period_start", "period_end", "years",
    "built_start", "valid_start", "total_start", "people_start", "people_year_start", "year_start",
    "built_end", "valid_end", "total_end", "people_end", "people_year_end", "year_end", "boundary", "basis",
)  # fmt: skip
"""One row is a unit x period x boundary x basis. Areas in m2, `years` long; year_* are reference dates as decimal years. A state has
period_start = period_end, the same sums twice and 0 years."""

_NUMBERS = ("value", "lower", "upper")
UNCOMPUTABLE = "the sums give no finite value"


class Period(NamedTuple):
    """Two epochs, or one twice for a state."""

    start: str
    end: str


def periods_of(epochs: list[str], rule: str) -> list[Period]:
    """Periods between epochs (names, by date): `consecutive`, `whole` (first to last), both, or `all` pairs; and each
    epoch as a state. Sorted, each once."""
    count = len(epochs)
    steps = [(i, i + 1) for i in range(count - 1)] if "consecutive" in rule else []
    whole = [(0, count - 1)] if "whole" in rule else []
    every = [(i, j) for i in range(count) for j in range(i, count)] if rule == "all" else []
    spans = sorted({*steps, *whole, *every, *((i, i) for i in range(count))})
    return [Period(epochs[i], epochs[j]) for i, j in spans]


def indicator_batches(frames: Iterator[pd.DataFrame], limits: Limits, errors: Errors) -> Iterator[pd.DataFrame]:
    """Shell: frames with PAIR_COLUMNS to frames of `indicators` (without input digest and run)."""
    for pairs in frames:
        yield indicator_rows(pairs.reset_index(drop=True), limits, errors)


def indicator_rows(pairs: pd.DataFrame, limits: Limits, errors: Errors) -> pd.DataFrame:
    """A row per unit, period and declared indicator and formula: a value, or null with a reason. Index of `pairs`: 0..n-1."""
    is_state = (pairs["period_start"] == pairs["period_end"]).to_numpy()
    parts = []
    for kind, rows in (("period", ~is_state), ("state", is_state)):
        selected = pairs[rows].reset_index(drop=True)
        sums = Sums(selected, pair_of(selected), limits)
        declared = [one for one in INDICATORS if one.kind == kind]
        told = [_values(sums, one) for one in declared]
        bounds = _bounds(sums, declared, np.any([is_null(reasons) for _, reasons in told], axis=0), errors)
        parts += [_rows_of(sums, one, *each, pair) for one, each, pair in zip(declared, told, bounds, strict=True)]
    # An empty part would make pandas guess the types of the others.
    parts = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(parts, ignore_index=True)


def pair_of(pairs: pd.DataFrame) -> Pair:
    """The quantities of the formulas. Built-up area is its share of the ground with data, times the whole unit: two epochs
    with a little less data at one of them then compare like with like."""
    return Pair(
        built_of_whole(*_areas(pairs, "start")),
        built_of_whole(*_areas(pairs, "end")),
        pairs["people_start"].to_numpy(np.float64),
        pairs["people_end"].to_numpy(np.float64),
        pairs["years"].to_numpy(np.float64),
    )


def _areas(pairs: pd.DataFrame, end: str) -> tuple[Values, ...]:
    return tuple(pairs[f"{name}_{end}"].to_numpy(np.float64) for name in ("built", "valid", "total"))


def built_of_whole(built: Values, valid: Values, total: Values) -> Values:
    """Built-up share of the ground with data, times the unit, m2; NaN without data. All are sums of unit_statistics, m2, (n,)."""
    share = np.divide(built, valid, out=np.full_like(built, np.nan), where=valid > 0)
    return np.where(valid == total, built, share * total)


def _values(sums: Sums, declared: Indicator) -> tuple[Values, Texts]:
    """What the formula gives, and why a row has no value."""
    values = FORMULAS[declared.key](sums.pair)
    reasons = null_reasons(sums, declared.needs)
    reasons[np.isnan(values) & is_null(reasons)] = UNCOMPUTABLE
    return values, reasons


def _rows_of(sums: Sums, declared: Indicator, values: Values, reasons: Texts, bounds: Values) -> pd.DataFrame:
    numbers = np.where(is_null(reasons), np.stack([values, *bounds]), np.nan)
    return table_rows(sums.pairs, declared, numbers, reasons, _regimes(sums, declared))


def table_rows(
    pairs: pd.DataFrame, declared: Indicator | Share, numbers: Values, reasons: Texts, regimes: Texts | None = None
) -> pd.DataFrame:
    """Rows of `indicators` of what is declared, for units and periods of `pairs` (n rows); `numbers` (3, n): value, bounds, NaN = null."""
    columns = {
        "unit_id": pairs["unit_id"],
        "period_start": pairs["period_start"],
        "period_end": pairs["period_end"],
        "indicator": declared.id,
        "formula_id": declared.formula_id,
        "boundary": pairs["boundary"],
        "basis": pairs["basis"],
        "disaggregation": "all",
        # Spark takes a NaN in a double column for a number; null is None.
        **{
            name: pd.Series(one, pairs.index, dtype=object).where(~np.isnan(one), None) for name, one in zip(_NUMBERS, numbers, strict=True)
        },
        "unit_of_measure": declared.unit_of_measure,
        "regime": np.full(len(pairs), None, dtype=object) if regimes is None else regimes,
        "reason": reasons,
    }
    return pd.DataFrame(columns, columns=list(TABLE.names[: len(columns)]))


def _regimes(sums: Sums, declared: Indicator) -> Texts:
    if not declared.regime:
        return np.full(len(sums.pairs), None, dtype=object)
    # Without population growth there is no ratio, but there is a regime.
    needs = tuple(need for need in declared.needs if need != "growth")
    found = regimes(LAND_RATES[declared.formula_id](sums.pair), population_growth(sums.pair))
    found[~is_null(null_reasons(sums, needs))] = None
    return found


def _bounds(sums: Sums, declared: Sequence[Indicator], known: Rows, errors: Errors) -> Values:
    """(declared, 2, n) bounds of the rows `known`; NaN where a quantity of the formula has no declared error."""
    result = np.full((len(declared), 2, len(sums.pairs)), np.nan)
    for basis, rows in sums.pairs.groupby("basis").indices.items():
        # What stays wrong from date to date is not in it, nor how a city's edge moves.
        applied = errors if basis == "built_up" and declared[0].kind == "period" else errors._replace(growth=None)
        told = [number for number, one in enumerate(declared) if _has_errors(one, applied)]
        formulas = [FORMULAS[declared[number].key] for number in told]
        for i in np.asarray(rows)[known[rows]] if told else ():
            result[told, :, i] = settled_bounds(Pair(*(values[i : i + 1] for values in sums.pair)), formulas, applied)
    return result


def _has_errors(declared: Indicator, errors: Errors) -> bool:
    return ("land" not in declared.needs or errors.of_built) and ("people" not in declared.needs or errors.of_people)
