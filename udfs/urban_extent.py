"""Urban extent: of built-up pixels how much is built within a walk, and the open land around and inside what is urban.

UN-Habitat, SDG indicator 11.3.1 metadata (2021), after Angel et al. 2016, Atlas of Urban Expansion. Captured open land, which may wind
through any number of squares, is told by whole components (jobs/sdg11/urban_extent.py); all else here, from a square and its margin."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

from udfs.components import label_components
from udfs.earth import GridOrigin, pixel_sides_m
from udfs.grid import BLOCK_PX, Grid, PixelBounds, Tile
from udfs.merging import Borders, borders_of, pixel_number

Raster = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OPEN, URBAN, SUBURBAN, RURAL, FRINGE, CAPTURED = range(6)
UNKNOWN = 255
"""Classes of a pixel. RURAL is built, OPEN is not, neither is of an extent."""
CITY = (URBAN, SUBURBAN, FRINGE, CAPTURED)
WALK_M = math.sqrt(1e6 / math.pi)
"""Radius of a circle of 1 km2."""
FRINGE_M = 100.0
FRINGE_PX = 3
"""Instead, by method trends_earth."""
SQUARE_PX = 4 * BLOCK_PX
"""Side of the fixed squares of the grid that are classified at once."""
DEFINITION, TRENDS_EARTH = "definition", "trends_earth"


class Reach(NamedTuple):
    """Pixels within a distance of those of some rows. `half` int64 (2 reach + 1, rows): of each line around a row how many pixels to
    either side, -1 where none; `wide`: the most."""

    half: Ints
    wide: int

    @property
    def tall(self) -> int:
        return len(self.half) // 2


class Margin(NamedTuple):
    """Pixels around a square that decide its classes."""

    tall: int
    wide: int


def row_sides_m(grid: Grid, top: int, bottom: int) -> Floats:
    """Width and height on the ground, m, of the pixels of rows [top, bottom), (rows, 2), the same for a row wherever it is asked for: of
    geographic grids and Mercator's on the ellipsoid, of others the projection's own metres, right to 0.1 % in a UTM zone."""
    crs = CRS.from_user_input(grid.crs)
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    if not crs.is_geographic and ("Mercator" not in method or "Transverse" in method):
        metre = crs.axis_info[0].unit_conversion_factor
        return np.tile((grid.pixel_width * metre, grid.pixel_height * metre), (bottom - top, 1))
    y = np.arange(top, bottom) + 0.5
    return pixel_sides_m(grid.crs, GridOrigin(*grid[2:]), np.stack([np.zeros(len(y)), y], axis=1))


def reach_of(sides: Floats, distance: float) -> Reach:
    """Of rows with pixels of `sides` (rows, 2), all pixels whose centres lie within `distance` of a pixel's centre, in the same unit."""
    tall = math.floor(distance / sides[:, 1].min() + 1e-9)
    along = np.arange(-tall, tall + 1)[:, None] * sides[:, 1]
    left = distance**2 - along**2
    half = np.where(left >= -1e-6, np.floor(np.sqrt(np.maximum(left, 0)) / sides[:, 0] + 1e-9), -1).astype(np.int64)
    return Reach(half, int(half.max()))


def counts_within(chosen: NDArray[np.bool_], reach: Reach, margin: Margin) -> NDArray[np.int32]:
    """Chosen pixels within reach of each pixel of the rows, int32 (rows, columns): `chosen` has `margin` more on every side, which must
    be the reach or more."""
    rows, columns = reach.half.shape[1], chosen.shape[1] - 2 * margin.wide
    sums = np.zeros((chosen.shape[0], chosen.shape[1] + 1), np.int32)
    np.cumsum(chosen, axis=1, out=sums[:, 1:])
    counts = np.zeros((rows, columns), np.int32)
    for line, half in enumerate(reach.half):
        first = line + margin.tall - reach.tall
        for wide in np.unique(half[half >= 0]).tolist():
            at = np.flatnonzero(half == wide)
            lines = slice(first + int(at[0]), first + int(at[-1]) + 1) if len(at) == rows else first + at
            target = slice(None) if len(at) == rows else at
            right, left = margin.wide + wide + 1, margin.wide - wide
            counts[target] += sums[lines, right : right + columns] - sums[lines, left : left + columns]
    return counts


def margin_of(grid: Grid, square: Tile, method: str) -> Margin:
    """What `classes_of` needs around a square."""
    reaches = _reaches(grid, square, method)
    return Margin(*(sum(getattr(reach, name) for reach in reaches) for name in Margin._fields))


