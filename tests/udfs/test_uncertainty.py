"""Bounds against closed forms and random draws, and none where an error is not declared."""

import numpy as np
import pytest

from tests.udfs.test_indicator_rows import LCR, PGR, RATIO, period, row, state
from udfs.indicator_rows import pair_of
from udfs.repeats import Scatter
from udfs.uncertainty import Errors, drawn_pair, most_cross_correlation


def test_bounds_of_city_a_match_the_log_normal_closed_form():
    """ln(P2/P1) of two independent log-normal counts is normal: sd = sqrt(2 ln(1 + 0.1^2)) / T."""
    found = row(period(), *PGR, errors=Errors(0.05, 0.1, 0.0, 0.0, 65_536))
    half = 1.959964 * np.sqrt(2 * np.log1p(0.01)) / 10
    assert [found.lower, found.upper] == pytest.approx([found.value - half, found.value + half], abs=2e-4)


@pytest.mark.parametrize(("key", "built_sd", "people_sd"), [(LCR, 0.01, 0.0005), (RATIO, 0.005, 0.0005)])
def test_bounds_are_the_delta_methods_where_errors_are_small(key, built_sd, people_sd):
    """Independent errors: var(LCR) = (V2/V1)^2 2 s^2 / T^2, var(PGR) = 2 s^2 / T^2; of the ratio, relative variances add up."""
    found = row(period(), *key, errors=Errors(built_sd, people_sd, 0.0, 0.0, 65_536))
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


def test_bounds_are_those_of_random_draws():
    """Of a ratio that is far from normal: a million draws of another generator."""
    found = row(period(), *RATIO, errors=Errors(0.05, 0.1))
    random = np.random.default_rng(9)
    v1, v2 = (np.exp(random.normal(0, np.sqrt(np.log1p(0.05**2)), 1_000_000)) for _ in range(2))
    p1, p2 = (np.exp(random.normal(0, np.sqrt(np.log1p(0.1**2)), 1_000_000)) for _ in range(2))
    lower, upper = np.quantile((61.5 * v2 / (53 * v1) - 1) / np.log(330 * p2 / (320 * p1)), (0.025, 0.975))
    assert [found.lower, found.upper] == pytest.approx([lower, upper], abs=0.02 * (upper - lower))


def test_errors_in_patches_are_the_delta_methods_and_large_areas_err_less():
    """var(V) = c V: var(V2 / V1) = (V2 / V1)^2 (c / V1 + c / V2)."""
    half = [1.959964 * 61.5 / 53 * np.sqrt(5500 / v1 + 5500 / v2) / 10 for v1, v2 in ((53e6, 61.5e6), (53e4, 61.5e4))]
    for scale, expected in zip((1, 0.01), half, strict=True):
        found = row(period(built_start=53e6 * scale, built_end=61.5e6 * scale), *LCR, errors=Errors(growth=Scatter(5500.0)))
        assert found.upper - found.lower == pytest.approx(2 * expected, rel=0.02)
    common = row(period(), *LCR, errors=Errors(growth=Scatter(1e-6, 0.01)))
    assert (common.lower, common.upper) == pytest.approx(tuple(row(period(), *LCR, errors=Errors(0.01))[["lower", "upper"]]), abs=1e-9)
    for other, key in ((period(basis="urban_extent"), LCR), (state(), ("11.3.1-built-per-person", "built-per-person"))):
        assert row(other, *key, errors=Errors(people_sd=0.1, growth=Scatter(5500.0))).lower is None, "not what it is measured for"


def test_errors_of_people_that_go_with_built_up_land_cancel_in_land_per_person():
    """ln(V / P): variance s^2 + p^2 - 2 x s p."""
    found = row(state(), "11.3.1-built-per-person", "built-per-person", errors=Errors(0.05, 0.1, cross_correlation=0.8))
    sd = np.sqrt(np.log1p(0.05**2) + np.log1p(0.1**2) - 2 * 0.8 * np.sqrt(np.log1p(0.05**2) * np.log1p(0.1**2)))
    assert np.log(found.upper / found.lower) == pytest.approx(2 * 1.959964 * sd, rel=0.02)


def test_draws_are_doubled_until_bounds_settle():
    """With a hundred to begin with the interval is as wide as with a hundred thousand."""
    few, many = (row(period(), *PGR, errors=Errors(0.05, 0.1, draws=draws)) for draws in (100, 65_536))
    assert few.upper - few.lower == pytest.approx(many.upper - many.lower, rel=0.15)


def logs_of(**errors):
    """Covariance of ln of built-up area and people, each at start and end, drawn by another generator."""
    normal = np.random.default_rng(4).normal(size=(4, 400_000))
    return np.cov(np.log(np.stack(drawn_pair(pair_of(period()), Errors(**errors), normal)[:4])))


def test_errors_that_stay_cancel_in_growth_and_errors_of_growth_do_not():
    """ln(V2 / V1): 2 (1 - r) of what stays, all of what changes."""
    told = logs_of(built_sd=0.05, built_correlation=0.9, growth=Scatter(5500.0, 0.01))
    kept, changing = np.log1p(0.05**2), [np.log1p(0.01**2 + 5500 / area) for area in (53e6, 61.5e6)]
    assert told[0, 0] + told[1, 1] - 2 * told[0, 1] == pytest.approx(2 * 0.1 * kept + sum(changing), rel=0.02)
    assert told[0, 0] == pytest.approx(kept + changing[0], rel=0.02) and told[1, 1] == pytest.approx(kept + changing[1], rel=0.02)


def test_what_built_up_area_and_people_have_in_common_is_so_at_both_dates():
    told = logs_of(built_sd=0.05, people_sd=0.1, built_correlation=0.8, people_correlation=0.1, cross_correlation=0.6)
    sd = np.sqrt(np.diag(told))
    correlation = told / np.outer(sd, sd)
    pairs = [(0, 1), (2, 3), (0, 2), (1, 3)]
    assert [correlation[pair] for pair in pairs] == pytest.approx([0.8, 0.1, 0.6, 0.6], abs=0.01)
    least = np.linalg.eigvalsh([[1, 0.8, 0.6, 0.6], [0.8, 1, 0.6, 0.6], [0.6, 0.6, 1, 0.1], [0.6, 0.6, 0.1, 1]])[0]
    assert least > 0 and most_cross_correlation(0.5, 0.5) == pytest.approx(1) and most_cross_correlation(0.9, 0.0) < 0.9


def test_nothing_built_at_the_end_has_no_bounds():
    for errors in (Errors(growth=Scatter(5500.0)), Errors(0.05)):
        found = row(period(built_end=0.0), *LCR, errors=errors)
        assert found.value == pytest.approx(-0.1) and found.lower is None and found.upper is None
