"""Composites: only valid dates count, and what cannot be read of one is left out pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.place import Source
from tests.images_on_disk import DAY, GRID, flip_block, tilted, write
from udfs.catalogs import scenes_of
from udfs.compositing import COMPOSITES, composite_region
from udfs.grid import Grid, PixelBounds, Tile, utm_grid
from udfs.images import ImagePool
from udfs.scenes import Scene

NAN = np.nan


@pytest.mark.parametrize(
    ("name", "expected"),
    [("median", [2.0, 4.0, 5.0, NAN]), ("mean", [3.0, 4.0, 5.0, NAN]), ("latest", [6.0, 5.0, 5.0, NAN])],
)
def test_composites(name: str, expected: list[float]) -> None:
    dates = [[1.0, 3.0, NAN, NAN], [2.0, NAN, 5.0, NAN], [6.0, 5.0, NAN, NAN]]
    stack = [np.array(values, np.float32).reshape(1, 1, 4) for values in dates]
    np.testing.assert_array_equal(COMPOSITES[name](stack)[0, 0], np.array(expected, np.float32))


def test_median_is_that_of_numpy_in_any_order_of_dates() -> None:
    rng = np.random.default_rng(3)
    stack = [rng.random((2, 5, 7)).astype(np.float32) for _ in range(6)]
    for number, values in enumerate(stack):
        values[:, rng.random((5, 7)) < 0.1 * number] = NAN
    stack[0][:] = rng.random((2, 5, 7))
    expected = np.nanmedian(np.stack(stack).astype(float), axis=0)
    np.testing.assert_allclose(COMPOSITES["median"](list(stack)), expected, rtol=1e-6)
    assert COMPOSITES["median"](stack[::-1]).tobytes() == COMPOSITES["median"](stack).tobytes()


HALO = 40
UTM = utm_grid(-34.9, -9.1, 7.0)


@pytest.fixture
def scenes(tmp_path: Path) -> tuple[Scene, ...]:
    """Two dates of two bands, the second band 20 m."""
    for date in (0, 1):
        write(tmp_path / f"d{date}_B02.tif", tilted(700, 900, seed=date))
        write(tmp_path / f"d{date}_B11.tif", tilted(350, 450, seed=5 + date), pixel=20.0)
    hrefs = [str(tmp_path / f"d{date}_{{band}}.tif") for date in (0, 1)]
    return tuple(
        scenes_of(tuple(Source(sensor="sentinel2_l2a", href=href, datetime=DAY, bands=("B02", "B11")) for href in hrefs), tmp_path)
    )


def tiled(scenes: tuple[Scene, ...], grid: Grid, start: PixelBounds, tile_px: int) -> tuple[Any, set[str]]:
    """1024 x 1024 pixels from `start` on, of tiles read with their halo, and the scenes that failed anywhere."""
    canvas, failed = np.zeros((2, 1024, 1024), np.float32), set()
    for row in range(1024 // tile_px):
        for col in range(1024 // tile_px):
            top, left = row * tile_px, col * tile_px
            bounds = Tile(start.top // tile_px + row, start.left // tile_px + col, tile_px).pixels.grown(HALO)
            region = composite_region(ImagePool(), scenes, ("B02", "B11"), grid, bounds, "median")
            canvas[:, top : top + tile_px, left : left + tile_px] = region.values[:, HALO:-HALO, HALO:-HALO]
            failed |= set(region.failed)
    return canvas, failed


@pytest.mark.parametrize(("grid", "top", "left"), [(GRID, 0, 0), (UTM, 142_336, 43_008)])
def test_a_damaged_block_costs_the_same_pixels_however_the_work_is_cut(
    scenes: tuple[Scene, ...], tmp_path: Path, grid: Grid, top: int, left: int
) -> None:
    start = PixelBounds(top, left, top, left)
    before, _ = tiled(scenes, grid, start, 1024)
    flip_block(tmp_path / "d1_B02.tif", 3, 2)
    flip_block(tmp_path / "d0_B11.tif", 0, 0)
    small, large = (tiled(scenes, grid, start, side) for side in (256, 1024))
    assert small[0].tobytes() == large[0].tobytes()
    assert small[1] == large[1] == {"d0", "d1"}
    changed = (small[0] != before) & ~(np.isnan(small[0]) & np.isnan(before))
    assert 0.05 < changed[0].mean() < 0.25 and not np.isnan(small[0][~np.isnan(before)]).any()


def test_only_what_needs_the_damaged_block_is_lost(scenes: tuple[Scene, ...], tmp_path: Path) -> None:
    flip_block(tmp_path / "d1_B02.tif", 3, 2)
    bounds = PixelBounds(10, 20, 660, 870)
    region = composite_region(ImagePool(), scenes, ("B02",), GRID, bounds, "latest")
    other, newest = (composite_region(ImagePool(), (scene,), ("B02",), GRID, bounds, "latest") for scene in scenes)
    lost = np.zeros((700, 900), bool)
    lost[256:384, 384:512] = True
    lost = lost[10:660, 20:870]
    np.testing.assert_array_equal(np.isnan(newest.values[0]), lost)
    np.testing.assert_array_equal(region.values[0], np.where(lost, other.values[0], newest.values[0]))
    assert (region.used, set(region.failed), region.attempts) == (("d0", "d1"), {"d1"}, 3)
    np.testing.assert_array_equal(region.sound, ~np.isnan(other.values[0]))
