"""The weights that come with the project: small, told apart from pickles, free of seams."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from models.bundle import read_tensors
from models.halo import HaloError, check_halo
from models.predictor import load_predictor, predictor_of
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
def test_the_halo_is_wide_enough_for_no_seams_and_half_of_it_is_not(name):
    pin = shipped_models()[name]
    predictor = load_predictor(pin.path, pin.sha256)
    spec, grounds = predictor.spec, [_ground(predictor.spec, predictor.spec.window + 128)]
    assert len(np.unique(predictor.predict(grounds[0][None, :, : spec.window, : spec.window]))) > 20
    check_halo(predictor, grounds)
    tensors = read_tensors(Path(pin.path).read_bytes(), pin.path)
    step = round(predictor.network.stride / min(spec.zooms)) // 2
    half = spec.halo // 2 // step * step
    halved = predictor_of(replace(spec, halo=half), tensors)
    with pytest.raises(HaloError, match=rf"halo of {half} pixels, moved windows change .* build the bundle with a halo"):
        check_halo(halved, grounds)


def _image(path, bands, scale, shape_yx=None):
    with rasterio.open(path) as file:
        return file.read(bands, out_shape=shape_yx and (len(bands), *shape_yx)).astype(np.float32) / scale


def _sentinel2(folder, bands):
    fine = _image(folder / "date1_B02.tif", [1], 10_000).shape[1:]
    return np.concatenate([_image(folder / f"date1_{band}.tif", [1], 10_000, fine) for band in bands])


REAL = {
    "built_up_10m": lambda data, spec: [_sentinel2(data / "oscd_s2" / city, spec.bands) for city in ("mumbai", "hongkong")],
    "built_up_landsat": lambda data, _: [_image(data / "pucallpa" / f"{year}.tif", [4, 3, 2, 1], 255) for year in (1985, 2005)],
    "buildings_15cm": lambda data, _: [_image(data / "kampala" / "kyebando_z20.tif", [1, 2, 3], 255)[..., west:] for west in (0, 512)],
    "buildings_50cm": lambda data, _: [_image(data / "kampala" / "kyebando_z19.tif", [1, 2, 3], 255)[..., west:] for west in (0, 256)],
}


@pytest.mark.parametrize("name", NAMES)
def test_moved_windows_change_no_real_image(real_data, name):
    pin = shipped_models()[name]
    predictor = load_predictor(pin.path, pin.sha256)
    check_halo(predictor, REAL[name](real_data, predictor.spec))
