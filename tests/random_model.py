"""A small network with random weights, as a bundle that a place can name."""

import hashlib
from pathlib import Path

from models.bundle import Beside, ModelSpec, write_bundle
from models.networks import build_network, folded_tensors

BANDS = ("B02", "B08", "B11")
RADAR = Beside(("sentinel1_grd",), ("VV", "VH"))
VALUES = {"B02": (0.2, 0.1), "B08": (0.2, 0.1), "B11": (0.2, 0.1), "VV": (-11.0, 4.0), "VH": (-18.0, 4.0)}
"""Offset and scale of each."""


def write_random_model(path: Path, bands: tuple[str, ...] = BANDS, beside: Beside | None = None) -> str:
    """Its address, with sha256; for layer `a` of Sentinel-2 at 10 m, and what is beside it."""
    channels = (*bands, *(beside.bands if beside else ()))
    architecture = {"kind": "slim_unet", "in_channels": len(channels), "widths": [4, 8], "decoder": [4], "dilation": 1, "fold": 1}
    offset, scale = zip(*(VALUES[channel] for channel in channels), strict=True)
    normalisation = {"offset": list(offset), "scale": list(scale), "clip": 5.0}
    sensors = ("sentinel2_l2a",)
    spec = ModelSpec(
        "random", "a", bands, sensors, (10, 10), "reflectance", 256, 32, 0.4, architecture, normalisation, beside=beside
    )  # fmt: skip
    write_bundle(path, spec, folded_tensors(build_network(architecture, 7)))
    return f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
