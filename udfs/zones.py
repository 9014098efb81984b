"""Zones of the global grid: who owns which ground, a zone's pixel grid, its tiles over an area. One engine: PROJ."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from pyproj import Transformer

from conf.errors import InputError
from udfs.grid import UPS_TOP, Grid, utm_grid

Points = NDArray[np.float64]

UTM_NORTH, UTM_SOUTH = 84.0, -80.0
"""Latitudes where UTM ends and UPS begins."""
STRIP_DEGREES = 6.0
STRIP_STEP = 0.1
"""Longest edge of a strip, degrees: in the zone's CRS its chord is within 3 m of the strip."""
SECTOR_DEGREES = 90
"""An area around a pole is projected by sectors: in one go, 180 E and 180 W would be two edges inside it."""
SNAP_M = 1e-3
EARTH_M = 6.37e6
TILE_MARGIN_PX = 0.5
"""What tiles are grown by in `tiles_in`: more than the outline's chords are off."""


class Zone(NamedTuple):
    """A zone, its CRS, and the strip it owns in degrees, half-open: [west, east), [south, north).

    UTM strips are all 6 degrees wide: Norway's and Svalbard's exceptions do not hold. Who owns ground is a matter of
    this grid alone; images of any zone are resampled onto it. UPS owns latitudes >= 84 and < -80, poles included.
    """

    name: str
    crs: str
    west: float
    south: float
    east: float
    north: float

    @property
    def strip(self) -> tuple[float, float, float, float]:
        return self[2:]

    @property
    def end(self) -> float:
        """Where latitudes end: the north pole itself is owned."""
        return math.inf if self.north == 90 else self.north

    @property
    def polar(self) -> bool:
        return self.name.startswith("ups")


ZONES = (
    *(Zone(f"utm{n:02d}n", f"EPSG:{32600 + n}", 6.0 * n - 186, 0.0, 6.0 * n - 180, UTM_NORTH) for n in range(1, 61)),
    *(Zone(f"utm{n:02d}s", f"EPSG:{32700 + n}", 6.0 * n - 186, UTM_SOUTH, 6.0 * n - 180, 0.0) for n in range(1, 61)),
    Zone("upsn", "EPSG:5041", -180.0, UTM_NORTH, 180.0, 90.0),
    Zone("upss", "EPSG:5042", -180.0, -90.0, 180.0, UTM_SOUTH),
)


def zone_called(name: str) -> Zone:
    """The zone of a name. Raises InputError when there is none."""
    zone = next((zone for zone in ZONES if zone.name == name), None)
    if zone is None:
        raise InputError(f"zone {name[:40]!r}: no such zone; use utm01n to utm60n, utm01s to utm60s, upsn or upss")
    return zone


def zone_of(longitude: ArrayLike, latitude: ArrayLike) -> NDArray[np.int64]:
    """Index in ZONES of the one owner of each point (degrees, any shape; longitudes are taken modulo 360).

    Raises InputError when a point is not on earth.
    """
    lon, lat = np.broadcast_arrays(wrapped(longitude), np.asarray(latitude, np.float64))
    wrong = ~(np.isfinite(lon) & (np.abs(lat) <= 90))
    if wrong.any():
        raise InputError(f"point {lon[wrong][0]}, {lat[wrong][0]}: not on earth; give longitude, latitude in degrees, EPSG:4326")
    strip = np.searchsorted([zone.west for zone in ZONES[:60]], lon, side="right") - 1
    index = np.where(lat < 0, strip + 60, strip)
    return np.asarray(np.select([lat >= UTM_NORTH, lat < UTM_SOUTH], [120, 121], index), np.int64)


def wrapped(longitude: ArrayLike) -> NDArray[np.float64]:
    """Longitudes in [-180, 180); those already there keep every bit. Not finite: nan."""
    lon = np.asarray(longitude, np.float64)
    lon = np.where(np.isfinite(lon), lon, np.nan)
    return np.where((lon >= -180) & (lon < 180), lon, np.mod(lon + 180, 360) % 360 - 180)


def zone_grid(zone: Zone, resolution: float) -> Grid:
    """The zone's pixel grid; resolution in metres. Origins are whole pixels from the CRS's zero where it divides 10 km."""
    if zone.polar:
        return Grid(zone.name, zone.crs, 0.0, UPS_TOP, resolution, resolution)
    return utm_grid((zone.west + zone.east) / 2, (zone.south + zone.north) / 2, resolution)


def split_at_antimeridian(west: float, south: float, east: float, north: float) -> Any:
    """A box as (multi)polygon, EPSG:4326; west > east means that it crosses 180 degrees. Raises InputError when it is empty."""
    if not (max(abs(west), abs(east)) <= 180 and -90 <= south < north <= 90 and west != east):
        raise InputError(f"box {(west, south, east, north)}: give west, south, east, north in degrees within 180 and 90, south < north")
    if west < east:
        return shapely.box(west, south, east, north)
    halves = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    return shapely.union_all([half for half in halves if half.area > 0])


def zones_of(area: Any) -> list[Zone]:
    """The zones whose strips share ground, not only an edge, with a (multi)polygon, in the order of ZONES.

    `area`: EPSG:4326, split at 180 degrees (RFC 7946); a box that crosses it: `split_at_antimeridian`. Raises InputError.
    """
    _check(area)
    strips = np.array([shapely.box(*zone.strip) for zone in ZONES])
    shapely.prepare(area)
    meets = shapely.intersects(area, strips)
    meets[meets] = ~shapely.touches(area, strips[meets])
    return [ZONES[index] for index in np.flatnonzero(meets)]


