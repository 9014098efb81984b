"""Plots of the simulated city: the yards and buildings of every quarter, as arrays. Local metres, x east, y north."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.simulation.looks import Look
from udfs.simulation.quarters import KINDS, NEVER, Doubles, Objects, Quarters, street_pitch
from udfs.simulation.seeds import generator
from udfs.simulation.spectra import ROOFS


@dataclass(frozen=True)
class Plots:
    """Arrays over plots. `time`: when it is built on (0 first year, 1 last). `angle`: radians from east, to the left. Lengths: metres."""

    centre: Doubles
    angle: Doubles
    plot: Doubles
    building: Doubles
    wing: Doubles
    kind: NDArray[np.str_]
    roof: NDArray[np.str_]
    yard: NDArray[np.str_]
    floors: Doubles
    time: Doubles
    shade: Doubles

    def chosen(self, keep: NDArray[Any]) -> "Plots":
        """The plots of a mask or of indexes."""
        return Plots(*(getattr(self, field.name)[keep] for field in fields(self)))


def plan_plots(quarters: Quarters, look: Look, *keys: object) -> Plots:
    """The plots of all quarters that are ever developed."""
    built = [i for i in range(len(quarters.kind)) if quarters.start[i] < NEVER and quarters.kind[i] != "park"]
    parts = [_quarter_plots(quarters, i, look, generator("plots", i, *keys)) for i in built]
    return Plots(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Plots)))


def _quarter_plots(quarters: Quarters, index: int, look: Look, draw: np.random.Generator) -> Plots:
    kind = str(quarters.kind[index])
    plan = KINDS[kind]
    places = _places(quarters, index, kind, look, draw)
    count = len(places)
    plot = np.tile(np.array(plan.plot) * look.plot_scale, (count, 1)) * draw.uniform(0.9, 1.0, (count, 2))
    building = plot * draw.uniform(*plan.cover, (count, 2)) * 0.97
    if kind == "apartments":
        building[:, 1] = np.minimum(building[:, 1], draw.uniform(12, 17, count))
    loose = {"informal": 0.07, "houses": 0.05}.get(kind, 0.015)
    warped = quarters.warp(places)
    angle = quarters.angle[index] + quarters.warp.turn(places) + draw.normal(0, loose, count).clip(-2 * loose, 2 * loose)
    quick = draw.exponential(0.12, count)
    time = quarters.start[index] + quick * (1.0 if kind == "informal" else 1.8)
    infill = draw.random(count) < 0.07
    time = np.where(infill, np.maximum(time, draw.uniform(-0.4, 1.4, count)), time)
    time[draw.random(count) < 0.05] = NEVER
    slack = np.maximum(plot - building, 0) / 2 * 0.7
    turned = draw.uniform(-1, 1, (count, 2)) * slack
    cos, sin = np.cos(angle), np.sin(angle)
    offset = np.stack([turned[:, 0] * cos - turned[:, 1] * sin, turned[:, 0] * sin + turned[:, 1] * cos], -1)
    roof = _roofs(kind, count, look, draw)
    shade = np.exp(draw.normal(0, 0.22 if kind == "informal" else 0.15, count)).clip(0.55, 1.7)
    return Plots(warped + offset, angle, plot, building, _wings(kind, count, draw), np.full(count, plan.building, "U8"), roof,
                 _yards(kind, count, look, draw), _floors(kind, count, draw), time, shade)  # fmt: skip


def _places(quarters: Quarters, index: int, kind: str, look: Look, draw: np.random.Generator) -> Doubles:
    """Centres of plots between the streets (before the warp): a lattice in the quarter's own axes, clipped to its outline."""
    plan = KINDS[kind]
    pitch = street_pitch(kind, look)
    axes = []
    for step, side, width in zip(pitch, plan.block, plan.plot, strict=True):
        per_block = max(int(side / width), 1)
        inner = plan.street / 2 + (np.arange(per_block) + 0.5) * (side * look.plot_scale / per_block)
        reach = int(look.quarter_m * 1.1 / step)
        axes.append((np.arange(-reach, reach + 1)[:, None] * step + inner).ravel())
    local = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    cos, sin = np.cos(quarters.angle[index]), np.sin(quarters.angle[index])
    places = np.stack([local[:, 0] * cos - local[:, 1] * sin, local[:, 0] * sin + local[:, 1] * cos], -1) + quarters.centre[index]
    margin = 8 + float(np.hypot(*plan.plot)) * look.plot_scale / 2
    inside = shapely.contains_xy(shapely.buffer(quarters.outline[index], -margin), places[:, 0], places[:, 1])
    return np.asarray(places[inside & ~_green_blocks(local, pitch, draw)])


