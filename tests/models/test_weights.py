"""The weights that come with the project: small, told apart from pickles, free of seams."""

import numpy as np
import pytest

from models.predictor import load_predictor
from models.registry import WEIGHTS, shipped_models

NAMES = ("built_up_10m", "built_up_landsat", "buildings_15cm", "buildings_50cm")


def test_small_bundles_with_cards_named_as_their_layers():
    pins = shipped_models()
    assert set(pins) == set(NAMES)
    for name, pin in pins.items():
        spec = load_predictor(pin.path, pin.sha256).spec
        assert (spec.name, spec.layer) == (name, name)
        card = (WEIGHTS / name / "CARD.md").read_text()
        assert pin.sha256[:16] in card
        assert f"train.network={name}" in card
    assert all(path.stat().st_size < 10_000_000 for path in WEIGHTS.rglob("*"))


def _ground(spec, side):
    """Blocks of a few materials, as far apart as the network's normalisation expects, with grain."""
    random = np.random.default_rng(8)
    materials = random.normal(0, 1, (6, len(spec.bands)))
    cells = np.kron(random.integers(0, 6, (side // 12 + 1, side // 7 + 1)), np.ones((12, 7), int))[:side, :side]
    normal = np.moveaxis(materials[cells], -1, 0) + random.normal(0, 0.2, (len(spec.bands), side, side))
    offset, scale = (np.reshape(spec.normalisation[name], (-1, 1, 1)) for name in ("offset", "scale"))
    return (normal * scale + offset).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_the_halo_is_wide_enough_for_no_seams(name):
    """Shifting the windows by multiples of the stride changes less than 0.01 % of pixels by more than one step."""
    pin = shipped_models()[name]
    predictor = load_predictor(pin.path, pin.sha256)
    stride = round(predictor._network.stride / min(predictor.spec.zooms))
    side = 256 + 2 * predictor.spec.halo
    ground = _ground(predictor.spec, side + 160)
    assert predictor.spec.centre % stride == 0
    assert all(predictor.spec.halo_at(zoom) * zoom % predictor._network.stride == 0 for zoom in predictor.spec.zooms)
    whole = predictor.predict(ground[None, :, :side, :side])[0].astype(int)
    for shift in (shift for shift in sorted({stride, 5 * stride, 128, 160}) if shift % stride == 0 and shift < 192):
        moved = predictor.predict(ground[None, :, shift : shift + side, shift : shift + side])[0].astype(int)
        apart = np.abs(whole[shift:, shift:] - moved[:-shift, :-shift]) > 1
        assert apart.mean() < 1e-4
    assert len(np.unique(whole)) > 20
