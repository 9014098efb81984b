"""The two pictures of a country sheet, for print: built-up land of the first and last epoch, and land and people over the years."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray

from udfs.indicator_rows import Period
from udfs.map_figures import BORDER, BUILT, NO_VALUE, Frame, draw_borders, frame_of, outline_path, png, projected
from udfs.map_pixels import MapGrid, Shares
from udfs.report_charts import PEOPLE
from udfs.report_pictures import Drawn
from udfs.sheet_findings import CHANGE, PGR
from udfs.sheet_unit import SheetUnit, rows_by_key
from udfs.unit_pictures import change_colours

DPI = 200
KEPT, GONE = "#6b6b6b", "#56b4e9"
MAP_WIDTH, MAP_HEIGHT, MAP_FOOT = 4.25, 4.1, 0.42
"""Inches; the foot holds the legend."""
MOST_TICKS = 6
CHART_SIZE = (2.75, MAP_HEIGHT + MAP_FOOT)


def sheet_map(grid: MapGrid, shares: dict[str, Shares], outline: bytes, parts: Sequence[bytes], numbered: int) -> bytes:
    """Built-up land at the first and the last epoch of `shares` (by date), the borders of the unit and its parts, the first `numbered` of
    which bear their numbers; outlines are WKB in EPSG:4326. What lies outside of the unit is pale."""
    frame = frame_of(grid)
    figure, axis = _canvas(frame)
    first, last = (next(iter(shares)), next(reversed(shares)))
    colours = [mpl.colors.to_rgb(colour) for colour in (KEPT, BUILT, GONE, NO_VALUE)]
    axis.imshow(change_colours(shares[first], shares[last], *colours), extent=frame.extent, interpolation="antialiased")
    borders = np.asarray(shapely.simplify(projected([outline, *parts], grid.crs), grid.pixel_width / 2), dtype=object)
    _pale_outside(axis, frame, borders[0])
    draw_borders(axis, frame, borders[1:], 0.5)
    draw_borders(axis, frame, borders[:1], 1.3)
    _number(axis, frame, borders[1 : 1 + numbered])
    _furniture(axis, frame.extent[1])
    figure.legend(handles=_legend(first, last), loc="lower center", ncols=4, fontsize=7, frameon=False, handlelength=1.2, columnspacing=1.0)
    return png(figure, DPI)


def _canvas(frame: Frame) -> tuple[Figure, Axes]:
    """As large as fits, the map from edge to edge above the foot."""
    _, right, _, top = frame.extent
    width = min(MAP_WIDTH, MAP_HEIGHT * right / top)
    height = width * top / right
    figure = Figure(figsize=(MAP_WIDTH, height + MAP_FOOT))
    share = width / MAP_WIDTH
    axis = figure.add_axes(((1 - share) / 2, MAP_FOOT / (height + MAP_FOOT), share, height / (height + MAP_FOOT)))
    axis.set(xlim=(0, right), ylim=(0, top), aspect="equal", xticks=[], yticks=[])
    return figure, axis


def _legend(first: str, last: str) -> list[Patch]:
    if first == last:
        return [Patch(color=KEPT, label=f"built-up in {first}"), Patch(color=NO_VALUE, label="no data")]
    told = [(KEPT, f"built-up in {first}"), (BUILT, f"new by {last}"), (GONE, f"no longer in {last}"), (NO_VALUE, "no data")]
    return [Patch(color=colour, label=label) for colour, label in told]


def _pale_outside(axis: Axes, frame: Frame, outline: Any) -> None:
    outside = shapely.difference(shapely.box(*frame.grid.bounds), shapely.make_valid(outline))
    if not outside.is_empty:
        axis.add_collection(PathCollection([outline_path(outside, frame)], facecolors=(1, 1, 1, 0.72), edgecolors="none"))


def _number(axis: Axes, frame: Frame, outlines: NDArray[np.object_]) -> None:
    halo = [withStroke(linewidth=2.2, foreground="white")]
    for number, outline in enumerate(outlines, start=1):
        ((x, y),) = frame.km(shapely.get_coordinates(shapely.point_on_surface(outline)))
        axis.text(x, y, str(number), fontsize=8, fontweight="bold", color=BORDER, ha="center", va="center", path_effects=halo)


def _furniture(axis: Axes, width_km: float) -> None:
    """Scale bar and north arrow."""
    length, small = bar_length(width_km), FontProperties(size=7)
    bar = AnchoredSizeBar(
        axis.transData,
        length,
        _distance(length),
        "lower left",
        pad=0.4,
        size_vertical=width_km / 250,
        fontproperties=small,
    )
    bar.patch.set(alpha=0.8, edgecolor="none")
    axis.add_artist(bar)
    arrow = {"arrowstyle": "-|>", "color": BORDER, "linewidth": 1.2}
    halo = [withStroke(linewidth=2.2, foreground="white")]
    axis.annotate("", (0.955, 0.975), (0.955, 0.875), "axes fraction", "axes fraction", arrowprops=arrow)
    axis.text(0.955, 0.85, "N", transform=axis.transAxes, ha="center", va="center", fontsize=8, fontweight="bold", path_effects=halo)


def _distance(km: float) -> str:
    return f"{km:g} km" if km >= 1 else f"{km * 1000:g} m"


def bar_length(width_km: float) -> float:
    """The largest 1, 2 or 5 times a power of ten km that is at most a quarter of the map's width."""
    power = 10.0 ** np.floor(np.log10(width_km / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width_km / 4))


