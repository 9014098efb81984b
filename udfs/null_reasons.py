"""Why an indicator has no value. Each condition of conf/indicators.py is a list of cases: rows, and the sentence for them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.lcrpgr import Pair, population_growth

MIDYEAR = 0.5
"""A count stands for 1 July of its year."""

Rows = NDArray[np.bool_]
Texts = NDArray[np.object_]
Case = tuple[Rows, "pd.Series[str]"]


class Limits(NamedTuple):
    """Least share of a unit with data, most difference of that share between two epochs, and how many years the
    counted year may lie from the epoch's reference date for growth rates."""

    min_valid_share: float
    max_valid_gap: float
    max_people_gap_years: float


class Sums(NamedTuple):
    """Rows of one kind (columns: udfs/indicator_rows.py, index 0..n-1), the formulas' quantities of them, the limits."""

    pairs: pd.DataFrame
    pair: Pair
    limits: Limits


def is_null(texts: Texts) -> Rows:
    """Where there is no reason; (n,)."""
    return np.array([text is None for text in texts], dtype=bool)


def valid_share(pairs: pd.DataFrame, end: str) -> NDArray[np.float64]:
    """Share of each unit with data, 0-1, at `end` ("start" or "end"); 0 where no pixel lies in the unit."""
    total = pairs[f"total_{end}"].to_numpy(np.float64)
    valid = pairs[f"valid_{end}"].to_numpy(np.float64)
    share: NDArray[np.float64] = np.divide(valid, total, out=np.zeros_like(valid), where=total > 0)
    return share


def null_reasons(sums: Sums, needs: tuple[str, ...]) -> Texts:
    """The first case that holds for each row, or None; (n,)."""
    result = np.full(len(sums.pairs), None, dtype=object)
    for need in needs:
        for rows, texts in CONDITIONS[need](sums):
            free = rows & is_null(result)
            result[free] = texts.to_numpy(object)[free]
    return result


def _land(sums: Sums) -> list[Case]:
    pairs, _, limits = sums
    cases: list[Case] = []
    for end in ("start", "end"):
        share = valid_share(pairs, end)
        epoch = pairs[f"period_{end}"]
        cases.append((pairs[f"total_{end}"].to_numpy() <= 0, "no pixel lies in the unit at " + epoch))
        cases.append((share <= 0, "no data at " + epoch))
        least = f" % of the unit has data; at least {limits.min_valid_share * 100:g} % is needed"
        cases.append((share < limits.min_valid_share, "at " + epoch + " " + _percent(share) + least))
    return [*cases, _coverage_gap(pairs, limits)]


def _coverage_gap(pairs: pd.DataFrame, limits: Limits) -> Case:
    start, end = valid_share(pairs, "start"), valid_share(pairs, "end")
    text = "data cover " + _percent(start) + " % of the unit at " + pairs["period_start"] + " and " + _percent(end) + " % at "
    text += pairs["period_end"] + f": over {limits.max_valid_gap * 100:g} points apart"
    return np.abs(start - end) > limits.max_valid_gap, text


def _built_start(sums: Sums) -> list[Case]:
    return [(sums.pair.built_start == 0, "no built-up area at " + sums.pairs["period_start"])]


def _built_end(sums: Sums) -> list[Case]:
    return [(sums.pair.built_end == 0, "no built-up area at " + sums.pairs["period_end"])]


def _people(sums: Sums) -> list[Case]:
    pairs, pair, _ = sums
    cases: list[Case] = []
    for end, people in (("start", pair.people_start), ("end", pair.people_end)):
        whole = (pairs["boundary"] == "unit").to_numpy()
        cases.append((np.isnan(people) & whole, _constant(pairs, "no population declared")))
        cases.append((np.isnan(people), "people inside cities are not known at " + pairs[f"period_{end}"]))
        cases.append((people == 0, "no people at " + pairs[f"period_{end}"]))
    return cases


def _years_of_people(sums: Sums) -> list[Case]:
    """A single year stands for a date it was not counted at; growth over T would mix two lengths of time.

    A parent's text joins those of its parts, e.g. "2001-2011, 2011": one part counted once spoils the sum's growth."""
    pairs, _, limits = sums
    start, end = (pairs[f"people_year_{name}"].fillna("").map(_single_years) for name in ("start", "end"))
    shared = pd.Series(
        [", ".join(sorted(set(one) & set(two))) for one, two in zip(start, end, strict=True)], index=pairs.index, dtype=object
    )
    cases: list[Case] = [((shared != "").to_numpy(), "people known for one year only (" + shared + ")")]
    for name, singles in (("start", start), ("end", end)):
        date = pairs[f"year_{name}"].to_numpy(np.float64)
        gaps = [[abs(int(year) + MIDYEAR - at) for year in years] for years, at in zip(singles, date, strict=True)]
        too_far = np.array([max(gap, default=0.0) > limits.max_people_gap_years for gap in gaps], bool)
        text = "people at " + pairs[f"period_{name}"] + " are those of " + singles.map(", ".join)
        cases.append((too_far, text + ", too far from its date for a growth rate"))
    return cases


def _single_years(text: str) -> list[str]:
    """Counted years that were taken as they are; spans between two counts ("2001-2011") are not among them."""
    return [part for part in text.split(", ") if part and "-" not in part]


def _growth(sums: Sums) -> list[Case]:
    return [(population_growth(sums.pair) == 0, _constant(sums.pairs, "no population growth: the ratio is not defined"))]


def _constant(pairs: pd.DataFrame, text: str) -> "pd.Series[str]":
    return pd.Series(text, index=pairs.index, dtype=object)


def _percent(share: NDArray[np.float64]) -> "pd.Series[str]":
    return pd.Series([f"{value * 100:.1f}" for value in share], dtype=object)


CONDITIONS: dict[str, Callable[[Sums], list[Case]]] = {
    "land": _land,
    "built_start": _built_start,
    "built_end": _built_end,
    "people": _people,
    "years_of_people": _years_of_people,
    "growth": _growth,
}
