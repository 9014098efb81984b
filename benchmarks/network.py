"""Shipped networks as they are served ÷ the same weights as they were trained, eager and NCHW; the default one ÷ a ResNet-34 U-Net.

One thread, float32, the centres of whole windows; masks must agree. Where OpenVINO is installed, the same for it."""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.pairs import Measure, speed_ratio
from models.bundle import ModelSpec, Tensors, read_spec, read_tensors
from models.edges import without_edge
from models.networks import build_network, folded_tensors
from models.predictor import ONE, Predictor, load_predictor
from models.registry import shipped_models

REACH, TIMES_RESNET = 1.35, 5.0
IOU = 0.9999
DEFAULT = "built_up_10m"
EQUAL_ACCURACY = (
    "same windows; equal accuracy rests on Kampala alone: a U-Net on a ResNet-18 of the same CPU minutes had pixel F1 0.690, "
    "the shipped network 0.777 (docs/validation.md); no ResNet-34 was trained"
)
Raster = NDArray[np.uint8]


class Whole(nn.Module):
    """A network that computes all of a window, and only then leaves its edge out."""

    def __init__(self, network: Any, layout: torch.memory_format) -> None:
        super().__init__()
        self.network, self.layout = network, layout

    def forward(self, images: torch.Tensor, edge: int) -> torch.Tensor:
        logits: torch.Tensor = self.network(images.contiguous(memory_format=self.layout))
        return without_edge(logits, edge)


def measure() -> list[Measure]:
    """Each shipped network, and the ResNet-34."""
    torch.set_num_threads(1)
    measures = []
    for name, pin in shipped_models().items():
        spec = read_spec(pin.path)
        windows = materials(spec)
        eager = Predictor(spec, Whole(unfolded(spec, read_tensors(Path(pin.path).read_bytes(), pin.path)), torch.contiguous_format), 1)
        for backend in ("cpu", "openvino") if importlib.util.find_spec("openvino") else ("cpu",):
            served = load_predictor(pin.path, pin.sha256, backend=backend)
            label = f"network {name}" + ("" if backend == "cpu" else f" {backend}")
            measures.append(_ratio(label, served, eager, windows, partial(agree, spec), REACH, f"window {spec.window} px"))
    pin = shipped_models()[DEFAULT]
    served = load_predictor(pin.path, pin.sha256)
    resnet = Predictor(served.spec, resnet34_unet(served.spec), 1)
    return [*measures, _ratio("network ÷ ResNet-34 U-Net", served, resnet, materials(served.spec), _nothing, TIMES_RESNET, EQUAL_ACCURACY)]


def unfolded(spec: ModelSpec, tensors: Tensors) -> nn.Module:
    """The network as it was trained, each convolution with a normalisation that only adds its bias. Raises ValueError unless folding it
    gives the weights again."""
    network = build_network(spec.architecture, 1).eval()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    values = iter(_in_order(tensors))
    with torch.no_grad():
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d):
                weight, bias = next(values)
                layer.weight.copy_(weight)
                (following.bias if isinstance(following, nn.BatchNorm2d) else layer.bias).copy_(bias)
            else:
                layer.running_var.fill_(1 - layer.eps)
    again = folded_tensors(network)
    if any(not np.allclose(again[name], value, rtol=1e-6, atol=1e-8) for name, value in tensors.items()):
        raise ValueError(f"{spec.name}: the unfolded network is not that of the bundle")
    return network


def _in_order(tensors: Tensors) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of each convolution, in the order in which the network runs them."""
    parts = ("encoder", "decoder", "head")
    names = sorted({name.rpartition(".")[0] for name in tensors}, key=lambda name: (parts.index(name.split(".")[0]), name))
    return [(torch.from_numpy(tensors[f"{name}.weight"]), torch.from_numpy(tensors[f"{name}.bias"])) for name in names]


def resnet34_unet(spec: ModelSpec) -> nn.Module:
    """Of segmentation-models-pytorch, at its best: normalisations folded in, channels last. Its weights are random; its speed is not."""
    torch.manual_seed(1)
    network = smp.Unet("resnet34", encoder_weights=None, in_channels=len(spec.channels), classes=1).eval()
    network = network.to(memory_format=torch.channels_last)
    window = torch.zeros(1, len(spec.channels), spec.window, spec.window).contiguous(memory_format=torch.channels_last)
    return Whole(torch.jit.freeze(torch.jit.trace(network, window)), torch.channels_last)


def materials(spec: ModelSpec) -> NDArray[np.float32]:
    """One window of blocks of a few materials, as far apart as the network's normalisation expects, with grain."""
    random = np.random.default_rng(8)
    side, bands = spec.window, len(spec.channels)
    cells = np.kron(random.integers(0, 6, (side // 12 + 1, side // 7 + 1)), np.ones((12, 7), int))[:side, :side]
    normal = np.moveaxis(random.normal(0, 1, (6, bands))[cells], -1, 0) + random.normal(0, 0.2, (bands, side, side))
    offset, scale = (np.reshape(spec.normalisation[name], (-1, 1, 1)) for name in ("offset", "scale"))
    return (normal * scale + offset).astype(np.float32)[None]


def agree(spec: ModelSpec, ours: Raster, theirs: Raster) -> None:
    """Raises ValueError unless pixels agree within one step, and masks by IOU."""
    if np.abs(ours.astype(int) - theirs).max() > 1:
        raise ValueError(f"{spec.name}: pixels differ by more than one step")
    masks = [result >= ONE * spec.threshold for result in (ours, theirs)]
    if not masks[0].any() or (masks[0] & masks[1]).sum() < IOU * (masks[0] | masks[1]).sum():
        raise ValueError(f"{spec.name}: masks agree less than {IOU}, or are empty")


def _nothing(ours: Raster, theirs: Raster) -> None:
    """Random weights map nothing that could agree."""


def _ratio(
    name: str,
    served: Predictor,
    other: Predictor,
    windows: NDArray[np.float32],
    compare: Callable[[Raster, Raster], None],
    reach: float,
    note: str,
) -> Measure:
    kept = served.spec.centre**2
    ratio = speed_ratio(name, partial(served.predict, windows), partial(other.predict, windows), compare, reach, note=note)
    milliseconds = float(ratio.note.split()[-2])
    return ratio._replace(note=f"{ratio.note}, {kept / milliseconds / 1000:.2f} million pixels/s")
