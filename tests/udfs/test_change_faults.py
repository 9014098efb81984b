"""What is no change: the same image, another season, clouds. The shipped 10 m network on a simulated town that stands as it is."""

import datetime as dt

import numpy as np
import pytest
from numpy.typing import NDArray

from models.change_integration import FREE
from models.predictor import Predictor, load_predictor
from models.registry import shipped_models
from models.series_states import BUILT_FROM, Steadiness, series_of_maps
from udfs.composites import median
from udfs.rasters import NO_DATA, ONE
from udfs.series_images import registered
from udfs.simulation.city import City, plan_city
from udfs.training_windows import clear_reflectance

HELD = Steadiness(0.02, 0.25, FREE)
MONTHS = {"summer": (5, 6, 7), "winter": (1, 11, 12), "one cloudy day": (6,)}


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    pin = shipped_models()["built_up_10m"]
    return load_predictor(pin.path, pin.sha256)


@pytest.fixture(scope="module")
def maps(predictor: Predictor) -> dict[str, NDArray[np.uint8]]:
    """Of one year, in which nothing is built, (centre, centre)."""
    city = plan_city(77, "default", predictor.spec.window * 10.0, 2017, 2022)
    return {name: mapped(predictor, city, months, 0.6 if "cloudy" in name else 0.0) for name, months in MONTHS.items()}


def seen(predictor: Predictor, city: City, months: tuple[int, ...], cloud: float = 0.0) -> NDArray[np.float32]:
    return median([clear_reflectance(city, dt.date(2019, month, 15), cloud, predictor.spec.bands) for month in months])


def mapped(predictor: Predictor, city: City, months: tuple[int, ...], cloud: float) -> NDArray[np.uint8]:
    halo, image = predictor.spec.halo, seen(predictor, city, months, cloud)
    hidden = np.isnan(image[0, halo:-halo, halo:-halo])
    return np.where(hidden, NO_DATA, predictor.predict(image[None])[0]).astype(np.uint8)


def changed(maps: dict[str, NDArray[np.uint8]], threshold: int, *names: str) -> float:
    """Share of the pixels that change."""
    years = [dt.date(2019 + number, 7, 1) for number in range(len(names))]
    values = series_of_maps(np.stack([maps[name] for name in names]), [threshold] * len(names), years, HELD).values
    known, built = (values != NO_DATA).all(0), values >= BUILT_FROM
    assert known.mean() > 0.1 and 0.1 < built[0][known].mean() < 0.6
    return float((built[1:] != built[:-1]).any(0)[known].mean())


def test_nothing_changes_where_nothing_is_built(predictor: Predictor, maps: dict[str, NDArray[np.uint8]]) -> None:
    threshold = round(predictor.spec.threshold * ONE)
    flips = (maps["summer"] >= threshold) != (maps["winter"] >= threshold)
    assert flips.mean() > 0.01  # what the maps themselves would call change
    assert changed(maps, threshold, "summer", "summer") == 0
    for names in (("summer", "winter"), ("winter", "summer"), ("summer", "one cloudy day"), ("one cloudy day", "summer")):
        assert changed(maps, threshold, *names) < 0.002
    assert changed(maps, threshold, "summer", "one cloudy day", "summer") < 0.0005


def test_a_pixel_beside_is_no_change_once_dates_are_laid_upon_each_other(predictor: Predictor) -> None:
    """Summer, and winter moved by a pixel along both axes: registered as a network of series sees them."""
    city = plan_city(77, "default", predictor.spec.window * 10.0, 2017, 2022)
    images = np.stack([seen(predictor, city, MONTHS["summer"]), np.roll(seen(predictor, city, MONTHS["winter"]), (1, 1), (1, 2))])
    threshold = round(predictor.spec.threshold * ONE)
    beside, laid = (dict(zip("ab", predictor.predict(each), strict=True)) for each in (images, registered(images, predictor.spec)))
    assert changed(beside, threshold, "a", "b") > 0.05
    assert changed(laid, threshold, "a", "b") < 0.002
