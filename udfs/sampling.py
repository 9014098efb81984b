"""Where points of a grid lie among an image's pixels, and what the image has there."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.windows import Window

from udfs.grid import Grid, PixelBounds

Values = NDArray[np.float32]
Positions = NDArray[np.float64]
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
ALIGNED_PX = 0.01
"""Grids that differ by less, in pixels, over the whole image are one grid."""


class Points(NamedTuple):
    """Pixel centres in an image's CRS, arrays that broadcast to (height, width)."""

    x: Positions
    y: Positions


def pixel_centres(grid: Grid, bounds: PixelBounds, crs: str) -> Points:
    """Centres of the grid's pixels in `crs`: a row and a column vector where the CRS is the grid's, else full arrays."""
    x: Positions = np.asarray(grid.origin_x + (np.arange(bounds.left, bounds.right) + 0.5) * grid.pixel_width, np.float64)[None, :]
    y: Positions = np.asarray(grid.origin_y - (np.arange(bounds.top, bounds.bottom) + 0.5) * grid.pixel_height, np.float64)[:, None]
    transformer = _transformer(grid.crs, crs)
    if transformer is None:
        return Points(x, y)
    full_x, full_y = np.broadcast_arrays(x, y)
    return Points(*transformer.transform(full_x, full_y))


@lru_cache(maxsize=32)
def _transformer(source: str, target: str) -> Transformer | None:
    if source == target or CRS.from_user_input(source).equals(CRS.from_user_input(target), ignore_axis_order=True):
        return None
    return Transformer.from_crs(source, target, always_xy=True)


class Frame(NamedTuple):
    """A rectangle of an image's pixels that may reach over its edge; `window` is the part inside, None where nothing is."""

    left: int
    top: int
    shape_yx: tuple[int, int]
    window: Window | None

    def around(self, pixels: NDArray[Any], beyond: float | bool) -> NDArray[Any]:
        """The whole rectangle, from the `pixels` of the window and a value for those beyond the edge."""
        if pixels.shape == self.shape_yx:
            return pixels
        whole = np.full(self.shape_yx, beyond, pixels.dtype)
        if self.window is not None:
            row, column = self.window.row_off - self.top, self.window.col_off - self.left
            whole[row : row + self.window.height, column : column + self.window.width] = pixels
        return whole


class Block(NamedTuple):
    """A band's pixels in a frame, arrays of its shape."""

    frame: Frame
    values: NDArray[Any]
    """DN, of a type that float32 holds exactly; anything where unknown."""
    unknown: NDArray[np.bool_]
    """No value, or beyond the edge."""
    hollow: NDArray[np.bool_]
    """No data in this band, or beyond the edge."""


class Lattice:
    """Where points lie among an image's pixels. Bands of one size share it, for its arrays are most of the work."""

    def __init__(self, dataset: Any, crs: str, grid: Grid, points: Points) -> None:
        """`points` are pixel centres of `grid` in `crs`, the image's own."""
        transform = dataset.transform
        self._size = dataset.height, dataset.width
        columns, rows = (points.x - transform.c) / transform.a, (points.y - transform.f) / transform.e
        self._nearest = np.floor(columns).astype(np.int64), np.floor(rows).astype(np.int64)
        self.aligned = _is_aligned(dataset, crs, grid)
        if not self.aligned:
            left, top = np.floor(columns - 0.5).astype(np.int64), np.floor(rows - 0.5).astype(np.int64)
            self._corner = left, top
            across, down = columns - 0.5 - left, rows - 0.5 - top
            self._shares = {(right, below): (across if right else 1 - across) * (down if below else 1 - down) for right, below in CORNERS}
        self.frame = self._frame(0)
        """The pixels under the points. Where the grids differ, with a rim of one pixel beyond the edge: points far off land on it."""
        self.sampled_frame = self.frame if self.aligned else self._frame(1)
        """The same and their neighbours: what `sampled` needs."""

    def _frame(self, around: int) -> Frame:
        (columns, rows), (height, width) = self._nearest, self._size
        left, right = int(columns.min()), int(columns.max()) + 1
        top, bottom = int(rows.min()), int(rows.max()) + 1
        if not self.aligned:
            left, right = max(left - around, -1), min(right + around, width + 1)
            top, bottom = max(top - around, -1), min(bottom + around, height + 1)
        first, last, upper, lower = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        if first >= last or upper >= lower:
            return Frame(left, top, (bottom - top, right - left) if self.aligned else (1, 1), None)
        return Frame(left, top, (bottom - top, right - left), Window(first, upper, last - first, lower - upper))

    def nearest(self, frame: Frame, array: NDArray[Any]) -> NDArray[Any]:
        """What `array`, of the frame's shape, has at the points."""
        return array if self.aligned else _at(frame, array, *self._nearest)

    def sampled(self, block: Block) -> NDArray[Any]:
        """DN at the points: on an aligned grid the pixel's own, else float32, bilinear among those known. Anything where the nearest
        is unknown."""
        if self.aligned:
            return block.values
        known = ~block.unknown
        whole = bool(known.all())  # then all weights count: the same sums, sooner
        shape = np.broadcast_shapes(*(positions.shape for positions in self._nearest))
        total, weight = np.zeros(shape), np.zeros(shape)
        for (right, below), share in self._shares.items():
            corner = self._corner[0] + right, self._corner[1] + below
            at, counts = _at(block.frame, block.values, *corner), True if whole else _at(block.frame, known, *corner)
            total += at * share if whole else np.where(counts, at, 0) * share
            weight += share * counts
        return np.divide(total, weight, out=np.zeros(shape), where=weight > 0).astype(np.float32)

    def touched(self, frame: Frame, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Points that are sampled from a marked pixel of the frame."""
        touched: NDArray[np.bool_] = self.nearest(frame, marked)
        for right, below in () if self.aligned else self._shares:
            touched = touched | _at(frame, marked, self._corner[0] + right, self._corner[1] + below)
        return touched


def _at(frame: Frame, array: NDArray[Any], columns: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[Any]:
    row = np.clip(rows - frame.top, 0, array.shape[0] - 1)
    column = np.clip(columns - frame.left, 0, array.shape[1] - 1)
    if len(row[0]) == 1 and len(column) == 1:  # a row and a column vector: taking one after the other is faster
        return np.asarray(array[row[:, 0]][:, column[0]])
    return np.asarray(array[row, column])


def _is_aligned(dataset: Any, crs: str, grid: Grid) -> bool:
    """Whether the image's pixels are pixels of the grid, everywhere on the image: so the answer is one for all windows."""
    if _transformer(grid.crs, crs) is not None:
        return False
    transform = dataset.transform
    starts = (transform.c - grid.origin_x) / grid.pixel_width, (grid.origin_y - transform.f) / grid.pixel_height
    spans = dataset.width * (transform.a / grid.pixel_width - 1), dataset.height * (-transform.e / grid.pixel_height - 1)
    return all(abs(start - round(start)) < ALIGNED_PX for start in starts) and all(abs(span) < ALIGNED_PX for span in spans)
