"""Bounds against closed forms, seeds by key, and none where an error is not declared."""

import numpy as np
import pytest

from tests.udfs.test_indicator_rows import LCR, LIMITS, PGR, RATIO, period, row
from udfs.uncertainty import Errors


def test_bounds_of_city_a_match_the_log_normal_closed_form():
    """ln(P2/P1) of two independent log-normal counts is normal: sd = sqrt(2 ln(1 + 0.1^2)) / T."""
    found = row(period(), *PGR, errors=Errors(0.05, 0.1, 0.0, 0.0, 200_000))
    half = 1.959964 * np.sqrt(2 * np.log1p(0.01)) / 10
    assert [found.lower, found.upper] == pytest.approx([found.value - half, found.value + half], abs=2e-4)


@pytest.mark.parametrize(("key", "built_sd", "people_sd"), [(LCR, 0.01, 0.0005), (RATIO, 0.005, 0.0005)])
def test_bounds_are_the_delta_methods_where_errors_are_small(key, built_sd, people_sd):
    """Independent errors: var(LCR) = (V2/V1)^2 2 s^2 / T^2, var(PGR) = 2 s^2 / T^2; of the ratio, relative variances add up."""
    found = row(period(), *key, errors=Errors(built_sd, people_sd, 0.0, 0.0, 200_000))
    land, people = (61.5 / 53) * np.sqrt(2) * built_sd / 10, np.sqrt(2) * people_sd / 10
    relative = np.hypot(land / 0.016037735849, people / 0.003077165867)
    half = 1.959964 * (land if key == LCR else found.value * relative)
    assert found.upper - found.lower == pytest.approx(2 * half, rel=0.02)


def test_correlated_errors_cancel():
    apart, together = (row(period(), *LCR, errors=Errors(0.05, 0.1, r, 0.0, 20_000)) for r in (0.0, 0.9))
    assert together.upper - together.lower == pytest.approx((apart.upper - apart.lower) * np.sqrt(0.1), rel=0.05)
    people = [row(period(), *PGR, errors=Errors(0.05, 0.1, 0.0, r, 20_000)) for r in (0.0, 0.9)]
    assert people[1].upper - people[1].lower < people[0].upper - people[0].lower


def test_no_bounds_without_every_declared_error():
    only_built = Errors(0.05, None, 0.0, 0.0, 1000)
    assert row(period(), *LCR, errors=only_built).lower is not None
    assert row(period(), *RATIO, errors=only_built).lower is None
    assert row(period(), *PGR, errors=only_built).lower is None


def test_seed_is_the_key():
    errors = Errors(0.05, 0.1, 0.0, 0.0, 1000)
    one, same, other = (row(period(unit), *RATIO, LIMITS, errors) for unit in ("A", "A", "B"))
    assert (one.lower, one.upper) == (same.lower, same.upper) != (other.lower, other.upper)
