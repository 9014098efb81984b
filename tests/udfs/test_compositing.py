"""Composites: only valid dates count, and what cannot be read of one is left out pixel by pixel."""

import datetime as dt
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import rasterio

from conf.errors import InputError
from conf.place import Source
from conf.settings import parse
from jobs.mapping.built_up import BuiltUpSettings
from jobs.training.training_tiles import TrainingTilesSettings
from tests.images_on_disk import DAY, GRID, flip_block, tilted, write
from udfs import composites, compositing
from udfs.catalogs import scenes_of
from udfs.composites import COMPOSITES, CompositeName, MapCompositeName
from udfs.compositing import HELD_BYTES, composite_region, pieces
from udfs.grid import Grid, PixelBounds, Tile, utm_grid
from udfs.images import ImagePool
from udfs.scenes import Scene
from udfs.speckle import LOOKS

NAN = np.nan


DAY_0 = dt.datetime(2020, 5, 4, 10, 30, tzinfo=dt.UTC)


def dated(day: int, scene_id: str = "s", **more: Any) -> Scene:
    """A scene without files, `day` days after the first."""
    return Scene(scene_id, "sentinel2_l2a", DAY_0 + dt.timedelta(days=day), {}, {}, **more)


def made(name: str, stack: list[Any], scenes: list[Scene] | None = None) -> Any:
    """The composite of dates that hold their margin."""
    how = COMPOSITES[name]
    margin = 2 * how.margin
    bands, height, width = stack[0].shape
    running = how.start((bands, height - margin, width - margin), LOOKS)
    for number, values in enumerate(stack):
        running.add(values, scenes[number] if scenes else dated(number))
    return running.result()


@pytest.mark.parametrize(("name", "expected"), [("median", [2.0, 4.0, 5.0, NAN]), ("mean", [3.0, 4.0, 5.0, NAN])])
def test_composites(name: str, expected: list[float]) -> None:
    dates = [[1.0, 3.0, NAN, NAN], [2.0, NAN, 5.0, NAN], [6.0, 5.0, NAN, NAN]]
    stack = [np.array(values, np.float32).reshape(1, 1, 4) for values in dates]
    np.testing.assert_array_equal(made(name, stack)[0, 0], np.array(expected, np.float32))


def test_dates_lie_one_upon_the_other_without_gaps() -> None:
    """Each pixel has the dates that show it, in the order in which they come, and NaN when there are no more."""
    stack = [np.array([values, np.array(values) + 100], np.float32).reshape(2, 1, 4) for values in (
        [1, NAN, NAN, NAN], [2, 5, NAN, NAN], [NAN, 6, 8, NAN], [4, 7, NAN, NAN]
    )]  # fmt: skip
    running = COMPOSITES["dates"].start((6, 1, 4), LOOKS)
    for values in stack:
        running.add(values, None)
    first, second, third = running.result()[::2, 0].tolist()
    np.testing.assert_array_equal([first, second, third], [[1, 5, 8, NAN], [2, 6, NAN, NAN], [4, 7, NAN, NAN]])
    np.testing.assert_array_equal(running.result()[1::2, 0], running.result()[::2, 0] + 100)


@pytest.mark.parametrize("dates", [6, 40])
def test_median_is_that_of_numpy_in_any_order_of_dates(dates: int) -> None:
    rng = np.random.default_rng(3)
    stack = [rng.random((2, 5, 7)).astype(np.float32) for _ in range(dates)]
    for number, values in enumerate(stack):
        values[:, rng.random((5, 7)) < 0.6 * number / dates] = NAN
    stack[0][:] = rng.random((2, 5, 7))
    for values in stack:
        values[:, 2, 3] = NAN
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanmedian(np.stack(stack).astype(float), axis=0)
    np.testing.assert_allclose(made("median", list(stack)), expected, rtol=1e-6)
    assert made("median", stack[::-1]).tobytes() == made("median", stack).tobytes()


def test_few_and_many_dates_are_ordered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    stack = [np.where(rng.random((9, 31)) < 0.4, NAN, rng.random((3, 9, 31))).astype(np.float32) for _ in range(11)]
    few = made("median", stack)
    monkeypatch.setattr(composites, "SORTED_FROM", 2)
    monkeypatch.setattr(composites, "CHUNK_VALUES", 500)
    assert made("median", stack).tobytes() == few.tobytes()


