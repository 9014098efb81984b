"""Images without symmetry, written to disk for tests."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from udfs.grid import native_grid

ORIGIN = (300_000.0, 9_000_000.0)
DAY = dt.date(2020, 5, 4)


def write(path: Path, pixels: Any, pixel: float = 10.0, crs: str | None = "EPSG:32725", **more: Any) -> Path:
    pixels = np.atleast_3d(pixels.T).T
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype, "crs": crs}
    transform = Affine(pixel, 0, ORIGIN[0], 0, -pixel, ORIGIN[1])
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **{"transform": transform, **layout, **more}) as file:
        file.write(pixels)
    return path


def tilted(height: int, width: int, seed: int = 0) -> Any:
    """DN without symmetry."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 200, (height, width))
    return (500 + 3 * rows + 7 * columns + noise).astype(np.uint16)


def flip_block(path: Path, column: int, row: int) -> None:
    """Damages one block of a file: what cannot be inflated any more."""
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1))
    data = bytearray(path.read_bytes())
    data[offset + 50 : offset + 80] = bytes(value ^ 0xFF for value in data[offset + 50 : offset + 80])
    path.write_bytes(data)


GRID = native_grid("EPSG:32725", Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1]))
