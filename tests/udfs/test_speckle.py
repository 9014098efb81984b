"""Speckle filters against their formulas, taken pixel by pixel from the window's slices; radar beside optical images."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from conf.errors import InputError
from conf.place import Source
from udfs.catalogs import scenes_of
from udfs.compositing import composite_region
from udfs.grid import utm_grid
from udfs.images import ImagePool
from udfs.scenes import Scene
from udfs.speckle import REACH_PX, Despeckled, inner, lee, local_mean, to_decibels, to_power

NAN = np.nan
SCENE = Scene("s", "sentinel1_grd", dt.datetime(2020, 5, 4, tzinfo=dt.UTC), {}, {})


def around(image: Any) -> Iterator[tuple[tuple[int, int], Any]]:
    """Every valid pixel and the part of its 7 x 7 window that lies in the image."""
    for row, column in np.argwhere(~np.isnan(image)):
        yield (row, column), image[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]


def speckled(shape: tuple[int, ...], looks: float, seed: int = 0) -> Any:
    """Even ground of power 0.2 under speckle of so many looks."""
    return np.random.default_rng(seed).gamma(looks, 0.2 / looks, shape)


def holed(image: Any, seed: int) -> Any:
    return np.where(np.random.default_rng(seed).random(image.shape) < 0.2, NAN, image)


def despeckled(dates: list[Any], looks: float = 4.4) -> Any:
    running = Despeckled((1, *inner(dates[0], REACH_PX).shape), looks)
    for date in dates:
        running.add(to_decibels(date)[None], SCENE)
    return running.result()[0]


def test_decibels_and_back() -> None:
    decibels = np.array([-30.0, -3.0, NAN, 0.0, 12.5], np.float32)
    np.testing.assert_allclose(to_power(decibels), [0.001, 0.5011872, NAN, 1.0, 17.782794], rtol=1e-6)
    np.testing.assert_array_equal(to_decibels(to_power(decibels)), decibels)


def test_values_that_no_ground_gives_stay_finite() -> None:
    assert np.isfinite(to_decibels(to_power(np.array([-9999.0, 3.4e38], np.float32)))).all()


def test_local_mean_is_that_of_the_valid_pixels_in_the_window() -> None:
    image = holed(speckled((9, 13), 2.0), 1)
    expected = np.full(image.shape, NAN)
    for pixel, window in around(image):
        expected[pixel] = np.nanmean(window)
    np.testing.assert_allclose(local_mean(image), expected, rtol=1e-12)


def test_local_mean_of_a_part_is_that_of_the_whole_to_the_last_bit() -> None:
    image = holed(speckled((60, 71), 1.0) ** 5, 2)
    assert inner(local_mean(image[20:50, 7:44]), REACH_PX).tobytes() == local_mean(image)[23:47, 10:41].tobytes()


def test_lee_is_the_least_square_estimate_of_its_window() -> None:
    image = holed(speckled((8, 12), 1.5), 3)
    expected = np.full(image.shape, NAN)
    for pixel, window in around(image):
        mean, variance = np.nanmean(window), np.nanvar(window)
        share = max(0.0, 1 - mean**2 / 4.4 / variance) / (1 + 1 / 4.4) if variance else 0.0
        expected[pixel] = mean + share * (image[pixel] - mean)
    np.testing.assert_allclose(lee(image, 4.4), expected, rtol=1e-9)


def test_without_speckle_lee_keeps_the_image_and_under_much_it_gives_the_mean() -> None:
    image = speckled((11, 9), 3.0)
    np.testing.assert_allclose(lee(image, 1e12), image, rtol=1e-9)
    np.testing.assert_allclose(lee(image, 0.01), local_mean(image), rtol=1e-12)


@pytest.mark.parametrize("looks", [0.0, -2.0, NAN])
def test_no_number_of_looks(looks: float) -> None:
    with pytest.raises(InputError, match="looks"):
        lee(np.ones((9, 9)), looks)


def test_despeckled_is_the_mean_of_the_dates_filtered_by_quegan_and_yu() -> None:
    dates = [holed(speckled((14, 17), 4.4, seed) * (1 + seed), seed) for seed in range(4)]
    valid = ~np.isnan(dates)
    means = [local_mean(date) for date in dates]
    ratios = np.nansum([date / mean for date, mean in zip(dates, means, strict=True)], axis=0)
    filtered = [mean / valid.sum(0) * ratios for mean in means]
    expected = 10 * np.log10(np.nanmean(np.where(valid, filtered, NAN)[:, 3:-3, 3:-3], axis=0))
    several = valid.sum(0)[3:-3, 3:-3] > 1
    assert several.mean() > 0.8
    np.testing.assert_allclose(despeckled(dates)[several], expected[several], rtol=1e-5)


def test_where_one_date_is_valid_it_is_filtered_alone() -> None:
    first, second = holed(speckled((12, 15), 4.4), 5), holed(speckled((12, 15), 4.4, 1), 6)
    alone, none = inner(~np.isnan(first) & np.isnan(second), REACH_PX), inner(np.isnan(first) & np.isnan(second), REACH_PX)
    result = despeckled([first, second], looks=2.0)
    assert alone.sum() > 5 and none.any()
    np.testing.assert_allclose(result[alone], to_decibels(inner(lee(first, 2.0), REACH_PX))[alone], rtol=1e-4)
    np.testing.assert_array_equal(np.isnan(result), none)


def test_even_ground_keeps_its_mean_and_gets_the_looks_of_all_dates() -> None:
    power = to_power(despeckled([speckled((90, 110), 4.4, seed) for seed in range(5)]))
    assert abs(power.mean() / 0.2 - 1) < 0.01
    assert 0.9 < power.mean() ** 2 / power.var() / (5 * 4.4) < 1.2


def test_a_bright_date_does_not_outweigh_the_others_speckle() -> None:
    dates = [speckled((90, 110), 4.4, seed) * (20 if seed == 2 else 1) for seed in range(5)]
    filtered, plain = to_power(despeckled(dates)), np.mean(dates, axis=0)
    assert filtered.mean() ** 2 / filtered.var() > 2 * plain.mean() ** 2 / plain.var()


def test_radar_and_optical_of_the_same_ground_lie_on_one_grid(real_data: Path) -> None:
    folder = real_data / "bigearthnet_pairs"
    optical = "S2A_MSIL2A_20170613T101031_87_48"
    sar = "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_87_48"
    s2, s1 = (
        scenes_of((Source(sensor=sensor, href=str(folder / kind / name / f"{name}_{{band}}.tif"), datetime=day, bands=bands),), folder)
        for sensor, kind, name, bands, day in (
            ("sentinel2_l2a", "BigEarthNet-S2-Example", optical, ("B04", "B11"), dt.date(2017, 6, 13)),
            ("sentinel1_grd", "BigEarthNet-S1-Example", sar, ("VV", "VH"), dt.date(2017, 6, 13)),
        )
    )
    grid = utm_grid(13.7, 48.2, 10.0)
    bounds = grid.pixels_over(404_400, 5_341_200, 405_600, 5_342_400).grown(4)
    colours = composite_region(ImagePool(), tuple(s2), ("B04", "B11"), grid, bounds, "median").values
    echoes = {
        name: composite_region(ImagePool(), tuple(s1), ("VV", "VH"), grid, bounds, name).values for name in ("temporal_mean", "despeckled")
    }
    inside = np.zeros((128, 128), bool)
    inside[4:-4, 4:-4] = True
    for values in (colours, *echoes.values()):
        assert values.shape == (2, 128, 128)
        np.testing.assert_array_equal(~np.isnan(values), np.broadcast_to(inside, values.shape))
    x, y = 404_400 + 10 * 71 + 5, 5_342_400 - 10 * 33 - 5
    red = next(rasterio.open(s2[0].hrefs["B04"]).sample([(x, y)]))[0]
    vh = next(rasterio.open(s1[0].hrefs["VH"]).sample([(x, y)]))[0]
    assert colours[0, 37, 75] == np.float32(red) * np.float32(1e-4)
    assert abs(echoes["temporal_mean"][1, 37, 75] - vh) < 1e-5
    assert np.nanvar(echoes["despeckled"][1]) < 0.8 * np.nanvar(echoes["temporal_mean"][1])
