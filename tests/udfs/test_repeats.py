"""What scatters about steady growth: nothing where growth is steady, the drawn variance where it is drawn."""

import numpy as np
import pytest

from conf.errors import InputError
from udfs.repeats import patch_m2

YEARS = np.array([2000.0, 2004.0, 2005.5, 2012.0, 2013.0])


def test_steady_growth_has_no_errors():
    rates = np.linspace(-1e4, 5e4, 30)[:, None]
    assert patch_m2(YEARS, 1e6 + rates * (YEARS - 2000)) == pytest.approx(0, abs=1e-12)


def test_drawn_errors_are_found_in_units_of_any_size():
    random = np.random.default_rng(3)
    truth = np.geomspace(1e5, 1e7, 2000)[:, None] * (1 + 0.03 * (YEARS - 2000))
    found = truth + random.normal(size=truth.shape) * np.sqrt(5500 * truth)
    assert patch_m2(YEARS, found) == pytest.approx(5500, rel=0.05)
    assert patch_m2(YEARS, found[::-1]) == patch_m2(YEARS, found), "the order of units changes bytes"


def test_what_is_not_known_is_left_out_and_few_values_tell_nothing():
    random = np.random.default_rng(4)
    found = 1e6 + random.normal(0, 5e4, (40, 5))
    cut = found.copy()
    cut[20:, 1] = np.nan
    whole = np.concatenate([found[:20], np.full((20, 5), np.nan)])
    cut[20:, 3] = np.nan
    assert patch_m2(YEARS, cut) == patch_m2(YEARS, whole)
    with pytest.raises(InputError, match=r"18 values of smallest units .* 20 are needed"):
        patch_m2(YEARS, found[:6])
