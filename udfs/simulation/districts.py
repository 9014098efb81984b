"""Administrative units of the simulated city: two levels, nested, without gaps. Outlines are not aligned with pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from udfs.simulation.city import CRS, City
from udfs.simulation.quarters import Doubles, Objects
from udfs.simulation.seeds import generator

SIDE = 6
"""Leaf units along one side of the square."""
PARENT_SHAPE = (2, 3)
"""Leaf columns and rows of a parent."""
DEGREE_DECIMALS = 9
"""About 0.1 mm."""
WORDS = ("Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Maple", "Oak", "Pine", "Rowan", "Willow", "Yew")
SUFFIXES = ("field", "gate", "hill", "mead", "side", "ton", "well")


@dataclass(frozen=True)
class Districts:
    """Units: parents (level 0, parent "") first, then leaves (level 1). `outline`: local metres; `leaf`: mask of leaves."""

    unit_id: NDArray[np.str_]
    name: NDArray[np.str_]
    parent_id: NDArray[np.str_]
    level: NDArray[np.int64]
    outline: Objects

    @property
    def leaf(self) -> NDArray[np.bool_]:
        return np.asarray(self.level == 1)


def plan_districts(city: City) -> Districts:
    """36 leaves in 6 parents: together exactly the city's square."""
    draw = generator("districts", *city.key)
    step = city.size_m / SIDE
    lattice = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2)
    seeds = (lattice + 0.5 + draw.uniform(-0.33, 0.33, lattice.shape)) * step
    cells = _bent(_cells(seeds, city.size_m), city.size_m, draw)
    outline = cells[shapely.STRtree(cells).query(shapely.points(_pole(seeds, city.size_m, cells)), predicate="within")[1]]
    group = lattice[:, 0] // PARENT_SHAPE[0] + SIDE // PARENT_SHAPE[0] * (lattice[:, 1] // PARENT_SHAPE[1])
    parents = [shapely.coverage_union_all(outline[group == g]) for g in range(group.max() + 1)]
    parent_ids = np.array([f"D{g + 1}" for g in range(len(parents))])
    leaf_ids = np.array([f"{parent_ids[g]}-{np.count_nonzero(group[:i] == g) + 1:02d}" for i, g in enumerate(group)])
    names = draw.permutation([first + last for first in WORDS for last in SUFFIXES])[: len(parents) + len(leaf_ids)]
    return Districts(
        np.concatenate([parent_ids, leaf_ids]), names, np.concatenate([np.full(len(parents), ""), parent_ids[group]]),
        np.repeat([0, 1], [len(parents), len(leaf_ids)]), np.concatenate([np.array(parents, object), outline]),
    )  # fmt: skip


def _cells(seeds: Doubles, size_m: float) -> Objects:
    square = shapely.box(0, 0, size_m, size_m)
    found = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(seeds), extend_to=square))
    return np.asarray(shapely.intersection(found, square))


def _bent(cells: Objects, size_m: float, draw: np.random.Generator) -> Objects:
    """Cells with wavy edges. Edges are bent once and then closed into cells again, so that neighbours share every vertex."""
    lines = shapely.node(shapely.union_all(shapely.boundary(cells)))
    fine = shapely.segmentize(shapely.line_merge(lines), size_m / 128)
    wave = draw.normal(0, 1, (4, 2)) * 2 * np.pi / (size_m / draw.uniform(2, 8, (4, 1)))
    phase, height = draw.uniform(0, 2 * np.pi, (4, 2)), draw.uniform(0.2, 1.0, (4, 2)) * size_m / 260

    def bend(points: Doubles) -> Doubles:
        shift = (np.sin((points[:, :1] * wave[:, 0] + points[:, 1:] * wave[:, 1])[:, :, None] + phase) * height).sum(axis=1)
        # No shift on the square's own edge.
        depth = np.minimum(points, size_m - points) / (size_m / 40)
        return np.asarray(np.round(points + shift * np.clip(depth.min(axis=1, keepdims=True), 0, 1), 3))

    return np.asarray(shapely.get_parts(shapely.polygonize([shapely.transform(part, bend) for part in shapely.get_parts(fine)])))


def _pole(seeds: Doubles, size_m: float, cells: Objects) -> Doubles:
    """One point inside each cell, in the order of the seeds: the cell's inner point nearest to the seed."""
    inner = shapely.get_coordinates(shapely.point_on_surface(cells))
    nearest = np.argmin(((seeds[:, None] - inner) ** 2).sum(-1), axis=1)
    if len(set(nearest)) != len(cells):
        raise ValueError(f"{len(set(nearest))} of {len(cells)} units found; the city of {size_m} m is too small for its units")
    return np.asarray(inner[nearest])


def in_degrees(city: City, local: Objects) -> Objects:
    """Local geometries in EPSG:4326 (longitude, latitude), rounded so that shared vertices stay shared."""
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)

    def convert(points: Doubles) -> Doubles:
        return np.round(np.stack(to_degrees.transform(points[:, 0], points[:, 1]), -1), DEGREE_DECIMALS)

    return np.asarray(shapely.transform(city.placed(local), convert))


def units_geojson(city: City, districts: Districts) -> dict[str, Any]:
    """A GeoJSON feature collection with unit_id, name, parent_id (null for parents) and level."""
    shapes = in_degrees(city, districts.outline)
    columns = zip(districts.unit_id, districts.name, districts.parent_id, districts.level, shapes, strict=True)
    features = [
        {"type": "Feature", "properties": {"unit_id": str(i), "name": str(n), "parent_id": str(p) or None, "level": int(v)},
         "geometry": shapely.geometry.mapping(shape)}
        for i, n, p, v, shape in columns
    ]  # fmt: skip
    return {"type": "FeatureCollection", "name": "units", "features": features}
