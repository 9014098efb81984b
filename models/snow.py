"""Snow over a crop: where it lies whole nothing can be told of what is under it, and open ground under it is not built."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

BURIED = 0.5
"""Cover from which a label of built-up says nothing any more."""


class Snowfall(NamedTuple):
    """Fields (1, side, side): `cover` 0-1, and `light`, 1 in full sun, less on slopes and in the shade of trees."""

    cover: torch.Tensor
    light: torch.Tensor


def snowfall(side: int, random: np.random.Generator) -> Snowfall:
    """Drifts and bare spots; woods, whose crowns show through and throw shade; slopes towards the sun and away."""
    woods = torch.sigmoid(8 * (_field(side, 24, random) + float(random.uniform(-1.5, 1.0))))
    crowns = torch.sigmoid(4 * (_field(side, 2, random) + 0.5 * _field(side, 5, random)))
    depth = float(random.uniform(-0.5, 2.5)) + _field(side, 20, random) + 0.5 * _field(side, 4, random)
    cover = torch.sigmoid(3 * depth) * (1 - float(random.uniform(0.3, 0.95)) * woods * crowns)
    sun = float(np.exp(random.normal(-0.5, 0.4)))
    slopes = torch.exp(0.35 * _field(side, 16, random) + 0.12 * _field(side, 3, random))
    shade = 1 - float(random.uniform(0.3, 0.85)) * woods * torch.sigmoid(4 * _field(side, 2, random))
    return Snowfall(cover, (sun * slopes * shade).clamp(0.03, 1.3))


def snowed(
    values: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, reflectance: tuple[float, ...], random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (bands, side, side) and weights (1, side, side) of a crop under snow of this `reflectance` per band in full sun, 0-1.

    What shows through is lit as the snow is. Shade is bluer than sun: bands, in order of wavelength, lose unequally.
    """
    snow = snowfall(values.shape[1], random)
    losses = torch.linspace(0.8, 1.2, len(reflectance)).reshape(-1, 1, 1)
    white = torch.tensor(reflectance).reshape(-1, 1, 1) * snow.light**losses
    lit = values * snow.light.clamp(max=1.0) ** 0.5
    covered = lit * (1 - snow.cover) + white * snow.cover
    return covered, torch.where((labels > 0) & (snow.cover > BURIED), 0.0, weights)


def _field(side: int, grain: int, random: np.random.Generator) -> torch.Tensor:
    """Smooth noise (1, side, side) of about unit spread, that varies over `grain` pixels."""
    small = max(side // grain, 1) + 3
    noise = torch.from_numpy(random.standard_normal((1, 1, small, small), np.float32))
    large = functional.interpolate(noise, scale_factor=grain, mode="bicubic", align_corners=False)[0]
    top, left = (int(random.integers(0, grain + 1)) for _ in range(2))
    return large[:, grain + top : grain + top + side, grain + left : grain + left + side]
