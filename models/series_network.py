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
PIXELS_AT_ONCE = 16_384
"""Whose dates attend to each other at once, where nothing is learned: tokens of all would need a gigabyte."""
FIRST = "body.encoder.0.0.weight"
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
        tokens = features.permute(0, 3, 4, 1, 2).reshape(n, -1, dates, width)
        shown = seen.permute(0, 3, 4, 1, 2).reshape(n, -1, dates)
        code = date_code(days, self.hidden)[:, None]
        at_once = PIXELS_AT_ONCE if not self.training else tokens.shape[1]
        parts = zip(torch.split(tokens, at_once, 1), torch.split(shown, at_once, 1), strict=True)
        refined = torch.cat([self._attended(part, code, known) for part, known in parts], 1)
        placed: torch.Tensor = refined.reshape(n, height, across, dates, width).permute(0, 3, 4, 1, 2)
        return features + placed

    def _attended(self, tokens: torch.Tensor, code: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """Of tokens (n, pixels, T, width)."""
        flat, known = (self.into(tokens) + code).flatten(0, 1), shown.flatten(0, 1)
        attended: torch.Tensor = self.attention(flat, src_key_padding_mask=~known & known.any(1, keepdim=True))
        refined: torch.Tensor = self.out(attended)
        return refined.reshape(tokens.shape)


def date_code(days: torch.Tensor, width: int) -> torch.Tensor:
    """Sinusoids (n, T, width) of days (n, T) from their mean."""
    periods = torch.logspace(math.log10(SHORTEST_DAYS), math.log10(LONGEST_DAYS), width // 2, device=days.device)
    angle = (days - days.mean(1, keepdim=True))[..., None] / periods * (2 * math.pi)
    return torch.cat([angle.sin(), angle.cos()], -1)


class SeriesNetwork(nn.Module):
    """Normalised images (n, T, in_channels, H, W), 0 without data, and days (n, T) → logits of what is built at each date (n, T, H, W) and
    of a change along each edge (n, E, H, W), less `edge` pixels on every side. Any number of dates.

    `architecture`: of a slim U-Net (models/networks.py), with `hidden` (a width of attention for each scale, 0 for none there), `heads`,
    `layers`; without layers dates know nothing of each other. `frozen`: encoder and states stay those of the network of images that it
    begins with, and only changes are learned. `dropout`: share of the differences of features that each crop learns without, where labels
    are few."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        widths, decoder = list(architecture["widths"]), list(architecture["decoder"])
        self.body = FoldedBody(architecture, int(architecture["in_channels"]))
        self.fold, self.stride = self.body.fold, self.body.stride
        self.frozen = bool(architecture.get("frozen", False))
        heads, layers = int(architecture["heads"]), int(architecture["layers"])
        sizes = enumerate(zip(widths, architecture["hidden"], strict=True))
        self.refinements = nn.ModuleDict({str(scale): Refinement(*size, heads, layers) for scale, size in sizes if layers and size[1]})
        self.change, self.dropout = decoder_pairs(widths, decoder), nn.Dropout2d(float(architecture.get("dropout", 0.0)))
        self.head, self.change_head = (nn.Conv2d(decoder[-1], self.fold**2, 3, padding=1) for _ in range(2))
        nn.init.constant_(self.change_head.bias, SELDOM)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor, days: torch.Tensor, edges: Edges, edge: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        encoded = self._encoded(images)
        refined = self._refined(encoded, images, days)
        states = self._logits(self.body.decoder, self.head, encoded if self.frozen else refined, edge)
        if not edges:
            return states, states[:, :0]
        first, second = ([pair[end] for pair in edges] for end in (0, 1))
        differences = [self._some(each[:, second] - each[:, first]) for each in refined]
        return states, self._logits(self.change, self.change_head, differences, edge)

    def _some(self, difference: torch.Tensor) -> torch.Tensor:
        """Without some of its channels, in training."""
        kept: torch.Tensor = self.dropout(difference.flatten(0, 1))
        return kept.reshape(difference.shape)

    def _encoded(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of every scale (n, T, width, h, w), the finest first."""
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return [features.reshape(*images.shape[:2], *features.shape[1:]) for features in self.body.encoded(flat)]

    def _refined(self, encoded: list[torch.Tensor], images: torch.Tensor, days: torch.Tensor) -> list[torch.Tensor]:
        """Each with what the other dates show."""
        seen = functional.max_pool2d(present(images.flatten(0, 1)).float(), self.fold)
        refined = list(encoded)
        for scale, features in enumerate(encoded):
            seen = functional.max_pool2d(seen, 2) if scale else seen
            if str(scale) in self.refinements:
                refined[scale] = self.refinements[str(scale)](features, days, seen.reshape(*images.shape[:2], *seen.shape[1:]) > 0)
        return refined

    def _logits(self, decoder: nn.ModuleList, head: nn.Module, features: list[torch.Tensor], edge: int) -> torch.Tensor:
        shape = features[0].shape[:2]
        found = head(decoded(decoder, [each.flatten(0, 1) for each in features], edge // self.fold))
        logits = without_edge(functional.pixel_shuffle(found, self.fold), edge - self.body.left_out(edge))
        return logits.reshape(*shape, *logits.shape[2:])


def build_series_network(architecture: Mapping[str, Any], seed: int, start: Tensors | None = None) -> SeriesNetwork:
    """With seeded first weights; `start`: those of a slim U-Net, whose logits each date's then are until the network has learned."""
    torch.manual_seed(seed)
    network = SeriesNetwork(architecture)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(network.change_head.weight)
    if start:
        taken = {name if name.startswith("head.") else f"body.{name}": torch.from_numpy(values) for name, values in start.items()}
        taken[FIRST] = _for_more_channels(taken[FIRST], network.body.encoder[0][0].in_channels)  # type: ignore[index]
        network.load_state_dict({**network.state_dict(), **taken})
    if network.frozen:
        network.body.requires_grad_(False)
        network.head.requires_grad_(False)
    return network


def _for_more_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Weights (out, in, 3, 3) of a first convolution that gives as much to channels that come after, of a second sensor, as nothing."""
    return torch.cat([weight, weight.new_zeros(len(weight), channels - weight.shape[1], *weight.shape[2:])], 1)
