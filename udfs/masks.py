"""Ground that is never built-up, and ground that is left out: water as scenes class it, and polygons of vector files."""

from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from conf.errors import InputError, ReadError
from conf.sensors import SENSORS
from udfs.grid import Grid, PixelBounds, Tile, blocks_of
from udfs.sampling import Points, pixel_centres
from udfs.scenes import Scene
from udfs.units import refuse_xml
from udfs.versions import LocalVersion, content_digest, local_version, refuse_other_content

Marked = NDArray[np.bool_]
FEWEST_DATES = 2
"""Dates that must say water, or all where there are fewer: classes take a roof in shadow for water now and then."""
CELL = {True: 0.5, False: 50_000.0}
"""Side of the cells that a file is read by, in units of its CRS, whether that is geographic."""
CELLS_HELD = 32
"""By each process and file: tiles come row by row, and each cell of a row is met again in the next."""
STEP_PX = 16
"""A tile's pixels are looked at so far apart to find the polygons near it; divides 256."""
FEATURES_AT_ONCE = 100_000
UNREADABLE = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, shapely.errors.GEOSException, ValueError)  # type: ignore[attr-defined]
"""What a vector file that is none, or damaged, raises."""


class WaterDates:
    """At how many dates pixels are clear, and at how many of these water; uint16 (height, width) each."""

    def __init__(self, shape_yx: tuple[int, int]) -> None:
        self._clear, self._water = np.zeros(shape_yx, np.uint16), np.zeros(shape_yx, np.uint16)

    def add(self, clear: Marked, water: Marked) -> None:
        """Counts one more date."""
        self._clear += clear
        self._water += clear & water

    def permanent(self, share: float) -> Marked:
        """Water at `share` (0-1) or more of the clear dates, and at no fewer than FEWEST_DATES of them, or at all."""
        parts = np.divide(self._water, np.maximum(self._clear, 1), dtype=np.float64)
        return np.asarray((self._water > 0) & (self._water >= np.minimum(self._clear, FEWEST_DATES)) & (parts >= share))


def water_bands(sensor: str) -> tuple[str, ...]:
    """The sensor's bands of classes or flags that know water."""
    return tuple(mask.band for mask in SENSORS[sensor].masks if mask.water or mask.water_bits)


def tells_water(scene: Scene) -> bool:
    """Whether the scene has such a band. One without says nothing of water, also not that ground is dry."""
    return any(band in scene.hrefs for band in water_bands(scene.sensor))


class PolygonFile(NamedTuple):
    """A vector file as it was when the run was prepared; `crs` is its own."""

    path: str
    crs: str
    content: str
    """sha256."""


def polygon_file(path: Path, setting: str) -> PolygonFile:
    """The first layer of a vector file, which `setting` declares. Raises InputError: no file, not readable, no CRS, no polygon."""
    if not path.is_file():
        raise InputError(f"setting {setting} = {str(path)!r}: no such file; correct the path or leave it out")
    refuse_xml(path, f"setting {setting}: ")
    return _checked(path, setting, local_version(str(path)))


@lru_cache(maxsize=8)
def _checked(path: Path, setting: str, version: LocalVersion) -> PolygonFile:
    try:
        content, found, polygons = content_digest(path), pyogrio.read_info(path, layer=0, force_total_bounds=True), _has_polygon(path)
    except (ReadError, *UNREADABLE) as error:
        raise InputError(f"setting {setting}: {path.name} cannot be read: {_line(error)}; give e.g. GeoJSON or GeoPackage") from None
    if not polygons:
        raise InputError(f"setting {setting}: {path.name} holds no polygon; give a file with areas, or leave it out")
    try:
        crs = CRS.from_user_input(found["crs"] or "")
    except CRSError:
        raise InputError(f"setting {setting}: {path.name} has no CRS that is known; give it one, e.g. with ogr2ogr -a_srs") from None
    west, south, east, north = found["total_bounds"]
    if crs.is_geographic and not (-360 <= west <= east <= 360 and -90 <= south <= north <= 90):
        where = f"{west:g}..{east:g}, {south:g}..{north:g}"
        raise InputError(f"setting {setting}: {path.name}: {where} are not degrees; give it its true CRS, e.g. with ogr2ogr -a_srs")
    return PolygonFile(str(path), str(found["crs"]), content)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _has_polygon(path: Path) -> bool:
    start, read = 0, FEATURES_AT_ONCE
    while read == FEATURES_AT_ONCE:
        _, _, wkb, _ = pyogrio.raw.read(path, layer=0, columns=[], skip_features=start, max_features=FEATURES_AT_ONCE)
        if len(_polygons(wkb)):
            return True
        start, read = start + FEATURES_AT_ONCE, len(wkb)
    return False


