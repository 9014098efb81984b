"""Open land of the simulated city: water, natural cover, fields. Local metres, x east, y north."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Polygon

from udfs.simulation.looks import Look
from udfs.simulation.quarters import MARGIN, Doubles, Objects, Quarters
from udfs.simulation.seeds import fractal_noise, generator
from udfs.simulation.spectra import COVER

BASE_M = 4.0
"""Cell of the natural base cover, metres: finer than a pixel, and on another lattice."""
FIELD_COVERS = ("crop_0", "crop_1", "crop_2", "crop_3", "fallow", "grass", "scrub")


def water_body(size_m: float, look: Look, *keys: object) -> Any:
    """The river, lake or sea of the look, a (multi)polygon; empty for none."""
    draw = generator("water", *keys)
    if look.water == "river":
        return _river(size_m, draw)
    if look.water == "lake":
        turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        swing = sum(draw.normal(0, 0.16) * np.sin(k * turn + draw.uniform(0, 6)) for k in (1, 2, 3, 5))
        radius = size_m * draw.uniform(0.06, 0.11) * np.exp(swing)
        middle = draw.uniform(0.15, 0.85, 2) * size_m
        return Polygon(middle + np.stack([np.cos(turn), np.sin(turn)], -1) * radius[:, None]).buffer(0)
    if look.water == "coast":
        return _sea(size_m, draw)
    return Polygon()


def _wavy(size_m: float, draw: np.random.Generator, height: float) -> Doubles:
    """Points along x with a smooth swing in y, (n, 2), around y = 0."""
    along = np.linspace(-0.8 * size_m, 0.8 * size_m, 240)
    waves = draw.uniform(0.25, 1.1, 5) * size_m
    swing = sum(draw.normal(0, height) * w * np.sin(2 * np.pi * along / w + draw.uniform(0, 6)) for w in waves)
    return np.stack([along, swing], -1)


def _placed(points: Doubles, size_m: float, angle: float, offset: float) -> Doubles:
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = points[:, 0], points[:, 1] + offset
    return np.stack([x * cos - y * sin, x * sin + y * cos], -1) + size_m / 2


def _river(size_m: float, draw: np.random.Generator) -> Any:
    course = _placed(_wavy(size_m, draw, 0.035), size_m, draw.uniform(0, np.pi), draw.uniform(-0.25, 0.25) * size_m)
    return LineString(course).buffer(draw.uniform(35, 95))


def _sea(size_m: float, draw: np.random.Generator) -> Any:
    shore = _wavy(size_m, draw, 0.025)
    far = np.array([[shore[-1, 0], 3 * size_m], [shore[0, 0], 3 * size_m]])
    ring = _placed(np.concatenate([shore, far]), size_m, draw.uniform(0, 2 * np.pi), draw.uniform(0.24, 0.36) * size_m)
    return Polygon(ring).buffer(0)


def natural_cover(size_m: float, look: Look, *keys: object) -> NDArray[np.uint8]:
    """Cover codes of land that nobody uses, row 0 in the north, cells of BASE_M: forest, scrub, grass and bare hills."""
    side = int(np.ceil(size_m / BASE_M))
    shape = (side, side)
    wood = fractal_noise(shape, 1100 / BASE_M, 6, "wood", *keys)
    hills = fractal_noise(shape, 1700 / BASE_M, 5, "hills", *keys)
    meadow = fractal_noise(shape, 300 / BASE_M, 5, "meadow", *keys)
    cover = np.where(meadow > 0.4, COVER["scrub"], COVER["grass"]).astype(np.uint8)
    cover[meadow < -1.6] = COVER["dirt"]
    cover[wood > _level(wood, look.forest)] = COVER["tree"]
    bare = hills > _level(hills, look.bare_hills)
    cover[bare] = COVER["rock"]
    cover[bare & (meadow > 0.6)] = COVER["scrub"]
    return cover


def _level(noise: NDArray[np.float32], share: float) -> float:
    """The value that `share` of the noise exceeds; from every 7th cell, which is plenty."""
    return float(np.quantile(noise[::7, ::7], 1 - share))


def fields(quarters: Quarters, cover: NDArray[np.uint8], size_m: float, look: Look, *keys: object) -> tuple[Objects, NDArray[np.uint8]]:
    """Fields of the country around (also where the city comes later), bent polygons and cover codes; none on forest or hills."""
    draw = generator("fields", *keys)
    open_land = np.flatnonzero(quarters.start > -0.5)
    weights = np.array([*(4 * [(1 - look.fallow) * 0.19]), look.fallow, (1 - look.fallow) * 0.14, (1 - look.fallow) * 0.1])
    parts = [_quarter_fields(quarters, int(i), look, draw) for i in open_land]
    if not parts:
        return np.empty(0, object), np.empty(0, np.uint8)
    shapes = shapely.transform(shapely.segmentize(np.concatenate(parts), 60.0), quarters.warp)
    middle = shapely.get_coordinates(shapely.centroid(shapes))
    inside = (np.abs(middle - size_m / 2) < size_m / 2 + MARGIN / 2).all(axis=1)
    last = cover.shape[0] - 1
    row, col = ((size_m - middle[:, 1]) / BASE_M).astype(int).clip(0, last), (middle[:, 0] / BASE_M).astype(int).clip(0, last)
    tilled = inside & np.isin(cover[row, col], [COVER["grass"], COVER["scrub"], COVER["dirt"]])
    codes = np.array([COVER[name] for name in FIELD_COVERS], np.uint8)[draw.choice(len(weights), len(shapes), p=weights / weights.sum())]
    return shapes[tilled], codes[tilled]


def _quarter_fields(quarters: Quarters, index: int, look: Look, draw: np.random.Generator) -> Objects:
    width, depth = draw.uniform(40, 130), draw.uniform(90, 240)
    reach = look.quarter_m
    x, y = np.meshgrid(np.arange(-reach, reach, width), np.arange(-reach, reach, depth))
    cell = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * np.array([width - 1.5, depth - 2.5])
    ring = np.stack([x.ravel(), y.ravel()], -1)[:, None] + cell
    cos, sin = np.cos(quarters.angle[index]), np.sin(quarters.angle[index])
    turned = np.stack([ring[..., 0] * cos - ring[..., 1] * sin, ring[..., 0] * sin + ring[..., 1] * cos], -1) + quarters.centre[index]
    clipped = shapely.intersection(shapely.polygons(turned), quarters.outline[index])
    return np.asarray(clipped[shapely.area(clipped) > 900])
