"""The simulated country of benchmark `country`: towns, maps of built-up land as a network leaves them, and units of three levels."""

from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from scipy import ndimage

from udfs.grid import Grid, Tile
from udfs.rasters import NO_DATA, ONE

GRID = Grid("utm36n", "EPSG:32636", 0.0, 10_000_000.0, 10.0, 10.0)
TILE_PX, TOP, LEFT = 512, 1795, 48
"""The whole country, of 100 x 100 tiles, lies in the middle of its zone, 3 to 8 degrees north."""
TILE_M = TILE_PX * GRID.pixel_width
THRESHOLD = 125
EPOCHS, GROWTH = ("2015", "2020"), 1.15
DENSITIES, VARIANTS = (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4, 0.55, 0.7), 4
"""Of built-up land in a tile at the first epoch, and how many distinct maps there are of each."""
MISSING = 0.004
"""Of tiles at an epoch, that could not be mapped; as many show nothing."""
EDGE_M, STEP_M = 600.0, 60.0
"""How far units reach beyond the tiles, and from vertex to vertex along their borders."""
Floats = NDArray[np.float64]
Shapes = NDArray[np.object_]


class Size(NamedTuple):
    """Tiles a side, and units of the three levels."""

    side: int
    units: int
    districts: int
    regions: int

    @property
    def tiles(self) -> int:
        return self.side**2

    def tile(self, number: int) -> Tile:
        """By row, then column."""
        row, col = divmod(number, self.side)
        return Tile(TOP + row, LEFT + col, TILE_PX)

    @property
    def metres(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the tiles on the grid."""
        west, north = GRID.transform(TOP * TILE_PX, LEFT * TILE_PX) @ (0, 0)
        return west, north - self.side * TILE_M, west + self.side * TILE_M, north


class Towns(NamedTuple):
    """Middles x, y (n, 2) and radii (n,), metres."""

    middles: Floats
    radii: Floats


@cache
def towns(size: Size) -> Towns:
    """One for each 30 tiles, few of them large."""
    random, (west, south, east, north) = np.random.default_rng(1), size.metres
    count = max(1, size.tiles // 30)
    return Towns(random.uniform((west, south), (east, north), (count, 2)), np.minimum(1_500 * random.pareto(1.2, count) + 1_000, 30_000))


def density_classes(size: Size) -> NDArray[np.int64]:
    """Of each tile, which of DENSITIES it has, from how near towns are."""
    west, _, _, north = size.metres
    row, col = np.divmod(np.arange(size.tiles), size.side)
    middles = np.stack([west + (col + 0.5) * TILE_M, north - (row + 0.5) * TILE_M], axis=1)
    near = np.zeros(len(middles))
    for middle, radius in zip(*towns(size), strict=True):
        near = np.maximum(near, np.exp(-np.square((middles - middle) / radius).sum(axis=1) / 2))
    scattered = np.random.default_rng(2).integers(0, 4, len(middles))
    return np.clip(np.digitize(near, np.linspace(0.02, 0.98, len(DENSITIES) - 1)) + scattered * (near < 0.5), 0, len(DENSITIES) - 1)


def map_numbers(size: Size) -> NDArray[np.int64]:
    """Of each tile and epoch (tiles, 2) the number of its map in `maps`; -1: quarantined, -2: no data."""
    classes, random = density_classes(size), np.random.default_rng(3)
    numbers = (classes * VARIANTS + random.integers(0, VARIANTS, len(classes)))[:, None] * len(EPOCHS) + np.arange(len(EPOCHS))
    drawn = random.random(numbers.shape)
    return np.where(drawn < MISSING, -1, np.where(drawn < 2 * MISSING, -2, numbers))


def maps() -> list[NDArray[np.uint8]]:
    """Of every density, variant and epoch, as `map_numbers` counts them."""
    return [drawn_map(*numbers) for numbers in product(range(len(DENSITIES)), range(VARIANTS), range(len(EPOCHS)))]


def drawn_map(density: int, variant: int, epoch: int) -> NDArray[np.uint8]:
    """Probability (TILE_PX, TILE_PX), of the first epoch or the second, which holds what the first has; at the first a part of the last
    variant lies under cloud."""
    return _map(DENSITIES[density] * (GROWTH if epoch else 1.0), 10 * density + variant, clouded=variant == epoch + VARIANTS - 1)


def _map(density: float, seed: int, clouded: bool) -> NDArray[np.uint8]:
    random, shape = np.random.default_rng(seed), (TILE_PX, TILE_PX)
    noise = [ndimage.gaussian_filter(random.standard_normal(shape), sigma, mode="wrap") * sigma for sigma in (20, 4, 1.2)]
    field = np.sum(noise, axis=0)
    rank = np.empty(field.size)
    rank[np.argsort(field, axis=None)] = np.arange(field.size) / field.size
    likely = 1 / (1 + np.exp(-(rank.reshape(shape) - (1 - density)) / (0.01 + density / 10)))
    speckle = 4 * random.integers(-2, 3, shape)
    probability = np.clip(np.rint(ONE * likely + speckle * (likely > 0.05)), 0, ONE).astype(np.uint8)
    if density == 0:
        probability[:] = 0
    if clouded:
        probability[ndimage.gaussian_filter(random.standard_normal(shape), 60, mode="wrap") > 0.0035] = NO_DATA
    return probability


def units(size: Size) -> pd.DataFrame:
    """Rows unit_id, parent_id, name, level, geometry (EPSG:4326), which tile the ground exactly at every level. Smallest units are
    small in towns; one of 1,250 is a large one of many pieces with others enclosed."""
    seeds, owner, districts, regions = _nested(size)
    cells = _cells(seeds, size)
    leaves = np.array([shapely.coverage_union_all(cells[found]) for found in _members(owner)], object)
    of_district = np.array([shapely.coverage_union_all(leaves[found]) for found in _members(districts)], object)
    of_region = np.array([shapely.coverage_union_all(of_district[found]) for found in _members(regions)], object)
    levels = [
        _level(0, "R", of_region, None),
        _level(1, "D", of_district, [f"R{number:05d}" for number in regions]),
        _level(2, "U", leaves, [f"D{number:05d}" for number in districts]),
    ]
    return pd.concat(levels, ignore_index=True)


def _level(level: int, letter: str, shapes: Shapes, parents: list[str] | None) -> pd.DataFrame:
    ids = [f"{letter}{number:05d}" for number in range(len(shapes))]
    names = [f"Unit {each}" for each in ids]
    return pd.DataFrame({"unit_id": ids, "parent_id": parents, "name": names, "level": level, "geometry": in_degrees(detailed(shapes))})


def _members(owner: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Indexes of the items of each owner."""
    return np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])


