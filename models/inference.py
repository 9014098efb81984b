"""The network as it runs: convolutions with their normalisation folded in, and nothing but torch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class FoldedUnet(nn.Module):
    """The U-Net of models/networks.py in inference form; (n, bands, H, W) float32 → logits (n, 1, H, W).

    `architecture`: in_channels, widths of the encoder (one per scale, each half the one before), decoder widths, `dilation`
    of the coarsest scale, and `fold`: pixels of a fold x fold square are put into channels first and taken out last,
    so that fine images are seen at coarse cost.
    """

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.fold = int(architecture["fold"])
        widths, decoder = list(architecture["widths"]), list(architecture["decoder"])
        inputs = [int(architecture["in_channels"]) * self.fold**2, *widths[:-1]]
        dilations = [1] * (len(widths) - 1) + [int(architecture["dilation"])]
        self.encoder = nn.ModuleList(map(_pair, inputs, widths, dilations))
        above = [widths[-1], *decoder[:-1]]
        self.decoder = nn.ModuleList(map(_pair, map(sum, zip(above, widths[-2::-1], strict=True)), decoder, [1] * len(decoder)))
        self.head = nn.Conv2d(decoder[-1], self.fold**2, 3, padding=1)

    @property
    def stride(self) -> int:
        """Pixels by which windows may be shifted without another rounding of the coarse scales."""
        return int(self.fold * 2 ** (len(self.encoder) - 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = functional.pixel_unshuffle(images, self.fold)
        skips: list[torch.Tensor] = []
        for scale, pair in enumerate(self.encoder):
            x = _run(pair, functional.max_pool2d(x, 2) if scale else x)
            skips.append(x)
        for pair, skip in zip(self.decoder, skips[-2::-1], strict=True):
            x = functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = _run(pair, torch.cat([x, skip], dim=1))
        return functional.pixel_shuffle(self.head(x), self.fold)


def _pair(inputs: int, outputs: int, dilation: int) -> nn.ModuleList:
    sizes = ((inputs, outputs), (outputs, outputs))
    return nn.ModuleList([nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation) for before, after in sizes])


def _run(pair: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for convolution in pair.children():
        x = functional.relu(convolution(x), inplace=True)
    return x