def one_zone(area: Any) -> Zone | None:
    """The zone of the middle of an area (as in `zones_of`) at most 6 degrees wide within UTM's latitudes; else None.

    Such a place lies on that zone's grid whole: nothing is cut where it passes the strip's edge or the equator.
    """
    _check(area)
    west, south, east, north = shapely.bounds(shapely.get_parts(area)).T
    start, width = _arc(west, east)
    if width > STRIP_DEGREES + 1e-9 or south.min() < UTM_SOUTH or north.max() > UTM_NORTH:
        return None
    return ZONES[int(zone_of(start + width / 2, (south.min() + north.max()) / 2))]


def _arc(west: NDArray[np.float64], east: NDArray[np.float64]) -> tuple[float, float]:
    """Start and width, degrees, of the shortest arc of longitudes that holds all the spans: what the widest gap leaves."""
    order = np.argsort(west, kind="stable")
    starts, reached = west[order], np.maximum.accumulate(east[order])
    gaps = np.append(starts[1:], starts[0] + 360) - reached
    widest = int(np.argmax(gaps))
    return float(starts[(widest + 1) % len(starts)]), float(360 - gaps[widest])


def _check(area: Any) -> None:
    if area.geom_type not in ("Polygon", "MultiPolygon") or area.is_empty:
        raise InputError(f"area: a {area.geom_type}, or empty; give a polygon or multipolygon in EPSG:4326")
    west, south, east, north = area.bounds
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        raise InputError(f"area: bounds {area.bounds} are not in degrees within 180 and 90; reproject it to EPSG:4326, split at 180")
    if not shapely.is_valid(area):
        raise InputError(f"area: {shapely.is_valid_reason(area)[:80]}; repair it, e.g. with shapely.make_valid")


def strip_polygon(zone: Zone) -> Any:
    """The strip as a polygon, EPSG:4326, edges of at most STRIP_STEP; UPS: a cap from -180 to 180 with the pole as an edge."""
    return shapely.segmentize(shapely.box(*zone.strip), STRIP_STEP)


@lru_cache(maxsize=128)
def from_lonlat(crs: str) -> Transformer:
    """Degrees to a CRS, kept for each process."""
    return Transformer.from_crs("EPSG:4326", crs, always_xy=True)


def area_on(zone: Zone, area: Any, resolution: float, cut: bool = True) -> Any:
    """The part of an area (as in `zones_of`) that the zone owns, in the zone's CRS: valid, possibly empty.

    Edges are straight in EPSG:4326; here their chords are within a quarter of `resolution` (metres). Around a pole it is
    a disc. `cut=False`: the whole area, for the zone that `one_zone` gives. Raises InputError.
    """
    _check(area)
    west, south, east, north = zone.strip if cut else area.bounds
    width = SECTOR_DEGREES if zone.polar else east - west
    sectors = [shapely.box(start, south, start + width, north) for start in np.arange(west, east, width)]
    pieces = shapely.get_parts(shapely.intersection(area, sectors))
    # An edge of d radians bends by at most 1.12 d2/8 earth radii, in UTM near its strip as in UPS.
    dense = shapely.segmentize(pieces[shapely.get_dimensions(pieces) == 2], math.degrees(math.sqrt(resolution / EARTH_M)))
    return shapely.union_all(shapely.transform(dense, from_lonlat(zone.crs).transform, interleaved=False), grid_size=SNAP_M)


def tiles_in(zone: Zone, area: Any, resolution: float, tile_px: int, cut: bool = True) -> NDArray[np.int32]:
    """Row and column (n, 2), sorted, of the tiles of the zone's grid that meet the area the zone owns (see `area_on`).

    None that holds such ground is missing, slivers of 1 mm aside; one within a pixel of it may be there. Raises InputError.
    """
    shape = area_on(zone, area, resolution, cut)
    if shape.is_empty:
        return np.empty((0, 2), np.int32)
    shapely.prepare(shape)
    grid = zone_grid(zone, resolution)
    bounds = grid.pixels_over(*shape.bounds).grown(1)
    top, left = bounds.top // tile_px, bounds.left // tile_px
    size = 1 << max((bounds.bottom - 1) // tile_px - top, (bounds.right - 1) // tile_px - left).bit_length()
    found = np.concatenate(_descended(shape, grid, tile_px, np.array([[top, left]], np.int64), size))
    return np.asarray(found[np.lexsort((found[:, 1], found[:, 0]))], np.int32)


def _descended(shape: Any, grid: Grid, tile_px: int, squares: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Tiles in squares of `size` tiles, a power of two: squares inside the shape are taken whole, those on its edge split."""
    outlines = _outlines(grid, squares * tile_px, size * tile_px)
    meets = shapely.intersects(shape, outlines)
    squares, outlines = squares[meets], outlines[meets]
    if size == 1 or not len(squares):
        return [squares]
    whole = shapely.contains_properly(shape, outlines)
    return [_split(squares[whole], size, 1), *_descended(shape, grid, tile_px, _split(squares[~whole], size, size // 2), size // 2)]


def _outlines(grid: Grid, corners: NDArray[np.int64], side: int) -> Any:
    """Squares of `side` pixels from upper left corners (row, column), grown by TILE_MARGIN_PX, in the grid's CRS."""
    (top, left), m = corners.T, TILE_MARGIN_PX
    x, y = grid.origin_x + (left - m) * grid.pixel_width, grid.origin_y - (top - m) * grid.pixel_height
    return shapely.box(x, y - (side + 2 * m) * grid.pixel_height, x + (side + 2 * m) * grid.pixel_width, y)


def _split(squares: NDArray[np.int64], size: int, part: int) -> NDArray[np.int64]:
    """The squares of `part` tiles in squares of `size` tiles, by their upper left corners."""
    offsets = part * np.indices((size // part, size // part)).reshape(2, -1).T
    return np.asarray((squares[:, None] + offsets).reshape(-1, 2), np.int64)
