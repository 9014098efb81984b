"""Quarters of the simulated city: where they lie, what they are, when they are developed, and their streets. Local metres, y north."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.simulation.looks import Look
from udfs.simulation.seeds import generator

Doubles = NDArray[np.float64]
Objects = NDArray[Any]
MARGIN = 450.0
"""Metres planned beyond the city's square, so that its edge looks like its inside."""
NEVER = 9.0
"""A development time later than any; 0 is the first year, 1 the last."""


@dataclass(frozen=True)
class KindPlan:
    """How a kind of quarter is cut, metres: block, plot, streets between blocks, and how much of a plot a building takes."""

    block: tuple[float, float]
    plot: tuple[float, float]
    street: float
    cover: tuple[float, float]
    building: str


KINDS = {
    "centre": KindPlan((96.0, 60.0), (19.0, 30.0), 11.0, (0.8, 0.97), "block"),
    "apartments": KindPlan((150.0, 96.0), (50.0, 48.0), 9.0, (0.55, 0.85), "block"),
    "houses": KindPlan((140.0, 54.0), (20.0, 27.0), 7.5, (0.5, 0.74), "house"),
    "industry": KindPlan((240.0, 150.0), (80.0, 75.0), 12.0, (0.62, 0.9), "hall"),
    "informal": KindPlan((76.0, 48.0), (10.6, 9.6), 3.2, (0.8, 0.98), "informal"),
}


class Warp:
    """A smooth displacement that bends streets; at most about 180 m, zero rotation on average."""

    def __init__(self, *keys: object) -> None:
        draw = generator("warp", *keys)
        self._wave = draw.normal(0, 1, (5, 2)) * (2 * np.pi / draw.uniform(1800, 5200, (5, 1)))
        self._phase = draw.uniform(0, 2 * np.pi, (5, 2))
        self._height = draw.uniform(14, 36, (5, 2))

    def __call__(self, points: Doubles) -> Doubles:
        """Displaced points, (n, 2)."""
        angle = (points[:, :1] * self._wave[:, 0] + points[:, 1:2] * self._wave[:, 1])[:, :, None] + self._phase
        return np.asarray(points + (np.sin(angle) * self._height).sum(axis=1))

    def turn(self, points: Doubles) -> Doubles:
        """Local rotation of the displacement, radians, (n,)."""
        ahead = self(points + np.array([5.0, 0.0])) - self(points - np.array([5.0, 0.0]))
        return np.asarray(np.arctan2(ahead[:, 1], ahead[:, 0]))


@dataclass(frozen=True)
class Quarters:
    """Arrays over quarters. `start` is the time of development: < 0 before the first year, NEVER for open country."""

    centre: Doubles
    outline: Objects
    angle: Doubles
    kind: NDArray[np.str_]
    start: Doubles
    warp: Warp


def plan_quarters(size_m: float, look: Look, *keys: object) -> Quarters:
    """Quarters over the square and its margin; outlines are straight, to be bent by `warp` later."""
    draw = generator("quarters", *keys)
    axis = np.arange(-MARGIN, size_m + MARGIN + look.quarter_m, look.quarter_m)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    centre = grid + draw.uniform(-0.42, 0.42, grid.shape) * look.quarter_m
    frame = shapely.box(-MARGIN - 300, -MARGIN - 300, size_m + MARGIN + 300, size_m + MARGIN + 300)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(centre), extend_to=frame, ordered=True))
    outline = shapely.intersection(cells, frame)
    remote = _remoteness(centre, size_m, look, *keys)
    rank = np.argsort(np.argsort(remote)) / len(remote)
    kind = _kinds(rank / look.urban_share, look, draw)
    # Older quarters have negative times; the belt beyond the first year's edge is developed between 0 and 1.
    edge = 1 / (1 + look.growth)
    start = np.where(rank < look.urban_share, (rank / look.urban_share - edge) / (1 - edge), NEVER)
    angle = np.round(draw.uniform(0, np.pi / 2, len(centre)) / 0.12) * 0.12 + 0.05
    return Quarters(centre, outline, angle, kind, np.where(kind == "park", np.minimum(start, 0.0), start), Warp(*keys))


def _remoteness(centre: Doubles, size_m: float, look: Look, *keys: object) -> Doubles:
    """Distance to the nearest of several centres in units of their reach, with noise: the order of development."""
    draw = generator("centres", *keys)
    count = max(round(size_m / 4000), 1) + 1
    hubs = draw.uniform(0.2, 0.8, (count, 2)) * size_m
    reach = np.concatenate([[1.0], draw.uniform(0.3, 0.6, count - 1)])
    distance = np.linalg.norm(centre[:, None] - hubs, axis=-1) / (size_m * reach)
    return np.asarray(distance.min(axis=1) * np.exp(draw.normal(0, 0.22, len(centre))))


