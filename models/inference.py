"""Networks as they run: convolutions with their normalisation folded in, and nothing but torch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.bundle import mapped_aids
from models.edges import decoder_edges, without_edge


class FoldedBody(nn.Module):
    """The U-Net of models/networks.py without its head; (n, in_channels, H, W) float32 → features (n, decoder[-1], H / fold, W / fold).

    `architecture`: widths of the encoder (one per scale, each half the one before), decoder widths, `dilation` of the coarsest
    scale, and `fold`: pixels of a fold x fold square are put into channels first and taken out last, so that fine images are seen
    at coarse cost.
    """

    def __init__(self, architecture: Mapping[str, Any], in_channels: int) -> None:
        super().__init__()
        self.fold = int(architecture["fold"])
        widths, decoder = list(architecture["widths"]), list(architecture["decoder"])
        inputs = [in_channels * self.fold**2, *widths[:-1]]
        dilations = [1] * (len(widths) - 1) + [int(architecture["dilation"])]
        self.encoder = nn.ModuleList(map(_pair, inputs, widths, dilations))
        self.decoder = decoder_pairs(widths, decoder)

    @property
    def stride(self) -> int:
        """Pixels by which windows may be shifted without another rounding of the coarse scales."""
        return int(self.fold * 2 ** (len(self.encoder) - 1))

    def left_out(self, edge: int) -> int:
        """Pixels of the image that features leave out on every side, where `edge` of the logits are not needed."""
        return decoder_edges(edge // self.fold, len(self.decoder))[-1] * self.fold

    def features(self, images: torch.Tensor, edge: int) -> torch.Tensor:
        """Less `left_out(edge)` on every side."""
        return decoded(self.decoder, self.encoded(images), edge // self.fold)

    def encoded(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of every scale, the finest first."""
        x = functional.pixel_unshuffle(images, self.fold)
        skips: list[torch.Tensor] = []
        for scale, pair in enumerate(self.encoder):
            x = _run(pair, functional.max_pool2d(x, 2) if scale else x)
            skips.append(x)
        return skips


