"""A network of image series: one encoder for every image, features refined along time at each scale, a decoder of states and one of
changes (Hafner et al. 2025, arXiv 2406.17458, with acquisition dates instead of indexes and dates without data left out)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.bundle import Tensors
from models.edges import without_edge
from models.inference import FoldedBody, decoded, decoder_pairs, present

Edges = Sequence[tuple[int, int]]

SHORTEST_DAYS, LONGEST_DAYS = 60.0, 60 * 365.25
"""Periods of the sinusoids by which dates are told apart."""
SELDOM = -3.0
"""First logit of a change."""


class Refinement(nn.Module):
    """Attention along time at each pixel; (n, T, width, h, w) → the same. It begins as if it were not there.

    Only how far dates lie apart matters: days are counted from their mean."""

    def __init__(self, width: int, hidden: int, heads: int, layers: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        layer = nn.TransformerEncoderLayer(hidden, heads, 2 * hidden, dropout=0.0, activation="gelu", batch_first=True)
        self.attention = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor, days: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """`days` (n, T); `seen` bool (n, T, 1, h, w): dates that show a pixel; those that do not are attended to by none."""
        n, dates, width, height, across = features.shape
        tokens = features.permute(0, 3, 4, 1, 2).reshape(-1, dates, width)
        code = date_code(days, self.hidden)[:, None].expand(n, height * across, dates, self.hidden).reshape(-1, dates, self.hidden)
        shown = seen.permute(0, 3, 4, 1, 2).reshape(-1, dates)
        hidden = ~shown & shown.any(1, keepdim=True)
        refined: torch.Tensor = self.out(self.attention(self.into(tokens) + code, src_key_padding_mask=hidden))
        placed = refined.reshape(n, height, across, dates, width).permute(0, 3, 4, 1, 2)
        return features + placed


def date_code(days: torch.Tensor, width: int) -> torch.Tensor:
    """Sinusoids (n, T, width) of days (n, T) from their mean."""
    periods = torch.logspace(math.log10(SHORTEST_DAYS), math.log10(LONGEST_DAYS), width // 2, device=days.device)
    angle = (days - days.mean(1, keepdim=True))[..., None] / periods * (2 * math.pi)
    return torch.cat([angle.sin(), angle.cos()], -1)


class SeriesNetwork(nn.Module):
    """Normalised images (n, T, in_channels, H, W), 0 without data, and days (n, T) → logits of what is built at each date (n, T, H, W) and
    of a change along each edge (n, E, H, W), less `edge` pixels on every side. Any number of dates.

    `architecture`: of a slim U-Net (models/networks.py), with `hidden` (a width of attention for each scale), `heads`, `layers`."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        widths, decoder = list(architecture["widths"]), list(architecture["decoder"])
        self.body = FoldedBody(architecture, int(architecture["in_channels"]))
        self.fold, self.stride = self.body.fold, self.body.stride
        sizes = zip(widths, architecture["hidden"], strict=True)
        self.refinements = nn.ModuleList(Refinement(*each, int(architecture["heads"]), int(architecture["layers"])) for each in sizes)
        self.change = decoder_pairs(widths, decoder)
        self.head, self.change_head = (nn.Conv2d(decoder[-1], self.fold**2, 3, padding=1) for _ in range(2))
        nn.init.constant_(self.change_head.bias, SELDOM)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor, days: torch.Tensor, edges: Edges, edge: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        refined = self._refined(images, days)
        states = self._logits(self.body.decoder, self.head, refined, edge)
        if not edges:
            return states, states[:, :0]
        first, second = ([pair[end] for pair in edges] for end in (0, 1))
        return states, self._logits(self.change, self.change_head, [each[:, second] - each[:, first] for each in refined], edge)

    def _refined(self, images: torch.Tensor, days: torch.Tensor) -> list[torch.Tensor]:
        shape, flat = images.shape[:2], images.flatten(0, 1)
        seen = functional.max_pool2d(present(flat).float(), self.fold)
        result = []
        for scale, (features, refine) in enumerate(zip(self.body.encoded(flat), self.refinements, strict=True)):
            seen = functional.max_pool2d(seen, 2) if scale else seen
            result.append(refine(features.reshape(*shape, *features.shape[1:]), days, seen.reshape(*shape, *seen.shape[1:]) > 0))
        return result

    def _logits(self, decoder: nn.ModuleList, head: nn.Module, features: list[torch.Tensor], edge: int) -> torch.Tensor:
        shape = features[0].shape[:2]
        found = head(decoded(decoder, [each.flatten(0, 1) for each in features], edge // self.fold))
        logits = without_edge(functional.pixel_shuffle(found, self.fold), edge - self.body.left_out(edge))
        return logits.reshape(*shape, *logits.shape[2:])


def from_single_images(network: SeriesNetwork, tensors: Tensors) -> SeriesNetwork:
    """The network with encoder, decoder and head of a slim U-Net's weights: each date's logits are the U-Net's until it has learned."""
    held = network.state_dict()
    taken = {name if name.startswith("head.") else f"body.{name}": torch.from_numpy(values) for name, values in tensors.items()}
    network.load_state_dict({**held, **taken})
    return network
