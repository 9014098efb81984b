"""Halo: the gradient's energy of kernels that are known, and windows that are moved under a network that sees further than it is shown."""

import numpy as np
import pytest
import torch

from models.halo import HaloError, changed_by_moving, check_halo, energy_within, halo_by_gradient
from models.predictor import load_predictor
from models.registry import file_sha256


def test_energy_of_a_kernel_is_its_squared_weights_by_their_distance():
    kernel = torch.zeros(1, 1, 7, 7)
    kernel[0, 0, 3, 3], kernel[0, 0, 3, 4], kernel[0, 0, 0, 2] = 3.0, 2.0, 1.0
    shares = energy_within(lambda images, edge: torch.nn.functional.conv2d(images, kernel, padding=3), torch.randn(2, 1, 40, 40))
    assert shares[:5] == pytest.approx([9 / 14, 13 / 14, 13 / 14, 1, 1])


def test_a_halo_too_small_shows_and_the_gradient_tells_how_much_is_needed(make_bundle):
    ground = np.random.default_rng(4).normal(0.3, 0.4, (2, 130, 130)).astype(np.float32)
    narrow, wide = (_load(make_bundle(name=f"halo{halo}", halo=halo)) for halo in (4, 24))
    needed = halo_by_gradient(wide, [ground])
    assert 8 <= needed <= 24
    assert changed_by_moving(wide, [ground]) == 0
    check_halo(wide, [ground])
    with pytest.raises(HaloError, match=r"halo of 4 pixels, moved windows change \d+\.\d\d% .* build the bundle with a halo of that"):
        check_halo(narrow, [ground])


def _load(path):
    return load_predictor(str(path), file_sha256(path))
