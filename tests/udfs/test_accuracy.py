"""Accuracy by strata that are not the map's classes: against the published formulas written out, against whole populations, by coverage."""

import numpy as np
import pandas as pd
import pytest

from conf.errors import InputError
from udfs.accuracy import Sample, accuracy, error_matrix, judged, sample_of
from udfs.interpretation import Interpreted

SHARES, SIZES, POINTS = np.array([0.55, 0.3, 0.1, 0.05]), np.array([55_000, 30_000, 10_000, 5_000]), (30, 60, 50, 28)


def population(seed: int) -> Sample:
    """Every pixel: built-up shares, and what a map finds of it and beside it, by stratum."""
    random = np.random.default_rng(seed)
    stratum = np.repeat(np.arange(4), SIZES)
    reference = random.random(len(stratum)) < np.array([0.01, 0.4, 0.85, 0.1])[stratum]
    found, false = np.array([0.3, 0.8, 0.97, 0.5]), np.array([0.01, 0.1, 0.3, 0.1])
    mapped = random.random(len(stratum)) < np.where(reference, found[stratum], false[stratum])
    return Sample(stratum, reference, mapped, SHARES, SIZES)


def drawn(whole: Sample, random: np.random.Generator) -> Sample:
    starts = np.concatenate([[0], np.cumsum(SIZES)[:-1]])
    at = np.concatenate([start + random.choice(size, n, replace=False) for start, size, n in zip(starts, SIZES, POINTS, strict=True)])
    return Sample(whole.stratum[at], whole.reference[at], whole.mapped[at], whole.share, whole.pixels)


def test_the_whole_population_gives_its_own_figures() -> None:
    whole = population(1)
    both, either = (whole.reference & whole.mapped).sum(), whole.reference.sum() + whole.mapped.sum()
    found = accuracy(whole)
    assert found["f1"].value == pytest.approx(2 * both / either)
    assert found["users"].value == pytest.approx(both / whole.mapped.sum())
    assert found["producers"].value == pytest.approx(both / whole.reference.sum())
    assert found["overall"].value == pytest.approx((whole.reference == whole.mapped).mean())
    assert found["built_share"].value == pytest.approx(whole.reference.mean())
    assert sum(error_matrix(whole).values()) == pytest.approx(1)


def test_variance_is_that_of_stehman_2014() -> None:
    """The printed formula with its three moments, term by term; Wilson's interval is as wide as plus and minus so many deviations."""
    sample = drawn(population(2), np.random.default_rng(3))
    y, x = 2.0 * (sample.reference & sample.mapped), sample.reference.astype(float) + sample.mapped
    parts = [sample.stratum == number for number in range(4)]
    total_x = sum(size * x[part].mean() for size, part in zip(SIZES, parts, strict=True))
    ratio = sum(size * y[part].mean() for size, part in zip(SIZES, parts, strict=True)) / total_x
    variance = 0.0
    for size, part in zip(SIZES, parts, strict=True):
        n, moments = part.sum(), np.cov(y[part], x[part])
        variance += size**2 * (1 - n / size) * (moments[0, 0] + ratio**2 * moments[1, 1] - 2 * ratio * moments[0, 1]) / n
    error = np.sqrt(variance) / total_x
    found = accuracy(sample)["f1"]
    assert found.value == pytest.approx(ratio)
    points = ratio * (1 - ratio) / error**2
    middle = (found.lower + found.upper) / 2
    assert middle == pytest.approx((ratio + 1.96**2 / (2 * points)) / (1 + 1.96**2 / points), rel=1e-4)
    assert (found.upper - found.lower) / 2 == pytest.approx(1.96 * error, rel=0.03)


def test_intervals_hold_the_truth_nineteen_times_of_twenty() -> None:
    whole, random = population(4), np.random.default_rng(5)
    truth = accuracy(whole)
    draws = [accuracy(drawn(whole, random)) for _ in range(1500)]
    for name, true in truth.items():
        held = np.mean([each[name].lower <= true.value <= each[name].upper for each in draws])
        assert 0.91 <= held <= 0.985, (name, held)
        spread = np.std([each[name].value for each in draws])
        assert abs(np.mean([each[name].value for each in draws]) - true.value) < 0.15 * spread, name


def test_few_right_answers_do_not_prove_a_perfect_map() -> None:
    stratum, built = np.repeat([0, 1], 20), np.tile([True, False], 20)
    found = accuracy(Sample(stratum, built, built, np.array([0.9, 0.1]), np.array([900, 100])))
    assert found["f1"].value == 1 and found["f1"].upper == 1
    assert found["f1"].lower == pytest.approx(1 / (1 + 1.96**2 / 20), rel=1e-4)  # of 20 built-up points
    none = accuracy(Sample(stratum, ~built & False, ~built & False, np.array([0.9, 0.1]), np.array([900, 100])))
    assert np.isnan(none["f1"].value) and none["built_share"].value == 0 and none["built_share"].upper > 0.05


def test_a_map_is_judged_where_both_are_known() -> None:
    points = pd.DataFrame({"point_id": range(1, 9), "stratum": ["a"] * 4 + ["b"] * 4})
    strata = pd.DataFrame({"stratum": ["a", "b"], "pixels": [100, 300], "area_m2": [1e6, 3e6]})
    built = pd.Series([True, True, False, True, False, False], index=[1, 2, 3, 5, 6, 7], name="reference")
    mapped = pd.Series([True, False, False, True, True, False, False, True], index=range(1, 9))
    found = judged(points, strata, Interpreted(built, [4, 8], [4, 8], None), mapped)
    # a: built right, built missed, other right; b: built right, two others right. Shares 1/4 and 3/4.
    both, missed = 1 / 12 + 3 / 12, 1 / 12
    assert found["map_built_reference_built"] == pytest.approx(both)
    assert found["f1"] == pytest.approx(2 * both / (2 * both + missed))
    assert found["built_km2"] == pytest.approx(4 * (both + missed))
    assert found["built_km2_lower"] == pytest.approx(4 * found["built_share_lower"])
    # Points 4 and 8 as false alarms: a 1 of 4 right, 1 missed, 1 false; b 1 of 4 right, 1 false.
    assert found["f1_if_left_out_are_wrong"] == pytest.approx(2 * 0.25 / (2 * 0.25 + 0.25 * 0.25 + 0.25))
    assert found["no_map_data"] == 0
    assert judged(points, strata, Interpreted(built, [], [], None), mapped.drop(7))["no_map_data"] == 1
    with pytest.raises(InputError, match="stratum b: 1 points"):
        sample_of(points.assign(reference=True, mapped=True).head(5), strata)