def test_clear_mean_weighs_by_the_distance_to_what_is_not_valid_and_by_the_scenes_cloud() -> None:
    rng = np.random.default_rng(5)
    stack = [rng.random((2, 30, 35)).astype(np.float32) for _ in range(3)]
    for values, (row, column) in zip(stack, [(13, 12), (20, 25)], strict=False):  # the third has none
        values[:, row : row + 2, column] = NAN
    scenes = [dated(0, cloud=0.25), dated(1), dated(2, cloud=1.0)]
    total, weights = np.zeros((2, 14, 19)), np.zeros((14, 19))
    for values, clear in zip(stack, (0.75, 1.0, 0.05), strict=True):
        gone = np.argwhere(np.isnan(values[0]))
        for row, column in np.ndindex(14, 19):
            nearest = min((float(np.hypot(*(pixel - (row + 8, column + 8)))) for pixel in gone), default=99.0)
            weight = min(1.0, nearest / 8) * clear
            weights[row, column] += weight
            total[:, row, column] += weight * np.nan_to_num(values[:, row + 8, column + 8])
    np.testing.assert_allclose(made("clear_mean", stack, scenes), total / weights, rtol=1e-6)


def test_where_one_cloudy_date_alone_is_valid_it_still_counts() -> None:
    values = np.full((1, 19, 20), NAN, np.float32)
    values[0, 9, 10] = 0.3
    result = made("clear_mean", [values], [dated(0, cloud=1.0)])
    assert result[0, 1, 2] == np.float32(0.3) and np.isnan(result).sum() == result.size - 1


def test_temporal_mean_is_taken_in_linear_units() -> None:
    stack = [np.array(values, np.float32).reshape(1, 1, 3) for values in ([-10, -20, NAN], [-20, NAN, NAN], [0, -13, NAN])]
    expected = [10 * np.log10((0.1 + 0.01 + 1) / 3), 10 * np.log10((0.01 + 10**-1.3) / 2), NAN]
    np.testing.assert_allclose(made("temporal_mean", stack)[0, 0], expected, rtol=1e-6)


def test_dates_are_taken_by_their_distance_from_the_reference_and_the_earlier_of_two() -> None:
    scenes = tuple(dated(day, f"{name}{day}") for day, name in ((0, "c"), (4, "b"), (4, "a"), (9, "e"), (12, "d")))
    reference = (DAY_0 + dt.timedelta(days=6)).date()
    order = [scene.scene_id for scene in COMPOSITES["best_date"].order(scenes[::-1], reference)]
    assert order == ["a4", "b4", "e9", "c0", "d12"]
    assert [scene.scene_id for scene in COMPOSITES["latest"].order(scenes, None)] == ["d12", "e9", "b4", "a4", "c0"]
    eastern = dated(0, "late")  # 2020-05-05 in its own zone, the day before in UTC
    eastern = replace(eastern, datetime=dt.datetime(2020, 5, 5, 2, tzinfo=dt.timezone(dt.timedelta(hours=5))))
    order = [scene.scene_id for scene in COMPOSITES["best_date"].order((dated(1, "next"), eastern), dt.date(2020, 5, 4))]
    assert order == ["late", "next"]


def test_each_pixel_has_its_first_valid_date() -> None:
    stack = [np.array(values, np.float32).reshape(1, 1, 3) for values in ([1, NAN, NAN], [2, 3, NAN], [4, 5, NAN])]
    np.testing.assert_array_equal(made("best_date", stack)[0, 0], np.array([1, 3, NAN], np.float32))


@pytest.mark.parametrize(("pixels", "margin"), [(10**6, 0), (300 * 300, 8), (70_000, 0), (5_000, 3), (300, 8), (1, 0)])
def test_pieces_cover_the_bounds_once_along_fixed_lines(pixels: int, margin: int) -> None:
    bounds = PixelBounds(-40, 216, 300, 1000) if pixels > 1 else PixelBounds(-3, 5, 2, 9)
    seen = np.zeros(bounds.shape_yx, int)
    for piece in pieces(bounds, pixels, margin):
        seen[piece.top - bounds.top : piece.bottom - bounds.top, piece.left - bounds.left : piece.right - bounds.left] += 1
        height, width = piece.grown(margin).shape_yx
        assert height * width <= max(pixels, (1 + 2 * margin) ** 2)
    assert (seen == 1).all()
    if pixels > 65_536:
        assert all(top % 256 == 0 for top in {piece.top for piece in pieces(bounds, pixels, margin)} - {-40})


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


