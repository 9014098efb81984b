"""Draws flow.svg from the jobs' declarations. Run: python docs/figures/flow.py"""

import html
from pathlib import Path

from jobs.job import Job, declared_jobs

TARGET = Path(__file__).with_name("flow.svg")
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 168, 46, 44, 22, 16
COLOURS = {"mapping": "#dcebf7", "change": "#f6dfe6", "sdg11": "#e3f1dc", "training": "#f7ead2"}


def needs(job: Job, jobs: dict[str, Job]) -> dict[str, str]:
    """Job to the tables (or 'files') that this job takes from it."""
    writer = {table: name for name, other in jobs.items() for table in other.writes}
    taken: dict[str, list[str]] = {}
    for table in (*job.reads, *job.optional):
        if table in writer:
            taken.setdefault(writer[table], []).append(table)
    return {**dict.fromkeys(job.after, "files"), **{name: ", ".join(tables) for name, tables in taken.items()}}


def columns_of(jobs: dict[str, Job]) -> list[list[str]]:
    """Jobs by the length of the longest way to them."""
    depth: dict[str, int] = {}
    for name, job in jobs.items():
        depth[name] = 1 + max((depth[other] for other in needs(job, jobs)), default=-1)
    return [[name for name in jobs if depth[name] == column] for column in range(max(depth.values()) + 1)]


def places_of(columns: list[list[str]], jobs: dict[str, Job]) -> dict[str, tuple[int, int]]:
    """Upper left corner of each job's box; below the flow, those that run by name only."""
    below = max(sum(jobs[name].in_flow for name in names) for names in columns)
    placed = {}
    for column, names in enumerate(columns):
        flow, others = ([name for name in names if jobs[name].in_flow is wanted] for wanted in (True, False))
        for row, name in [*enumerate(flow), *enumerate(others, below)]:
            placed[name] = (MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    return placed


def _box(job: Job, x: int, y: int) -> str:
    colour = COLOURS.get(job.family, "#eeeeee")
    dash = "" if job.in_flow else ' stroke-dasharray="5 4"'
    written = html.escape(", ".join(job.writes) or "files")
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{colour}" stroke="#44546a"{dash}/>'
        f'<text x="{x + 9}" y="{y + 19}" font-weight="600">{html.escape(job.name)}</text>'
        f'<text x="{x + 9}" y="{y + 36}" font-size="9" fill="#44546a">{written}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], optional: bool) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0] - 3, end[1] + HEIGHT // 2
    bend = (x1 + x2) // 2
    dash = ' stroke-dasharray="4 3"' if optional else ""
    return f'<path d="M{x1},{y1} C{bend},{y1} {bend},{y2} {x2},{y2}" fill="none" stroke="#7f8fa6" marker-end="url(#tip)"{dash}/>'


def draw() -> str:
    """The picture as SVG text. Dashed arrows: read where there is one. Dashed boxes: run by name only."""
    jobs = declared_jobs()
    columns = columns_of(jobs)
    places = places_of(columns, jobs)
    width = 2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X
    height = MARGIN + HEIGHT + max(y for _, y in places.values())
    arrows = [
        _arrow(places[source], places[name], tables != "files" and not set(tables.split(", ")) & set(job.reads))
        for name, job in jobs.items()
        for source, tables in needs(job, jobs).items()
    ]
    boxes = [_box(job, *places[name]) for name, job in jobs.items()]
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#7f8fa6"/></marker>'
    )
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#1f2933"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" {style}>'
    return (
        "\n".join(
            [head, f"<defs>{tip}</defs>", '<rect width="100%" height="100%" fill="#ffffff" stroke="none"/>', *arrows, *boxes, "</svg>"]
        )
        + "\n"
    )


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
