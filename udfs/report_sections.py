"""Sections of the report as HTML, from small pandas frames. Numbers are printed with their units; a null with its reason."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from conf.regimes import REGIMES
from udfs.report_page import Cell, Number, facts, paragraph, table

REGIME_TEXT = {regime.id: f"{regime.id}, {regime.efficiency}" for regime in REGIMES}

MEASURES = (
    ("LCR, un-2021, %/a", "11.3.1-lcr", "un-2021", 100.0, 3),
    ("LCR, ln-legacy, %/a", "11.3.1-lcr", "ln-legacy", 100.0, 3),
    ("PGR, %/a", "11.3.1-pgr", "pgr", 100.0, 3),
    ("LCRPGR, un-2021", "11.3.1", "un-2021", 1.0, 3),
    ("LCRPGR, ln-legacy", "11.3.1", "ln-legacy", 1.0, 3),
    ("built-up change, %", "11.3.1-change", "change", 100.0, 2),
)
"""Column, indicator, formula, factor to the printed unit, decimals."""


def number(value: float | None, decimals: int, factor: float = 1.0) -> Number:
    """A cell; a dash for null."""
    if value is None or pd.isna(value):
        return Number(None, "–")
    return Number(float(value), f"{float(value) * factor:,.{decimals}f}")


def summary(statistics: pd.DataFrame, whole: pd.DataFrame, top: list[str], epochs: list[str], layers: Mapping[str, str]) -> str:
    """What the place comes to: sums over the units of the coarsest level in the first and the last epoch, and where that
    is one unit its rows of `whole` (indicators from the first to the last epoch)."""
    sums = statistics[statistics["unit_id"].isin(top)].groupby("epoch")[["built_m2", "valid_m2", "total_m2"]].sum()
    people = statistics[statistics["unit_id"].isin(top)].groupby("epoch")["people"].sum(min_count=1)
    pairs = []
    for epoch in dict.fromkeys((epochs[0], epochs[-1])):
        row = sums.loc[epoch]
        pairs.append((f"{row['built_m2'] / 1e6:,.2f} km²", f"built-up, {epoch}"))
        pairs.append((f"{row['valid_m2'] / row['total_m2'] * 100:,.1f} %", f"of the units has data, {epoch}"))
        if pd.notna(people[epoch]):
            pairs.append((f"{people[epoch]:,.0f}", f"people, {epoch}"))
    pairs.append((str(statistics["unit_id"].nunique()), "units"))
    if len(top) == 1:
        pairs += _headline(whole[whole["unit_id"] == top[0]], epochs)
    return facts(pairs) + paragraph(f"Layers: {'; '.join(f'{name}, {text}' for name, text in layers.items())}.", note=True)


def _headline(whole: pd.DataFrame, epochs: list[str]) -> list[tuple[str, str]]:
    known = whole[whole["value"].notna()]
    pairs = []
    for heading, indicator, formula, factor, decimals in MEASURES:
        for row in known[(known["indicator"] == indicator) & (known["formula_id"] == formula)].to_dict("records"):
            regime = f" ({REGIME_TEXT[row['regime']]})" if row["regime"] else ""
            pairs.append((bounded(row, decimals, factor).text, f"{heading}{regime}, {epochs[0]} to {epochs[-1]}"))
    return pairs


def indicator_table(rows: pd.DataFrame, names: Mapping[str, str], caption: str) -> str:
    """A line per unit and period: both formulas, the regime beside each ratio, reasons for nulls. `rows` is long."""
    headings = ["unit", "period", *measure_headings()]
    lines = [_indicator_line(group, names) for _, group in rows.groupby(["unit_id", "period_start", "period_end"], sort=False)]
    return table([*headings, "why null"], lines, caption, searchable=True)


def measure_headings() -> list[str]:
    """Of the cells of `measure_cells`."""
    headings = []
    for heading, indicator, _, _, _ in MEASURES:
        headings += [heading, "regime"] if indicator == "11.3.1" else [heading]
    return headings


def _indicator_line(group: pd.DataFrame, names: Mapping[str, str]) -> list[Cell]:
    first = group.iloc[0]
    label = _label(first["unit_id"], names)
    return [label, f"{first['period_start']} to {first['period_end']}", *measure_cells(group), reasons_of(group)]


def measure_cells(group: pd.DataFrame, most_decimals: int = 3) -> list[Cell]:
    """Every measure of one unit and period, the regime beside each ratio."""
    by_key = {(row["indicator"], row["formula_id"]): row for row in group.to_dict("records")}
    cells: list[Cell] = []
    for _, indicator, formula, factor, decimals in MEASURES:
        row = by_key[indicator, formula]
        cells.append(bounded(row, min(decimals, most_decimals), factor))
        if indicator == "11.3.1":
            cells.append(REGIME_TEXT.get(row["regime"], "–"))
    return cells


def reasons_of(group: pd.DataFrame) -> str:
    """Why values are null, each reason once: a ratio repeats those of its parts."""
    return "; ".join(dict.fromkeys(reason for reason in group["reason"] if isinstance(reason, str)))


def bounded(row: Mapping[Hashable, Any], decimals: int, factor: float) -> Number:
    """A cell with the 95 % bounds behind its value, where it has any."""
    cell = number(row["value"], decimals, factor)
    if cell.value is None or pd.isna(row["lower"]):
        return cell
    low, high = number(row["lower"], decimals, factor).text, number(row["upper"], decimals, factor).text
    return Number(cell.value, f"{cell.text} [{low};\N{NO-BREAK SPACE}{high}]")


def unit_table(statistics: pd.DataFrame, per_person: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Sums per unit and epoch, with the share of the unit that has data and built-up area per person."""
    known = per_person.set_index(["unit_id", "period_end"])["value"].to_dict()
    headings = ["unit", "epoch", "built-up, km²", "with data, %", "unit, km²", "buildings", "people", "people of", "built-up/person, m²"]
    lines: list[list[Cell]] = []
    for row in statistics.to_dict("records"):
        share = row["valid_m2"] / row["total_m2"] if row["total_m2"] > 0 else None
        lines.append([
            _label(row["unit_id"], names), row["epoch"],
            number(row["built_m2"], 3, 1e-6), number(share, 1, 100.0), number(row["total_m2"], 3, 1e-6),
            number(row["buildings"], 0), number(row["people"], 0), row["people_year"] or "–",
            number(known.get((row["unit_id"], row["epoch"])), 1),
        ])  # fmt: skip
    return table(headings, lines, "sums per unit and epoch", searchable=True)


def regime_table() -> str:
    """The seventeen regimes."""
    lines = [[regime.id, regime.text, regime.efficiency] for regime in REGIMES]
    return table(["regime", "what happens", "land use"], lines, "regimes of land consumption and population growth")


def _label(unit_id: str, names: Mapping[str, str]) -> str:
    name = names.get(unit_id)
    return f"{name} ({unit_id})" if name and name != unit_id else unit_id
