"""Footprints: whole components as polygons on the earth, measured, named and sieved."""

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.earth import NEAR_POLE, GridOrigin, crs_of_pixels, lonlat_of_pixels, ring_area_m2, to_lonlat
from udfs.lonlat import over_pole
from udfs.merging import unpacked_corners
from udfs.rasters import ONE
from udfs.tracing import Corners, Rings, polygons_of_rings, rings_of_corners, united

FOOTPRINTS_DDL = (
    "layer string, epoch string, building_id string, geometry binary, xmin double, ymin double, xmax double, ymax double, "
    "area_m2 double, confidence double, vertices int, shape string, open_edge boolean, first_date timestamp, last_date timestamp, "
    "model_sha256 string"
)
_TOTALS = {
    "pixels": "sum", "probability_sum": "sum", "open_edge": "max", "first_date": "min", "last_date": "max", "model_sha256": "min",
}  # fmt: skip


class Footprints(NamedTuple):
    """Polygons (EPSG:4326) by component, their geodesic areas in m2, vertices of all rings, hashes of the pixel rings."""

    polygons: NDArray[np.object_]
    area_m2: NDArray[np.float64]
    vertices: NDArray[np.int64]
    content: list[bytes]


def footprints_of_corners(corners: Corners, origin: GridOrigin, crs: str) -> Footprints:
    """Footprints of components given by the corners of their disjoint parts, in the order of the owners' numbers.

    Depends on the pixels only, not on the parts. One across 180 degrees keeps longitudes beyond it: its polygon is whole; one about
    a pole is cut there.
    """
    rings = rings_of_corners(united(corners))
    lonlat = _unbroken(lonlat_of_pixels(rings.xy, origin, crs), rings)
    ring_areas = np.array([ring_area_m2(lonlat[start:end]) for start, end in pairwise(rings.ring_offsets)])
    area = np.add.reduceat(ring_areas, rings.polygon_offsets[:-1]) if len(rings.owner) else ring_areas
    edges = rings.ring_offsets[rings.polygon_offsets]
    vertices = np.diff(edges) - np.diff(rings.polygon_offsets)
    xy = rings.xy.astype("<i8")
    content = [xy[start:end].tobytes() for start, end in pairwise(edges)]
    return Footprints(_polygons(rings, lonlat, origin, crs), area, vertices, content)


def _polygons(rings: Rings, lonlat: NDArray[np.float64], origin: GridOrigin, crs: str) -> NDArray[np.object_]:
    polygons = polygons_of_rings(rings, lonlat)
    latitude = lonlat[rings.ring_offsets[rings.polygon_offsets[:-1]], 1]
    near = np.flatnonzero(np.abs(latitude) > NEAR_POLE)
    planar = polygons_of_rings(rings, crs_of_pixels(rings.xy, origin)) if len(near) else polygons
    for number in near:
        cut = over_pole(planar[number], to_lonlat(crs), np.copysign(90.0, latitude[number]))
        polygons[number] = polygons[number] if cut is None else cut
    return polygons


def _unbroken(lonlat: NDArray[np.float64], rings: Rings) -> NDArray[np.float64]:
    """Longitudes of a polygon that spans more than half the world, made continuous across 180 degrees."""
    if not len(rings.owner):
        return lonlat
    edges = rings.ring_offsets[rings.polygon_offsets]
    west, east = (function.reduceat(lonlat[:, 0], edges[:-1]) for function in (np.minimum, np.maximum))
    across = np.repeat(east - west > 180, np.diff(edges))
    lonlat[across & (lonlat[:, 0] < 0), 0] += 360
    return lonlat


def building_id(field: str, content: bytes) -> str:
    """20 hexadecimal digits over layer, epoch, grid and resolution (`field`) and the rings in whole grid pixels."""
    return hashlib.sha256(field.encode() + b"\n" + content).hexdigest()[:20]


def footprint_frame(frame: pd.DataFrame, min_area_m2: float) -> pd.DataFrame:
    """Pieces of one layer, epoch and grid, with `component` and `open_edge`, to rows of FOOTPRINTS_DDL.

    All pieces of a component must be there. Footprints under `min_area_m2` are dropped. Memory: about 300 bytes per corner.
    """
    one = frame.iloc[0]
    origin = GridOrigin(one["origin_x"], one["origin_y"], one["pixel_width"], one["pixel_height"])
    _, owner = np.unique(frame["component"].to_numpy(), return_inverse=True)
    prints = footprints_of_corners(unpacked_corners(list(frame["corners"]), owner), origin, one["crs"])
    totals = frame.groupby("component", sort=True).agg(_TOTALS).reset_index(drop=True)
    field = f"{one['layer']}\n{one['epoch']}\n{one['grid']}\n{origin.pixel_width!r}"
    west, south, east, north = shapely.bounds(prints.polygons).T
    rows = pd.DataFrame(
        {
            "layer": one["layer"],
            "epoch": one["epoch"],
            "building_id": [building_id(field, content) for content in prints.content],
            "geometry": shapely.to_wkb(prints.polygons),
            "xmin": west, "ymin": south, "xmax": east, "ymax": north,
            "area_m2": prints.area_m2,
            "confidence": totals["probability_sum"] / (ONE * totals["pixels"]),
            "vertices": prints.vertices.astype(np.int32),
            "shape": "raw",
        }
    )  # fmt: skip
    return rows.join(totals[["open_edge", "first_date", "last_date", "model_sha256"]])[prints.area_m2 >= min_area_m2]
