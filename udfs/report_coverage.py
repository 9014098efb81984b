"""The report's coverage: tables and a map of what became of the tiles, so that a reader sees holes, and why they are there."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from udfs.map_figures import BUILT, NO_VALUE, Frame, frame_of, png
from udfs.map_pixels import MapGrid
from udfs.report_page import Cell, paragraph, table
from udfs.report_pictures import Drawn
from udfs.report_sections import number

STATES = ("done", "nodata", "pending", "quarantined")
"""From best to worst: a cell of several tiles shows the worst."""
LABELS = {"done": "done", "nodata": "no data", "pending": "not mapped yet", "quarantined": "quarantined"}
COLOURS = ("#9ecae1", NO_VALUE, "#f0e442", BUILT)
NOTHING = 255
MOST_PANELS, COLUMNS = 12, 4
MOST_LINES = 60
"""Cells along a side up to which their edges are drawn."""
MOST_REASONS = 10

States = NDArray[np.uint8]


def coverage_table(counts: pd.DataFrame, failed: pd.DataFrame) -> str:
    """Tiles of each layer and epoch. `counts`: layer, epoch, status, tiles, valid (sum of valid shares), any number of rows each;
    `failed`: layer, epoch, scenes (distinct ones that could not be read)."""
    scenes = failed.set_index(["layer", "epoch"])["scenes"].to_dict()
    lines: list[list[Cell]] = []
    for (layer, epoch), group in counts.groupby(["layer", "epoch"], sort=True):
        count, planned = group.groupby("status")["tiles"].sum(), int(group["tiles"].sum())
        states = [number(int(count.get(state, 0)), 0) for state in STATES]
        share = number(float(group["valid"].sum()) / planned, 1, 100.0)
        lines.append([str(layer), str(epoch), number(planned, 0), *states, share, number(int(scenes.get((layer, epoch), 0)), 0)])
    headings = ["layer", "epoch", "planned", *(LABELS[state] for state in STATES), "ground with data, %", "scenes failed"]
    return table(headings, lines, "tiles by layer, epoch and status")


def reason_table(counts: pd.DataFrame) -> str:
    """Why tiles have no result, the most frequent kinds first: layer, epoch, kind (null for tiles with a result), tiles, reason
    (of one of them), next_step."""
    holes = counts[counts["kind"].notna()].sort_values(["tiles", "layer", "epoch", "kind"], ascending=[False, True, True, True])
    if not len(holes):
        return paragraph("Every planned tile has a result.")
    rows: list[list[Cell]] = [
        [row["layer"], row["epoch"], row["kind"], number(row["tiles"], 0), row["reason"], row["next_step"]]
        for row in holes.head(MOST_REASONS).to_dict("records")
    ]
    headings = ["layer", "epoch", "kind", "tiles", "reason, of one tile", "what to do"]
    note = paragraph(f"The {len(rows)} most frequent of {len(holes)} kinds.", note=True) if len(rows) < len(holes) else ""
    return table(headings, rows, "reasons for tiles without result") + note


def state_maps(cells: pd.DataFrame, grid: MapGrid, epochs: Sequence[str]) -> dict[str, States]:
    """Cells (epoch, y, x, state: an index of STATES) as arrays (height, width) by epoch, 255 where no tile is planned."""
    maps = {epoch: np.full((grid.height, grid.width), NOTHING, np.uint8) for epoch in epochs if (cells["epoch"] == epoch).any()}
    for epoch, states in maps.items():
        mine = cells[cells["epoch"] == epoch]
        states[mine["y"].to_numpy(), mine["x"].to_numpy()] = mine["state"].to_numpy()
    return maps


def coverage_picture(layer: str, grid: MapGrid, maps: Mapping[str, States], attribution: str) -> Drawn:
    """A panel an epoch, the first and the last of too many. A cell is `grid.step` x `grid.step` tiles."""
    shown = _ends(list(maps), MOST_PANELS)
    cell = "A square is a tile" if grid.step == 1 else f"A square is {grid.step} x {grid.step} tiles and shows the worst of them"
    left_out = f" {len(shown)} of {len(maps)} epochs are drawn." if len(shown) < len(maps) else ""
    caption = f"{layer}: what became of each planned tile. {cell}; white is not planned.{left_out} {attribution}".strip()
    data = coverage_map(frame_of(grid), {epoch: maps[epoch] for epoch in shown})
    return Drawn(f"coverage_{layer}", data, f"Map of tiles by status, layer {layer}", caption)


def _ends(names: list[str], most: int) -> list[str]:
    return names if len(names) <= most else [*names[: most // 2], *names[-(most - most // 2) :]]


def coverage_map(frame: Frame, maps: Mapping[str, States]) -> bytes:
    """Small maps of states (height, width), titled by epoch."""
    columns = min(len(maps), COLUMNS)
    rows = -(-len(maps) // columns)
    _, right, _, top = frame.extent
    side = 9.5 / columns if columns > 1 else 5.0
    panel = min(max(side * top / right, side / 2), side * 1.5)
    figure = Figure(figsize=(side * columns, (panel + 0.5) * rows + 0.6), layout="constrained")
    for index, (epoch, states) in enumerate(maps.items()):
        axis = figure.add_subplot(rows, columns, index + 1)
        _draw_states(axis, frame, states)
        axis.set_title(epoch, fontsize=9)
    figure.supxlabel("km from the west", fontsize=8)
    figure.supylabel("km from the south", fontsize=8)
    legend = [Patch(color=colour, label=LABELS[state]) for state, colour in zip(STATES, COLOURS, strict=True)]
    figure.legend(handles=legend, loc="outside upper center", ncols=len(STATES), fontsize=8)
    return png(figure)


def _draw_states(axis: Axes, frame: Frame, states: States) -> None:
    palette, norm = ListedColormap(COLOURS), BoundaryNorm(np.arange(-0.5, len(STATES)), len(STATES))
    _, right, _, top = frame.extent
    x, y = np.linspace(0, right, states.shape[1] + 1), np.linspace(top, 0, states.shape[0] + 1)
    mesh = axis.pcolormesh(x, y, np.where(states == NOTHING, np.nan, states), cmap=palette, norm=norm)
    if max(states.shape) <= MOST_LINES:
        mesh.set(edgecolor="white", linewidth=0.4)
    axis.set(xlim=(0, right), ylim=(0, top), aspect="equal")
    axis.tick_params(labelsize=7)
