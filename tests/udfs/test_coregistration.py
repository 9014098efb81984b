"""Images that lie beside each other are laid upon each other; those that do not, or of which that is not sure, stay."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from udfs.coregistration import REACH_PX, aligned, offsets, offsets_from

SCALE = np.array([0.1, 0.2], np.float32)
RANDOM = np.random.default_rng(5)


def ground(side: int = 120) -> np.ndarray:
    """Two bands of patches without symmetry."""
    patches = np.kron(RANDOM.random((2, side // 6, side // 10)), np.ones((1, 6, 10)))
    return (patches + 0.02 * RANDOM.standard_normal(patches.shape)).astype(np.float32)


def moved(image: np.ndarray, down: int, right: int) -> np.ndarray:
    return np.roll(image, (down, right), (1, 2))


def test_offsets_are_found_in_other_light_and_through_holes() -> None:
    still = ground()
    beside = [(0, 0), (1, 0), (-2, 1), (0, 2), (-1, -1)]
    images = np.stack([moved(still, *step) * (1 + 0.2 * number) + 0.05 * number for number, step in enumerate(beside)])
    images[1:, :, 30:70, 20:80] = np.nan
    np.testing.assert_array_equal(offsets(images, SCALE), beside)
    laid = aligned(images, np.array(beside))
    inner = np.s_[:, :, REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    for number, one in enumerate(laid[inner]):
        known = np.isfinite(one)
        np.testing.assert_allclose(((one - 0.05 * number) / (1 + 0.2 * number))[known], still[inner[1:]][known], atol=1e-5)
        assert known.mean() > 0.7
    assert np.isnan(laid[1, :, -1]).all() and np.isnan(laid[2, :, :2]).all() and np.isnan(laid[2, :, :, -1]).all()


def test_what_is_not_alike_stays_where_it_is() -> None:
    images = np.stack([ground(), RANDOM.random((2, 120, 120)).astype(np.float32), np.full((2, 120, 120), np.nan, np.float32)])
    np.testing.assert_array_equal(offsets(images, SCALE), np.zeros((3, 2)))
    smooth = ndimage.gaussian_filter(RANDOM.random((2, 120, 120)), (0, 25, 25)).astype(np.float32)
    np.testing.assert_array_equal(offsets(np.stack([smooth, smooth * 1.1]), SCALE), np.zeros((2, 2)))
    np.testing.assert_array_equal(aligned(images, np.zeros((3, 2), np.int64)), images)


def test_half_a_pixel_is_left_as_it_is() -> None:
    still = ground()
    half = ((still + moved(still, 0, 1)) / 2).astype(np.float32)
    assert abs(offsets(np.stack([still, half]), SCALE)[1]).sum() <= 1


@pytest.mark.skipif("URBANTRACE_DATA" not in os.environ, reason="URBANTRACE_DATA is not set: no real images")
@pytest.mark.parametrize(("city", "expected"), [("abudhabi", {(1, 1), (1, 0)}), ("cupertino", {(0, 0)}), ("mumbai", {(0, 0)})])
def test_real_dates_that_lie_beside_each_other(city: str, expected: set[tuple[int, int]]) -> None:
    """Abu Dhabi's two dates are known to lie up to a pixel apart."""
    folder = Path(os.environ["URBANTRACE_DATA"]) / "oscd_s2" / city
    with rasterio.open(folder / "date1_B03.tif") as first:
        grid = {"crs": first.crs, "transform": first.transform, "width": first.width, "height": first.height}
    images = np.stack([[on_grid(folder / f"date{date}_{band}.tif", grid) for band in ("B03", "B08")] for date in (1, 2)])
    assert tuple(offsets_from(0, images[:, :, :480, :480], SCALE)[1].tolist()) in expected


def on_grid(path: Path, grid: dict[str, Any]) -> np.ndarray:
    """Reflectance."""
    with rasterio.open(path) as file, WarpedVRT(file, resampling=Resampling.bilinear, **grid) as warped:
        return warped.read(1).astype(np.float32) / np.float32(10_000)
