"""Tables of a country sheet, few rows each: the unit's periods, its largest parts, its epochs with people and images."""

import numpy as np
import pandas as pd

from conf.regimes import REGIMES
from udfs.indicator_rows import Period
from udfs.report_page import Cell, facts, paragraph, printed_table
from udfs.report_sections import REGIME_TEXT, bounded, measure_cells, measure_headings, number, reasons_of
from udfs.sheet_findings import CHANGE, LCR, PGR, RATIO, ratio_is_sure
from udfs.sheet_unit import Row, rows_by_key

UNSURE = " (not sure: the bounds allow others)"
REGIME_IN_WORDS = {regime.id: f"{regime.id}: {regime.text}" for regime in REGIMES}


def headline(rows: dict[tuple[str, str], Row], sums: pd.DataFrame, epoch: str) -> str:
    """The four numbers that are read first; `sums` by epoch, columns built_m2 and people."""
    built, people = (float(value) for value in sums.loc[epoch, ["built_m2", "people"]].to_numpy(np.float64))
    pairs = [(f"{number(built, 2, 1e-6).text} km²", f"built-up land, {epoch}")]
    if rows:
        change = number(rows[CHANGE]["value"], 1, 100.0).text
        pairs.append((f"{change} %", f"change in built-up land, {rows[CHANGE]['period_start']} to {epoch}"))
    pairs.append((number(people, 0).text, f"people, {epoch}"))
    if rows:
        ratio = rows[RATIO]
        pairs.append((number(ratio["value"], 2).text, f"LCRPGR, un-2021; {REGIME_TEXT.get(ratio['regime'], 'no regime')}"))
    return facts(pairs)


def period_table(rows: pd.DataFrame, shown: Period, most: int) -> str:
    """Every measure of one unit's periods: the shown one, then the latest others."""
    periods = sorted({Period(*pair) for pair in zip(rows["period_start"], rows["period_end"], strict=True) if pair[0] != pair[1]} - {shown})
    chosen = [shown, *periods[-(most - 1) :]] if most > 1 else [shown]
    lines, reasons = [], []
    for period in chosen:
        group = rows[(rows["period_start"] == period.start) & (rows["period_end"] == period.end)]
        lines.append([f"{period.start} to {period.end}", *measure_cells(group, 2)])
        if why := reasons_of(group):
            reasons.append(f"{period.start} to {period.end}: {why}.")
    caption = "Rates in % a year, with 95 % bounds in brackets where there are any" + _of(len(chosen), len(periods) + 1, "periods")
    notes = paragraph(f"No value: {' '.join(reasons)}", note=True) if reasons else ""
    return printed_table(["period", *measure_headings()], lines, caption) + notes


def parts_table(parts: pd.DataFrame, indicators: pd.DataFrame, shown: Period | None, most: int) -> str:
    """The first of the units that a unit is made of, as `SheetUnit.parts` gives them, with their rows of `indicators`."""
    lines: list[list[Cell]] = []
    for part in parts.head(most).to_dict("records"):
        rows = rows_by_key(indicators[indicators["unit_id"] == part["unit_id"]], shown) if shown else {}
        cells: list[Cell] = [str(part["number"]), part["name"] or part["unit_id"], number(part["built_m2"], 2, 1e-6)]
        if rows:
            ratio = rows[RATIO]
            regime: str = REGIME_IN_WORDS.get(ratio["regime"]) or ratio["reason"]
            if ratio["regime"] and not ratio_is_sure(rows[LCR], rows[PGR], ratio):
                regime += UNSURE
            cells += [bounded(rows[CHANGE], 1, 100.0), bounded(ratio, 2, 1.0), regime]
        lines.append(cells)
    headings = ["no.", "unit", "built-up, km²", *(["change, %", "LCRPGR, un-2021", "regime, or why there is none"] if shown else [])]
    span = f", {shown.start} to {shown.end}" if shown else ""
    caption = f"Largest by built-up land first{span}; numbers as on the map" + _of(len(lines), len(parts), "units")
    return printed_table(headings, lines, caption)


def epoch_table(epochs: pd.DataFrame, most: int) -> str:
    """Sums and images by epoch, by date: epoch, built_m2, valid_m2, total_m2, people, people_year; images, sensors, first_date,
    last_date."""
    shown = epochs if len(epochs) <= most else pd.concat([epochs.head(most // 2), epochs.tail(most - most // 2)])
    lines: list[list[Cell]] = []
    for row in shown.to_dict("records"):
        share = row["valid_m2"] / row["total_m2"] if row["total_m2"] > 0 else None
        dates = "–" if pd.isna(row["first_date"]) else f"{row['first_date']:%Y-%m-%d} to {row['last_date']:%Y-%m-%d}"
        lines.append([
            row["epoch"], number(row["built_m2"], 2, 1e-6), number(share, 1, 100.0), number(row["people"], 0), _text(row["people_year"]),
            number(row["images"], 0), _text(row["sensors"]), dates,
        ])  # fmt: skip
    headings = ["epoch", "built-up, km²", "with data, %", "people", "counted in", "images", "sensor", "images' dates"]
    return printed_table(headings, lines, "Built-up land, people and images" + _of(len(lines), len(epochs), "epochs"))


def _text(value: str | float | None) -> str:
    return "–" if value is None or pd.isna(value) else str(value)


def _of(shown: int, total: int, what: str) -> str:
    return f". {shown} of {total} {what} are shown." if shown < total else "."
