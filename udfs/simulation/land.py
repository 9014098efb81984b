"""Land cover of a simulated city in a year: fine cells, their shares in pixels, and the labels that follow from them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.simulation.city import NO_BUILDING, City
from udfs.simulation.nature import BASE_M
from udfs.simulation.painting import Frame, painted, whole
from udfs.simulation.spectra import COVER, COVERS, ROOFS, SEALED

CELL_M = 2.0
"""Cell on which pixels are judged: 25 of them make a 10 m pixel, so a label of 50 % is 13 cells. A cell is what lies at its centre."""
BAND_ROWS = 40
"""Rows of pixels worked on at once: bounds the memory of the fine cells."""
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


def land_in(city: City, year: int, frame: Frame, shadows: bool = True) -> Land:
    """The land as it is in a year; `shadows`: with those that tall buildings throw in mid-morning."""
    shapes = city.shapes
    index = painted(city.ground, (shapes.built <= year) & (shapes.gone > year), frame)
    # Row -1 of the look-up tables stands for the natural cover.
    cover = np.append(shapes.cover, 0)[index]
    shade = np.append(shapes.shade, 100)[index].astype(np.uint8)
    building = np.append(shapes.building, NO_BUILDING)[index].astype(np.int32)
    cover[index < 0] = _natural(city, frame)[index < 0]
    if shadows:
        dark = (painted(city.shadows, _standing(city, year), frame) >= 0) & (building < 0)
        shade[dark] = (shade[dark] * 0.45).astype(np.uint8)
    built = _IS_BUILT[cover]
    crowns = (painted(city.crowns, city.trees.built <= year, frame) >= 0) & (cover != COVER["water"])
    cover[crowns], shade[crowns] = COVER["tree"], 95
    return Land(cover, shade, building, built)


def _standing(city: City, year: int) -> NDArray[np.bool_]:
    return np.asarray((city.standing.built <= year) & (city.standing.gone > year))


def _natural(city: City, frame: Frame) -> NDArray[np.uint8]:
    x, y = frame.centres()
    last = city.natural.shape[0] - 1
    rows = ((city.size_m - y) / BASE_M).astype(int).clip(0, last)
    cols = (x / BASE_M).astype(int).clip(0, last)
    return np.asarray(city.natural[rows][:, cols])


class Shares(NamedTuple):
    """Per pixel: `lit`, brightness-weighted share of each cover, float32 (covers, rows, cols); `built`, share built, 0-1."""

    lit: NDArray[np.float32]
    built: NDArray[np.float32]


@lru_cache(maxsize=1)
def shares(city: City, year: int, gsd: float) -> Shares:
    """Shares of the covers in pixels of `gsd` metres over the whole square. A cell belongs to the pixel that holds its centre."""
    frame = whole(city.size_m, CELL_M)
    side = int(city.size_m / gsd + 1e-6)
    pixel = np.floor((np.arange(frame.cols) + 0.5) * CELL_M / gsd).astype(np.int64)
    edges = np.searchsorted(pixel, np.arange(side + 1))
    lit = np.empty((len(COVERS), side, side), np.float32)
    built = np.empty((side, side), np.float32)
    for first in range(0, side, BAND_ROWS):
        last = min(first + BAND_ROWS, side)
        band = Frame(0.0, frame.north - edges[first] * CELL_M, CELL_M, int(edges[last] - edges[first]), int(edges[-1]))
        land = land_in(city, year, band)
        for row in range(first, last):
            strip = slice(int(edges[row] - edges[first]), int(edges[row + 1] - edges[first]))
            area = (edges[row + 1] - edges[row]) * np.diff(edges)
            lit[:, row] = _lit(land.cover[strip], land.shade[strip], pixel[: edges[-1]], side) / (area * 100.0)
            built[row] = np.add.reduceat(land.built[strip].sum(axis=0), edges[:-1]) / area
    return Shares(lit, built)


def _lit(cover: NDArray[np.uint8], shade: NDArray[np.uint8], pixel: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """Sum of brightness per cover and pixel of one row of pixels, (covers, side)."""
    place = cover.astype(np.int64) * side + pixel
    return np.asarray(np.bincount(place.ravel(), shade.ravel(), len(COVERS) * side).reshape(-1, side), np.float64)


def built_label(city: City, year: int, gsd: float = 10.0) -> NDArray[np.bool_]:
    """Pixels of which footprints and sealed surfaces together cover half or more, (rows, cols), row 0 north."""
    return np.asarray(shares(city, year, gsd).built >= BUILT_RULE)


def building_label(city: City, bounds: tuple[float, float, float, float], year: int, gsd: float = 0.5) -> NDArray[np.bool_]:
    """Cells of buildings within local bounds (west, south, east, north in metres from the south-west corner), (rows, cols)."""
    frame = frame_of(bounds, gsd)
    return painted(city.roofs, _standing(city, year), frame) >= 0


def frame_of(bounds: tuple[float, float, float, float], gsd: float) -> Frame:
    """The frame of local bounds (west, south, east, north), metres."""
    west, south, east, north = bounds
    return Frame(west, north, gsd, round((north - south) / gsd), round((east - west) / gsd))
