"""What is true of the simulated city: built-up area, footprints and people of every unit, counted apart from the product's own sums."""

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import shapely
from exactextract.exact_extract import exact_extract
from exactextract.feature import JSONFeatureSource
from exactextract.raster import NumPyRasterSource
from numpy.typing import NDArray
from pyproj import Proj

from udfs.simulation.city import CRS, NORTH, WEST, City
from udfs.simulation.districts import Districts, in_degrees, plan_districts
from udfs.simulation.growth import FOREVER
from udfs.simulation.land import built_label
from udfs.simulation.quarters import Doubles, Objects

PIXEL_M = 10.0
_Raster: Any = NumPyRasterSource
_Features: Any = JSONFeatureSource
FLOOR_PER_PERSON = {"house": 34.0, "block": 36.0, "informal": 9.0, "hall": np.inf}
"""Floor area per resident, m2."""
CROWDING = 0.006
"""Growth of residents per floor area and year."""


def unit_truth(city: City, year: int) -> pd.DataFrame:
    """unit_id, built_m2, footprint_m2, total_m2, people of all units of both levels in a year.

    built_m2: geodesic area of the 10 m pixels labelled built, weighted by the exact share of each pixel inside the unit."""
    districts = city_districts(city)
    area = pixel_areas(city)
    built = _sums(city, districts, area * built_label(city, year, PIXEL_M))
    leaf, footprint = _leaf_footprints(city)
    standing = (city.standing.built <= year) & (city.standing.gone > year)
    return pd.DataFrame(
        {
            "unit_id": districts.unit_id,
            "built_m2": built,
            "footprint_m2": _with_parents(districts, _summed(leaf[0], footprint * standing[leaf[1]], districts)),
            "total_m2": _sums(city, districts, area),
            "people": unit_people(city, year),
        }
    )


def unit_people(city: City, year: int) -> Doubles:
    """Residents of every unit in a year, whole numbers: floor area of the buildings whose middle it holds over that of a person."""
    standing = (city.standing.built <= year) & (city.standing.gone > year)
    plots = city.standing.plots
    floor = plots.building.prod(axis=1) * (1 - plots.wing.prod(axis=1)) * plots.floors
    people = floor / _floor_per_person(city) * (1 + CROWDING) ** (year - city.first_year) * standing
    districts, (leaf, building) = city_districts(city), _leaf_of(city)
    return _with_parents(districts, np.round(_summed(leaf, people[building], districts)))


@lru_cache(maxsize=1)
def city_districts(city: City) -> Districts:
    """The city's units."""
    return plan_districts(city)


def pixel_areas(city: City) -> Doubles:
    """Geodesic area of each 10 m pixel, m2 (rows, cols): plane area over PROJ's areal scale, on a lattice of 160 m, interpolated."""
    side = int(city.size_m / PIXEL_M + 1e-6)
    nodes = np.linspace(0, city.size_m, max(side // 16, 1) + 1)
    scale = _areal_scale(np.stack(np.meshgrid(WEST + nodes, NORTH - nodes), -1))
    middle = (np.arange(side) + 0.5) * PIXEL_M
    by_column = np.stack([np.interp(middle, nodes, row) for row in scale])
    return PIXEL_M**2 / np.stack([np.interp(middle, nodes, by_column[:, c]) for c in range(side)], -1)


def unit_sums(city: City, pixels: NDArray[np.bool_]) -> Doubles:
    """Geodesic area, m2, of 10 m pixels (rows, cols) in every unit, by the exact share of each pixel inside."""
    return _sums(city, city_districts(city), pixel_areas(city) * pixels)


def _areal_scale(points: Doubles) -> Doubles:
    projection = Proj(CRS)
    longitude, latitude = projection(points[..., 0], points[..., 1], inverse=True)
    return np.asarray(projection.get_factors(longitude, latitude).areal_scale)


def _sums(city: City, districts: Districts, values: Doubles) -> Doubles:
    """Sum of a raster in each unit with exact shares of pixels, by exactextract."""
    raster: Any = _Raster(np.ascontiguousarray(values), WEST, NORTH - city.size_m, WEST + city.size_m, NORTH)
    shapes = city.placed(districts.outline)
    features = [{"type": "Feature", "id": str(i), "properties": {}, "geometry": shapely.geometry.mapping(s)} for i, s in enumerate(shapes)]
    found: Any = exact_extract(raster, _Features(features), ["sum"], include_cols=["id"])
    sums = {row["id"]: row["properties"]["sum"] for row in found}
    return np.array([sums[str(i)] for i in range(len(shapes))])


def _floor_per_person(city: City) -> Doubles:
    kinds, codes = np.unique(city.standing.plots.kind, return_inverse=True)
    return np.array([FLOOR_PER_PERSON[str(kind)] for kind in kinds])[codes]


@lru_cache(maxsize=1)
def _leaf_of(city: City) -> NDArray[np.int64]:
    """Pairs (leaf, building), (2, n): the one unit that holds the middle of each building."""
    districts = city_districts(city)
    middle = shapely.points(city.standing.plots.centre)
    pairs = shapely.STRtree(middle).query(districts.outline[districts.leaf], predicate="intersects")
    first = np.unique(pairs[1], return_index=True)[1]
    return np.asarray(pairs[:, first])


@lru_cache(maxsize=1)
def _leaf_footprints(city: City) -> tuple[NDArray[np.int64], Doubles]:
    """Pairs (leaf, building) that overlap, (2, n), and the geodesic area of each overlap, m2."""
    districts = city_districts(city)
    leaves: Objects = districts.outline[districts.leaf]
    tree = shapely.STRtree(city.footprints)
    pairs = tree.query(leaves, predicate="intersects")
    inside = tree.query(leaves, predicate="contains")
    code = pairs[0] * len(city.footprints) + pairs[1]
    whole = np.isin(code, inside[0] * len(city.footprints) + inside[1])
    area = shapely.area(city.footprints)[pairs[1]]
    area[~whole] = shapely.area(shapely.intersection(leaves[pairs[0][~whole]], city.footprints[pairs[1][~whole]]))
    middle = city.standing.plots.centre[pairs[1]] + np.array([WEST, NORTH - city.size_m])
    return pairs, area / _areal_scale(middle)


def _summed(leaf: NDArray[np.int64], values: Doubles, districts: Districts) -> Doubles:
    return np.asarray(np.bincount(leaf, values, int(districts.leaf.sum())), np.float64)


def _with_parents(districts: Districts, leaves: Doubles) -> Doubles:
    """Values of all units from those of the leaves: parents are sums."""
    parents = districts.parent_id[districts.leaf]
    return np.concatenate([[leaves[parents == unit].sum() for unit in districts.unit_id[~districts.leaf]], leaves])


def building_truth(city: City) -> pd.DataFrame:
    """Columns of `truth_buildings`: every building that ever stood, geometry WKB in EPSG:4326."""
    shapes = in_degrees(city, city.footprints)
    bounds = shapely.bounds(shapes)
    gone = pd.array(np.where(city.standing.gone < FOREVER, city.standing.gone, 0), dtype="Int32")
    gone[city.standing.gone == FOREVER] = pd.NA
    return pd.DataFrame(
        {
            "building_id": [f"S{city.seed}-{row:06d}" for row in range(len(shapes))],
            "geometry": shapely.to_wkb(shapes),
            **{name: bounds[:, i] for i, name in enumerate(("xmin", "ymin", "xmax", "ymax"))},
            "year_built": city.standing.built.astype(np.int32),
            "year_gone": gone,
            "kind": city.standing.plots.kind.astype(object),
        }
    )
