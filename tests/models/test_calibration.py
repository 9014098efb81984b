"""Probabilities that come true: the error by hand, the cure on pixels drawn from a known law, and in the predictor."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import calibrated, fitted_calibration, reliability
from models.networks import build_network, folded_tensors
from models.predictor import predictor_of
from tests.models.conftest import TINY


def test_the_error_by_hand() -> None:
    """Two bins: 0.1, 0.3 of which one is built; 0.8, 0.8, 0.9 of which two are."""
    found = reliability(np.array([0.1, 0.3, 0.8, 0.8, 0.9]), np.array([True, False, True, True, False]), 2)
    np.testing.assert_allclose([found.predicted, found.observed], [[0.2, 2.5 / 3], [0.5, 2 / 3]])
    assert found.error == pytest.approx((2 * 0.3 + 3 * (2.5 / 3 - 2 / 3)) / 5)


@settings(max_examples=15)
@given(st.floats(0.4, 2.5), st.floats(-1.5, 1.5))
def test_what_is_drawn_from_a_known_law_is_mended_by_it(slope: float, shift: float) -> None:
    random = np.random.default_rng(3)
    raw = random.beta(0.7, 1.2, 120_000).clip(0.01, 0.99)
    labels = random.random(raw.size) < calibrated(raw, {"slope": slope, "shift": shift})
    found = fitted_calibration(raw, labels, alike_px=1)
    assert found["slope"] == pytest.approx(slope, rel=0.06) and found["shift"] == pytest.approx(shift, abs=0.06)
    assert reliability(calibrated(raw, found), labels).error < 0.01


def test_little_ground_changes_little_and_much_ground_all() -> None:
    """Against the posterior's maximum on a fine net of lines."""
    random = np.random.default_rng(5)
    raw = random.beta(0.7, 1.2, 40_000).clip(0.01, 0.99)
    labels = random.random(raw.size) < calibrated(raw, {"slope": 1.6, "shift": -0.4})
    slopes = [fitted_calibration(raw, labels, alike_px=px)["slope"] for px in (1, 400, 4096, 10**9)]
    assert slopes[0] > slopes[1] > slopes[2] > slopes[3] == pytest.approx(1, abs=1e-3)
    net = np.stack(np.meshgrid(np.arange(0.9, 1.7, 0.02), np.arange(-0.5, 0.2, 0.02)), -1).reshape(-1, 2)
    chance = [np.where(labels, q := calibrated(raw, {"slope": a, "shift": b}), 1 - q) for a, b in net]
    best = net[
        np.argmax([np.log(each).sum() / 4096 - ((a - 1) ** 2 + b**2) / 2 / 0.25**2 for each, (a, b) in zip(chance, net, strict=True)])
    ]
    found = fitted_calibration(raw, labels)
    assert (found["slope"], found["shift"]) == pytest.approx(tuple(best), abs=0.02)


def test_order_stays_and_labels_of_one_kind_tell_nothing() -> None:
    raw = np.linspace(0, 1, 251)
    assert (np.diff(calibrated(raw, {"slope": 0.5, "shift": 1.0})) >= 0).all()
    for labels in (np.ones(251, bool), raw < 0.4):
        assert fitted_calibration(raw, labels) == {"slope": 1.0, "shift": 0.0}


def test_the_predictor_calibrates_the_mean_of_its_looks() -> None:
    spec = replace(TINY, flips=2)
    tensors = folded_tensors(build_network(spec.architecture, 4))
    windows = np.random.default_rng(1).normal(0.3, 0.2, (3, len(spec.bands), spec.window, spec.window)).astype(np.float32)
    raw = predictor_of(spec, tensors).predict(windows) / 250
    calibration = {"slope": 2.5, "shift": -0.8}
    mended = predictor_of(replace(spec, calibration=calibration), tensors).predict(windows)
    assert np.ptp(raw) > 0.05
    np.testing.assert_allclose(mended, 250 * calibrated(raw, calibration), atol=2.6)  # the raw map is rounded to half a step
