"""Probability tiles as Cloud Optimized GeoTIFFs, in memory; the same input gives the same bytes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from udfs.images import gdal
from udfs.rasters import NO_DATA, ONE

Pixels = NDArray[np.uint8]
SMALLEST_OVERVIEW_PX = 64
LAYOUT: dict[str, Any] = {
    "driver": "COG", "COMPRESS": "DEFLATE", "NUM_THREADS": "1", "OVERVIEWS": "IGNORE_EXISTING", "STATISTICS": "NO",
}  # fmt: skip


class CogBand(NamedTuple):
    """What a file's one band is: value = DN x `scale`; `overviews` is GDAL's name of how several pixels become one."""

    description: str
    scale: float
    overviews: str


PROBABILITY = CogBand("probability of built-up, 0-1", 1 / ONE, "AVERAGE")
"""Averages are of the pixels with data."""
BUILT = CogBand("1 built-up, 0 not built-up", 1.0, "NEAREST")


def cog_bytes(pixels: Pixels, crs: str, transform: Affine, band: CogBand, tags: Mapping[str, str], block_px: int = 256) -> bytes:
    """A GeoTIFF of one band (height, width), nodata 255, headers first, with overviews down to SMALLEST_OVERVIEW_PX."""
    height, width = pixels.shape
    shape = {"height": height, "width": width, "count": 1, "dtype": "uint8", "crs": crs, "transform": transform, "nodata": NO_DATA}
    overviews = {"OVERVIEW_COUNT": str(overview_count(max(height, width))), "OVERVIEW_RESAMPLING": band.overviews}
    with gdal(), MemoryFile() as memory:
        with memory.open(**LAYOUT, **shape, **overviews, BLOCKSIZE=str(block_px)) as image:
            image.write(pixels, 1)
            image.descriptions = (band.description,)
            image.scales = (band.scale,)
            image.update_tags(**dict(sorted(tags.items())))
        return bytes(memory.getbuffer())


def overview_count(side: int) -> int:
    """How often a side in pixels halves until it is at most SMALLEST_OVERVIEW_PX."""
    return max(0, -(-side // SMALLEST_OVERVIEW_PX) - 1).bit_length()


def built_pixels(probability: Pixels, threshold: int) -> Pixels:
    """1 from `threshold` (0-250) on, 0 below, 255 no data; the shape of `probability`."""
    return np.where(probability == NO_DATA, NO_DATA, probability >= threshold).astype(np.uint8)
