"""A small network with random weights, as a bundle that a place can name."""

import hashlib
from pathlib import Path

from models.bundle import ModelSpec, write_bundle
from models.networks import build_network, folded_tensors

BANDS = ("B02", "B08", "B11")


def write_random_model(path: Path) -> str:
    """Its address, with sha256; for layer `a` of Sentinel-2 at 10 m."""
    architecture = {"kind": "slim_unet", "in_channels": 3, "widths": [4, 8], "decoder": [4], "dilation": 1, "fold": 1}
    normalisation = {"offset": [0.2] * 3, "scale": [0.1] * 3, "clip": 5.0}
    spec = ModelSpec("random", "a", BANDS, ("sentinel2_l2a",), (10, 10), "reflectance", 256, 32, 0.4, architecture, normalisation)
    write_bundle(path, spec, folded_tensors(build_network(architecture, 7)))
    return f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
