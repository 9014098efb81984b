"""Land cover of a simulated city in a year: fine cells, their shares in pixels, and the labels that follow from them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.simulation.city import City
from udfs.simulation.nature import BASE_M
from udfs.simulation.painting import Frame, painted, whole
from udfs.simulation.spectra import COVER, COVERS, ROOFS, SEALED

CELL_M = 2.0
"""Cell on which pixels are judged: 25 of them make a 10 m pixel, so a label of 50 % is 13 cells. A cell is what lies at its centre."""
STOREY_M = 3.0
BUILT_RULE = 0.5

_IS_ROOF = np.isin(np.arange(len(COVERS)), [COVER[name] for name in ROOFS])
_IS_BUILT = _IS_ROOF | np.isin(np.arange(len(COVERS)), SEALED)


class Land(NamedTuple):
    """Rasters of one frame. `cover`: codes of COVERS as seen from above. `shade`: brightness, 100 = 1. `building`: row in the
    city's footprints or -1. `built`: footprint or sealed surface, also under trees."""

    cover: NDArray[np.uint8]
    shade: NDArray[np.uint8]
    building: NDArray[np.int32]
    built: NDArray[np.bool_]


def land_in(city: City, year: int, frame: Frame) -> Land:
    """The land as it is in a year."""
    shapes = city.shapes
    there = np.flatnonzero((shapes.built <= year) & (shapes.gone > year) & _near(shapes.geometry, frame))
    index = painted(shapes.geometry[there], frame)
    # Row -1 of the look-up tables is the natural cover.
    cover = np.append(shapes.cover[there], 0)[index]
    shade = np.append(shapes.shade[there], 100)[index].astype(np.uint8)
    building = np.append(shapes.building[there], -1)[index].astype(np.int32)
    bare = index < 0
    del index
    cover[bare] = _natural(city, frame)[bare]
    _darken(shade, building, city, year, frame)
    built = _IS_BUILT[cover]
    trees = np.flatnonzero((city.trees.built <= year) & _within(city.trees.centre, frame))
    crowns = painted(shapely.buffer(shapely.points(city.trees.centre[trees]), city.trees.radius[trees], quad_segs=2), frame) >= 0
    crowns &= cover != COVER["water"]
    cover[crowns], shade[crowns] = COVER["tree"], 95
    return Land(cover, shade, building, built)


def _near(shapes: NDArray[np.object_], frame: Frame) -> NDArray[np.bool_]:
    bounds = shapely.bounds(shapes)
    east, south = frame.west + frame.cols * frame.cell, frame.north - frame.rows * frame.cell
    return np.asarray((bounds[:, 0] < east) & (bounds[:, 2] > frame.west) & (bounds[:, 1] < frame.north) & (bounds[:, 3] > south))


def _within(points: NDArray[np.float64], frame: Frame) -> NDArray[np.bool_]:
    column, row = frame.cells_of(points).T
    edge = 6 / frame.cell
    return np.asarray((column > -edge) & (row > -edge) & (column < frame.cols + edge) & (row < frame.rows + edge))


def _natural(city: City, frame: Frame) -> NDArray[np.uint8]:
    x, y = frame.centres()
    last = city.natural.shape[0] - 1
    rows = ((city.size_m - y) / BASE_M).astype(int).clip(0, last)
    cols = (x / BASE_M).astype(int).clip(0, last)
    return city.natural[rows][:, cols]


def _darken(shade: NDArray[np.uint8], building: NDArray[np.int32], city: City, year: int, frame: Frame) -> None:
    """Ground in the shadow of tall buildings, in place."""
    standing = (city.standing.built <= year) & (city.standing.gone > year) & (city.standing.plots.floors >= 3)
    tall = np.flatnonzero(standing & _near(city.footprints, frame))
    azimuth, elevation = np.radians(city.look.sun_azimuth), np.radians(city.look.sun_elevation)
    length = city.standing.plots.floors[tall] * STOREY_M / np.tan(elevation)
    points, owner = shapely.get_coordinates(city.footprints[tall], return_index=True)
    away = np.array([-np.sin(azimuth), -np.cos(azimuth)])
    cast = shapely.set_coordinates(city.footprints[tall].copy(), points + away * length[owner][:, None])
    hull = shapely.convex_hull(shapely.geometrycollections([[a, b] for a, b in zip(city.footprints[tall], cast, strict=True)]))
    dark = (painted(np.asarray(hull, object), frame) >= 0) & (building < 0)
    shade[dark] = (shade[dark] * 0.45).astype(np.uint8)


class Shares(NamedTuple):
    """Per pixel: `lit`, brightness-weighted share of each cover, float32 (covers, rows, cols); `built`, share built, 0-1."""

    lit: NDArray[np.float32]
    built: NDArray[np.float32]


@lru_cache(maxsize=1)
def shares(city: City, year: int, gsd: float) -> Shares:
    """Shares of the covers in pixels of `gsd` metres over the whole square. A cell belongs to the pixel that holds its centre."""
    frame = whole(city.size_m, CELL_M)
    land = land_in(city, year, frame)
    side = int(city.size_m / gsd + 1e-6)
    pixel = np.floor((np.arange(frame.cols) + 0.5) * CELL_M / gsd).astype(np.int64)
    edges = np.searchsorted(pixel, np.arange(side + 1))
    used = slice(0, int(edges[-1]))
    lit = np.empty((len(COVERS), side, side), np.float32)
    built = np.empty((side, side), np.float32)
    for row in range(side):
        strip = slice(int(edges[row]), int(edges[row + 1]))
        place = land.cover[strip, used].astype(np.int64) * side + pixel[used]
        weights = land.shade[strip, used].ravel()
        area = (edges[row + 1] - edges[row]) * np.diff(edges)
        lit[:, row] = np.bincount(place.ravel(), weights, len(COVERS) * side).reshape(-1, side) / (area * 100.0)
        built[row] = np.add.reduceat(land.built[strip, used].sum(axis=0), edges[:-1]) / area
    return Shares(lit, built)


def built_label(city: City, year: int, gsd: float = 10.0) -> NDArray[np.bool_]:
    """Pixels of which footprints and sealed surfaces together cover half or more, (rows, cols), row 0 north."""
    return np.asarray(shares(city, year, gsd).built >= BUILT_RULE)


def building_label(city: City, bounds: tuple[float, float, float, float], year: int, gsd: float = 0.5) -> NDArray[np.bool_]:
    """Cells of buildings within local bounds (west, south, east, north in metres from the south-west corner), (rows, cols)."""
    frame = frame_of(bounds, gsd)
    there = np.flatnonzero((city.standing.built <= year) & (city.standing.gone > year) & _near(city.footprints, frame))
    return painted(city.footprints[there], frame) >= 0


def frame_of(bounds: tuple[float, float, float, float], gsd: float) -> Frame:
    """The frame of local bounds (west, south, east, north), metres."""
    west, south, east, north = bounds
    return Frame(west, north, gsd, int(round((north - south) / gsd)), int(round((east - west) / gsd)))
