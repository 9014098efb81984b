"""Crops as a network sees them in training: turned, scaled, and lit as another sensor, hour or air would show them."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from conf.windows import FULL_LABEL, FULL_WEIGHT
from models.snow import snowed
from models.windows import Window


@dataclass(frozen=True)
class Augmentation:
    """How far crops are changed. Values are physical, 0-1; all spreads are standard deviations unless said otherwise."""

    plain: float = 0.0
    """Share of crops whose light is left as it is."""
    turn: bool = False
    """Turn by any angle and scale (resamples); else only flips and quarter turns."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom, for `turn`."""
    gain: float = 0.0
    """Of one factor for all bands (log)."""
    band_gain: float = 0.0
    """Of a factor per band (log)."""
    offset: float = 0.0
    """Of a summand for all bands."""
    band_offset: float = 0.0
    """Of a summand per band."""
    mix: float = 0.0
    """Of the shares that bands take over from each other: other paints, other cameras; greys stay grey."""
    gamma: float = 0.0
    """Of the exponent (log); values are clipped to 0-1 first."""
    noise: float = 0.0
    """Largest standard deviation of noise per pixel and band."""
    blur: float = 0.0
    """Share of crops blurred by a pixel."""
    soften: float = 0.0
    """Share of crops whose contrast with the mean of 9 x 9 pixels is lessened."""
    haze: float = 0.0
    """Largest share of a bright veil."""
    holes: float = 0.0
    """Share of crops with a rectangle of no data."""
    beside: int = 0
    """The last so many bands are a second sensor's, in dB: its own light, and a summand of its own."""
    beside_offset: float = 0.0
    """Of one summand for the bands beside, dB."""
    dropped: float = 0.0
    """Share of crops that the main sensor does not see, and of those that the second does not."""
    snow: float = 0.0
    """Share of crops under snow."""
    snow_reflectance: tuple[float, ...] = ()
    """Of each band in full sun, 0-1, in order of wavelength; needed where `snow` is."""

    def __post_init__(self) -> None:
        if self.snow and not self.snow_reflectance:
            raise ValueError(f"snow {self.snow} without snow_reflectance: give the reflectance of snow in each band")


class Crops(NamedTuple):
    """A batch: normalised images (n, bands, side, side), labels 0-1 and weights (n, 1, side, side)."""

    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


class Normaliser:
    """clip((value - offset) / scale), no data to 0, as the predictor does; tensors (..., bands, height, width)."""

    def __init__(self, offset: list[float], scale: list[float], clip: float) -> None:
        self._offset = torch.tensor(offset).reshape(-1, 1, 1)
        self._scale = torch.tensor(scale).reshape(-1, 1, 1)
        self._clip = clip

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        normal = (values - self._offset) / self._scale
        return torch.nan_to_num(normal.clamp(-self._clip, self._clip), nan=0.0)


def draw_crops(
    windows: list[Window], count: int, side: int, normalise: Normaliser, change: Augmentation, random: np.random.Generator
) -> Crops:
    """`count` crops, windows drawn by share times pixels."""
    odds = np.array([window.share * window.labels.size for window in windows], np.float64)
    picks = random.choice(len(windows), count, p=odds / odds.sum())
    drawn = [under_snow(*_crop(windows[pick], side, change, random), change, random) for pick in picks]
    images = torch.stack([normalise(relit(values, change, random)) for values, _, _ in drawn])
    labels, weights = (torch.stack([item[part] for item in drawn]) for part in (1, 2))
    return Crops(images, labels, weights)


