"""What a network also learns beside what is built, so that buildings side by side stay apart: their edges, and how deep inside a
pixel lies. It tells them while it learns; maps show the depth alone (models/bundle.py)."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

from models.losses import EPSILON

AIDS = ("edge", "distance")
EDGE_PX = 1.5
"""Pixels this near to the other side of an outline are its edge."""
DEEP_PX = 10
"""Pixels from the outline at which a building is as deep as it gets."""


def aid_targets(labels: torch.Tensor, aids: tuple[str, ...]) -> torch.Tensor:
    """Labels 0-1 (n, 1, H, W) to (n, aids, H, W), 0-1. `edge`: 1 on both sides of an outline; `distance`: pixels to the outside, as a
    share of DEEP_PX. What lies beyond the image is neither inside nor outside."""
    made = [_targets(label[0].cpu().numpy() > 0.5, aids) for label in labels]
    return torch.from_numpy(np.stack(made).astype(np.float32)).to(labels.device)


def _targets(built: NDArray[np.bool_], aids: tuple[str, ...]) -> NDArray[np.float64]:
    deep, away = (_distance(mask) for mask in (built, ~built))
    every = {"edge": np.where(built, deep, away) <= EDGE_PX, "distance": np.minimum(deep / DEEP_PX, 1)}
    return np.stack([every[name] for name in aids]).astype(np.float64)


def _distance(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels to the nearest that is not inside; 0 outside, far where all is inside."""
    return np.asarray(distance_transform_edt(inside), np.float64) if not inside.all() else np.full(inside.shape, float(inside.size))


def aid_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, aids: tuple[str, ...]) -> torch.Tensor:
    """Mean cross entropy of logits (n, aids, H, W) with the targets of labels; weight 0 = no label."""
    every = weights.expand_as(logits)
    loss = functional.binary_cross_entropy_with_logits(logits, aid_targets(labels, aids), every, reduction="sum")
    return loss / (every.sum() + EPSILON)
