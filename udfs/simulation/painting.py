"""Polygons painted into rasters, in order. A cell takes the last polygon that holds its centre."""

from typing import Any, NamedTuple

import numba
import numpy as np
import shapely
from numpy.typing import NDArray


class Frame(NamedTuple):
    """A raster on the city's local metres (x east, y north): upper left corner, cell size, shape."""

    west: float
    north: float
    cell: float
    rows: int
    cols: int

    def cells_of(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Local points (n, 2) as (column, row) with fractions."""
        return np.stack([(points[:, 0] - self.west) / self.cell, (self.north - points[:, 1]) / self.cell], -1)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x of the columns and y of the rows, at the cells' centres."""
        x = self.west + (np.arange(self.cols, dtype=np.float64) + 0.5) * self.cell
        y = self.north - (np.arange(self.rows, dtype=np.float64) + 0.5) * self.cell
        return x, y


def whole(size_m: float, cell: float) -> Frame:
    """The frame of the whole square; a last part of a cell is left out."""
    count = int(size_m / cell + 1e-6)
    return Frame(0.0, size_m, cell, count, count)


class Outlines(NamedTuple):
    """Polygons as flat arrays: points (n, 2) local metres; rings and parts as offsets; `owner`: row of the shape of each part;
    `bounds` of each part: west, south, east, north."""

    points: NDArray[np.float64]
    rings: NDArray[np.int64]
    parts: NDArray[np.int64]
    owner: NDArray[np.int64]
    bounds: NDArray[np.float64]


def flattened(shapes: NDArray[Any]) -> Outlines:
    """Polygons and multipolygons as arrays, in order; empty shapes and other types have no part."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    polygonal = (shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)
    parts, owner = parts[polygonal], owner[polygonal].astype(np.int64)
    if not len(parts):
        return Outlines(np.empty((0, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64), owner, np.empty((0, 4)))
    _, points, (rings, polygons) = shapely.to_ragged_array(parts)
    return Outlines(points[:, :2].copy(), rings.astype(np.int64), polygons.astype(np.int64), owner, shapely.bounds(parts))


def painted(outlines: Outlines, chosen: NDArray[np.bool_], frame: Frame) -> NDArray[np.int32]:
    """The row of the last chosen shape over each cell's centre, int32 (rows, cols); -1 where there is none."""
    raster = np.full((frame.rows, frame.cols), -1, np.int32)
    east, south = frame.west + frame.cols * frame.cell, frame.north - frame.rows * frame.cell
    box = outlines.bounds
    near = (box[:, 0] < east) & (box[:, 2] > frame.west) & (box[:, 1] < frame.north) & (box[:, 3] > south)
    parts = np.flatnonzero(near & chosen[outlines.owner])
    origin = np.array([frame.west, frame.north, frame.cell])
    _paint(raster, outlines.points, outlines.rings, outlines.parts, parts, outlines.owner, origin)
    return raster


@numba.njit(nogil=True)
def _paint(raster: Any, points: Any, rings: Any, offsets: Any, parts: Any, owner: Any, origin: Any) -> None:
    """Even-odd fill by scan lines: the crossings of all rings with the line through the centres of a row, sorted, in pairs."""
    rows, cols = raster.shape
    west, north, cell = origin
    crossings = np.empty(512)
    for part in parts:
        first, last = rings[offsets[part]], rings[offsets[part + 1]]
        top, bottom = (north - points[first:last, 1].max()) / cell, (north - points[first:last, 1].min()) / cell
        for row in range(max(int(np.ceil(top - 0.5)), 0), min(int(np.floor(bottom - 0.5)) + 1, rows)):
            y = north - (row + 0.5) * cell
            count = 0
            for ring in range(offsets[part], offsets[part + 1]):
                for k in range(rings[ring], rings[ring + 1] - 1):
                    y0, y1 = points[k, 1], points[k + 1, 1]
                    if (y0 <= y) != (y1 <= y) and count < 512:
                        x = points[k, 0] + (y - y0) / (y1 - y0) * (points[k + 1, 0] - points[k, 0])
                        crossings[count] = (x - west) / cell
                        count += 1
            crossings[:count].sort()
            for pair in range(0, count - 1, 2):
                left = max(int(np.ceil(crossings[pair] - 0.5)), 0)
                right = max(min(int(np.ceil(crossings[pair + 1] - 0.5)), cols), left)
                raster[row, left:right] = owner[part]
