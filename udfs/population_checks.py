"""Counts that may be of another definition, or wrong: said beside them, never changed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

CHILDREN_DIFFER = 0.005
"""Of a unit's own count: what its children have together may differ by less (rounding, people without a place)."""
RATE_APART, SCATTERS_APART, LEAST_UNITS = 0.05, 5.0, 8
"""A unit's growth a year is odd if it is this far from the middle one, and this many robust standard deviations, of as many units."""
RATE_OF_ALL = 0.05
"""No country grows or shrinks faster for years; where the middle unit does, the counts are of different people."""
COPIED = 1000
"""From so many on, the same number in two years is no chance."""
MAD_TO_SD = 1.4826


def count_notes(counts: pd.DataFrame, parent_of: Mapping[str, str | None]) -> pd.Series:
    """What is odd about each of the rows unit_id, year, people; None where nothing is. Index as `counts`."""
    notes = [*_children_differ(counts, parent_of), *_odd_growth(counts)]
    told = pd.DataFrame(notes, columns=["unit_id", "year", "note"]).groupby(["unit_id", "year"], sort=False)["note"].agg("; ".join)
    keys = pd.MultiIndex.from_frame(counts[["unit_id", "year"]])
    return pd.Series(told.reindex(keys).to_numpy(), counts.index, dtype=object).map(lambda note: note if isinstance(note, str) else None)


def year_notes(counts: pd.DataFrame) -> list[str]:
    """What is odd about whole years: units that others have counts of, growth that no country has."""
    units, told = counts["unit_id"].nunique(), []
    for year, rows in counts.groupby("year"):
        if len(rows) < units:
            told.append(f"{year}: {units - len(rows)} of {units} units have no count, but have one in another year")
    for (before, last), rows in _growth(counts).groupby(["before", "year"]):
        middle = float(rows["rate"].median())
        if len(rows) >= LEAST_UNITS and abs(middle) > RATE_OF_ALL:
            told.append(f"{last}: the middle unit has grown by {middle:.1%} a year since {before}; are both counts of the same people?")
    return told


def _children_differ(counts: pd.DataFrame, parent_of: Mapping[str, str | None]) -> list[tuple[str, int, str]]:
    """Units whose children all have a count in a year."""
    children = pd.Series(parent_of, dtype=object).dropna().value_counts()
    parts = counts.assign(parent=counts["unit_id"].map(parent_of)).dropna(subset=["parent"]).groupby(["parent", "year"])["people"]
    sums = parts.agg(["sum", "size"]).reset_index().rename(columns={"parent": "unit_id"})
    both = counts.merge(sums[sums["size"] == sums["unit_id"].map(children)], on=["unit_id", "year"])
    odd = both[(both["sum"] - both["people"]).abs() > CHILDREN_DIFFER * both["people"]]
    columns = (odd[name] for name in ("unit_id", "year", "size", "sum"))
    return [(unit, year, f"its {size} units have {total:,.0f} together") for unit, year, size, total in zip(*columns, strict=True)]


def _odd_growth(counts: pd.DataFrame) -> list[tuple[str, Any, str]]:
    told: list[tuple[str, Any, str]] = []
    for (before, year), rows in _growth(counts).groupby(["before", "year"]):
        same = rows.loc[(rows["people"] == rows["people_before"]) & (rows["people"] >= COPIED), "unit_id"]
        told += [(unit, year, f"the same number as in {before}") for unit in same]
        middle = rows["rate"].median()
        off = (rows["rate"] - middle).abs()
        odd = rows[(off > max(RATE_APART, SCATTERS_APART * MAD_TO_SD * float(off.median()))) & (len(rows) >= LEAST_UNITS)]
        apart = zip(odd["unit_id"], odd["rate"], strict=True)
        told += [(unit, year, f"grew by {rate:.1%} a year since {before}, the middle unit by {middle:.1%}") for unit, rate in apart]
    return told


def _growth(counts: pd.DataFrame) -> pd.DataFrame:
    """Rows unit_id, before, year, people_before, people, rate (a year, logarithmic): neighbouring counts above 0."""
    ordered = counts[counts["people"] > 0].sort_values(["unit_id", "year"])
    by_unit = ordered.groupby("unit_id")
    pairs = ordered.assign(before=by_unit["year"].shift(), people_before=by_unit["people"].shift()).dropna(subset=["before"])
    years = pairs["year"] - pairs["before"]
    return pairs.assign(before=pairs["before"].astype(int), rate=np.log(pairs["people"] / pairs["people_before"]) / years)
