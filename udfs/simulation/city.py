"""The plan of a simulated city: every shape with its cover and years. Coordinates are local metres from the south-west corner."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry as Geometry

from udfs.simulation.growth import FOREVER, Calendar, Standing, Years, built_years, calendar
from udfs.simulation.looks import Look, look_named
from udfs.simulation.nature import fields, natural_cover, water_body
from udfs.simulation.painting import Outlines, flattened
from udfs.simulation.plots import Plots, outlines, plan_plots
from udfs.simulation.quarters import NEVER, Doubles, Lines, Objects, Quarters, plan_quarters, plan_streets
from udfs.simulation.seeds import generator
from udfs.simulation.spectra import COVER

CRS = "EPSG:32637"
WEST, NORTH = 412_340.0, 1_203_470.0
"""Upper left corner in CRS: on whole 10 m pixels of the zone, off every multiple of 256 of them."""
NO_BUILDING = -1
STOREY_M = 3.0


@dataclass(frozen=True)
class Shapes:
    """What lies on the natural cover, in painting order. `shade` scales brightness, 100 = 1. `building`: row in `City.buildings`."""

    geometry: Objects
    cover: NDArray[np.uint8]
    shade: NDArray[np.uint8]
    built: Years
    gone: Years
    building: NDArray[np.int32]


@dataclass(frozen=True)
class Trees:
    """Single trees: position (n, 2), crown radius in metres, first year."""

    centre: Doubles
    radius: Doubles
    built: Years


@dataclass(frozen=True, eq=False)
class City:
    """`buildings` and `standing` have one row per building; outlines in `footprints`. `natural` covers the square, row 0 north."""

    seed: int
    look: Look
    size_m: float
    first_year: int
    last_year: int
    natural: NDArray[np.uint8]
    shapes: Shapes
    standing: Standing
    footprints: Objects
    trees: Trees
    quarters: Quarters

    def transform(self, gsd: float, west: float = 0.0, north: float | None = None) -> Affine:
        """Pixel to CRS coordinates at a pixel size in metres, for the whole square or from a local upper left corner."""
        south_of_top = 0.0 if north is None else self.size_m - north
        return Affine(gsd, 0.0, WEST + west, 0.0, -gsd, NORTH - south_of_top)

    def placed(self, local: Objects) -> Objects:
        """Local geometries in CRS."""
        return np.asarray(shapely.transform(local, lambda points: points + np.array([WEST, NORTH - self.size_m])))

    @cached_property
    def ground(self) -> Outlines:
        """Outlines of `shapes`."""
        return flattened(self.shapes.geometry)

    @cached_property
    def roofs(self) -> Outlines:
        """Outlines of `footprints`."""
        return flattened(self.footprints)

    @cached_property
    def crowns(self) -> Outlines:
        """Outlines of `trees`, octagons."""
        turn = np.append(np.arange(8), 0) * np.pi / 4
        ring = np.stack([np.cos(turn), np.sin(turn)], -1) * self.trees.radius[:, None, None] + self.trees.centre[:, None]
        return flattened(shapely.polygons(ring))

    @cached_property
    def shadows(self) -> Outlines:
        """Outlines of the mid-morning shadows of `footprints`; those of low buildings are too short to matter in 2 m cells."""
        azimuth, elevation = np.radians(self.look.sun_azimuth), np.radians(self.look.sun_elevation)
        tall = np.flatnonzero(self.standing.plots.floors >= 3)
        points, owner = shapely.get_coordinates(self.footprints[tall], return_index=True)
        length = self.standing.plots.floors[tall][owner] * STOREY_M / np.tan(elevation)
        thrown = np.concatenate([points, points + np.array([-np.sin(azimuth), -np.cos(azimuth)]) * length[:, None]])
        order = np.argsort(np.tile(owner, 2), kind="stable")
        hulls = np.full(len(self.footprints), None, object)
        hulls[tall] = shapely.convex_hull(shapely.multipoints(thrown[order], indices=np.tile(owner, 2)[order]))
        return flattened(hulls)

    @property
    def key(self) -> tuple[object, ...]:
        return self.seed, self.look.name, self.size_m


def plan_city(seed: int, look: str = "default", size_m: float = 12_800.0, first_year: int = 2017, last_year: int = 2022) -> City:
    """The city of a seed and a look (a name of looks.LOOKS or `random-<n>`); raises InputError for an unknown look.
    The same arguments give the same city. A building stands from its year built until before its year gone."""
    style, size_m = look_named(look), float(size_m)
    keys = (seed, style.name, size_m)
    quarters = plan_quarters(size_m, style, *keys)
    natural = natural_cover(size_m, style, *keys)
    water = water_body(size_m, style, *keys)
    streets = plan_streets(quarters, size_m, style, *keys)
    roads = _without_water(streets, water, bridged=style.water == "river")
    plots = _free_plots(plan_plots(quarters, style, *keys), roads, water, size_m)
    dates = calendar(plots, style.growth, first_year, last_year)
    standing = built_years(plots, dates, generator("demolition", *keys))
    footprints = outlines(standing.plots.centre, standing.plots.building, standing.plots.angle, standing.plots.wing)
    painted = [
        _land(quarters, natural, water, dates, size_m, style, *keys),
        _yards(plots, dates),
        _street_shapes(roads, dates),
        Shapes(footprints, _roof_codes(standing.plots), _hundredths(standing.plots.shade), standing.built, standing.gone,
               np.arange(len(footprints), dtype=np.int32)),
    ]  # fmt: skip
    trees = _trees(plots, roads, dates, size_m, style, *keys)
    return City(seed, style, size_m, first_year, last_year, natural, _joined(painted), standing, footprints, trees, quarters)


def _without_water(streets: Lines, water: Geometry, bridged: bool) -> Lines:
    """Streets end at the shore, but the widest cross a river on bridges."""
    if water.is_empty:
        return streets
    bank = water.buffer(12)
    shapely.prepare(bank)
    wet = shapely.intersects(bank, streets.line) & ((streets.width < 12.5) | (not bridged))
    line = streets.line.copy()
    line[wet] = shapely.difference(line[wet], bank)
    return Lines(line, streets.width, streets.start, streets.cover)


def _free_plots(plots: Plots, roads: Lines, water: Geometry, size_m: float) -> Plots:
    """Plots inside the square whose building touches neither water nor a wide road."""
    plots = plots.chosen(np.asarray(((plots.centre > 0) & (plots.centre < size_m)).all(axis=1)))
    shapes = outlines(plots.centre, plots.building, plots.angle)
    bounds = shapely.bounds(shapes)
    free = (bounds[:, :2] >= 0).all(axis=1) & (bounds[:, 2:] <= size_m).all(axis=1)
    wide = roads.width >= 8.5
    barriers = np.append(shapely.buffer(roads.line[wide], roads.width[wide] / 2 + 1.5), water.buffer(8))
    hit = shapely.STRtree(shapes).query(barriers, predicate="intersects")[1]
    free[hit] = False
    return plots.chosen(free)


def _land(
    quarters: Quarters, natural: NDArray[np.uint8], water: Geometry, dates: Calendar, size_m: float, look: Look, *keys: object
) -> Shapes:
    """Fields, the ground of developed quarters, beaches and water."""
    draw = generator("land", *keys)
    tilled, crops = fields(quarters, natural, size_m, look, *keys)
    urban = quarters.start < NEVER
    ground = np.where(quarters.kind == "park", "grass", np.where(quarters.kind == "informal", "dirt", _grounds(len(urban), look, draw)))
    outline = shapely.transform(shapely.segmentize(quarters.outline[urban], 60.0), quarters.warp)
    shape = np.concatenate([tilled, outline, [water.buffer(14 if look.water != "river" else 4), water]])
    cover = np.concatenate([crops, [COVER[name] for name in ground[urban]], [COVER["sand"], COVER["water"]]]).astype(np.uint8)
    shade = np.exp(draw.normal(0, 0.13, len(shape)))
    shade[-1] = 1.0
    built = np.full(len(shape), -9999, np.int16)
    built[len(tilled) : -2] = dates.year(quarters.start[urban] - 0.2)
    return _shapes(shape, cover, shade, built)


def _grounds(count: int, look: Look, draw: np.random.Generator) -> NDArray[np.str_]:
    dry = 1 - (look.greenness[0] + look.greenness[1]) / 2
    return np.asarray(draw.choice(["grass", "scrub", "dirt"], count, p=[0.75 - 0.6 * dry, 0.15 + 0.2 * dry, 0.1 + 0.4 * dry]))


def _yards(plots: Plots, dates: Calendar) -> Shapes:
    """Yards, from the year of their building on; those of informal plots are the quarter's ground."""
    chosen = plots.chosen((plots.kind != "informal") & (plots.time <= dates.edges[-1]))
    shape = outlines(chosen.centre, np.maximum(chosen.plot * 0.99, chosen.building), chosen.angle)
    cover = np.array([COVER[name] for name in chosen.yard], np.uint8)
    return _shapes(shape, cover, chosen.shade**0.5, dates.year(chosen.time))