def decoded(decoder: nn.ModuleList, skips: list[torch.Tensor], edge: int) -> torch.Tensor:
    """Features at the finest of the scales that an encoder gives; of those of which `edge` are not needed on every side, without what
    need not be computed."""
    x, out = skips[-1], 0
    for pair, skip, left_out in zip(decoder, skips[-2::-1], decoder_edges(edge, len(decoder)), strict=True):
        seen = without_edge(skip, left_out)
        x = functional.interpolate(without_edge(x, left_out // 2 - out), size=seen.shape[2:], mode="nearest")
        x = _run(pair, torch.cat([x, seen], dim=1))
        out = left_out
    return x


class FoldedUnet(FoldedBody):
    """(n, in_channels, H, W) float32 → logits (n, 1 + aids, H - 2 edge, W - 2 edge), as every network here; others have no aids."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__(architecture, int(architecture["in_channels"]))
        self.aids = mapped_aids(architecture.get("aids", ()))
        self.head = nn.Conv2d(int(architecture["decoder"][-1]), (1 + len(self.aids)) * self.fold**2, 3, padding=1)

    def forward(self, images: torch.Tensor, edge: int = 0) -> torch.Tensor:
        logits = functional.pixel_shuffle(self.head(self.features(images, edge)), self.fold)
        return without_edge(logits, edge - self.left_out(edge))


class FoldedDualStream(nn.Module):
    """The DualStream of models/networks.py; (n, in_channels, H, W) float32, the last `beside` of them the second sensor's →
    logits, of each pixel from the sensors that see it."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.split = int(architecture["in_channels"]) - int(architecture["beside"])
        self.main = FoldedBody(architecture, self.split)
        self.beside = FoldedBody(architecture, int(architecture["beside"]))
        self.fold, self.stride = self.main.fold, self.main.stride
        width = int(architecture["decoder"][-1])
        self.heads = nn.ModuleDict({name: nn.Conv2d(size, self.fold**2, 1) for name, size in head_inputs(width).items()})

    def forward(self, images: torch.Tensor, edge: int = 0) -> torch.Tensor:
        main, beside = images[:, : self.split], images[:, self.split :]
        every = dual_logits(self.heads, self.main.features(main, edge), self.beside.features(beside, edge), self.fold)
        out = self.main.left_out(edge)
        return without_edge(chosen(every, without_edge(main, out), without_edge(beside, out)), edge - out)


class FoldedDatedUnet(nn.Module):
    """The DatedUnet of models/networks.py; (n, in_channels, H, W) float32, `dates` images one upon the other → logits."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.dates = int(architecture["dates"])
        self.body = FoldedBody(architecture, int(architecture["in_channels"]) // self.dates)
        self.fold, self.stride = self.body.fold, self.body.stride
        width = int(architecture["decoder"][-1])
        self.attention = nn.Conv2d(width, 1, 1)
        self.head = nn.Conv2d(width, self.fold**2, 3, padding=1)

    def forward(self, images: torch.Tensor, edge: int = 0) -> torch.Tensor:
        out = self.body.left_out(edge)
        features = self.body.features(images.reshape(len(images) * self.dates, -1, *images.shape[2:]), edge)
        seen = without_edge(images, out)
        dated = seen.reshape(len(images), self.dates, -1, *seen.shape[2:])
        logits = functional.pixel_shuffle(self.head(attended_dates(features, self.attention, dated, self.fold)), self.fold)
        return without_edge(logits, edge - out)


def attended_dates(features: torch.Tensor, attention: nn.Module, images: torch.Tensor, fold: int) -> torch.Tensor:
    """Features (n * dates, c, h, w) to their mean over dates (n, c, h, w), weighed at each pixel by a softmax of `attention` over the
    dates of which `images` (n, dates, bands, H, W) show the ground; where none does, over all."""
    dated = images.shape[:2]
    seen = functional.max_pool2d(present(images.flatten(0, 1)).to(features.dtype), fold)
    seen = seen.reshape(*dated, *seen.shape[1:])
    seen = torch.where(seen.amax(1, keepdim=True) > 0, seen, 1)
    scores = attention(features).reshape(seen.shape)
    weights = torch.softmax(scores.masked_fill(seen == 0, -torch.inf), 1)
    return (features.reshape(*dated, *features.shape[1:]) * weights).sum(1)


def head_inputs(width: int) -> dict[str, int]:
    """Name to input channels of a dual stream's heads."""
    return {"fused": 2 * width, "main": width, "beside": width}


def dual_logits(heads: nn.ModuleDict, main: torch.Tensor, beside: torch.Tensor, fold: int) -> torch.Tensor:
    """Logits (n, 3, H, W) of both together, of the main sensor alone and of the one beside alone, from their features."""
    seen = {"fused": torch.cat([main, beside], 1), "main": main, "beside": beside}
    return torch.cat([functional.pixel_shuffle(heads[name](features), fold) for name, features in seen.items()], 1)


def chosen(logits: torch.Tensor, main: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """Of logits (n, 3, H, W), at each pixel those of the sensors that see it (n, 1, H, W)."""
    both, here, _ = seen_by(main, beside).unbind(1)
    return torch.where(both, logits[:, 0], torch.where(here, logits[:, 1], logits[:, 2]))[:, None]


def seen_by(main: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """Where both sensors see the ground, where the main one does, where the other does: bool (n, 3, H, W)."""
    return torch.cat([present(main) & present(beside), present(main), present(beside)], 1)


def present(images: torch.Tensor) -> torch.Tensor:
    """Where a sensor (n, bands, H, W) sees the ground, bool (n, 1, H, W). No data is 0 in every band, once normalised."""
    return (images != 0).any(1, keepdim=True)


def inference_network(architecture: Mapping[str, Any]) -> nn.Module:
    """The network of an architecture's kind as it runs, its weights still to be loaded."""
    kind = str(architecture["kind"])
    if kind in FOLDED:
        return FOLDED[kind](architecture)
    from models.library_networks import folded_library_network

    return folded_library_network(architecture)


FOLDED: dict[str, type[FoldedUnet] | type[FoldedDualStream] | type[FoldedDatedUnet]] = {
    "slim_unet": FoldedUnet,
    "dual_stream": FoldedDualStream,
    "dated_unet": FoldedDatedUnet,
}


def decoder_pairs(widths: list[int], decoder: list[int]) -> nn.ModuleList:
    """Of a U-Net whose encoder has these widths, finest first."""
    above = [widths[-1], *decoder[:-1]]
    return nn.ModuleList(map(_pair, map(sum, zip(above, widths[-2::-1], strict=True)), decoder, [1] * len(decoder)))


def _pair(inputs: int, outputs: int, dilation: int) -> nn.ModuleList:
    sizes = ((inputs, outputs), (outputs, outputs))
    return nn.ModuleList([nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation) for before, after in sizes])


def _run(pair: nn.Module, x: torch.Tensor) -> torch.Tensor:
    for convolution in pair.children():
        x = functional.relu(convolution(x), inplace=True)
    return x
