"""A real series in which nothing is built: 68 dates of NDVI and clouds of a hillside in Slovenia."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.change_integration import FREE
from models.series_states import Steadiness, series_of_maps
from udfs.change_events import turns_of
from udfs.rasters import NO_DATA, ONE

pytestmark = pytest.mark.real_data
HELD = Steadiness(0.3, 1, FREE)
LOW = 0.3


@pytest.fixture(scope="module")
def hillside(real_data: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[dt.date]]:
    """NDVI (68, 101, 100), where it is clear, and dates."""
    folder = real_data / "slovenia_s2_series"
    ndvi, cloud, valid = (np.load(folder / name)[..., 0] for name in ("data/NDVI.npy", "mask/CLM.npy", "mask/IS_VALID.npy"))
    dates = [dt.datetime.fromisoformat(text).date() for text in json.loads((folder / "timestamps.json").read_text())]
    return ndvi, (valid > 0) & (cloud == 0) & np.isfinite(ndvi), dates


def built_by_ndvi(ndvi: NDArray[np.float32], clear: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Rule: green ground is not built (0.02); ground that is not may be (0.65), for so look fields, snow and bare trees; between them
    along a logistic curve around 0.25."""
    probability = 0.02 + 0.63 / (1 + np.exp((ndvi - 0.25) / 0.04))
    return np.where(clear, np.rint(ONE * probability), NO_DATA).astype(np.uint8)


def changed(maps: NDArray[np.uint8], dates: list[dt.date]) -> NDArray[np.bool_]:
    values = series_of_maps(maps, [ONE // 2] * len(maps), dates, HELD).values
    pixels = np.zeros(maps.shape[1:], bool)
    for turn in turns_of(values):
        pixels |= (turn.sure > 0) & (turn.sure != NO_DATA)
    return pixels


def test_seasons_snow_and_clouds_are_no_change(hillside: tuple[NDArray[np.float32], NDArray[np.bool_], list[dt.date]]) -> None:
    """A threshold at each date changes 99.7 % of the pixels, 5.4 times each."""
    ndvi, clear, dates = hillside
    assert changed(built_by_ndvi(ndvi, clear), dates).mean() <= 0.001
    flips = [np.abs(np.diff((ndvi[:, y, x] < LOW)[clear[:, y, x]].astype(int))).sum() for y in range(0, 101, 10) for x in range(0, 100, 10)]
    assert np.mean(flips) > 4


def test_what_is_built_there_is_found(hillside: tuple[NDArray[np.float32], NDArray[np.bool_], list[dt.date]]) -> None:
    """The same hillside with a quarter that has little green from the 34th date on."""
    ndvi, clear, dates = hillside
    drawn = ndvi.copy()
    drawn[34:, 20:50, 60:85] = np.random.default_rng(3).normal(0.15, 0.04, (34, 30, 25))
    found = changed(built_by_ndvi(drawn, clear), dates)
    assert found[20:50, 60:85].mean() > 0.95
    found[20:50, 60:85] = False
    assert found.mean() <= 0.001
