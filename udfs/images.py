"""Opening images safely: plain GeoTIFF only, no side files, no other driver, a bounded set of open handles."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from conf.errors import ReadError
from udfs.grid import PixelBounds

GDAL_SETTINGS: dict[str, str | int] = {
    "GDAL_PAM_ENABLED": "NO",  # .aux.xml beside an image could change what it means
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_NUM_THREADS": "1",
    "GDAL_CACHEMAX": 128 * 2**20,
    "GTIFF_IGNORE_READ_ERRORS": "NO",
}
MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
BLOCK_BYTES = 256 * 2**20
"""A larger block cannot be meant: GDAL would allocate it whole."""

TRIES = 3
BACK_OFF_SECONDS = 0.4
"""Between tries it doubles each time, from twice this: 2.4 s in all, long enough for a network drive to come back."""

Result = TypeVar("Result")


class UnreadableHeaderError(ReadError):
    """The file begins as a TIFF but cannot be opened: cut off, or out of reach for now."""


def is_transient(error: ReadError) -> bool:
    """Whether the fault is worth another try with a fresh handle."""
    return error.kind == "read_failed" or isinstance(error, UnreadableHeaderError)


def retried(action: Callable[[], Result], fresh: Callable[[], None] = lambda: None, wait: bool = True) -> tuple[Result, int]:
    """What `action` gives and the tries it took: up to TRIES on transient faults, after `fresh()` and, with `wait`, ever longer waits.

    Raises the last ReadError, its `tries` set.
    """
    attempt = 1
    while True:
        try:
            return action(), attempt
        except ReadError as error:
            fresh()
            error.tries = attempt
            if not is_transient(error) or attempt == TRIES:
                raise
        if wait:
            time.sleep(BACK_OFF_SECONDS * 2**attempt)
        attempt += 1


def gdal() -> Any:
    """The context to open and read images in; each thread needs its own."""
    return rasterio.Env(**GDAL_SETTINGS)


def check_tiff(path: str) -> None:
    """Raises ReadError unless `path` is a local file that begins as a TIFF does; GDAL never sees anything else."""
    if "://" in path or path.startswith("/vsi") or "\0" in path:
        raise ReadError("path_not_allowed", f"{path[:80]!r} is no plain local path; copy the image to a folder and name it there")
    try:
        with Path(path).open("rb") as file:
            start = file.read(4)
    except FileNotFoundError:
        raise ReadError("not_found", f"{Path(path).name}: no such file; check the place's sources") from None
    except OSError as error:
        raise ReadError("read_failed", f"{Path(path).name}: {error.strerror}; check that the file can be read") from None
    if start not in MAGIC:
        raise ReadError("not_a_tiff", f"{Path(path).name} begins with {start!r}, not as a TIFF does; fetch the image again")


def open_image(path: str) -> Any:
    """A rasterio dataset, GTiff driver only; raises ReadError. Call inside `gdal()`."""
    check_tiff(path)
    try:
        dataset = rasterio.open(path, driver="GTiff")
    except (RasterioError, OSError) as error:
        message = f"{Path(path).name}: header cannot be read: {_first_line(error)}; fetch the image again"
        raise UnreadableHeaderError("not_a_tiff", message) from None
    height, width = dataset.block_shapes[0]
    if height * width * np.dtype(dataset.dtypes[0]).itemsize > BLOCK_BYTES:
        dataset.close()
        raise ReadError("block_size", f"{Path(path).name}: blocks of {height} x {width} pixels; rewrite it with blocks of 256 or 512")
    return dataset


def read_pixels(dataset: Any, index: int, window: Window, mask: bool = False) -> NDArray[Any]:
    """Raw DN (height, width) of a 1-based band inside the image, or its mask (0 no data); raises ReadError, never gives zeros instead."""
    try:
        pixels = np.asarray(dataset.read_masks(index, window=window) if mask else dataset.read(index, window=window))
    except (RasterioError, OSError, ValueError, MemoryError) as error:
        raise ReadError("read_failed", f"{Path(dataset.name).name}: {_first_line(error)}; fetch the image again") from None
    if any(offset == "0" for _, offset in _blocks(dataset, index, window)):  # GDAL has read the file's first bytes as pixels
        raise ReadError("read_failed", f"{Path(dataset.name).name}: its list of blocks is cut off; fetch the image again")
    return pixels


def read_sound_blocks(dataset: Any, index: int, window: Window, mask: bool = False) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """As `read_pixels`, but block by block; and where (height, width) the file's block cannot be read: there pixels are 0."""
    shape = window.height, window.width
    pixels, lost = np.zeros(shape, np.uint8 if mask else dataset.dtypes[index - 1]), np.zeros(shape, bool)
    asked = _bounds(window)
    for block, _ in _blocks(dataset, index, window):
        whole = Window(block.left, block.top, block.right - block.left, block.bottom - block.top)
        try:  # the whole block, so that the outcome is the same for every window
            pixels[_part(block, asked)] = read_pixels(dataset, index, whole, mask)[_part(asked, block)]
        except ReadError:
            lost[_part(block, asked)] = True
    return pixels, lost


