"""Networks as they are trained: segmentation-models-pytorch's U-Net decoder on a slim encoder, or its stock U-Net."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from segmentation_models_pytorch.base import SegmentationHead, SegmentationModel
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn
from torch.nn import functional


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


class SlimUnet(SegmentationModel):
    """(n, bands, H, W) float32 → logits (n, 1, H, W). Sees only what its few scales reach, so that halos stay small."""

    def __init__(self, in_channels: int, widths: list[int], decoder: list[int], dilation: int, fold: int) -> None:
        super().__init__()
        self.fold = fold
        folded = in_channels * fold**2
        self.encoder = SlimEncoder(folded, widths, dilation)
        self.decoder = UnetDecoder((folded, *widths), tuple(decoder), n_blocks=len(decoder))
        self.segmentation_head = SegmentationHead(decoder[-1], fold**2)  # type: ignore[no-untyped-call]
        self.classification_head = None
        self.name = "slim-unet"
        initialize_decoder(self.decoder)  # type: ignore[no-untyped-call]
        initialize_head(self.segmentation_head)  # type: ignore[no-untyped-call]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(functional.pixel_unshuffle(images, self.fold))  # type: ignore[no-untyped-call]
        return functional.pixel_shuffle(logits, self.fold)


def build_network(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    """A network with seeded first weights. `kind` is `slim_unet`, or `stock_unet`: smp's own with a ResNet-18, depth 5."""
    torch.manual_seed(seed)
    if architecture["kind"] == "stock_unet":
        stock: nn.Module = smp.Unet("resnet18", encoder_weights=None, in_channels=architecture["in_channels"], classes=1)
        return stock
    values = {name: value for name, value in architecture.items() if name != "kind"}
    return SlimUnet(**values)


def folded_tensors(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Weights of a trained SlimUnet for models/inference.py: each batch normalisation folded into its convolution."""
    network.eval()
    tensors: dict[str, torch.Tensor] = {}
    for target, source in (("encoder", "encoder.stages"), ("decoder", "decoder.blocks")):
        for scale, pair in enumerate(_children(network, source)):
            layers = [layer for layer in pair.children() if len(list(layer.children())) >= 2]
            for index, layer in enumerate(layers):
                tensors |= _folded(layer, f"{target}.{scale}.{index}")
    head = network.get_submodule("segmentation_head.0")
    tensors |= {f"head.{name}": value for name, value in head.named_parameters()}
    return {name: tensor.detach().contiguous().numpy().astype(np.float32) for name, tensor in tensors.items()}


def _folded(layer: nn.Module, name: str) -> dict[str, torch.Tensor]:
    convolution, norm = list(layer.children())[:2]
    if not (isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError(f"{name}: expected a convolution and its normalisation, found {layer}")
    fused = torch.nn.utils.fuse_conv_bn_eval(convolution, norm)
    return {f"{name}.{key}": value for key, value in fused.named_parameters()}


def _children(network: nn.Module, name: str) -> list[nn.Module]:
    return list(network.get_submodule(name).children())


def _stage(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(_layer(inputs, outputs, dilation), _layer(outputs, outputs, dilation))


def _layer(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
