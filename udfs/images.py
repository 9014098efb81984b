"""Opening images safely: TIFF or JPEG 2000 by their first bytes, one driver, no side files, nothing but what is allowed."""

import gzip
import io
import math
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from conf.access import Access
from conf.errors import ReadError
from udfs.addresses import Address, Allowed
from udfs.open_images import Image, first_line
from udfs.remote_files import Fetcher, Range, RemoteFile
from udfs.retrying import UnreadableHeaderError
from udfs.versions import local_version, refuse_changed_file

GDAL_SETTINGS: dict[str, str | int] = {
    "GDAL_PAM_ENABLED": "NO",  # .aux.xml beside an image could change what it means
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_NUM_THREADS": "1",
    "GDAL_CACHEMAX": 128 * 2**20,
    "GDAL_BAND_BLOCK_CACHE": "HASHSET",
    "GDAL_MAX_DATASET_POOL_SIZE": 64,
    "GTIFF_IGNORE_READ_ERRORS": "NO",
}
MAGIC = {
    b"II*\x00": "GTiff",
    b"MM\x00*": "GTiff",
    b"II+\x00": "GTiff",
    b"MM\x00+": "GTiff",
    b"\x00\x00\x00\x0c": "JP2OpenJPEG",
    b"\xffO\xffQ": "JP2OpenJPEG",
}
INDIRECT = (b"<", b"\xef\xbb\xbf<", b"[", b"{")
"""What begins so is text: VRT, GTI, WMS and the like name other files."""
GZIP = b"\x1f\x8b"
STREAM_BYTES = 4 * 2**20
"""Of a stream, read at once."""
BLOCK_BYTES = 256 * 2**20
"""A larger block cannot be meant: GDAL would allocate it whole."""
MOST_BANDS = 1024
MOST_BLOCKS = 2**26
"""Of one band: a whole continent at 0.1 m in blocks of 256 has fewer."""


def gdal() -> Any:
    """The context to open and read images in; each thread needs its own."""
    return rasterio.Env(**GDAL_SETTINGS)


@dataclass(frozen=True)
class OpeningRules:
    """What may be opened and how: plain values, so that they can travel to a worker. As it stands: every local path, no host."""

    allowed: Allowed = field(default_factory=Allowed)
    access: Access = field(default_factory=Access)
    requests_at_once: int = 4
    """Of one process to one host."""


EVERY_FILE = OpeningRules()


class Opener:
    """Opens images by rules. Use as a context manager; safe to use from several threads, the images are not."""

    def __init__(self, rules: OpeningRules = EVERY_FILE, versions: Mapping[str, str] | None = None) -> None:
        """`versions`: href to what `scenes.versions` says it must still be."""
        self.rules, self._versions = rules, versions or {}
        self._fetcher: Fetcher | None = None
        self._lock = threading.Lock()

    def open(self, href: str) -> "Image":
        """The image; raises ReadError. Call inside `gdal()`."""
        address = self.rules.allowed.check(href)
        return self._open_remote(address, href) if address.is_remote else self._open_local(address, href)

    def text(self, href: str, most: int) -> str:
        """A text file, UTF-8, of at most `most` bytes; raises ReadError."""
        address = self.rules.allowed.check(href)
        if address.is_remote:
            data = self.fetcher.fetch(address, Range(0, most))[0].data
        else:
            with Path(address.path).open("rb") as file:
                data = file.read(most)
        return data.decode("utf-8")

    @contextmanager
    def stream(self, href: str) -> Iterator[BinaryIO]:
        """The bytes of a file, unpacked where it is gzip; raises ReadError, also where it breaks off while it is read."""
        address = self.rules.allowed.check(href)
        with self._raw(address) as raw:
            packed = io.BufferedReader(raw, STREAM_BYTES)
            try:
                yield gzip.GzipFile(fileobj=packed) if packed.peek(2)[:2] == GZIP else packed  # type: ignore[misc]
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                fault = raw.fault if isinstance(raw, RemoteFile) else None
                raise fault or ReadError("truncated", f"{address.name}: {error}; fetch the file again") from None
            if isinstance(raw, RemoteFile) and raw.fault is not None:
                raise raw.fault

    def _raw(self, address: Address) -> Any:
        try:
            return RemoteFile(self.fetcher, address) if address.is_remote else Path(address.path).open("rb", buffering=0)
        except FileNotFoundError:
            raise ReadError("not_found", f"{address.name}: no such file; check its path") from None
        except OSError as error:
            raise ReadError("read_failed", f"{address.name}: {error.strerror}; check that the file can be read") from None

    def _open_local(self, address: Address, href: str) -> "Image":
        try:
            with Path(address.path).open("rb") as file:
                start = file.read(16)
            before = local_version(address.path)
        except FileNotFoundError:
            raise ReadError("not_found", f"{address.name}: no such file; check the place's sources") from None
        except OSError as error:
            raise ReadError("read_failed", f"{address.name}: {error.strerror}; check that the file can be read") from None
        driver = driver_of(address.name, start)
        if href in self._versions:
            refuse_changed_file(address.path, self._versions[href])
        return Image(_opened(address.name, address.path, driver), address, before)

    def _open_remote(self, address: Address, href: str) -> "Image":
        file = RemoteFile(self.fetcher, address, self._versions.get(href))
        driver = driver_of(address.name, file.start(16))
        inside = f"https://image-{id(file)}/{address.name}"  # GDAL's name for it: it sees no more of the address

        def handed_out(path: str, mode: str = "rb") -> RemoteFile:
            if path != inside:
                raise FileNotFoundError(path)
            return file

        try:
            dataset = _opened(address.name, inside, driver, opener=handed_out)
        except UnreadableHeaderError as error:
            raise (file.fault or error) from None
        _ = dataset.mask_flag_enums  # GDAL looks for masks now, and opens without them where a request fails
        if file.fault is not None:
            dataset.close()
            raise file.fault
        return Image(dataset, address, file)

    @property
    def fetcher(self) -> Fetcher:
        """Made when the first remote image is opened."""
        with self._lock:
            if self._fetcher is None:
                self._fetcher = Fetcher(self.rules.allowed, self.rules.access, self.rules.requests_at_once)
            return self._fetcher

    def close(self) -> None:
        if self._fetcher is not None:
            self._fetcher.close()
            self._fetcher = None

    def __enter__(self) -> "Opener":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def driver_of(name: str, start: bytes) -> str:
    """The one driver for a file that begins so; raises ReadError. GDAL never sees anything else."""
    driver = MAGIC.get(start[:4])
    if driver is not None:
        return driver
    if start.lstrip().startswith(INDIRECT) and not start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ReadError("driver_not_allowed", f"{name} begins with {start[:12]!r}: text that may name other files; convert it to a GeoTIFF")
    raise ReadError("not_a_tiff", f"{name} begins with {start[:4]!r}, not as a TIFF or JPEG 2000 does; fetch the image again")


