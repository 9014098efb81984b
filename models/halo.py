"""How much ground a network needs around what is kept: by the gradient of what it gives, and by what changes when its windows are moved."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.backends import Network
from models.predictor import Predictor

REST = 1e-7
"""Share of the gradient's energy that may come from further off. Shipped networks whose halo leaves out more were seen to change."""
MOST_CHANGED = 1e-4
"""Share of pixels that may change by more than one step when the windows are moved."""
GROUNDS = 4
"""Images that are enough to measure on."""
Ground = NDArray[Any]


class HaloError(ValueError):
    """A halo that shows where windows meet."""


def halo_figures(predictor: Predictor, grounds: Sequence[Ground]) -> dict[str, float]:
    """For the model card: `halo_by_gradient`, pixels, and `changed_percent` of pixels when the windows are moved, from a few of the images
    (bands, H, W)."""
    few = grounds[:GROUNDS]
    return {"halo_by_gradient": float(halo_by_gradient(predictor, few)), "changed_percent": 100 * changed_by_moving(predictor, few)}


def check_halo(predictor: Predictor, grounds: Sequence[Ground]) -> None:
    """Raises HaloError where moving the windows over images (bands, H, W) changes MOST_CHANGED of the pixels, or more."""
    changed = changed_by_moving(predictor, grounds)
    if changed >= MOST_CHANGED:
        spec = predictor.spec
        needed = halo_by_gradient(predictor, grounds)
        raise HaloError(
            f"model {spec.name}: with a halo of {spec.halo} pixels, moved windows change {changed:.2%} of pixels by more than one step, "
            f"{MOST_CHANGED:.2%} is allowed; its gradient reaches {needed} pixels: build the bundle with a halo of that"
        )


def changed_by_moving(predictor: Predictor, grounds: Sequence[Ground]) -> float:
    """Share of pixels that change by more than one uint8 step when windows are moved by one stride of the network, and by half a centre."""
    stride = _stride(predictor)
    half = predictor.spec.centre // 2 // stride * stride
    counts = np.zeros(2, np.int64)
    for ground in grounds:
        for shift in sorted({stride, half} - {0}):
            counts += _changes(predictor, ground, shift)
    return float(counts[0] / counts[1])


def halo_by_gradient(predictor: Predictor, grounds: Sequence[Ground]) -> int:
    """Pixels around, beyond which at most REST of the gradient's energy lies, at any zoom; a multiple of half the network's stride, so that
    windows are one of the whole."""
    spec = predictor.spec
    windows = np.stack([_of_side(ground, spec.window) for ground in grounds]).astype(np.float32)
    images = torch.from_numpy(predictor.normalised(windows))
    reach = max(int(np.searchsorted(energy_within(predictor.network, predictor.look(images, zoom)), 1 - REST)) for zoom in spec.zooms)
    step = _stride(predictor) / 2
    return round(math.ceil(reach / min(spec.zooms) / step) * step)


def energy_within(network: Network, images: torch.Tensor) -> NDArray[np.float64]:
    """Share of the gradient's energy that lies within r = 0, 1, … pixels, along rows or columns, of the pixel whose logit it is of.

    `images`: (n, bands, side, side), normalised; the pixels are nine in the middle. Energy is the squared gradient summed over bands,
    images and pixels; the effective receptive field of Luo et al. 2016 (arXiv 1701.04128), which they draw for one pixel.
    """
    side = images.shape[-1]
    energy = np.zeros(side)
    images = images.clone().requires_grad_()
    logits = network(images, 0)
    for y, x in product(range(side // 2, side // 2 + 9, 3), repeat=2):
        (gradient,) = torch.autograd.grad(logits[:, 0, y, x].sum(), images, retain_graph=True)
        rows, columns = np.ogrid[-y : side - y, -x : side - x]
        away = np.maximum(abs(rows), abs(columns))
        energy += np.bincount(away.ravel(), gradient.square().sum((0, 1)).numpy().ravel(), side)
    shares: NDArray[np.float64] = np.cumsum(energy) / energy.sum()
    return shares


def _stride(predictor: Predictor) -> int:
    """Pixels by which all looks may be moved without another rounding of their coarse scales."""
    return round(predictor.network.stride / min(predictor.spec.zooms))


def _changes(predictor: Predictor, ground: Ground, shift: int) -> tuple[int, int]:
    """Pixels that change, and all that both windows keep."""
    side = predictor.spec.window
    seen = _of_side(ground, side + shift).astype(np.float32)
    windows = np.stack([seen[:, :side, :side], seen[:, shift:, shift:]])
    before, after = predictor.predict(windows).astype(np.int16)
    changed = np.abs(before[shift:, shift:] - after[:-shift, :-shift]) > 1
    return int(np.count_nonzero(changed)), changed.size


def _of_side(ground: Ground, side: int) -> Ground:
    """(bands, side, side): the image's corner, mirrored on where it is smaller."""
    beyond = [(0, 0), *((0, max(side - size, 0)) for size in ground.shape[1:])]
    return np.pad(ground, beyond, mode="symmetric")[:, :side, :side]
