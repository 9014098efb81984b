"""What runs a network: torch itself, or OpenVINO from the same weights in memory. docs/decisions/0014 has the measurements."""

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from models.devices import check_backend


class Network(Protocol):
    """Normalised images float32 (n, bands, H, W) → logits (n, layers, H - 2 edge, W - 2 edge)."""

    @property
    def stride(self) -> int:
        """Pixels by which windows may be shifted without another rounding of the coarse scales."""

    def __call__(self, images: torch.Tensor, edge: int) -> torch.Tensor: ...


class OpenVinoNetwork:
    """A network as OpenVINO runs it on CPU threads, in float32; compiled anew, in a second, for each shape of images."""

    def __init__(self, network: Any, threads: int) -> None:
        check_backend("openvino")
        self.stride: int = network.stride
        self._network = network
        self._threads = threads
        self._compiled: dict[tuple[torch.Size, int], Callable[..., Any]] = {}

    def __call__(self, images: torch.Tensor, edge: int) -> torch.Tensor:
        images = images.contiguous()
        key = (images.shape, edge)
        if key not in self._compiled:
            self._compiled[key] = self._compile(images, edge)
        return torch.from_numpy(self._compiled[key]([images.numpy()], share_inputs=True)[0])

    def _compile(self, images: torch.Tensor, edge: int) -> Any:
        import openvino
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        # openvino.convert_model would do the same, and tell its maker about it.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(_traced(self._network, images, edge))  # must outlive the conversion, which does not hold it
        model = frontend.convert(frontend.load(decoder))
        model.reshape(list(images.shape))
        hints = {"INFERENCE_NUM_THREADS": self._threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        return openvino.Core().compile_model(model, "CPU", hints)


class _Fixed(nn.Module):
    """A network with its edge."""

    def __init__(self, network: nn.Module, edge: int) -> None:
        super().__init__()
        self.network, self.edge = network, edge

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images, self.edge)
        return logits


def _traced(network: nn.Module, images: torch.Tensor, edge: int) -> Any:
    with warnings.catch_warnings():
        # OpenVINO reads what torch.export gives, too, but fails to decompose its upsampling.
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="`torch.jit")
        return torch.jit.trace(_Fixed(network, edge), images, check_trace=False)  # type: ignore[no-untyped-call]
