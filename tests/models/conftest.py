"""A tiny bundle, made in milliseconds, for every test that needs a file rather than a good network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle import ModelSpec, write_bundle
from models.networks import build_network, folded_tensors

TINY = ModelSpec(
    name="tiny",
    layer="tiny",
    bands=("red", "nir"),
    sensors=("rgb",),
    gsd_range=(5, 20),
    values="reflectance",
    centre=32,
    halo=16,
    threshold=0.4,
    architecture={"kind": "slim_unet", "in_channels": 2, "widths": [4, 6, 8], "decoder": [6, 4], "dilation": 1, "fold": 1},
    normalisation={"offset": [0.2, 0.3], "scale": [0.1, 0.2], "clip": 6.0},
)


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """A function from changed spec fields to the path of a bundle."""

    def make(**changes: object) -> Path:
        spec = replace(TINY, **changes)  # type: ignore[arg-type]
        path = tmp_path / spec.name / "model.safetensors"
        write_bundle(path, spec, folded_tensors(build_network(spec.architecture, seed=3)))
        return path

    return make