def _crop(window: Window, side: int, change: Augmentation, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _turned(window, side, change, random) if change.turn else _cut(window, side, random)


def relit(values: torch.Tensor, change: Augmentation, random: np.random.Generator) -> torch.Tensor:
    """The light of one sensor, or of both, each with its own holes."""
    if not change.beside:
        return _holed(_lit(values, change, random), change, random)
    main, beside = values[: -change.beside], values[-change.beside :]
    parts = [_lit(main, change, random), beside + float(random.normal(0, change.beside_offset))]
    lost = lost_sensor(change.dropped, random)
    return torch.cat(
        [torch.full_like(part, torch.nan) if number == lost else _holed(part, change, random) for number, part in enumerate(parts)]
    )


def lost_sensor(share: float, random: np.random.Generator) -> int:
    """0, the main one, or 1, the one beside it, each in this share of cases; 2: neither."""
    fate = float(random.uniform())
    return (fate >= share) + (fate >= 2 * share)


def under_snow(
    values: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, change: Augmentation, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A crop's values, labels and weights, in some cases with snow on its ground."""
    if change.snow and random.uniform() < change.snow:
        lit = len(values) - change.beside
        white, weights = snowed(values[:lit], labels, weights, change.snow_reflectance, random)
        values = torch.cat([white, values[lit:]])
    return values, labels, weights


def _cut(window: Window, side: int, random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    height, width = window.labels.shape
    top, left = (int(random.integers(0, max(size - side, 0) + 1)) for size in (height, width))
    block = np.s_[top : top + side, left : left + side]
    values = square_of(window.values[:, *block], side, np.nan)
    labels = square_of(window.labels[block][None], side, 0) / FULL_LABEL
    weights = square_of(window.weights[block][None], side, 0) / FULL_WEIGHT
    turns, flip = int(random.integers(4)), bool(random.integers(2))
    return quarter_turned(values, turns, flip), quarter_turned(labels, turns, flip), quarter_turned(weights, turns, flip)


def square_of(part: NDArray[Any], side: int, fill: float) -> torch.Tensor:
    """(bands, height, width), neither above `side`, to (bands, side, side); what is added is `fill`."""
    missing = [(0, 0), (0, side - part.shape[1]), (0, side - part.shape[2])]
    return torch.from_numpy(np.pad(part.astype(np.float32), missing, constant_values=fill))


def quarter_turned(part: torch.Tensor, turns: int, flip: bool) -> torch.Tensor:
    """Rows and columns, the last two axes, turned by so many quarters, and mirrored."""
    turned = torch.rot90(part, turns, (-2, -1))
    return turned.flip(-1) if flip else turned


def _turned(
    window: Window, side: int, change: Augmentation, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low, high = np.log(change.scale)
    zoom, angle = float(np.exp(random.uniform(low, high))), float(random.uniform(0, 2 * math.pi))
    reach = math.ceil(side / zoom * math.sqrt(0.5)) + 2
    height, width = window.labels.shape
    row, col = (float(random.uniform(min(side / 3, size / 2), max(size - side / 3, size / 2))) for size in (height, width))
    top, left = max(int(row) - reach, 0), max(int(col) - reach, 0)
    block = np.s_[top : int(row) + reach, left : int(col) + reach]
    grid = _sampling_grid(side, zoom, angle, bool(random.integers(2)), (row - top, col - left), window.labels[block].shape)
    values = torch.from_numpy(window.values[:, *block].astype(np.float32))
    masks = torch.from_numpy(np.stack([window.labels[block] / FULL_LABEL, window.weights[block] / FULL_WEIGHT]).astype(np.float32))
    missing = torch.isnan(values).any(0, keepdim=True).float() - 1
    sampled = functional.grid_sample(torch.nan_to_num(values)[None], grid, align_corners=False)[0]
    layers = functional.grid_sample(torch.cat([masks, missing])[None], grid, align_corners=False)[0]
    labels, weights, present = (layers[index : index + 1] for index in range(3))
    return torch.where(present > -0.99, torch.nan, sampled), labels, weights


def _sampling_grid(
    side: int, zoom: float, angle: float, flip: bool, centre: tuple[float, float], shape_yx: tuple[int, int]
) -> torch.Tensor:
    steps = (torch.arange(side) - (side - 1) / 2) / zoom
    y, x = torch.meshgrid(steps, -steps if flip else steps, indexing="ij")
    rows = centre[0] + y * math.cos(angle) + x * math.sin(angle)
    cols = centre[1] - y * math.sin(angle) + x * math.cos(angle)
    return torch.stack([2 * cols / shape_yx[1] - 1, 2 * rows / shape_yx[0] - 1], -1)[None].float()


def _lit(values: torch.Tensor, change: Augmentation, random: np.random.Generator) -> torch.Tensor:
    if change.plain and random.uniform() < change.plain:
        return values
    bands = len(values)
    gain = np.exp(random.normal(0, change.gain) + random.normal(0, change.band_gain, bands))
    offset = random.normal(0, change.offset) + random.normal(0, change.band_offset, bands)
    lit = (_mixed(values, change.mix, random) if change.mix else values) * _column(gain) + _column(offset)
    if change.gamma:
        lit = lit.clamp(0, 1) ** float(np.exp(random.normal(0, change.gamma)))
    veil = change.haze * float(random.uniform()) ** 2
    lit = lit * (1 - veil) + veil * float(random.uniform(0.3, 0.9))
    if random.uniform() < change.blur:
        lit = functional.avg_pool2d(functional.pad(lit[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    if change.soften and random.uniform() < change.soften:
        around = functional.avg_pool2d(functional.pad(lit[None], (4, 4, 4, 4), mode="replicate"), 9, 1)[0]
        lit = around + (lit - around) * float(random.uniform(0.25, 1))
    sigma = change.noise * float(random.uniform())
    return lit + torch.from_numpy(random.standard_normal(lit.shape, np.float32)) * sigma if sigma else lit


def _mixed(values: torch.Tensor, spread: float, random: np.random.Generator) -> torch.Tensor:
    """Each band plus shares of its differences to the others."""
    shares = random.normal(0, spread, (len(values), len(values)))
    weights = np.eye(len(values)) + shares - np.diag(shares.sum(1))
    return torch.einsum("ij,jyx->iyx", torch.from_numpy(weights.astype(np.float32)), values)


def _holed(values: torch.Tensor, change: Augmentation, random: np.random.Generator) -> torch.Tensor:
    if random.uniform() < change.holes:
        side = values.shape[1]
        top, left = (int(random.integers(0, side)) for _ in range(2))
        high, wide = (int(random.integers(1, side // 2)) for _ in range(2))
        values = values.clone()
        values[:, top : top + high, left : left + wide] = torch.nan
    return values


def _column(numbers: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(numbers.astype(np.float32)).reshape(-1, 1, 1)
