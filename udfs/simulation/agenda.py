"""Which images of a simulated city exist: dates, cloud, swath edges. Some dates are missing."""

import datetime as dt
from typing import NamedTuple

from udfs.simulation.city import City
from udfs.simulation.seeds import generator

SEASONS = (32, 116, 218, 310)
"""Middle days of the year of the four acquisitions."""


class Acquisition(NamedTuple):
    """An optical image: date, share of cloud 0-1, whether a corner lies outside the swath."""

    when: dt.date
    cloud_cover: float
    swath_edge: bool


def sentinel2_agenda(city: City, year: int) -> list[Acquisition]:
    """Three or four images of a year, by date: one clear, one or two with some cloud, one nearly hidden (missing in some years)."""
    draw = generator("agenda", *city.key, year)
    covers = [0.0, draw.uniform(0.03, 0.1), draw.uniform(0.1, 0.3), draw.uniform(0.7, 0.95)]
    days = [int(day) + int(draw.integers(-20, 21)) for day in draw.permutation(SEASONS)]
    cut = (year - city.first_year) % 4 == 2
    images = [
        Acquisition(dt.date(year, 1, 1) + dt.timedelta(days=day), round(float(cover), 3), cut and number == 2)
        for number, (day, cover) in enumerate(zip(days, covers, strict=True))
    ]
    missing = (year - city.first_year) % 3 == 1
    return sorted(images[:3] if missing else images)


def sentinel1_date(city: City, year: int) -> dt.date:
    """The year's radar image."""
    return dt.date(year, 6, 1) + dt.timedelta(days=int(generator("radar", *city.key, year).integers(0, 45)))
