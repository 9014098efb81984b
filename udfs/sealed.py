"""Sealed surfaces from a raster: streets, yards and squares, which footprints leave out and which are built-up."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject

from conf.errors import InputError
from udfs.grid import Grid, PixelBounds


def check_sealed(path: str) -> None:
    """Raises InputError unless the file is a GeoTIFF with a CRS."""
    if not Path(path).is_file():
        raise InputError(f"training_tiles.sealed_path: no file {path}; correct the path or leave it out")
    try:
        with rasterio.open(path, driver="GTiff") as source:
            if source.crs is None:
                raise InputError(
                    f"training_tiles.sealed_path: {Path(path).name} has no CRS; give it one, e.g. gdal_edit.py -a_srs EPSG:4326"
                )
    except RasterioError as error:
        raise InputError(f"training_tiles.sealed_path: {Path(path).name} is no GeoTIFF: {error}") from None


def sealed_share(path: str, grid: Grid, pixels: PixelBounds) -> NDArray[np.float32]:
    """Share 0-1 (height, width) of each pixel of the grid that is sealed, from percent; NaN where the raster has no data."""
    share = np.full(pixels.shape_yx, np.nan, np.float32)
    with rasterio.open(path, driver="GTiff") as source:
        # Without tolerance the same pixel is the same in any tile.
        reproject(
            rasterio.band(source, 1), share, dst_transform=grid.transform(pixels.top, pixels.left), dst_crs=grid.crs,
            dst_nodata=np.nan, resampling=Resampling.average, tolerance=0,
        )  # fmt: skip
    return share / np.float32(100)
