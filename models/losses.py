"""Losses on logits, with soft labels and pixel weights; and of two sensors that see the same ground."""

import torch
from torch.nn import functional

EPSILON = 1e-6


def power_jaccard(probabilities: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """1 - Σpy / (Σp² + Σy² - Σpy + 1e-6) over all weighted pixels (Hafner et al., TGRS 2025, p = 2); tensors of one shape, 0-1."""
    product = (weights * probabilities * labels).sum()
    squares = (weights * (probabilities**2 + labels**2)).sum()
    return 1 - product / (squares - product + EPSILON)


def segmentation_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, jaccard_share: float) -> torch.Tensor:
    """Power Jaccard and weighted cross entropy, mixed. Labels 0-1, may be soft; weight 0 = no label."""
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, weights, reduction="sum") / (weights.sum() + EPSILON)
    return jaccard_share * power_jaccard(torch.sigmoid(logits), labels, weights) + (1 - jaccard_share) * entropy


def dual_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, seen: torch.Tensor, jaccard_share: float) -> torch.Tensor:
    """Sum of the losses of both sensors together, of each alone: logits (n, 3, H, W), each where its sensors see the ground, `seen`
    bool (n, 3, H, W) (Hafner et al. 2022, RSE 280, 113192)."""
    each = [segmentation_loss(logits[:, [head]], labels, weights * seen[:, [head]], jaccard_share) for head in range(3)]
    return torch.stack(each).sum()


def consistency_loss(logits: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """How far the answers of each sensor alone are, on ground without labels, from that of both together, which teaches and does not
    learn from them: mean power Jaccard with its probability as label."""
    both = torch.sigmoid(logits[:, 0:1]).detach()
    alone = [power_jaccard(torch.sigmoid(logits[:, [head]]), both, seen[:, 0:1].to(logits.dtype)) for head in (1, 2)]
    return torch.stack(alone).mean()
