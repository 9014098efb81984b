"""Sentinel-1-like backscatter of a simulated city."""

import datetime as dt

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.simulation.city import City
from udfs.simulation.land import shares
from udfs.simulation.looks import Look
from udfs.simulation.optical import greenness
from udfs.simulation.seeds import Floats, generator, smooth_noise
from udfs.simulation.spectra import COVERS, ROOFS

PIXEL_M = 10.0
LOOKS = 4.9
"""Equivalent number of looks of ground range detected, interferometric wide swath images."""

# Typical backscatter, dB: VV, VH.
_DECIBEL = {
    "water": (-22.0, -29.0), "tree": (-9.5, -14.5), "grass": (-13.0, -19.5), "scrub": (-11.5, -17.5), "fallow": (-13.0, -21.0),
    "rock": (-12.0, -19.0), "sand": (-17.0, -25.0), "dirt": (-13.5, -21.5), "ballast": (-10.0, -18.0), "asphalt": (-14.5, -22.5),
    "pavement": (-12.5, -20.5), "crop_0": (-11.5, -17.0), "crop_1": (-12.5, -18.5), "crop_2": (-10.5, -16.5), "crop_3": (-12.0, -18.0),
}  # fmt: skip
_ROOF = (-1.5, -9.0)
_ROOF_OFFSET = {"thatch": -5.0, "metal_bright": 0.8, "concrete": 0.4}
_BARE = ("fallow", "dirt", "rock", "sand", "ballast")
_BARE_GAIN, _LEAF_GAIN = 6.0, 2.0
"""dB between the driest and the lushest season: wet soil and full leaves scatter more."""
_SPREAD, _WALL_SPREAD = 12.0, 20.0
"""dB per unit of a look's spectral spread: of each cover, and of all buildings together, for walls are higher here than there."""


def render_sentinel1(city: City, when: dt.date) -> dict[str, Floats]:
    """VV and VH in dB, float32 (rows, cols) at 10 m, row 0 north. Walls and ground reflect twice, most where they face the radar."""
    lit = shares(city, when.year, PIXEL_M).lit
    keys = ("sentinel1", *city.key, when.isoformat())
    levels = _levels(city.look, greenness(city, when), generator("wet", *keys).normal(0, 0.6))
    facing = 1 + 0.55 * np.tanh(smooth_noise(lit.shape[1:], 35, "facing", *city.key))
    images = {}
    for number, name in enumerate(("VV", "VH")):
        power = np.zeros(lit.shape[1:], np.float32)
        for code, cover in enumerate(COVERS):
            share = lit[code] * facing if cover in ROOFS else lit[code]
            power += np.float32(10 ** (levels[number, code] / 10)) * share.astype(np.float32)
        speckle = generator("speckle", name, *keys).gamma(LOOKS, 1 / LOOKS, power.shape)
        # Neighbouring pixels share part of their speckle.
        seen = ndimage.gaussian_filter(power * speckle, 0.5)
        images[name] = np.asarray(10 * np.log10(np.maximum(seen, 10**-3.5)), np.float32)
    return images


def _levels(look: Look, greenness: float, wet: float) -> NDArray[np.float64]:
    """Backscatter of each cover, dB (2, len(COVERS)), under a look, a season (0 driest, 1 lushest) and a day's wetness (dB)."""
    draw = generator("echo", look.name)
    own = draw.normal(0, _SPREAD * look.spectral_spread, (1, len(COVERS))) + draw.normal(
        0, _SPREAD * look.spectral_spread / 3, (2, len(COVERS))
    )
    walls = draw.normal(0, _WALL_SPREAD * look.spectral_spread)
    table = np.array([[_DECIBEL.get(cover, _ROOF)[number] for cover in COVERS] for number in range(2)])
    season = greenness - 0.5
    for code, cover in enumerate(COVERS):
        if cover in ROOFS:
            table[:, code] += walls + _ROOF_OFFSET.get(cover, 0)
        elif cover != "water":
            table[:, code] += wet + season * (_BARE_GAIN if cover in _BARE else _LEAF_GAIN)
    return np.asarray(table + own)
