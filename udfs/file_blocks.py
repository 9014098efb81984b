"""The blocks of an image file: which a window touches, where they lie in the file, which are left out of it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from udfs.grid import PixelBounds


class FileBlock(NamedTuple):
    """A block of a band: its pixels, cut at the image's edge, and where it begins in the file; None: it is not in it."""

    column: int
    row: int
    pixels: PixelBounds
    offset: int | None

    @property
    def window(self) -> Window:
        top, left, bottom, right = self.pixels
        return Window(left, top, right - left, bottom - top)


def file_blocks(dataset: Any, index: int, window: Window) -> list[FileBlock]:
    """The blocks of a band, 1-based, that a window touches. A JPEG 2000 does not tell where they lie: there every offset is -1."""
    height, width = dataset.block_shapes[index - 1]
    top, left, bottom, right = window_bounds(window)
    placed = dataset.driver == "GTiff"
    found = []
    for row in range(top // height, -(-bottom // height)):
        lower = min((row + 1) * height, dataset.height)
        for column in range(left // width, -(-right // width)):
            pixels = PixelBounds(row * height, column * width, lower, min((column + 1) * width, dataset.width))
            found.append(FileBlock(column, row, pixels, _tag(dataset, index, "OFFSET", column, row) if placed else -1))
    return found


def block_bytes(dataset: Any, index: int, block: FileBlock) -> int:
    """Bytes of a block in the file; 0 where that is not known."""
    return (_tag(dataset, index, "SIZE", block.column, block.row) or 0) if block.offset and block.offset > 0 else 0


def _tag(dataset: Any, index: int, what: str, column: int, row: int) -> int | None:
    text = dataset.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=index)
    return None if text is None else int(text)


def absent_pixels(blocks: list[FileBlock], window: Window) -> NDArray[np.bool_]:
    """The pixels (height, width) of a window that lie in blocks the file leaves out (SPARSE_OK): GDAL reads them as zeros."""
    absent = np.zeros((window.height, window.width), bool)
    for block in blocks:
        if block.offset is None:
            absent[part_of(block.pixels, window_bounds(window))] = True
    return absent


def window_bounds(window: Window) -> PixelBounds:
    return PixelBounds(window.row_off, window.col_off, window.row_off + window.height, window.col_off + window.width)


def part_of(inner: PixelBounds, outer: PixelBounds) -> tuple[slice, slice]:
    """Where, in an array of `outer`, the pixels of `inner` lie."""
    rows = slice(max(inner.top - outer.top, 0), max(inner.bottom - outer.top, 0))
    return rows, slice(max(inner.left - outer.left, 0), max(inner.right - outer.left, 0))