def tiled(scenes: tuple[Scene, ...], grid: Grid, start: PixelBounds, tile_px: int, composite: str) -> tuple[Any, set[str]]:
    """1024 x 1024 pixels from `start` on, of tiles read with their halo, and the scenes that failed anywhere."""
    canvas, failed = np.zeros((2, 1024, 1024), np.float32), set()
    for row in range(1024 // tile_px):
        for col in range(1024 // tile_px):
            top, left = row * tile_px, col * tile_px
            bounds = Tile(start.top // tile_px + row, start.left // tile_px + col, tile_px).pixels.grown(HALO)
            region = composite_region(ImagePool(), scenes, ("B02", "B11"), grid, bounds, composite)
            canvas[:, top : top + tile_px, left : left + tile_px] = region.values[:, HALO:-HALO, HALO:-HALO]
            failed |= set(region.failed)
    return canvas, failed


@pytest.mark.parametrize(
    ("grid", "top", "left", "composite"), [(GRID, 0, 0, "median"), (UTM, 142_336, 43_008, "median"), (GRID, 0, 0, "clear_mean")]
)
def test_a_damaged_block_costs_the_same_pixels_however_the_work_is_cut(
    scenes: tuple[Scene, ...], tmp_path: Path, grid: Grid, top: int, left: int, composite: str
) -> None:
    start = PixelBounds(top, left, top, left)
    before, _ = tiled(scenes, grid, start, 1024, composite)
    flip_block(tmp_path / "d1_B02.tif", 3, 2)
    flip_block(tmp_path / "d0_B11.tif", 0, 0)
    small, large = (tiled(scenes, grid, start, side, composite) for side in (256, 1024))
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
    assert region.pixels == {"d0": 650 * 850, "d1": int((~lost).sum())}


def clouded(folder: Path) -> tuple[Scene, ...]:
    """Four Sentinel-2 dates of 300 x 360 pixels with nodata and, at 20 m, scene classes."""
    rng = np.random.default_rng(6)
    sources = []
    for date in range(4):
        blue = tilted(300, 360, seed=date)
        blue[40 * date : 40 * date + 30, 50:140] = 0
        write(folder / f"o{date}_B02.tif", blue)
        write(folder / f"o{date}_B11.tif", tilted(150, 180, seed=7 + date), pixel=20.0)
        classes = np.where(np.kron(rng.random((15, 18)), np.ones((10, 10))) < 0.2, 9, 4)
        classes[rng.random(classes.shape) < 0.002] = 3
        write(folder / f"o{date}_SCL.tif", classes.astype(np.uint8), pixel=20.0)
        day, bands = DAY + dt.timedelta(days=3 * date), ("B02", "B11", "SCL")
        sources.append(Source(sensor="sentinel2_l2a", href=str(folder / f"o{date}_{{band}}.tif"), datetime=day, bands=bands))
    return tuple(scenes_of(tuple(sources), folder))


def radar(folder: Path) -> tuple[Scene, ...]:
    """Three Sentinel-1 dates of 300 x 360 pixels, dB, each without a corner and some pixels, which only it may have."""
    rng = np.random.default_rng(7)
    sources = []
    for date in range(3):
        power = rng.gamma(4.4, 0.03, (2, 300, 360)) * (1 + np.arange(360) / 90)
        power[:, rng.random((300, 360)) < 0.01] = NAN
        power[:, : 80 + 30 * date, : 200 - 50 * date] = NAN
        write(folder / f"r{date}.tif", (10 * np.log10(power)).astype(np.float32))
        day = DAY + dt.timedelta(days=6 * date)
        sources.append(Source(sensor="sentinel1_grd", href=str(folder / f"r{date}.tif"), datetime=day))
    return tuple(scenes_of(tuple(sources), folder))


def over(scenes: tuple[Scene, ...], grid: Grid, bounds: PixelBounds, name: str) -> Any:
    bands = ("VV", "VH") if scenes[0].sensor == "sentinel1_grd" else ("B02", "B11")
    return composite_region(ImagePool(), scenes, bands, grid, bounds, name, reference=DAY + dt.timedelta(days=4))


@pytest.mark.parametrize("grid", [GRID, UTM])
@pytest.mark.parametrize("name", sorted(COMPOSITES))
def test_no_cut_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, grid: Grid) -> None:
    scenes = radar(tmp_path) if COMPOSITES[name].decibels else clouded(tmp_path)
    scale, (x, y) = 10 / grid.pixel_width, (300_000.0, 9_000_000.0)
    corner = round((grid.origin_y - y) / grid.pixel_height), round((x - grid.origin_x) / grid.pixel_width)
    size = int(310 * scale) // 2 * 2
    whole = PixelBounds(corner[0] - 5, corner[1] - 3, corner[0] - 5 + size, corner[1] - 3 + size)
    region = over(scenes, grid, whole, name)
    assert np.isfinite(region.values).mean() > 0.5 and len(region.used) == len(scenes)
    for top, left in np.ndindex(2, 2):
        half = size // 2
        quarter = PixelBounds(
            whole.top + top * half, whole.left + left * half, whole.top + (top + 1) * half, whole.left + (left + 1) * half
        )
        part = over(scenes, grid, quarter, name)
        assert part.values.tobytes() == region.values[:, top * half : (top + 1) * half, left * half : (left + 1) * half].tobytes()
    for held in (HELD_BYTES // 16, HELD_BYTES // 60, HELD_BYTES // 300):
        monkeypatch.setattr(compositing, "HELD_BYTES", held)
        again = over(scenes[::-1], grid, whole, name)
        assert again.values.tobytes() == region.values.tobytes()
        assert (again.pixels, again.used) == (region.pixels, region.used)
        assert again.sound.tobytes() == region.sound.tobytes() == (~np.isnan(region.values[0])).tobytes()


def test_sound_ground_is_what_the_scenes_without_any_failure_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, bounds = clouded(tmp_path), PixelBounds(0, 0, 300, 360)
    flip_block(tmp_path / "o2_B02.tif", 1, 2)  # read last: by then most of the scene is in the composite
    monkeypatch.setattr(compositing, "HELD_BYTES", HELD_BYTES // 60)
    region = over(scenes, GRID, bounds, "median")
    others = [~np.isnan(over((scene,), GRID, bounds, "median").values[0]) for scene in scenes if scene.scene_id != "o2"]
    assert set(region.failed) == {"o2"}
    np.testing.assert_array_equal(region.sound, np.any(others, axis=0))
    assert (~region.sound & ~np.isnan(region.values[0])).any()


def test_a_composite_that_is_not_there_or_does_not_suit(tmp_path: Path) -> None:
    scenes = radar(tmp_path)
    bounds = PixelBounds(0, 0, 8, 8)
    optical = (replace(scenes[0], sensor="sentinel2_l2a"),)
    for images, name, says in ((scenes, "max", "median"), (optical, "despeckled", "dB"), (scenes, "best_date", "reference")):
        with pytest.raises(InputError, match=says):
            composite_region(ImagePool(), images, ("VV",), GRID, bounds, name)


@pytest.mark.parametrize("name", ["median", "mean"])
def test_four_hundred_dates_in_bounded_memory(tmp_path: Path, name: str) -> None:
    """Of five images, as often as `times`: so the direct result is that of 400 numbers a pixel."""
    times = (130, 40, 101, 29, 100)
    for number in range(5):
        write(tmp_path / f"m{number}.tif", np.stack([np.roll(tilted(400, 500, seed=number), 37 * number, 1)] * 2))
    hrefs = [str(tmp_path / f"m{number}.tif") for number in range(5)]
    five = scenes_of(tuple(Source(sensor="sentinel2_l2a", href=href, datetime=DAY, bands=("B03", "B02")) for href in hrefs), tmp_path)
    scenes = tuple(replace(scene, scene_id=f"{scene.scene_id}_{n}") for scene, n in zip(five, times, strict=True) for n in range(n))
    with ImagePool() as pool:
        tracemalloc.start()
        region = composite_region(pool, scenes, ("B02", "B03"), GRID, PixelBounds(0, 0, 400, 500), name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 400 * 2 * 400 * 500 * 4 > 2 * HELD_BYTES > 2 * peak
    images = np.stack([rasterio.open(href).read(1)[::7] * np.float32(1e-4) for href in hrefs])
    direct = getattr(np, name)(np.repeat(images.astype(float), times, axis=0), axis=0)
    np.testing.assert_allclose(region.values[0, ::7], direct, rtol=1e-6)
    assert set(region.pixels.values()) == {400 * 500} and len(region.used) == 400


def test_every_composite_can_be_set_for_maps_and_training() -> None:
    assert set(get_args(MapCompositeName)) == set(COMPOSITES)
    assert set(get_args(CompositeName)) == set(COMPOSITES) - {"dates"}
    for settings in (BuiltUpSettings, TrainingTilesSettings):
        assert parse(settings, {"composite": "dates"}, "section").composite == "dates"