def _nested(size: Size) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Seeds of cells (n, 2), of each the number of its smallest unit, of these that of their district, of these that of their region."""
    random = np.random.default_rng(4)
    seeds = _seeds(size, random)
    large = _large(seeds, size, random)
    label = np.where(large >= 0, -1 - large, np.arange(len(seeds)))
    _, first, owner = np.unique(label, return_index=True, return_inverse=True)
    # As many cells as give the units asked for: a unit counts where its first cell comes.
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    cells = int(np.sort(first)[size.units]) if len(first) > size.units else len(seeds)
    owner, middles = place[owner][:cells], seeds[np.sort(first)[: size.units]]
    centres = middles[random.choice(len(middles), size.districts, replace=False)]
    districts = _nearest(middles, centres)
    return seeds[:cells], owner, districts, _nearest(centres, centres[random.choice(size.districts, size.regions, replace=False)])


def _nearest(points: Floats, centres: Floats) -> NDArray[np.int64]:
    tree = shapely.STRtree(shapely.points(centres))
    _, found = tree.query_nearest(shapely.points(points), all_matches=False)
    return np.asarray(found, np.int64)


def _seeds(size: Size, random: np.random.Generator) -> Floats:
    """More than are needed: half anywhere, half about towns; each once, to the metre."""
    west, south, east, north = size.metres
    count, (middles, radii) = 2 * size.units, towns(size)
    town = random.choice(len(radii), count, p=radii / radii.sum())
    about = middles[town] + random.standard_normal((count, 2)) * radii[town, None]
    anywhere = random.uniform((west, south), (east, north), (count, 2))
    drawn = np.rint(np.where(random.random((count, 1)) < 0.5, about, anywhere))
    drawn = drawn[((drawn > (west, south)) & (drawn < (east, north))).all(axis=1)]
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)]


def _large(seeds: Floats, size: Size, random: np.random.Generator) -> NDArray[np.int64]:
    """Of each seed the number of the large unit it is part of, else -1: long bent ground from which one cell of ten is left out."""
    west, south, east, north = size.metres
    found = np.full(len(seeds), -1)
    for number in range(max(1, size.units // 1_250)):
        middle, length = random.uniform((west, south), (east, north)), random.uniform(8_000, 50_000)
        turn = np.exp(1j * random.uniform(0, 2 * np.pi))
        offset = (seeds - middle) @ np.array([1, 1j]) * turn
        across = offset.imag + 0.3 * length * np.sin(offset.real / length * 3)
        found[(np.square(offset.real / length) + np.square(across / length * 3) < 1) & (random.random(len(seeds)) > 0.1)] = number
    return found


def _cells(seeds: Floats, size: Size) -> Shapes:
    """Voronoi cells of seeds, in their order, to the millimetre."""
    west, south, east, north = size.metres
    frame = shapely.box(west - EDGE_M, south - EDGE_M, east + EDGE_M, north + EDGE_M)
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(seeds), extend_to=frame))
    seed, cell = shapely.STRtree(cells).query(shapely.points(seeds), predicate="within")
    clipped = shapely.intersection(cells[cell[np.argsort(seed)]], frame)
    return np.asarray(shapely.transform(clipped, lambda xy: np.round(xy, 3)), object)


def detailed(shapes: Shapes) -> Shapes:
    """Borders that bend: vertices each STEP_M, all of the plane shifted smoothly. Neighbours keep their common vertices, bit by bit,
    since those on an edge are told from its lesser end."""
    parts, shape_of_part = shapely.get_parts(shapes, return_index=True)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    start, end, ring = points[:-1][same], points[1:][same], ring[:-1][same]
    turned = (start[:, 0] > end[:, 0]) | ((start[:, 0] == end[:, 0]) & (start[:, 1] > end[:, 1]))
    lesser, greater = np.where(turned[:, None], end, start), np.where(turned[:, None], start, end)
    count = np.maximum(np.ceil(np.hypot(*(greater - lesser).T) / STEP_M), 1).astype(np.int64)
    edge = np.repeat(np.arange(len(count)), count)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    step = np.where(turned[edge], count[edge] - step, step)
    share = (step / count[edge])[:, None]
    along = np.where(step[:, None] == count[edge][:, None], greater[edge], lesser[edge] + share * (greater[edge] - lesser[edge]))
    bent = shapely.linearrings(_shifted(along), indices=ring[edge])
    return _assembled(bent, part_of_ring, shape_of_part)


def _shifted(xy: Floats) -> Floats:
    """Waves of 1 and 7 km."""
    return xy + 40 * np.sin(xy[:, ::-1] / 170) + 200 * np.sin(xy[:, ::-1] / 1_100 + 1)


def _assembled(rings: Shapes, part_of_ring: NDArray[np.int64], shape_of_part: NDArray[np.int64]) -> Shapes:
    """The first ring of a part is its exterior."""
    parts = np.array([shapely.Polygon(rings[found[0]], rings[found[1:]]) for found in _members(part_of_ring)], object)
    whole = [parts[found[0]] if len(found) == 1 else shapely.MultiPolygon(list(parts[found])) for found in _members(shape_of_part)]
    return np.array(whole, object)


def in_degrees(shapes: Shapes) -> Shapes:
    """From the grid's CRS to EPSG:4326."""
    transformer = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
    return np.asarray(shapely.transform(shapes, transformer.transform, interleaved=False), object)


def people(leaves: pd.DataFrame) -> pd.DataFrame:
    """Rows unit_id, year, people: of two counts; nobody lives in one unit of 200, one of 500 was not counted."""
    random = np.random.default_rng(5)
    before = np.rint(random.lognormal(7, 1, len(leaves))) * (random.random(len(leaves)) > 1 / 200)
    after = np.rint(before * random.normal(1.15, 0.1, len(leaves)))
    counted = random.random(len(leaves)) > 1 / 500
    parts = [
        pd.DataFrame({"unit_id": leaves["unit_id"], "year": year, "people": n})[counted] for year, n in ((2011, before), (2021, after))
    ]
    return pd.concat(parts, ignore_index=True)