def classes_of(state: Raster, grid: Grid, square: Tile, method: str) -> Raster:
    """Classes of a square but CAPTURED, uint8 (SQUARE_PX, SQUARE_PX), from `state` (1 built, 0 not, 255 not known) with `margin_of`.

    What is not known counts neither as built nor as land. Urban: more than half of the land within WALK_M is built, suburban: a quarter
    or more. Fringe: not built, within FRINGE_M of either."""
    walk, fringe = _reaches(grid, square, method)
    around, beside = Margin(walk.tall, walk.wide), Margin(fringe.tall, fringe.wide)
    near = state[walk.tall : len(state) - walk.tall, walk.wide : state.shape[1] - walk.wide]
    built, land = (counts_within(chosen, walk, around) for chosen in (state == 1, state != UNKNOWN))
    classes: Raster = np.full(near.shape, OPEN, np.uint8)
    classes[near == 1] = RURAL
    classes[(near == 1) & (4 * built >= land)] = SUBURBAN
    classes[(near == 1) & (2 * built > land)] = URBAN
    classes[near == UNKNOWN] = UNKNOWN
    towns = (classes == URBAN) | (classes == SUBURBAN)
    inner: Raster = classes[fringe.tall : len(classes) - fringe.tall, fringe.wide : classes.shape[1] - fringe.wide].copy()
    inner[(inner == OPEN) & (counts_within(towns, fringe, beside) > 0)] = FRINGE
    return inner


def _reaches(grid: Grid, square: Tile, method: str) -> tuple[Reach, Reach]:
    """The walk of the rows of a square and of its fringe's margin, and the fringe of its rows."""
    top, _, bottom, _ = square.pixels
    sides = row_sides_m(grid, top, bottom)
    fringe = reach_of(np.ones_like(sides), FRINGE_PX) if method == TRENDS_EARTH else reach_of(sides, FRINGE_M)
    return reach_of(row_sides_m(grid, top - fringe.tall, bottom + fringe.tall), WALK_M), fringe


class Rest(NamedTuple):
    """Components of a square's ground that is neither urban, suburban nor fringe: numbers of their first pixels, open land, mm2, and how
    they meet what lies around."""

    piece: Ints
    open_mm2: Ints
    borders: Borders


def rest_of(classes: Raster, areas_mm2: Ints, top: int, left: int) -> Rest:
    """Of the classes of a square whose first pixel is (top, left) of the grid."""
    labels, count = label_components((classes == OPEN) | (classes == RURAL))
    open_mm2 = _sums(labels, count, np.where(classes == OPEN, areas_mm2, 0))
    return Rest(pieces_of(labels, count, top, left), open_mm2, borders_of(labels, count, classes == UNKNOWN, top, left))


def pieces_of(labels: NDArray[np.int32], count: int, top: int, left: int) -> Ints:
    """Numbers of the first pixels of labels 1 to `count`, int64 (count,)."""
    found, first = np.unique(labels.ravel(), return_index=True)
    first = first[found > 0]
    return np.asarray(pixel_number(top + first // labels.shape[1], left + first % labels.shape[1]), np.int64)


def with_captured(classes: Raster, captured: Ints, top: int, left: int) -> Raster:
    """The classes with the open land of these pieces of the rest as CAPTURED."""
    labels, count = label_components((classes == OPEN) | (classes == RURAL))
    chosen = np.append(False, np.isin(pieces_of(labels, count, top, left), captured))
    return np.where(chosen[labels] & (classes == OPEN), CAPTURED, classes).astype(np.uint8)


def class_areas(classes: Raster, areas_mm2: Ints, top: int, left: int) -> tuple[Ints, Ints]:
    """Of each component of the city its first pixel's number, and the areas of CITY in it, int64 (n, 4), mm2."""
    labels, count = label_components(np.isin(classes, CITY))
    sums = [_sums(labels, count, np.where(classes == one, areas_mm2, 0)) for one in CITY]
    return pieces_of(labels, count, top, left), np.stack(sums, axis=1)


def _sums(labels: NDArray[np.int32], count: int, values: Ints) -> Ints:
    """Of labels 1 to `count`, exact: each half of the bits by itself, for `bincount` adds floats."""
    high, low = (np.bincount(labels.ravel(), part.ravel(), count + 1)[1:].astype(np.int64) for part in np.divmod(values, 1 << 24))
    return np.asarray((high << 24) + low, np.int64)


def grown(square: Tile, margin: Margin) -> PixelBounds:
    """A square with its margin."""
    top, left, bottom, right = square.pixels
    return PixelBounds(top - margin.tall, left - margin.wide, bottom + margin.tall, right + margin.wide)