def _opened(name: str, path: str, driver: str, **more: Any) -> Any:
    try:
        dataset = rasterio.open(path, driver=driver, **more)
    except (RasterioError, OSError, MemoryError) as error:
        raise UnreadableHeaderError("not_a_tiff", f"{name}: header cannot be read: {first_line(error)}; fetch the image again") from None
    try:
        _check_size(name, dataset)
    except ReadError:
        dataset.close()
        raise
    return dataset


def _check_size(name: str, dataset: Any) -> None:
    """Before a pixel is read: what would make GDAL allocate more than an image can need."""
    if dataset.count > MOST_BANDS:
        raise ReadError("image_size", f"{name}: {dataset.count} bands; split it into images of at most {MOST_BANDS}")
    height, width = dataset.block_shapes[0]
    together = dataset.count if dataset.profile.get("interleave") == "pixel" else 1
    if height * width * together * np.dtype(dataset.dtypes[0]).itemsize > BLOCK_BYTES:
        raise ReadError("block_size", f"{name}: blocks of {height} x {width} pixels; rewrite it with blocks of 256 or 512")
    if math.ceil(dataset.height / height) * math.ceil(dataset.width / width) > MOST_BLOCKS:
        raise ReadError(
            "image_size", f"{name}: {dataset.height} x {dataset.width} pixels in blocks of {height} x {width}; use larger blocks"
        )


def is_georeferenced(dataset: Any) -> bool:
    """Whether the image has a CRS and a north-up transform."""
    transform = dataset.transform
    upright = transform.b == 0 and transform.d == 0 and transform.a > 0 and transform.e < 0
    return dataset.crs is not None and upright and all(math.isfinite(value) for value in transform)


class ImagePool:
    """Open images of one reader, the least recently used closed first. Use as a context manager, from one thread at a time."""

    def __init__(self, opener: Opener | None = None, most: int = 64) -> None:
        self._opener, self._most = opener or Opener(), most
        self._open: OrderedDict[str, Image] = OrderedDict()
        self.checked: set[tuple[str, str]] = set()
        """Scenes and bands whose files were found to be as planned."""
        self.waited_for: set[str] = set()
        """Images whose faults outlasted all tries: their next faults are tried again without waiting, or one image holds up all tiles."""

    def get(self, href: str) -> Image:
        """The open image of `href`; raises ReadError."""
        if href not in self._open:
            self._open[href] = self._opener.open(href)
            if len(self._open) > self._most:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(href)
        return self._open[href]

    def tries_of(self, hrefs: tuple[str, ...]) -> int:
        """Most tries that a request for one of these took."""
        return max((self._open[href].tries for href in hrefs if href in self._open), default=1)

    def drop(self, hrefs: tuple[str, ...]) -> None:
        """Close these, so that the next read has a fresh handle."""
        for href in hrefs:
            if href in self._open:
                self._open.pop(href).close()
        self.checked.clear()

    def close(self) -> None:
        """Close all, in the thread that opened them."""
        self.drop(tuple(self._open))

    def __enter__(self) -> "ImagePool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
