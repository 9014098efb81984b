"""Back ends: the same results from the same weights within one step, and a clear word where a package is missing."""

import importlib.util

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from conf.errors import InputError
from models.devices import check_backend
from models.predictor import load_predictor
from models.registry import shipped_models


def test_a_back_end_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_backend("cpu")
    with pytest.raises(InputError, match=r"pip install 'urbantrace\[openvino\]'"):
        check_backend("openvino")


@pytest.mark.parametrize("name", ["built_up_10m", "buildings_15cm"])
def test_openvino_gives_what_torch_gives_within_one_step(name):
    pytest.importorskip("openvino", reason="openvino: pip install 'urbantrace[openvino]'")
    pin = shipped_models()[name]
    torch_, openvino = (load_predictor(pin.path, pin.sha256, backend=backend) for backend in ("cpu", "openvino"))
    spec = torch_.spec
    offset, scale = (np.reshape(spec.normalisation[key], (-1, 1, 1)) for key in ("offset", "scale"))
    grain = np.random.default_rng(6).normal(0, 5, (2, len(spec.bands), spec.window, spec.window))
    soft = gaussian_filter(grain, (0, 0, 10, 10))
    windows = (soft / soft.std() * scale + offset).astype(np.float32)
    ours, theirs = (predictor.predict(windows).astype(int) for predictor in (torch_, openvino))
    assert np.abs(ours - theirs).max() <= 1
    masks = [result >= 250 * spec.threshold for result in (ours, theirs)]
    assert 0.05 < masks[0].mean() < 0.95
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() >= 0.9999