def _kinds(nearness: Doubles, look: Look, draw: np.random.Generator) -> NDArray[np.str_]:
    """Centre inside, a mix of the others around it; open country is planned as houses that never come."""
    weights = np.array([look.apartments, look.industry, look.informal, look.parks, 0.0])
    weights[4] = max(1 - weights.sum(), 0.15)
    mixed = draw.choice(["apartments", "industry", "informal", "park", "houses"], len(nearness), p=weights / weights.sum())
    return np.where(nearness < 0.08, "centre", mixed)


@dataclass(frozen=True)
class Lines:
    """Street centre lines with width (m), time of building and cover name."""

    line: Objects
    width: Doubles
    start: Doubles
    cover: NDArray[np.str_]


def plan_streets(quarters: Quarters, size_m: float, look: Look, *keys: object) -> Lines:
    """Minor streets of built quarters, roads between quarters, highways and a railway; bent by the warp."""
    draw = generator("streets", *keys)
    parts = [_minor_streets(quarters, i, look, draw) for i in range(len(quarters.kind)) if quarters.start[i] < NEVER]
    parts += [_quarter_roads(quarters, draw), _long_lines(size_m, draw)]
    line = np.concatenate([part.line for part in parts])
    bent = shapely.transform(shapely.segmentize(line, 40.0), quarters.warp)
    fields = (np.concatenate([getattr(part, name) for part in parts]) for name in ("width", "start", "cover"))
    return Lines(bent, *fields)


def _minor_streets(quarters: Quarters, index: int, look: Look, draw: np.random.Generator) -> Lines:
    kind = str(quarters.kind[index])
    if kind == "park":
        return _lines(np.array([], object), 2.5, 0.0, "dirt")
    plan = KINDS[kind]
    pitch = street_pitch(kind, look)
    reach = look.quarter_m * 1.4
    lines = [_rulers(reach, step, axis) for axis, step in enumerate(pitch)]
    turned = _turned(np.concatenate(lines), quarters.angle[index], quarters.centre[index])
    inside = shapely.intersection(shapely.linestrings(turned), quarters.outline[index])
    paved = draw.random() < (look.paved_streets * (0.35 if kind == "informal" else 1.0))
    kept = inside[~shapely.is_empty(inside)]
    return _lines(kept, plan.street, float(quarters.start[index]) - 0.12, "asphalt" if paved else "dirt")


def street_pitch(kind: str, look: Look) -> tuple[float, float]:
    """Distance of parallel streets along the two axes of a quarter, metres."""
    plan = KINDS[kind]
    return tuple(side * look.plot_scale + plan.street for side in plan.block)  # type: ignore[return-value]


def _rulers(reach: float, step: float, axis: int) -> Doubles:
    """Parallel lines (n, 2 points, 2) at multiples of `step` along `axis`."""
    offsets = np.arange(-np.floor(reach / step), np.floor(reach / step) + 1) * step
    lines = np.empty((len(offsets), 2, 2))
    lines[:, :, axis] = offsets[:, None]
    lines[:, 0, 1 - axis], lines[:, 1, 1 - axis] = -reach, reach
    return lines


def _turned(points: Doubles, angle: float, centre: Doubles) -> Doubles:
    """Points turned anticlockwise by `angle` (radians) and moved to `centre`; any leading shape."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return np.stack([x * cos - y * sin, x * sin + y * cos], -1) + centre


def _lines(line: Objects, width: float | Doubles, start: float | Doubles, cover: Any) -> Lines:
    count = len(line)
    return Lines(line, np.full(count, width), np.full(count, start), np.full(count, cover).astype("U9"))


def _quarter_roads(quarters: Quarters, draw: np.random.Generator) -> Lines:
    """The outline of each quarter: a main road from its development on; a country road or track before."""
    count = len(quarters.kind)
    rural = quarters.start >= NEVER
    lane = draw.random(count) < 0.35
    width = np.where(rural, np.where(lane, 6.5, 3.6), draw.uniform(9.5, 15.0, count))
    start = np.where(rural, -20.0, quarters.start - 0.2)
    return _lines(shapely.boundary(quarters.outline), width, start, np.where(rural & ~lane, "dirt", "asphalt"))


def _long_lines(size_m: float, draw: np.random.Generator) -> Lines:
    """Two highways and a railway across the square."""
    middle = size_m / 2 + draw.uniform(-0.22, 0.22, (3, 2)) * size_m
    angle = draw.uniform(0, np.pi) + np.array([0.0, np.pi / 2.3, np.pi / 5])
    along = np.stack([np.cos(angle), np.sin(angle)], -1) * size_m * 1.6
    line = shapely.linestrings(np.stack([middle - along, middle + along], 1))
    return _lines(line, np.array([24.0, 20.0, 8.5]), -30.0, np.array(["asphalt", "asphalt", "ballast"]))
