"""An open image: pixels are read here, where every fault is found out, however quietly GDAL reports it."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from conf.errors import ReadError
from udfs.addresses import Address
from udfs.file_blocks import FileBlock, absent_pixels, block_bytes, file_blocks, part_of, window_bounds
from udfs.remote_files import Range, RemoteFile
from udfs.versions import LocalVersion, local_version

RASTERIO_LOG = logging.getLogger("rasterio")
MASKS = frozenset({"per_dataset", "alpha"})
DAMAGE = re.compile(r"(?i)premature|corrupt|truncat|not enough data|invalid data|missing")
"""Warnings that mean pixels were made up: a cut JPEG block comes out grey."""


class Image:
    """An open image of one driver. It tells what rasterio's `dataset` tells, but pixels are read by `pixels`."""

    def __init__(self, dataset: Any, address: Address, source: RemoteFile | LocalVersion) -> None:
        self.dataset, self.title, self._path = dataset, address.name, address.path
        self._source = source
        self._known: tuple[tuple[int, ...], list[FileBlock]] | None = None
        self.transform, self.nodatavals = dataset.transform, dataset.nodatavals  # rasterio makes them anew each time
        self.place = *tuple(self.transform)[:6], dataset.width, dataset.height
        """Images of one place have their pixels at the same points."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    @cached_property
    def masked_bands(self) -> frozenset[int]:
        """The bands, 1-based, that have a mask in the file."""
        flags = enumerate(self.dataset.mask_flag_enums, 1)
        return frozenset(index for index, names in flags if MASKS & {flag.name for flag in names})

    @property
    def tries(self) -> int:
        """Most tries that one of its requests took."""
        return self._source.tries if isinstance(self._source, RemoteFile) else 1

    @property
    def version(self) -> str | None:
        """What tells one state of a remote file from another; a local one's is its content."""
        return self._source.version if isinstance(self._source, RemoteFile) else None

    def pixels(self, index: int, window: Window, mask: bool = False) -> NDArray[Any]:
        """Raw DN (height, width) of a 1-based band inside the image, or its mask (0 no data); raises ReadError, never zeros instead."""
        blocks = self._blocks(index, window)
        self._raise_fault()
        self._fetch_ahead(index, blocks)
        try:
            with _complaints() as complaints:
                pixels = np.asarray(self.dataset.read_masks(index, window=window) if mask else self.dataset.read(index, window=window))
        except (RasterioError, OSError, ValueError, MemoryError) as error:
            raise self._fault(index, blocks, first_line(error)) from None
        self._raise_fault()
        if complaints:
            raise self._fault(index, blocks, complaints[0])
        if any(block.offset == 0 for block in blocks):  # GDAL has read the file's first bytes as pixels
            raise ReadError("truncated", f"{self.title}: its list of blocks is cut off; fetch the image again")
        self._check_unchanged()
        return pixels

    def absent(self, index: int, window: Window) -> NDArray[np.bool_]:
        """The pixels (height, width) of a window that lie in blocks the file leaves out: `pixels` gives zeros for them."""
        return absent_pixels(self._blocks(index, window), window)

    def _blocks(self, index: int, window: Window) -> list[FileBlock]:
        key = index, window.row_off, window.col_off, window.height, window.width
        if self._known is None or self._known[0] != key:
            self._known = key, file_blocks(self.dataset, index, window)
        return self._known[1]

    def _fetch_ahead(self, index: int, blocks: list[FileBlock]) -> None:
        if not isinstance(self._source, RemoteFile):
            return
        placed = [(block.offset, block_bytes(self.dataset, index, block)) for block in blocks if block.offset]
        self._source.fetch_ahead(Range(offset, offset + size) for offset, size in placed)
        self._raise_fault()

    def _request_fault(self) -> ReadError | None:
        """What a request met with, though GDAL may have gone on; it is told once, so that the next block may be read."""
        if not isinstance(self._source, RemoteFile):
            return None
        fault, self._source.fault = self._source.fault, None
        return fault

    def _raise_fault(self) -> None:
        if fault := self._request_fault():
            raise fault

    def _fault(self, index: int, blocks: list[FileBlock], text: str) -> ReadError:
        """Why pixels could not be read: a request's fault, else the file's."""
        if fault := self._request_fault():
            return fault
        ends = [(block.offset or 0) + block_bytes(self.dataset, index, block) for block in blocks]
        kind = "truncated" if max(ends, default=0) > self._source.size else "corrupt"
        return ReadError(kind, f"{self.title}: {text}; fetch the image again")

    def _check_unchanged(self) -> None:
        """A file that is written over while it is read gives pixels of both."""
        if isinstance(self._source, LocalVersion) and local_version(self._path) != self._source:
            raise ReadError("changed_source", f"{self.title}: written to while it was read; run scenes again")

    def close(self) -> None:
        self.dataset.close()

    def __enter__(self) -> "Image":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What GDAL says went wrong meanwhile in this thread, though the call may succeed (GDAL issue 13212)."""
    said: list[str] = []
    handler = _Listener(said)
    RASTERIO_LOG.addHandler(handler)
    try:
        yield said
    finally:
        RASTERIO_LOG.removeHandler(handler)


class _Listener(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said, self._thread = said, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.thread == self._thread and (record.levelno >= logging.ERROR or DAMAGE.search(text)):
            self._said.append(text.splitlines()[0][:200])


def read_sound_blocks(image: Image, index: int, window: Window, mask: bool = False) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """As `Image.pixels`, but block by block; and where (height, width) the file's block cannot be read: there pixels are 0."""
    shape = window.height, window.width
    pixels, lost = np.zeros(shape, np.uint8 if mask else image.dtypes[index - 1]), np.zeros(shape, bool)
    asked = window_bounds(window)
    for block in file_blocks(image, index, window):
        try:  # the whole block, so that the outcome is the same for every window
            pixels[part_of(block.pixels, asked)] = image.pixels(index, block.window, mask)[part_of(asked, block.pixels)]
        except ReadError:
            lost[part_of(block.pixels, asked)] = True
    return pixels, lost


def first_line(error: BaseException) -> str:
    """What GDAL says in short."""
    return (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0][:200]
