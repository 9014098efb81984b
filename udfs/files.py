"""Files written whole or not at all: cloud-optimised GeoTIFF, JSON, text, gzip; the same bytes each time."""

import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

COG: dict[str, Any] = {
    "driver": "COG", "COMPRESS": "DEFLATE", "LEVEL": "1", "PREDICTOR": "YES", "BLOCKSIZE": "256", "NUM_THREADS": "1", "OVERVIEWS": "AUTO",
}  # fmt: skip


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with another name in the folder of `path`, then renames; two writers at once leave one whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{os.getpid()}.{path.name}")
    write(fresh)
    fresh.replace(path)


def replace_folder(folder: Path, fresh: Path) -> None:
    """The folder `whole` in `fresh` takes the place of `folder`, which is missing only between two renamings; `fresh` is removed."""
    if folder.exists():
        folder.replace(fresh / "before")
    (fresh / "whole").replace(folder)
    shutil.rmtree(fresh)


def write_cog(path: Path, bands: Sequence[NDArray[Any]], names: Sequence[str], crs: str, transform: Affine, nodata: float | None) -> None:
    """A GeoTIFF of 256-pixel blocks with overviews; one band for each array of (rows, cols), all of one type."""
    rows, cols = bands[0].shape
    shape = {"height": rows, "width": cols, "count": len(bands), "dtype": bands[0].dtype, "crs": crs, "transform": transform}

    def write(fresh: Path) -> None:
        with rasterio.open(fresh, "w", **COG, **shape, nodata=nodata) as image:
            image.write(np.stack(list(bands)))
            image.descriptions = tuple(names)

    write_whole(path, write)


def write_bytes(path: Path, data: bytes) -> None:
    """Bytes as they are."""
    write_whole(path, lambda fresh: fresh.write_bytes(data))


def write_text(path: Path, text: str) -> None:
    """UTF-8 text with plain line ends."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Compact JSON, keys in the given order."""
    write_text(path, json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n")


def write_gzip(path: Path, text: str) -> int:
    """Gzip without name and time in its header; returns the size in bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=6, mtime=0) as stream:
        stream.write(text.encode())
    write_whole(path, lambda fresh: fresh.write_bytes(packed.getvalue()))
    return len(packed.getvalue())


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
