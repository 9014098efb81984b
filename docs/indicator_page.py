"""Writes docs/indicators.md from the declarations. Run: python -m docs.indicator_page"""

from pathlib import Path

from conf.indicators import CITY_A, INDICATORS, SHARES, SURVEYED, SYMBOLS, Indicator, Share
from conf.regimes import REGIMES

PAGE = Path(__file__).with_name("indicators.md")

HEAD = """# Indicators

Made from `conf/indicators.py` and `conf/regimes.py` by `python -m docs.indicator_page`; a test holds it to them, and every number
below to the formulas. All rows are in table `indicators`; the views `lcrpgr` and `built_per_person` pivot it.

`11.3.1` is stated with two formulas side by side: `un-2021`, of the metadata sheet since 2021, and `ln-legacy`, of the sheet before,
which some national portals still use. Each is told of the unit as it is (`boundary` unit) and, where `extent_statistics` is there, of what
is built inside the cities of the first epoch (fixed) and of each epoch (moving), and of all land of the latter (`basis` urban_extent):
[how a city ends](decisions/0025-a-city-ends-where-its-pixels-say.md).
An aggregate is computed from summed areas and people; ratios are never averaged.
A value is either a finite number or null with a `reason`; when it is null, and why, is in
[this decision](decisions/0005-when-an-indicator-has-no-value.md).
"""


def page() -> str:
    """The page as Markdown."""
    shares = (_share(declared) for declared in (SURVEYED, *SHARES))
    parts = [HEAD, _symbols(), _overview(), *(_entry(declared) for declared in INDICATORS), *shares, _regimes()]
    return "\n".join(parts)


def _symbols() -> str:
    lines = [f"| {name} | {text} | {CITY_A[name]:,.0f} |" for name, text in SYMBOLS.items()]
    return "## Symbols\n\n| symbol | meaning | City A |\n|---|---|---|\n" + "\n".join(lines) + "\n"


def _overview() -> str:
    lines = [f"| `{d.id}` | `{d.formula_id}` | {d.name} | {d.unit_of_measure} | {d.example:.12g} |" for d in INDICATORS]
    lines += [f"| `{d.id}` | `{d.formula_id}` | {d.name} | {d.unit_of_measure} | |" for d in (SURVEYED, *SHARES)]
    head = "| indicator | formula_id | name | unit | City A |\n|---|---|---|---|---|\n"
    return "## Overview\n\n" + head + "\n".join(lines) + "\n"


def _entry(declared: Indicator) -> str:
    kind = "between two epochs" if declared.kind == "period" else "at one epoch (`period_start` = `period_end`)"
    return (
        f"## {declared.name}: `{declared.id}`, `{declared.formula_id}`\n\n{declared.text}\n\n"
        f"- Formula: `{declared.formula}`, {kind}, unit {declared.unit_of_measure}\n"
        f"- Null unless these hold: {', '.join(f'`{need}`' for need in declared.needs)}\n"
        f"- Source: {declared.source}\n- City A: {declared.example:.12g}\n"
    )


def _share(declared: Share) -> str:
    table = "deprivation" if declared.of == "survey" else f"unit_shares`, `what` = `{declared.what}"
    return (
        f"## {declared.name}: `{declared.id}`, `{declared.formula_id}`\n\n{declared.text}\n\n"
        f"- Formula: {declared.formula}, at one epoch\n- From: `{table}`\n- Source: {declared.source}\n"
    )


def _regimes() -> str:
    lines = [f"| {r.id} | {r.text} | {r.efficiency} |" for r in REGIMES]
    head = "## Regimes\n\nSign of the land consumption rate, sign of the population growth rate, size of their ratio against 1.\n\n"
    return head + "| regime | what happens | land use |\n|---|---|---|\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
