"""A country sheet: two A4 pages of HTML that load nothing and print as they look."""

from typing import NamedTuple

from udfs.indicator_rows import Period
from udfs.report_page import document, escaped, figure, paragraph
from udfs.report_pictures import Drawn
from udfs.sheet_findings import findings, state_finding
from udfs.sheet_tables import epoch_table, headline, parts_table, period_table
from udfs.sheet_unit import SheetUnit, rows_by_key

SUBJECT = "SDG indicator 11.3.1, land consumption and population growth"
STATE = ("11.3.1-built-per-person", "built-per-person")
STYLE = """
@page{size:A4;margin:13mm 14mm 14mm;@bottom-right{content:"page " counter(page) " of " counter(pages);font:7pt sans-serif;color:#5c6670}}
:root{--ink:#1d2327;--soft:#5c6670;--line:#c9d0d6;--mark:#b34700}*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:182mm;color:var(--ink);background:#fff;font:9pt/1.38 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif}
header{border-bottom:2pt solid var(--mark);margin-bottom:3mm}header p{margin:0;color:var(--soft)}
h1{font-size:20pt;line-height:1.15;margin:.5mm 0}h2{font-size:11pt;margin:3.5mm 0 1mm;break-after:avoid}p{margin:0 0 1.2mm}
ul.facts{display:flex;gap:3mm;margin:0 0 2mm;padding:0;list-style:none}
.facts li{flex:1;border-left:2pt solid var(--mark);padding:0 0 0 2mm}
.facts b{display:block;font-size:15pt;line-height:1.2;font-variant-numeric:tabular-nums}.facts span{color:var(--soft);font-size:8pt}
.pictures{display:flex;gap:3mm;align-items:flex-start;margin-top:3mm}figure{margin:0;break-inside:avoid}
figure img{display:block;max-width:100%;height:auto}figcaption,.note{color:var(--soft);font-size:7.5pt}
.map img{border:.5pt solid var(--line)}.map{flex:1.52}.chart{flex:1}
table{border-collapse:collapse;width:100%;font-size:7.5pt;line-height:1.25;font-variant-numeric:tabular-nums;margin:0 0 1.5mm}
caption{text-align:left;color:var(--soft);padding-bottom:.6mm}
th,td{padding:.5mm .9mm;text-align:left;border-bottom:.5pt solid var(--line);vertical-align:top}tr{break-inside:avoid}
th{border-bottom:.8pt solid var(--ink)}td.n,th.n{text-align:right}td{overflow-wrap:break-word}
.method{font-size:7.2pt;line-height:1.32}.method p{margin-bottom:.8mm}
@media screen{body{padding:8mm}}
"""


class SheetLimits(NamedTuple):
    """Rows of each table, so that the sheet stays within two pages."""

    parts: int
    periods: int
    epochs: int


def sheet(told: SheetUnit, place: str, pictures: list[Drawn], method: list[str], limits: SheetLimits) -> str:
    """The HTML of one unit. `place`: its title; `pictures`: map, where there is one, and chart; `method`: a paragraph each."""
    epochs, period = list(told.sums.index), told.period
    span = f"{period.start} to {period.end}" if period else epochs[-1]
    title = f"{told.name}: land consumption and population growth, {span}"
    area = f"{told.unit['area_m2'] / 1e6:,.1f} km²"
    lead = f"{place} · unit {told.unit['unit_id']}, level {told.unit['level']} · {area} · {span}"
    header = f"<header><p>{SUBJECT}</p><h1>{escaped(told.name)}</h1>{paragraph(lead)}</header>"
    drawn = "".join(f'<div class="{item.name}">{figure(item.png, item.alt, item.caption)}</div>' for item in pictures)
    if all(item.name != "map" for item in pictures):
        drawn = paragraph("No tile over the unit has data, so there is no map.", note=True) + drawn
    made = f"<section class=method><h2>How the numbers were made</h2>{''.join(map(paragraph, method))}</section>"
    numbers, tables = _numbers(told, period), _tables(told, period, limits)
    return document(title, STYLE, f"<main>{header}{numbers}<div class=pictures>{drawn}</div>{tables}{made}</main>")


def _numbers(told: SheetUnit, period: Period | None) -> str:
    rows = rows_by_key(told.rows, period) if period else {}
    sums = told.sums[["built_m2", "people"]].astype(float)
    if period:
        texts = findings(rows, period, sums)
    else:
        last = told.sums.index[-1]
        texts = [state_finding(rows_by_key(told.rows, Period(last, last))[STATE], float(sums["built_m2"][last]))]
    shown = headline(rows, sums, period.end if period else told.sums.index[-1])
    return f"{shown}<section><h2>What the numbers say, and how sure they are</h2>{''.join(map(paragraph, texts))}</section>"


def _tables(told: SheetUnit, period: Period | None, limits: SheetLimits) -> str:
    parts = []
    if len(told.children) and limits.parts:
        parts.append(("Parts of the unit", parts_table(told.parts, told.indicators, period, limits.parts)))
    if period:
        parts.append(("Every period", period_table(told.rows, period, limits.periods)))
    parts.append(("Every epoch", epoch_table(told.sums.reset_index(names="epoch"), limits.epochs)))
    return "".join(f"<section><h2>{escaped(heading)}</h2>{content}</section>" for heading, content in parts)
