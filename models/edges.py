"""No more than what is kept: which edges a decoder need not compute. What is left is the same, up to rounding."""

import torch

REACH = 2
"""Pixels that a pair of 3 x 3 convolutions sees around."""
HEAD = 1
"""Pixels that the head sees around."""


def decoder_edges(edge: int, stages: int) -> list[int]:
    """Pixels that each stage of a decoder may leave out on every side, coarsest first, where `edge` of its last are not needed.

    Even, as each stage begins by doubling the pixels of the one before.
    """
    needed, edges = edge - HEAD, []
    for _ in range(stages):
        left_out = max(needed - REACH, 0) // 2 * 2
        edges.append(left_out)
        needed = left_out // 2
    return edges[::-1]


def without_edge(images: torch.Tensor, edge: int) -> torch.Tensor:
    """(n, bands, H, W) → (n, bands, H - 2 edge, W - 2 edge); a view."""
    height, width = images.shape[2:]
    return images[..., edge : height - edge, edge : width - edge]
