"""A small network of image series with random weights, its dates told to each other, as a bundle that a place can name."""

import hashlib
from pathlib import Path

import torch

from models.bundle import ModelSpec, write_bundle
from models.series_network import build_series_network
from tests.random_model import BANDS, VALUES

SHAPE = {"in_channels": 3, "widths": [4, 8], "decoder": [4], "dilation": 1, "fold": 1}
ARCHITECTURE = {"kind": "series", **SHAPE, "hidden": [8, 8], "heads": 2, "layers": 1}


def write_random_series_model(path: Path, seed: int = 3) -> str:
    """Its address, with sha256; for layer `a` of Sentinel-2 at 10 m."""
    network = build_series_network(ARCHITECTURE, seed)
    torch.nn.init.normal_(network.change_head.weight, std=0.3)
    torch.nn.init.zeros_(network.change_head.bias)
    for refinement in network.refinements.values():
        torch.nn.init.normal_(refinement.out.weight, std=0.3)
    offset, scale = zip(*(VALUES[band] for band in BANDS), strict=True)
    spec = ModelSpec(
        "random_series", "a", BANDS, ("sentinel2_l2a",), (10, 10), "reflectance", 128, 32, 0.45, ARCHITECTURE,
        {"offset": list(offset), "scale": list(scale), "clip": 5.0}, change={"slope": 0.8, "shift": -0.3, "weight": 0.5, "states": 1.0},
    )  # fmt: skip
    write_bundle(path, spec, {name: value.detach().numpy() for name, value in network.state_dict().items()})
    return f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