def _green_blocks(local: Doubles, pitch: tuple[float, float], draw: np.random.Generator) -> NDArray[np.bool_]:
    """Plots of the few blocks that stay open: squares and gardens."""
    block = np.floor(local / np.array(pitch)).astype(int) % 64
    return np.asarray((draw.random((64, 64)) < 0.05)[block[:, 0], block[:, 1]])


def _roofs(kind: str, count: int, look: Look, draw: np.random.Generator) -> NDArray[np.str_]:
    weights = np.array({"informal": look.roofs_informal, "industry": look.roofs_hall}.get(kind, look.roofs_formal), float)
    if kind in ("apartments", "centre"):
        weights = weights * np.array([0.5, 3.0, 0.7, 0.4, 2.0, 0.0, 0.4])
    return np.asarray(draw.choice(ROOFS, count, p=weights / weights.sum()))


def _yards(kind: str, count: int, look: Look, draw: np.random.Generator) -> NDArray[np.str_]:
    paved = look.paved_yards
    sealed = {"centre": 0.95, "apartments": 0.55 + paved / 3, "industry": 0.8, "houses": paved, "informal": 0.06}[kind]
    soil = {"informal": 0.85}.get(kind, 0.45 if look.greenness[1] < 0.5 else 0.2)
    chance = draw.random(count)
    open_yard = np.where(draw.random(count) < soil, "dirt", "grass")
    return np.where(chance < sealed, np.where(draw.random(count) < 0.45, "asphalt", "pavement"), open_yard)


def _floors(kind: str, count: int, draw: np.random.Generator) -> Doubles:
    low, high = {"centre": (3, 9), "apartments": (4, 11), "houses": (1, 3), "industry": (2, 4), "informal": (1, 2)}[kind]
    return draw.integers(low, high, count).astype(float)


def _wings(kind: str, count: int, draw: np.random.Generator) -> Doubles:
    """Share of the rectangle missing at one corner, (n, 2): zero for plain rectangles, else an L."""
    chance = {"houses": 0.4, "centre": 0.35, "apartments": 0.1, "industry": 0.25, "informal": 0.12}[kind]
    angled = draw.random(count) < chance
    return np.where(angled[:, None], draw.uniform(0.3, 0.6, (count, 2)), 0.0)


def outlines(centre: Doubles, size: Doubles, angle: Doubles, wing: Doubles | None = None) -> Objects:
    """Rectangles, or Ls where `wing` is not zero, as polygons. All (n, 2) metres; angle (n,) radians."""
    half = size / 2
    cut = np.zeros_like(size) if wing is None else wing * size
    right, top = half[:, 0], half[:, 1]
    x = np.stack([-right, right, right, right - cut[:, 0], right - cut[:, 0], -right], 1)
    y = np.stack([-top, -top, top - cut[:, 1], top - cut[:, 1], top, top], 1)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    ring = np.stack([x * cos - y * sin, x * sin + y * cos], -1) + centre[:, None]
    plain = (cut == 0).all(axis=1)
    shapes = np.empty(len(centre), object)
    shapes[plain] = shapely.polygons(ring[plain][:, [0, 1, 2, 5]])
    shapes[~plain] = shapely.polygons(ring[~plain])
    return shapes