def in_absent_blocks(dataset: Any, index: int, window: Window) -> NDArray[np.bool_]:
    """The pixels (height, width) of a window that lie in blocks the file leaves out (SPARSE_OK): GDAL reads them as zeros."""
    absent = np.zeros((window.height, window.width), bool)
    for block, offset in _blocks(dataset, index, window):
        if offset is None:
            absent[_part(block, _bounds(window))] = True
    return absent


def _bounds(window: Window) -> PixelBounds:
    return PixelBounds(window.row_off, window.col_off, window.row_off + window.height, window.col_off + window.width)


def _blocks(dataset: Any, index: int, window: Window) -> Iterator[tuple[PixelBounds, str | None]]:
    """The file's blocks that a window touches, cut at the image's edge, and where they begin in the file; None: they are not in it."""
    height, width = dataset.block_shapes[index - 1]
    top, left, bottom, right = _bounds(window)
    for row in range(top // height, -(-bottom // height)):
        lower = min((row + 1) * height, dataset.height)
        for column in range(left // width, -(-right // width)):
            block = PixelBounds(row * height, column * width, lower, min((column + 1) * width, dataset.width))
            yield block, dataset.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=index)


def _part(inner: PixelBounds, outer: PixelBounds) -> tuple[slice, slice]:
    """Where, in an array of `outer`, the pixels of `inner` lie."""
    rows = slice(max(inner.top - outer.top, 0), max(inner.bottom - outer.top, 0))
    return rows, slice(max(inner.left - outer.left, 0), max(inner.right - outer.left, 0))


def is_georeferenced(dataset: Any) -> bool:
    """Whether the image has a CRS and a north-up transform."""
    transform = dataset.transform
    upright = transform.b == 0 and transform.d == 0 and transform.a > 0 and transform.e < 0
    return dataset.crs is not None and upright and all(math.isfinite(value) for value in transform)


def _first_line(error: BaseException) -> str:
    return (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0][:200]


class ImagePool:
    """Open images of one reader, the least recently used closed first. Use as a context manager, from one thread at a time."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._open: OrderedDict[str, Any] = OrderedDict()
        self.waited_for: set[str] = set()
        """Images whose faults outlasted all tries: their next faults are tried again without waiting, or one image holds up all tiles."""

    def get(self, path: str) -> Any:
        """The open dataset of `path`; raises ReadError."""
        if path not in self._open:
            self._open[path] = open_image(path)
            if len(self._open) > self._most:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]

    def drop(self, paths: tuple[str, ...]) -> None:
        """Close these, so that the next read has a fresh handle."""
        for path in paths:
            if path in self._open:
                self._open.pop(path).close()

    def __enter__(self) -> "ImagePool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.drop(tuple(self._open))
