"""What scatters about steady growth: nothing where growth is steady, the drawn variance where it is drawn."""

import numpy as np
import pytest

from conf.errors import InputError
from udfs.repeats import comparable_dates, scatter

YEARS = np.array([2000.0, 2004.0, 2005.5, 2012.0, 2013.0])


def test_steady_growth_has_no_errors():
    rates = np.linspace(-1e4, 5e4, 30)[:, None]
    assert scatter(YEARS, 1e6 + rates * (YEARS - 2000)) == pytest.approx((0, 0), abs=1e-9)


def test_drawn_errors_are_found_in_units_of_any_size():
    random = np.random.default_rng(3)
    truth = np.geomspace(1e5, 1e7, 2000)[:, None] * (1 + 0.03 * (YEARS - 2000))
    found = truth + random.normal(size=truth.shape) * np.sqrt(5500 * truth)
    patch, common = scatter(YEARS, found)
    assert patch == pytest.approx(5500, rel=0.05) and common < 1e-3
    assert scatter(YEARS, found[::-1]) == (patch, common), "the order of units changes bytes"


def test_what_all_units_share_is_told_apart():
    """Over many dates; few tell it only roughly."""
    random = np.random.default_rng(5)
    years = np.arange(400.0)
    truth = np.geomspace(1e6, 1e8, 50)[:, None] * (1 + 0.003 * years)
    found = truth * (1 + 0.02 * random.normal(size=400)) + random.normal(size=truth.shape) * np.sqrt(500 * truth)
    assert scatter(years, found).common_sd == pytest.approx(0.02, rel=0.1)


def test_what_is_not_known_is_left_out_and_few_values_tell_nothing():
    random = np.random.default_rng(4)
    found = 1e6 + random.normal(0, 5e4, (40, 5))
    cut = found.copy()
    cut[20:, 1] = np.nan
    whole = np.concatenate([found[:20], np.full((20, 5), np.nan)])
    cut[20:, 3] = np.nan
    assert scatter(YEARS, cut) == scatter(YEARS, whole)
    with pytest.raises(InputError, match=r"18 values of smallest units .* 20 are needed"):
        scatter(YEARS, found[:6])


def test_dates_with_other_shares_of_data_are_not_held_together():
    """Clouds over half of a unit at one date: its share of built-up land is then that of other ground."""
    random = np.random.default_rng(6)
    found, valid = 1e6 + random.normal(0, 5e4, (40, 5)), np.full((40, 5), 1.0)
    found[10:, 2], valid[10:, 2] = 4e6, 0.6
    assert comparable_dates(valid, 0.05)[10:].sum() == 0 and comparable_dates(valid, 0.05)[:10].all()
    assert scatter(YEARS, found, comparable_dates(valid, 0.05)) == scatter(YEARS, found[:10])
