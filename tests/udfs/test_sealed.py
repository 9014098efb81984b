"""Sealed surfaces on the pixels of a grid, from a raster of their own."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from conf.errors import InputError
from udfs.grid import PixelBounds, native_grid
from udfs.sealed import check_sealed, sealed_share

CRS = "EPSG:32636"


def write(path: Path, percent: NDArray[np.uint8], pixel: float, crs: str | None = CRS) -> str:
    height, width = percent.shape
    profile = {"driver": "GTiff", "count": 1, "height": height, "width": width, "dtype": "uint8", "crs": crs, "nodata": 255}
    with rasterio.open(path, "w", transform=Affine(pixel, 0, 500_000, 0, -pixel, 600_000), **profile) as file:
        file.write(percent, 1)
    return str(path)


def test_shares_are_means_of_finer_pixels_and_a_tile_does_not_show(tmp_path: Path) -> None:
    percent = np.random.default_rng(1).integers(0, 101, (24, 40)).astype(np.uint8)
    percent[:4, :6] = 255
    path = write(tmp_path / "sealed.tif", percent, 5.0)
    grid = native_grid(CRS, Affine(10, 0, 500_000, 0, -10, 600_000))
    found = sealed_share(path, grid, PixelBounds(0, 0, 12, 22))
    expected = np.where(percent == 255, np.nan, percent).reshape(12, 2, 20, 2).mean((1, 3)) / 100
    np.testing.assert_allclose(found[:, :20], expected, atol=1e-6)
    assert np.isnan(found[:, 20:]).all()
    np.testing.assert_array_equal(sealed_share(path, grid, PixelBounds(5, 3, 12, 17)), found[5:, 3:17])


def test_what_is_no_geotiff_with_a_crs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        check_sealed(str(tmp_path / "gone.tif"))
    (tmp_path / "text.tif").write_text("no image")
    with pytest.raises(InputError, match="no GeoTIFF"):
        check_sealed(str(tmp_path / "text.tif"))
    with pytest.raises(InputError, match="no CRS"):
        check_sealed(write(tmp_path / "bare.tif", np.zeros((3, 5), np.uint8), 5.0, None))