def curve_rows(sums: pd.DataFrame, adjusted: pd.DataFrame, rows: pd.DataFrame, start: str, years: dict[str, float]) -> pd.DataFrame:
    """By epoch: `sums` (built_m2, people) with bounds: built_low and built_high, people_low and people_high, of growth since `start` where
    `rows` (of `indicators`, one unit) has them; and adjusted_m2, lower_m2, upper_m2 of `adjusted` (by epoch). `years`: since `start`."""
    bounds: dict[str, dict[str, float]] = {}
    for epoch in sums.index:
        told = rows_by_key(rows, Period(start, epoch)) if epoch != start else {}
        if CHANGE in told and pd.notna(told[CHANGE]["lower"]):
            low, high = (1 + told[CHANGE][end] for end in ("lower", "upper"))
            bounds.setdefault(epoch, {}).update(built_low=sums["built_m2"][start] * low, built_high=sums["built_m2"][start] * high)
        if PGR in told and pd.notna(told[PGR]["lower"]):
            low, high = (np.exp(told[PGR][end] * years[epoch]) for end in ("lower", "upper"))
            bounds.setdefault(epoch, {}).update(people_low=sums["people"][start] * low, people_high=sums["people"][start] * high)
    columns = ["built_low", "built_high", "people_low", "people_high"]
    grown = pd.DataFrame.from_dict(bounds, orient="index", columns=columns).astype(np.float64)
    return sums.join(grown).join(adjusted[["adjusted_m2", "lower_m2", "upper_m2"]].astype(np.float64))


def sheet_chart(curve: pd.DataFrame, dates: dict[str, float]) -> bytes:
    """Built-up area and, where known, people over the years; `curve` as `curve_rows` gives it, `dates` decimal years by epoch."""
    at = np.array([dates[epoch] for epoch in curve.index])
    with_people = bool(curve["people"].notna().any())
    figure = Figure(figsize=CHART_SIZE, layout="constrained")
    panels = figure.subplots(1 + with_people, 1, sharex=True, squeeze=False)[:, 0]
    _line(panels[0], at, curve[["built_m2", "built_low", "built_high"]].to_numpy(np.float64) / 1e6, BUILT)
    _samples(panels[0], at, curve[["adjusted_m2", "lower_m2", "upper_m2"]].to_numpy(np.float64) / 1e6)
    panels[0].set_title("Built-up land, km²", fontsize=8, loc="left")
    if with_people:
        _line(panels[1], at, curve[["people", "people_low", "people_high"]].to_numpy(np.float64) / 1e3, PEOPLE)
        panels[1].set_title("People, thousands", fontsize=8, loc="left")
    for panel in panels:
        panel.set_ylim(bottom=0)
        panel.tick_params(labelsize=7)
        panel.grid(axis="y", color="#e3e3e3", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    every = -(-len(at) // MOST_TICKS)
    panels[-1].set_xticks(at[::every], list(curve.index[::every]), rotation=45 if max(map(len, curve.index)) > 4 else 0)
    return png(figure, DPI)


def _line(axis: Axes, at: NDArray[np.float64], told: NDArray[np.float64], colour: str) -> None:
    """`told` (n, 3): value, lower, upper."""
    axis.plot(at, told[:, 0], "-o", color=colour, markersize=3.5, linewidth=1.4)
    axis.vlines(at, told[:, 1], told[:, 2], colors=colour, linewidth=1.0)
    axis.plot(at, told[:, 1:], "_", color=colour, markersize=6)


def _samples(axis: Axes, at: NDArray[np.float64], told: NDArray[np.float64]) -> None:
    if np.isfinite(told[:, 0]).any():
        value, low, high = told.T
        axis.errorbar(at, value, [value - low, high - value], fmt="D", color=BORDER, markersize=3.5, capsize=2.5, linewidth=1)


def map_picture(grid: MapGrid, shares: dict[str, Shares], told: SheetUnit, most_parts: int, attribution: str) -> Drawn:
    """The unit's map; `shares` of one or two epochs, by date."""
    parts = told.parts
    data = sheet_map(grid, shares, told.unit["geometry"], list(parts["geometry"]), min(most_parts, len(parts)))
    frame, epochs = frame_of(grid), " and ".join(shares)
    pixel = _distance(float(f"{grid.pixel_width * frame.km_x:.3g}"))
    inside = f"; thin lines: its {len(parts)} parts, numbered as in the table" if len(parts) else ""
    caption = f"Built-up land, {epochs}. Bold line: {told.name}{inside}. A map pixel is {pixel}. North is up. {attribution}".strip()
    return Drawn("map", data, f"Map of built-up land in {told.name}, {epochs}, with the border of the unit and of its parts", caption)


def chart_picture(told: SheetUnit, adjusted: pd.DataFrame, start: str, years: dict[str, float], dates: dict[str, float]) -> Drawn:
    """Land and people over the years; `years`: of each epoch since `start`; `dates`: decimal years."""
    curve = curve_rows(told.sums[["built_m2", "people"]], adjusted, told.rows, start, years)
    captions = ["Of the whole unit at each epoch's date."]
    if curve[["built_low", "people_low"]].notna().any(axis=None):
        captions.append(f"Bars: 95 % bounds of growth since {start}, where they were computed.")
    if curve["adjusted_m2"].notna().any():
        captions.append("Diamonds: set right by a reference sample, with 95 % bounds.")
    if curve["people"].isna().all():
        captions.append("No population is declared.")
    seen = curve["built_m2"].dropna()
    ends = f": {seen.iloc[0] / 1e6:,.2f} km² in {seen.index[0]}, {seen.iloc[-1] / 1e6:,.2f} km² in {seen.index[-1]}" if len(seen) else ""
    return Drawn("chart", sheet_chart(curve, dates), f"Chart of built-up land and people over the years{ends}", " ".join(captions))
