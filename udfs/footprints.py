"""Footprints: polygons of the grid as polygons on the earth, measured."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.building_shapes import building_shapes
from udfs.earth import NEAR_POLE, GridOrigin, crs_of_pixels, lonlat_of_pixels, ring_area_m2, to_lonlat
from udfs.lonlat import over_pole
from udfs.overlaps import cut_by

Shapes = NDArray[np.object_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID = ("layer", "epoch", "grid", "crs", *GridOrigin._fields)
FOOTPRINTS_DDL = (
    "layer string, epoch string, building_id string, geometry binary, xmin double, ymin double, xmax double, ymax double, "
    "area_m2 double, perimeter_m double, orientation_deg double, compactness double, confidence double, vertices int, shape string, "
    "open_edge boolean, first_date timestamp, last_date timestamp, model_sha256 string"
)


class Footprints(NamedTuple):
    """Polygons (EPSG:4326), their geodesic areas in m2, vertices of all rings."""

    polygons: Shapes
    area_m2: Floats
    vertices: Ints


class _Rings(NamedTuple):
    """Closed rings of polygons: ring r is points ring_offsets[r] to ring_offsets[r + 1], polygon p has the rings polygon_offsets[p] to
    polygon_offsets[p + 1]."""

    ring_offsets: Ints
    polygon_offsets: Ints

    @property
    def edges(self) -> Ints:
        """Offsets of the polygons' points."""
        return self.ring_offsets[self.polygon_offsets]


def footprints_on_earth(planar: Shapes, origin: GridOrigin, crs: str) -> Footprints:
    """Of polygons (n,) in grid pixels. One across 180 degrees keeps longitudes beyond it: its polygon is whole; one about a pole is cut
    there."""
    if not len(planar):
        return Footprints(planar, np.zeros(0), np.zeros(0, np.int64))
    _, xy, offsets = shapely.to_ragged_array(planar)
    rings = _Rings(*(np.asarray(each, np.int64) for each in offsets))
    lonlat = _unbroken(lonlat_of_pixels(xy, origin, crs), rings)
    ring_areas = np.array([ring_area_m2(lonlat[start:end]) for start, end in pairwise(rings.ring_offsets)])
    area = np.add.reduceat(ring_areas, rings.polygon_offsets[:-1])
    vertices = np.diff(rings.edges) - np.diff(rings.polygon_offsets)
    return Footprints(_polygons(planar, lonlat, rings, origin, crs), area, vertices)


def _polygons(planar: Shapes, lonlat: Floats, rings: _Rings, origin: GridOrigin, crs: str) -> Shapes:
    polygons: Shapes = shapely.from_ragged_array(shapely.GeometryType.POLYGON, lonlat, rings)
    latitude = lonlat[rings.edges[:-1], 1]
    for number in np.flatnonzero(np.abs(latitude) > NEAR_POLE):
        on_plane = shapely.transform(planar[number], lambda xy: crs_of_pixels(xy, origin))
        cut = over_pole(on_plane, to_lonlat(crs), np.copysign(90.0, latitude[number]))
        polygons[number] = polygons[number] if cut is None else cut
    return polygons


def _unbroken(lonlat: Floats, rings: _Rings) -> Floats:
    """Longitudes of a polygon that spans more than half the world, made continuous across 180 degrees."""
    west, east = (function.reduceat(lonlat[:, 0], rings.edges[:-1]) for function in (np.minimum, np.maximum))
    across = np.repeat(east - west > 180, np.diff(rings.edges))
    lonlat[across & (lonlat[:, 0] < 0), 0] += 360
    return lonlat


def footprint_frames(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Rows of PLANAR_DDL, with `cuts`, polygons of other cells that they give way to, to rows of FOOTPRINTS_DDL."""
    names = [column.split()[0] for column in FOOTPRINTS_DDL.split(", ")]
    for frame in frames:
        for _, rows in frame.groupby(list(GRID), sort=False):
            one = rows.iloc[0]
            yield _footprint_rows(rows, origin_of(one), one["crs"])[names]


def origin_of(row: Any) -> GridOrigin:
    """From columns of its names."""
    return GridOrigin(*(float(row[name]) for name in GridOrigin._fields))


def _footprint_rows(rows: pd.DataFrame, origin: GridOrigin, crs: str) -> pd.DataFrame:
    planar = shapely.from_wkb(rows["planar"].to_numpy())
    for number, cuts in enumerate(rows["cuts"]):
        if cuts is not None:
            planar[number] = cut_by(planar[number], shapely.from_wkb(sorted(cuts)))
    left = ~shapely.is_empty(planar)
    planar, rows = planar[left], rows[left]
    prints = footprints_on_earth(planar, origin, crs)
    west, south, east, north = shapely.bounds(prints.polygons).T
    return rows.assign(
        **building_shapes(planar, prints.area_m2, origin, crs)._asdict(),
        geometry=shapely.to_wkb(prints.polygons), xmin=west, ymin=south, xmax=east, ymax=north, area_m2=prints.area_m2,
        vertices=prints.vertices.astype(np.int32),
    )  # fmt: skip