def _polygons(wkb: NDArray[np.object_]) -> NDArray[np.object_]:
    """All polygons, each alone, of geometries of any type."""
    parts = shapely.get_parts(shapely.get_parts(shapely.from_wkb(wkb)))
    is_polygon = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return np.asarray(parts[is_polygon], object)


def inside(file: PolygonFile | None, grid: Grid, tile: Tile) -> Marked:
    """Pixels of a tile, bool (tile_px, tile_px), whose centre lies in a polygon of the file or on its outline; of no file none.

    Asked of each centre in the file's own CRS, where edges are straight: neither the tile nor what else is read can show.
    Outlines need not be valid: by parity. Raises ReadError: the file is gone, is another one or cannot be read.
    """
    marked = np.zeros((tile.tile_px, tile.tile_px), bool)
    if file is None:
        return marked
    shapes = _near(file, grid, tile)
    for block in blocks_of(tile) if len(shapes) else ():
        top, left = block.pixels.top - tile.pixels.top, block.pixels.left - tile.pixels.left
        part = marked[top : top + block.tile_px, left : left + block.tile_px]
        _mark(part, pixel_centres(grid, block.pixels, file.crs), shapes)
    return marked


def _mark(marked: Marked, points: Points, shapes: NDArray[np.object_]) -> None:
    x, y = np.broadcast_arrays(*points)
    west, south, east, north = shapely.bounds(shapes).T
    meets = (west <= x.max()) & (east >= x.min()) & (south <= y.max()) & (north >= y.min())
    for shape, (left, bottom, right, top) in zip(shapes[meets], shapely.bounds(shapes[meets]), strict=True):
        within = ~marked & (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
        marked[within] = shapely.intersects_xy(shape, x[within], y[within])


def _near(file: PolygonFile, grid: Grid, tile: Tile) -> NDArray[np.object_]:
    """The polygons near a tile, some perhaps twice; none that meets it is missing."""
    sparse = grid._replace(pixel_width=grid.pixel_width * STEP_PX, pixel_height=grid.pixel_height * STEP_PX)
    x, y = np.broadcast_arrays(*pixel_centres(sparse, PixelBounds(*(edge // STEP_PX for edge in tile.pixels)), file.crs))
    seen = np.isfinite(x) & np.isfinite(y)  # elsewhere the file's CRS has no place, nor polygons
    if not seen.any():
        return np.empty(0, object)
    x, y, reach_x, reach_y = x[seen], y[seen], _largest_step(x), _largest_step(y)  # more than from any pixel to a point looked at
    shifts = [(x + dx, y + dy) for dx, dy in product((-reach_x, 0.0, reach_x), (-reach_y, 0.0, reach_y))]
    cells = np.unique(np.floor(np.hstack(shifts) / _cell_side(file.crs)).astype(np.int64), axis=1)
    box = shapely.box(x.min() - reach_x, y.min() - reach_y, x.max() + reach_x, y.max() + reach_y)
    version = _version(file)
    trees = [_cell(file, version, int(column), int(row)) for column, row in cells.T]
    return np.concatenate([tree.geometries.take(np.sort(tree.query(box))) for tree in trees])


def _largest_step(values: NDArray[np.float64]) -> float:
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    return max(float(step[np.isfinite(step)].max(initial=0.0)) for step in steps)


@lru_cache(maxsize=16)
def _cell_side(crs: str) -> float:
    return CELL[CRS.from_user_input(crs).is_geographic]


def _version(file: PolygonFile) -> LocalVersion:
    """As `local_version`; raises ReadError."""
    try:
        return local_version(file.path)
    except OSError as error:
        raise ReadError("not_found", f"{Path(file.path).name}: {error.strerror}; put it where every worker can read it") from None


@lru_cache(maxsize=2 * CELLS_HELD)
def _cell(file: PolygonFile, version: LocalVersion, column: int, row: int) -> shapely.STRtree:
    """The polygons that meet a cell: all that is read of the file, and once in a process."""
    _refuse_changed(file, version)
    side = _cell_side(file.crs)
    try:
        bbox = (column * side, row * side, (column + 1) * side, (row + 1) * side)
        _, _, wkb, _ = pyogrio.raw.read(file.path, layer=0, columns=[], bbox=bbox)
        return shapely.STRtree(_polygons(wkb))
    except UNREADABLE as error:
        raise ReadError("read_failed", f"{Path(file.path).name}: {_line(error)}") from None


@lru_cache(maxsize=8)
def _refuse_changed(file: PolygonFile, version: LocalVersion) -> None:
    """Once for each version of the file."""
    refuse_other_content(file.path, file.content, "built_up")
