"""Areas set right by a sample: the whole ground's is the stratified estimate, bounds hold the truth as often as they say."""

import numpy as np
import pytest

from conf.errors import InputError
from tests.udfs.test_accuracy import drawn, population
from udfs.accuracy import Sample, accuracy
from udfs.adjusted_areas import adjusted, rates_of


def test_the_whole_ground_has_the_stratified_estimate() -> None:
    sample = drawn(population(4), np.random.default_rng(1))
    figures = accuracy(sample)
    built = np.array([figures["mapped_share"].value])
    area, lower, upper = adjusted(built, np.array([1.0]), rates_of(sample))
    assert area == pytest.approx(figures["built_share"].value)
    assert lower < area < upper


def test_bounds_hold_the_truth_of_the_whole_ground() -> None:
    whole, random = population(5), np.random.default_rng(6)
    truth, built = whole.reference.mean(), np.array([whole.mapped.mean()])
    told = [adjusted(built, np.array([1.0]), rates_of(drawn(whole, random)))[:, 0] for _ in range(300)]
    held = np.mean([lower <= truth <= upper for _, lower, upper in told])
    # The share that the map says is taken as known, as it is of a unit: a little narrower than where it is sampled.
    assert 0.9 <= held <= 0.99
    assert np.mean([area for area, *_ in told]) == pytest.approx(truth, rel=0.02)


def test_units_add_up_and_stay_inside_their_ground() -> None:
    rates = rates_of(drawn(population(4), np.random.default_rng(1)))
    built, valid = np.array([3e5, 0.0, 9e5]), np.array([1e6, 4e5, 9e5])
    area, lower, upper = adjusted(built, valid, rates)
    assert area.sum() == pytest.approx(adjusted(built.sum(keepdims=True), valid.sum(keepdims=True), rates)[0, 0])
    assert area[1] == pytest.approx(4e5 * rates.omitted) and area[2] == pytest.approx(9e5 * rates.users)
    assert (lower >= 0).all() and (upper <= valid).all()


def test_a_sample_on_one_class_alone_tells_nothing() -> None:
    sample = drawn(population(4), np.random.default_rng(1))
    with pytest.raises(InputError, match="no point of the sample lies where the map says built-up"):
        rates_of(Sample(sample.stratum, sample.reference, np.zeros_like(sample.mapped), sample.share, sample.pixels))


def test_few_right_answers_do_not_prove_a_perfect_map() -> None:
    """Thirty points of each class, all right: 95 % bounds of 30 of 30 are 0.887 and 1 (Wilson 1927)."""
    mapped = np.repeat([True, False], 30)
    sample = Sample(np.repeat([0, 1], 30), mapped, mapped, np.array([0.5, 0.5]), np.array([10_000, 10_000]))
    area, lower, upper = adjusted(np.array([1.0, 0.0]), np.array([1.0, 1.0]), rates_of(sample))
    assert area.tolist() == [1, 0] and lower[1] == 0 and upper[0] == 1
    assert lower[0] == pytest.approx(0.8865, abs=1e-4) and upper[1] == pytest.approx(1 - 0.8865, abs=1e-4)
