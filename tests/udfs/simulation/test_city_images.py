"""The images: ranges, no data, clouds that the scene classes find, colours that fit the labels."""

import datetime as dt

import numpy as np

from udfs.simulation.aerial import render_rgb, rgb_bounds
from udfs.simulation.agenda import sentinel1_date, sentinel2_agenda
from udfs.simulation.city import City
from udfs.simulation.land import building_label, built_label, shares
from udfs.simulation.optical import COARSE_BANDS, FINE_BANDS, LANDSAT_BANDS, render_landsat, render_sentinel2
from udfs.simulation.radar import render_sentinel1
from udfs.simulation.spectra import COVER

DAY = dt.date(2022, 5, 4)


def test_sentinel2_has_its_bands_and_repeats_itself(city: City) -> None:
    image = render_sentinel2(city, DAY, 0.2)
    assert {name: image.bands[name].shape for name in FINE_BANDS} == dict.fromkeys(FINE_BANDS, (256, 256))
    assert {name: image.bands[name].shape for name in COARSE_BANDS} == dict.fromkeys(COARSE_BANDS, (128, 128))
    assert image.scl.shape == (128, 128)
    again = render_sentinel2(city, DAY, 0.2)
    assert all(np.array_equal(image.bands[name], again.bands[name]) for name in image.bands)
    assert not np.array_equal(image.bands["B04"], render_sentinel2(city, dt.date(2022, 5, 5), 0.2).bands["B04"])


def test_reflectance_is_stored_with_the_offset_and_no_data_is_zero(city: City) -> None:
    image = render_sentinel2(city, DAY, 0.0, swath_edge=True)
    empty = image.bands["B02"] == 0
    assert 0.02 < empty.mean() < 0.5
    assert empty[:, -1].any()
    assert abs((image.scl == 0).mean() - empty.mean()) < 0.01
    red = (image.bands["B04"][~empty].astype(int) - 1000) / 10_000
    assert 0.02 < np.median(red) < 0.3
    assert red.min() > -0.02


def test_scene_classes_find_most_clouds_but_not_all(city: City) -> None:
    clear, cloudy = render_sentinel2(city, DAY), render_sentinel2(city, DAY, 0.3)
    white = cloudy.bands["B11"].astype(int) - clear.bands["B11"] > 1200
    found = np.isin(cloudy.scl, [8, 9, 10])
    assert 0.1 < found.mean() < 0.6
    assert 0.9 < found[white].mean() <= 1.0
    assert (cloudy.scl == 3).any()
    assert np.isin(clear.scl, [8, 9]).mean() < 0.01


def test_vegetation_water_and_roofs_look_like_themselves(city: City) -> None:
    image, lit = render_sentinel2(city, DAY), shares(city, 2022, 10.0).lit
    red, nir = ((image.bands[name].astype(float) - 1000) / 10_000 for name in ("B04", "B08"))
    ndvi = (nir - red) / (nir + red)
    assert np.median(ndvi[lit[COVER["tree"]] > 0.9]) > 0.6
    assert np.median(ndvi[built_label(city, 2022)]) < 0.35
    assert np.median(nir[lit[COVER["water"]] > 0.9]) < 0.08


def test_years_have_three_or_four_dates_one_nearly_clear(city: City) -> None:
    agenda = [sentinel2_agenda(city, year) for year in range(2017, 2023)]
    assert {len(images) for images in agenda} == {3, 4}
    assert all(min(image.cloud_cover for image in images) <= 0.01 for images in agenda)
    assert any(image.swath_edge for images in agenda for image in images)
    assert all(image.when.year == 2017 + number for number, images in enumerate(agenda) for image in images)


def test_radar_is_bright_where_buildings_are_and_dark_over_water(city: City) -> None:
    radar = render_sentinel1(city, sentinel1_date(city, 2022))
    lit = shares(city, 2022, 10.0).lit
    assert radar["VV"].dtype == np.float32
    assert radar["VV"][built_label(city, 2022)].mean() > radar["VV"][~built_label(city, 2022)].mean() + 2
    assert np.median(radar["VV"][lit[COVER["water"]] > 0.9]) < -17
    assert (radar["VH"].mean(), radar["VV"].mean()) == (min(r.mean() for r in radar.values()), max(r.mean() for r in radar.values()))


def test_landsat_pixels_need_not_divide_the_city(city: City) -> None:
    bands = render_landsat(city, DAY, 28.5)
    assert {name: image.shape for name, image in bands.items()} == dict.fromkeys(LANDSAT_BANDS, (89, 89))
    assert built_label(city, 2022, 28.5).shape == (89, 89)
    coarse = render_landsat(city, DAY, 90.0)["nir"]
    assert abs(float(coarse.mean()) - float(bands["nir"].mean())) < 0.02


def test_aerial_image_fits_its_label(city: City) -> None:
    bounds = rgb_bounds(city, 300.0)
    early, late = (render_rgb(city, bounds, year) for year in (2017, 2022))
    assert early.shape == late.shape == (3, 600, 600)
    assert late.dtype == np.uint8
    roofs = building_label(city, bounds, 2022)
    new = roofs & ~building_label(city, bounds, 2017)
    changed = np.abs(late.astype(int) - early).sum(0)
    assert new.any()
    assert np.median(changed[new]) > 2 * np.median(changed[~roofs])
    assert np.array_equal(late, render_rgb(city, bounds, 2022))
