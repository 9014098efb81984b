"""Networks of segmentation-models-pytorch, with any of its decoders and encoders, timm's among them, and weights from a local file."""

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load
from torch import nn

from conf.errors import InputError
from models.bundle import refuse_pickles
from models.edges import without_edge

EXAMPLE_PX = 256
"""Side of the image that shows which normalisation follows which convolution."""
FIRST_CONVOLUTION_BANDS = 3
"""Bands of the images that weights from elsewhere were mostly learned from: red, green and blue."""


class _Framed(nn.Module):
    """A network of the library with what the predictor asks of every network: the stride of its coarsest scale, and logits without an
    edge of pixels that nobody reads, though they are computed."""

    def __init__(self, network: nn.Module, stride: int, frozen: bool, aids: tuple[str, ...]) -> None:
        super().__init__()
        self.network = network
        self.stride = stride
        self.aids = aids
        self._frozen = frozen

    def train(self, mode: bool = True) -> "_Framed":
        super().train(mode)
        if self._frozen:  # its normalisation, too, stays as it came
            self.network.get_submodule("encoder").eval()
        return self

    def forward(self, images: torch.Tensor, edge: int = 0) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        return without_edge(logits if self.training else logits[:, :1], edge)


def library_network(architecture: Mapping[str, Any]) -> nn.Module:
    """(n, in_channels, H, W) float32 → logits (n, 1, H, W); in training (n, 1 + aids, H, W), `aids` names of models/aids.py.

    `decoder`: a class of segmentation_models_pytorch, such as Unet or DPT. `encoder`: any that it knows; `tu-NAME` is timm's NAME.
    `options`: further arguments of the decoder. `weights`: PATH#sha256=HEX of a safetensors file with the encoder's first weights, a
    state dict of timm's or of the library's; `frozen`: the encoder is left as it is. Raises InputError.
    """
    name = str(architecture.get("decoder", "Unet"))
    if name not in {kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}:
        raise InputError(f"architecture.decoder {name}: not in segmentation_models_pytorch {smp.__version__}; use e.g. Unet")
    options, aids = dict(architecture.get("options", {})), tuple(architecture.get("aids", ()))
    network = getattr(smp, name)(
        str(architecture["encoder"]), encoder_weights=None, in_channels=int(architecture["in_channels"]), classes=1 + len(aids), **options
    )
    if architecture.get("weights"):
        load_encoder(network.encoder, str(architecture["weights"]))
    frozen = bool(architecture.get("frozen"))
    network.encoder.requires_grad_(not frozen)
    return _Framed(network, int(network.encoder.output_stride), frozen, aids)


def as_shipped(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """An architecture as a bundle tells it: of a file of first weights its sha256 alone, for the bundle holds what became of them."""
    values = {name: value for name, value in architecture.items() if name not in ("weights", "frozen")}
    weights = architecture.get("weights")
    return values | {"weights_sha256": str(weights).partition("#sha256=")[2]} if weights else values


def load_encoder(encoder: nn.Module, uri: str) -> None:
    """Give an encoder the tensors of PATH#sha256=HEX. A first convolution for another number of bands gets the mean over the file's
    bands at each of its own, at equal sums. Raises InputError unless every tensor of the encoder is there in its shape."""
    tensors = _verified(uri)
    target: nn.Module = getattr(encoder, "model", encoder)  # the library wraps those of timm
    needed = target.state_dict()
    fitted = {name: _for_bands(tensors[name], wanted) for name, wanted in needed.items() if name in tensors}
    wrong = [name for name, wanted in needed.items() if name not in fitted or fitted[name].shape != wanted.shape]
    if wrong:
        shape = tuple(tensors[wrong[0]].shape) if wrong[0] in tensors else "nothing"
        raise InputError(
            f"weights {uri}: {shape} for tensor {wrong[0]}, {tuple(needed[wrong[0]].shape)} is needed; name the encoder they are of"
        )
    target.load_state_dict(fitted)


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, each batch normalisation that follows a convolution alone folded into it."""
    result = copy.deepcopy(network).eval()
    names = {module: name for name, module in result.named_modules()}
    for convolution, norm in _followers(result):
        fused = torch.nn.utils.fuse_conv_bn_eval(convolution, norm)
        result.set_submodule(names[convolution], fused)
        # timm's normalisation may hold the activation that comes after it.
        result.set_submodule(names[norm], getattr(norm, "act", nn.Identity()))
    return result


def folded_library_network(architecture: Mapping[str, Any]) -> nn.Module:
    """`folded` of the architecture, to load a bundle's tensors into; the file of first weights is not needed any more."""
    return folded(library_network(as_shipped(architecture)))


def _followers(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each batch normalisation whose input is what a convolution gave, with that convolution, as one image runs through."""
    given: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def seen(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            given[id(output)] = (module, output)  # held, so that no other tensor gets its id
        elif isinstance(module, nn.BatchNorm2d) and id(inputs[0]) in given:
            pairs.append((given[id(inputs[0])][0], module))

    hooks = [module.register_forward_hook(seen) for module in network.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    bands = next(module for module in network.modules() if isinstance(module, nn.Conv2d)).in_channels
    with torch.no_grad():
        network(torch.zeros(1, bands, EXAMPLE_PX, EXAMPLE_PX))
    for hook in hooks:
        hook.remove()
    return pairs


def _verified(uri: str) -> dict[str, torch.Tensor]:
    path, _, sha256 = uri.partition("#sha256=")
    refuse_pickles(path)
    if not sha256:
        raise InputError(f"weights {uri}: write PATH#sha256=HEX, so that the same weights are learned from again")
    if not Path(path).is_file():
        raise InputError(f"weights {path}: no such file; fetch it first, nothing is downloaded")
    data = Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise InputError(f"weights {path}: sha256 is {found}, {sha256} was asked for; fetch the file again")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(data).items()}


def _for_bands(tensor: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A convolution's weights (out, in, h, w) for another number of bands."""
    if tensor.dim() != 4 or tensor.shape[1] == wanted.shape[1] or tensor.shape[1] > FIRST_CONVOLUTION_BANDS:
        return tensor
    return tensor.mean(1, keepdim=True).repeat(1, wanted.shape[1], 1, 1) * (tensor.shape[1] / wanted.shape[1])
