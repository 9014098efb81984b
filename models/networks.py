"""Networks as they are trained: segmentation-models-pytorch's U-Net decoder on slim encoders, of one sensor or of two."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn
from torch.nn import functional

from models.bundle import mapped_aids
from models.inference import attended_dates, dual_logits, head_inputs
from models.library_networks import folded, library_network


class SlimEncoder(nn.Module):
    """Pairs of 3 x 3 convolutions at full size, then at each half; gives the input and one feature map per scale."""

    def __init__(self, in_channels: int, widths: list[int], dilation: int) -> None:
        super().__init__()
        dilations = [1] * (len(widths) - 1) + [dilation]
        self.stages = nn.ModuleList(map(_stage, [in_channels, *widths[:-1]], widths, dilations))
        self.output_stride = 2 ** (len(widths) - 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = [x]
        for scale, stage in enumerate(self.stages):
            x = stage(functional.max_pool2d(x, 2) if scale else x)
            features.append(x)
        return features


class SlimBody(nn.Module):
    """(n, bands, H, W) float32 → features (n, decoder[-1], H / fold, W / fold). Sees only what its few scales reach, so that halos
    stay small."""

    def __init__(self, in_channels: int, widths: list[int], decoder: list[int], dilation: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        folded = in_channels * fold**2
        self.encoder = SlimEncoder(folded, widths, dilation)
        self.decoder = UnetDecoder((folded, *widths), tuple(decoder), n_blocks=len(decoder))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.decoder(self.encoder(functional.pixel_unshuffle(images, self.fold)))
        return features


class SlimUnet(nn.Module):
    """(n, in_channels, H, W) float32 → logits (n, 1 + aids, H, W): of what is built, and of `aids`, names of models/aids.py."""

    def __init__(
        self, in_channels: int, widths: list[int], decoder: list[int], dilation: int, fold: int, aids: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.body = SlimBody(in_channels, widths, decoder, dilation, fold)
        self.aids = tuple(aids)
        self.head = nn.Conv2d(decoder[-1], (1 + len(aids)) * fold**2, 3, padding=1)
        initialize_decoder(self.body.decoder)  # type: ignore[no-untyped-call]
        initialize_head(self.head)  # type: ignore[no-untyped-call]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.pixel_shuffle(self.head(self.body(images)), self.body.fold)


class DualStream(nn.Module):
    """A U-Net for each of two sensors, joined by a 1 x 1 convolution (Hafner et al. 2022, RSE 280, 113192); (n, in_channels, H, W)
    float32, the last `beside` of them the second sensor's → logits (n, 3, H, W): of both, of the main sensor alone, of the other alone.

    Its heads for one sensor are what maps ground that only this one sees."""

    def __init__(self, in_channels: int, beside: int, widths: list[int], decoder: list[int], dilation: int, fold: int) -> None:
        super().__init__()
        self.split = in_channels - beside
        self.main = SlimBody(self.split, widths, decoder, dilation, fold)
        self.beside = SlimBody(beside, widths, decoder, dilation, fold)
        self.heads = nn.ModuleDict({name: nn.Conv2d(size, fold**2, 1) for name, size in head_inputs(decoder[-1]).items()})
        for body in (self.main, self.beside):
            initialize_decoder(body.decoder)  # type: ignore[no-untyped-call]
        initialize_head(self.heads)  # type: ignore[no-untyped-call]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        main, beside = self.main(images[:, : self.split]), self.beside(images[:, self.split :])
        return dual_logits(self.heads, main, beside, self.main.fold)


class DatedUnet(nn.Module):
    """One U-Net on each of `dates` images one upon the other, joined by attention over dates at each pixel; (n, in_channels, H, W)
    float32 → logits (n, 1, H, W). Their order does not matter, and an image without data is as if it were not there."""

    def __init__(self, in_channels: int, dates: int, widths: list[int], decoder: list[int], dilation: int, fold: int) -> None:
        super().__init__()
        self.dates = dates
        self.body = SlimBody(in_channels // dates, widths, decoder, dilation, fold)
        self.attention = nn.Conv2d(decoder[-1], 1, 1)
        self.head = nn.Conv2d(decoder[-1], fold**2, 3, padding=1)
        initialize_decoder(self.body.decoder)  # type: ignore[no-untyped-call]
        initialize_head(self.head)  # type: ignore[no-untyped-call]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        dated = images.reshape(len(images), self.dates, -1, *images.shape[2:])
        attended = attended_dates(self.body(dated.flatten(0, 1)), self.attention, dated, self.body.fold)
        return functional.pixel_shuffle(self.head(attended), self.body.fold)


NETWORKS: dict[str, type[SlimUnet] | type[DualStream] | type[DatedUnet]] = {
    "slim_unet": SlimUnet,
    "dual_stream": DualStream,
    "dated_unet": DatedUnet,
}


def build_network(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    """A network with seeded first weights. `kind`: one of NETWORKS, or `library` (models/library_networks.py)."""
    torch.manual_seed(seed)
    values = {name: value for name, value in architecture.items() if name != "kind"}
    if architecture["kind"] in NETWORKS:
        return NETWORKS[architecture["kind"]](**values)
    return library_network(architecture)


def folded_tensors(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Weights of a trained network for models/inference.py: each batch normalisation folded into its convolution."""
    network.eval()
    if isinstance(network, SlimUnet):
        tensors = _folded_body(network.body, "") | _mapped_head(network)
    elif isinstance(network, DualStream):
        tensors = _folded_body(network.main, "main.") | _folded_body(network.beside, "beside.") | _named("heads", network.heads)
    elif isinstance(network, DatedUnet):
        tensors = _folded_body(network.body, "body.") | _named("attention", network.attention) | _named("head", network.head)
    else:
        tensors = folded(network).state_dict()
    # Counters of batches, the only whole numbers, are of no use to a network that runs.
    return {name: tensor.detach().contiguous().float().numpy() for name, tensor in tensors.items() if tensor.is_floating_point()}


def _mapped_head(network: SlimUnet) -> dict[str, torch.Tensor]:
    """Of what is built, and of those aids that maps show."""
    kept = [0, *(1 + network.aids.index(name) for name in mapped_aids(network.aids))]
    tensors = _named("head", network.head).items()
    return {name: value.reshape(-1, network.body.fold**2, *value.shape[1:])[kept].flatten(0, 1) for name, value in tensors}


def _folded_body(body: SlimBody, prefix: str) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for target, pairs in (("encoder", body.encoder.stages), ("decoder", body.decoder.blocks)):
        for scale, pair in enumerate(pairs.children()):
            layers = [layer for layer in pair.children() if len(list(layer.children())) >= 2]
            for index, layer in enumerate(layers):
                tensors |= _folded(layer, f"{prefix}{target}.{scale}.{index}")
    return tensors


def _named(prefix: str, module: nn.Module) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": value for name, value in module.named_parameters()}


def _folded(layer: nn.Module, name: str) -> dict[str, torch.Tensor]:
    convolution, norm = list(layer.children())[:2]
    if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError(f"{name}: expected a convolution and its normalisation, found {layer}")
    fused = torch.nn.utils.fuse_conv_bn_eval(convolution, norm)
    return {f"{name}.{key}": value for key, value in fused.named_parameters()}


def _stage(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(_layer(inputs, outputs, dilation), _layer(outputs, outputs, dilation))


def _layer(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