def _street_shapes(roads: Lines, dates: Calendar) -> Shapes:
    """Streets as areas: tracks first, so that paved ones cross over them."""
    order = np.argsort(roads.cover != "dirt", kind="stable")
    shape = shapely.buffer(roads.line[order], roads.width[order] / 2, cap_style="flat")
    cover = np.array([COVER[name] for name in roads.cover[order]], np.uint8)
    return _shapes(shape, cover, np.ones(len(shape)), dates.year(roads.start[order]))


def _roof_codes(plots: Plots) -> NDArray[np.uint8]:
    return np.array([COVER[name] for name in plots.roof], np.uint8)


def _hundredths(shade: Doubles) -> NDArray[np.uint8]:
    return np.asarray((shade * 100).round().clip(20, 250), np.uint8)


def _shapes(shape: Objects, cover: NDArray[np.uint8], shade: Doubles, built: Years) -> Shapes:
    forever = np.full(len(shape), FOREVER, np.int16)
    return Shapes(shape, cover, _hundredths(shade), built, forever, np.full(len(shape), NO_BUILDING, np.int32))


def _joined(parts: list[Shapes]) -> Shapes:
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in Shapes.__dataclass_fields__)
    return Shapes(*columns)


def _trees(plots: Plots, roads: Lines, dates: Calendar, size_m: float, look: Look, *keys: object) -> Trees:
    """Trees in yards, along streets and scattered over the country."""
    draw = generator("trees", *keys)
    garden = plots.chosen((draw.random(len(plots.time)) < look.trees * 0.8) & (plots.time <= dates.edges[-1]) & (plots.kind != "hall"))
    corner = garden.plot * (0.5 - draw.uniform(0, 0.06, garden.plot.shape)) * draw.choice([-1.0, 1.0], garden.plot.shape)
    cos, sin = np.cos(garden.angle), np.sin(garden.angle)
    yard = garden.centre + np.stack([corner[:, 0] * cos - corner[:, 1] * sin, corner[:, 0] * sin + corner[:, 1] * cos], -1)
    rows = shapely.get_coordinates(shapely.segmentize(roads.line, 14.0))
    lined = rows[draw.random(len(rows)) < look.trees * 0.35] + 0.0
    lined += draw.choice([-1.0, 1.0], lined.shape) * draw.uniform(3.5, 7.5, lined.shape)
    wild = draw.uniform(0, size_m, (int(size_m**2 / 1e4 * look.trees * 1.5), 2))
    centre = np.concatenate([yard, lined, wild])
    built = np.concatenate([dates.year(garden.time), np.full(len(lined) + len(wild), -9999, np.int16)])
    inside = ((centre > 4) & (centre < size_m - 4)).all(axis=1)
    return Trees(centre[inside], 1.2 + draw.gamma(2.0, 0.75, len(centre)).clip(0, 4.5)[inside], built[inside])
