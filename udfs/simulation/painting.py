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
        return self.west + (np.arange(self.cols) + 0.5) * self.cell, self.north - (np.arange(self.rows) + 0.5) * self.cell


def whole(size_m: float, cell: float) -> Frame:
    """The frame of the whole square; a last part of a cell is left out."""
    count = int(size_m / cell + 1e-6)
    return Frame(0.0, size_m, cell, count, count)


def painted(shapes: NDArray[Any], frame: Frame) -> NDArray[np.int32]:
    """The row of the last shape over each cell's centre, int32 (rows, cols); -1 where there is none. Empty shapes paint nothing."""
    raster = np.full((frame.rows, frame.cols), -1, np.int32)
    parts, owner = shapely.get_parts(shapes, return_index=True)
    polygonal = (shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)
    if not polygonal.any():
        return raster
    _, points, (rings, polygons) = shapely.to_ragged_array(parts[polygonal])
    _paint(raster, frame.cells_of(points[:, :2]), rings, polygons, owner[polygonal])
    return raster


@numba.njit(nogil=True)  # type: ignore[misc]
def _paint(raster: Any, points: Any, rings: Any, polygons: Any, owner: Any) -> None:
    """Even-odd fill by scan lines: the crossings of all rings with the line through the centres of a row, sorted, in pairs."""
    rows, cols = raster.shape
    crossings = np.empty(256)
    for polygon in range(len(polygons) - 1):
        first, last = rings[polygons[polygon]], rings[polygons[polygon + 1]]
        low, high = points[first:last, 1].min(), points[first:last, 1].max()
        for row in range(max(int(np.ceil(low - 0.5)), 0), min(int(np.floor(high - 0.5)) + 1, rows)):
            y = row + 0.5
            count = 0
            for ring in range(polygons[polygon], polygons[polygon + 1]):
                for k in range(rings[ring], rings[ring + 1] - 1):
                    y0, y1 = points[k, 1], points[k + 1, 1]
                    if (y0 <= y) != (y1 <= y) and count < 256:
                        x0, x1 = points[k, 0], points[k + 1, 0]
                        crossings[count] = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                        count += 1
            crossings[:count].sort()
            for pair in range(0, count - 1, 2):
                left = max(int(np.ceil(crossings[pair] - 0.5)), 0)
                right = max(min(int(np.ceil(crossings[pair + 1] - 0.5)), cols), left)
                raster[row, left:right] = owner[polygon]
