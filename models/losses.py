"""Losses on logits, with soft labels and pixel weights."""

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
