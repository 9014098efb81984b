"""What SDG 11.3.1 says of a unit, in plain words: how land and people changed, which regime that is, and how sure it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from conf.regimes import REGIMES
from udfs.indicator_rows import Period
from udfs.sheet_unit import Row

LCR, PGR, CHANGE = ("11.3.1-lcr", "un-2021"), ("11.3.1-pgr", "pgr"), ("11.3.1-change", "change")
RATIO, OLDER_RATIO = ("11.3.1", "un-2021"), ("11.3.1", "ln-legacy")
REGIME_WORDS = {regime.id: f"{regime.text}; land use counts as {regime.efficiency}" for regime in REGIMES}


def findings(rows: Mapping[tuple[str, str], Row], period: Period, sums: pd.DataFrame) -> list[str]:
    """Sentences on one unit and period. `rows` as `rows_by_key` gives them; `sums`: by epoch, columns built_m2 and people."""
    built, people = (sums.loc[[period.start, period.end], name].to_numpy(np.float64) for name in ("built_m2", "people"))
    growth = [_land(rows[CHANGE], rows[LCR], period, built / 1e6), _people(rows[PGR], period, people)]
    ratio, older = rows[RATIO], rows[OLDER_RATIO]
    if pd.isna(ratio["value"]):
        return [*growth, _no_ratio(ratio, {rows[CHANGE]["reason"], rows[PGR]["reason"]})]
    return [*growth, _ratio(ratio), sureness(rows[LCR], rows[PGR], ratio), _older(ratio, older)]


def state_finding(row: Row, built_m2: float) -> str:
    """Of one epoch alone: `row` is built-up area per person."""
    area = "" if np.isnan(built_m2) else f"Built-up land was {built_m2 / 1e6:,.2f} km² in {row['period_end']}. "
    if pd.isna(row["value"]):
        return f"{area}Built-up land per person is not known: {row['reason']}. Growth needs a second epoch."
    return f"{area}That is {row['value']:,.1f} m² per person. Growth needs a second epoch."


def _land(change: Row, rate: Row, period: Period, built: Any) -> str:
    if pd.isna(change["value"]):
        return f"Growth of built-up land from {period.start} to {period.end} is not known: {change['reason']}."
    moved = f"from {built[0]:,.2f} km² in {period.start} to {built[1]:,.2f} km² in {period.end}"
    whole = f"by {abs(change['value']) * 100:,.1f} %{_in_percent(change, 1)}"
    return f"Built-up land {_moved(change['value'])} {moved}: {whole}, or {rate['value'] * 100:+,.2f} % of that of {period.start} a year."


def _people(rate: Row, period: Period, people: Any) -> str:
    if pd.isna(rate["value"]):
        return f"Growth of population from {period.start} to {period.end} is not known: {rate['reason']}."
    moved = f"from {people[0]:,.0f} to {people[1]:,.0f}"
    return f"The number of people {_moved(rate['value'])} {moved}: {rate['value'] * 100:+,.2f} % a year{_in_percent(rate, 2)}."


def _moved(value: float) -> str:
    return ("declined", "stayed", "grew")[int(np.sign(value)) + 1]


def _ratio(row: Row) -> str:
    return f"The ratio of land consumption to population growth (LCRPGR, formula un-2021) is {_bounded(row)}. {_regime(row)}"


def _no_ratio(row: Row, told: set[str]) -> str:
    """Reasons that stand in the sentences before are not told again."""
    why = "" if row["reason"] in told else f": {row['reason']}"
    return f"The ratio of land consumption to population growth (LCRPGR) has no value{why}. {_regime(row)}".strip()


def _regime(row: Row) -> str:
    return f"Regime {row['regime']}: {REGIME_WORDS[row['regime']]}." if row["regime"] else ""


def sureness(land: Row, people: Row, ratio: Row) -> str:
    """What the 95 % bounds allow to say: whether either changed at all, and which changed faster."""
    if pd.isna(ratio["lower"]):
        return "How sure the ratio is cannot be said: no errors are declared from which bounds could be drawn."
    if ratio_is_sure(land, people, ratio):
        return _faster(ratio["lower"], ratio["upper"])
    unsure = [
        f"The bounds of the rate of {name}, {row['lower'] * 100:+,.2f} to {row['upper'] * 100:+,.2f} % a year, include 0: "
        f"that {what} changed at all is not sure."
        for name, what, row in (("land consumption", "built-up land", land), ("population growth", "the number of people", people))
        if _includes(row, 0)
    ]
    return " ".join([*unsure, _faster(ratio["lower"], ratio["upper"])])


def ratio_is_sure(land: Row, people: Row, ratio: Row) -> bool:
    """Whether the bounds of both rates and of their ratio allow one regime only; without bounds nothing says that they do not."""
    return not (_includes(land, 0) or _includes(people, 0) or _includes(ratio, 1) or _includes(ratio, -1))


def _includes(row: Row, value: float) -> bool:
    return bool(pd.notna(row["lower"]) and row["lower"] <= value <= row["upper"])


def _faster(low: float, high: float) -> str:
    """Whether the size of the ratio is on one side of 1 all through its bounds."""
    if low > 1 or high < -1:
        side = "above 1" if low > 1 else "below -1"
        return f"The bounds of the ratio lie wholly {side}: at 95 % confidence land changed faster than people."
    if low > -1 and high < 1:
        side = "below 1" if low >= 0 else "between -1 and 1"
        return f"The bounds of the ratio lie wholly {side}: at 95 % confidence land changed more slowly than people."
    named = " and ".join(str(one) for one in (-1, 1) if low <= one <= high)
    return f"The bounds of the ratio include {named}: at 95 % confidence it cannot be told which changed faster, nor which regime it is."


def _older(ratio: Row, older: Row) -> str:
    told = "By the formula used before 2021 (ln-legacy) it"
    if pd.isna(older["value"]):
        return f"{told} has no value: {older['reason']}."
    if older["regime"] == ratio["regime"]:
        doubt = ", though its bounds include 1" if _includes(older, 1) and not _includes(ratio, 1) else ""
        return f"{told} is {_bounded(older)}, in the same regime{doubt}."
    return f"{told} is {_bounded(older)}, regime {older['regime']}: the formulas disagree on which changed faster; name the one cited."


def _bounded(row: Row) -> str:
    bounds: str = "" if pd.isna(row["lower"]) else f" (95 % bounds {row['lower']:,.2f} to {row['upper']:,.2f})"
    return f"{row['value']:,.2f}{bounds}"


def _in_percent(row: Row, decimals: int) -> str:
    if pd.isna(row["lower"]):
        return ""
    return f" (95 % bounds {row['lower'] * 100:+,.{decimals}f} to {row['upper'] * 100:+,.{decimals}f} %)"
