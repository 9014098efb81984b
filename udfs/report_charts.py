"""Charts of the report as PNG bytes: built-up area over time per unit, and against the truth where there is one."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from udfs.map_figures import BUILT, png

MOST_UNITS = 24
COLUMNS = 4
PEOPLE = "#0072b2"


def change_chart(statistics: pd.DataFrame, names: dict[str, str], dates: dict[str, float]) -> bytes:
    """Built-up km2 of the ground with data over time, a small panel per unit, people beside it where known.
    `statistics` has rows of `unit_statistics` of at most MOST_UNITS units, in the order to draw; `dates` are decimal years."""
    units = list(dict.fromkeys(statistics["unit_id"]))[:MOST_UNITS]
    rows = -(-len(units) // COLUMNS)
    columns = min(len(units), COLUMNS)
    figure = Figure(figsize=(max(3.1 * columns, 4.5), 2.2 * rows + 0.6), layout="constrained")
    for index, unit in enumerate(units):
        axis = figure.add_subplot(rows, columns, index + 1)
        _unit_panel(axis, statistics[statistics["unit_id"] == unit], dates)
        axis.set_title(names.get(unit, unit)[:34], fontsize=9)
    figure.supxlabel("left, orange: built-up area, km²\nright, blue, dashed: people, thousands", fontsize=9)
    return png(figure)


def _unit_panel(axis: Axes, rows: pd.DataFrame, dates: dict[str, float]) -> None:
    ordered = rows.assign(date=rows["epoch"].map(dates)).sort_values("date")
    seen = ordered["valid_m2"] > 0
    axis.plot(ordered["date"], (ordered["built_m2"] / 1e6).where(seen), color=BUILT, marker="o", markersize=3.5)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if ordered["people"].notna().any():
        second = axis.twinx()
        second.plot(ordered["date"], ordered["people"].astype(float) / 1e3, color=PEOPLE, linestyle="--", marker="s", markersize=2.5)
        second.set_ylim(bottom=0)
        second.tick_params(labelsize=7, colors=PEOPLE)


def truth_chart(compared: pd.DataFrame) -> bytes:
    """Mapped against true built-up area of each unit and epoch; columns mapped_m2, truth_m2, epoch."""
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axis = figure.add_subplot()
    truth, mapped = compared["truth_m2"].to_numpy(float) / 1e6, compared["mapped_m2"].to_numpy(float) / 1e6
    most = max(float(np.max(truth)), float(np.max(mapped)), 1e-6) * 1.05
    axis.fill_between([0, most], [0, 0.9 * most], [0, 1.1 * most], color="#e8e8e8", label="within 10 %")
    axis.plot([0, most], [0, most], color="#666666", linewidth=0.8)
    axis.scatter(truth, mapped, s=12, color=BUILT, alpha=0.7, edgecolors="none", label="unit and epoch")
    axis.set(xlabel="true built-up area, km²", ylabel="mapped built-up area, km²", xlim=(0, most), ylim=(0, most), aspect="equal")
    axis.legend(loc="upper left", fontsize=8)
    return png(figure)
