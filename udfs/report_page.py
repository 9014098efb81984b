"""HTML of the report and of country sheets, which load nothing. Every text from a place or a table is escaped here and nowhere else."""

import base64
import html
from collections.abc import Sequence
from typing import NamedTuple

from udfs.report_style import SCRIPT, STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
RUNS_OWN = "script-src 'unsafe-inline'"


class Number(NamedTuple):
    """A table cell sorted by `value`; `text` is what is read."""

    value: float | None
    text: str


Cell = str | Number
Section = tuple[str, str, str]
"""Anchor, heading, HTML made by the functions below."""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """A whole HTML document. `title` and `lead` are plain text."""
    links = "".join(f'<a href="#{anchor}">{escaped(heading)}</a>' for anchor, heading, _ in sections)
    body = "".join(f'<section id="{anchor}"><h2>{escaped(heading)}</h2>{content}</section>' for anchor, heading, content in sections)
    header = f"<header><h1>{escaped(title)}</h1><p>{escaped(lead)}</p><nav>{links}</nav></header>"
    return document(title, STYLE, f"{header}<main>{body}</main><script>{SCRIPT}</script>", f"{POLICY}; {RUNS_OWN}")


def document(title: str, style: str, body: str, policy: str = POLICY) -> str:
    """HTML that loads nothing; `title` is plain text, `body` HTML, `policy` what a browser lets it do."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def escaped(text: str) -> str:
    """Plain text as HTML, quotes too."""
    return html.escape(text, quote=True)


def paragraph(text: str, note: bool = False) -> str:
    """Plain text as a paragraph."""
    return f"<p{' class=note' if note else ''}>{escaped(text)}</p>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Large values with their labels, both plain text."""
    return f"<ul class=facts>{''.join(f'<li><b>{escaped(value)}</b><span>{escaped(label)}</span></li>' for value, label in pairs)}</ul>"


def figure(png: bytes, alt: str, caption: str) -> str:
    """An embedded PNG."""
    data = base64.b64encode(png).decode()
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escaped(alt)}"><figcaption>{escaped(caption)}</figcaption></figure>'


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str, searchable: bool = False) -> str:
    """A table sorted by a click on its headings; one search field over a section's table."""
    head, body = _head(headings, rows, "<button>", "</button>"), _body(rows)
    find = f'<input class=find type=search placeholder="find" aria-label="find in {escaped(caption)}">' if searchable else ""
    return (
        f'{find}<div class=scroll tabindex=0><table class=sortable aria-label="{escaped(caption)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def printed_table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> str:
    """A table to be read on paper, under its caption."""
    head = f"<caption>{escaped(caption)}</caption><thead><tr>{_head(headings, rows)}</tr></thead>"
    return f"<table>{head}<tbody>{_body(rows)}</tbody></table>"


def preformatted(text: str) -> str:
    """Plain text as it stands."""
    return f"<pre>{escaped(text)}</pre>"


def _head(headings: Sequence[str], rows: Sequence[Sequence[Cell]], before: str = "", after: str = "") -> str:
    numeric = [bool(rows) and all(isinstance(row[index], Number) for row in rows) for index in range(len(headings))]
    marks = [" class=n" if is_number else "" for is_number in numeric]
    return "".join(f"<th scope=col{mark}>{before}{escaped(text)}{after}</th>" for mark, text in zip(marks, headings, strict=True))


def _body(rows: Sequence[Sequence[Cell]]) -> str:
    return "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escaped(cell)}</td>"
    value = "" if cell.value is None else repr(cell.value)
    return f'<td class=n data-value="{value}">{escaped(cell.text)}</td>'
