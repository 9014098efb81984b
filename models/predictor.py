"""The predictor: windows in, probabilities out. Loads safetensors bundles only, once per process; knows no MLflow."""

import copy
import hashlib
import logging
import math
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError
from conf.rasters import ONE
from models.bundle import ModelSpec, Tensors, read_spec, read_tensors
from models.devices import DeviceError, devices_called, leased

if TYPE_CHECKING:
    import torch

    from models.backends import Network

LOG = logging.getLogger(__name__)

__all__ = ["ONE", "ModelError", "ModelSpec", "Predictor", "load_predictor", "predictor_of", "read_spec"]

LEAST = 0.5 / ONE
"""Probabilities are kept this far from 0 and 1 while they are calibrated."""

MIRRORS: dict[int, tuple[tuple[int, ...], ...]] = {1: ((),), 2: ((), (3,)), 4: ((), (3,), (2,), (2, 3))}
"""Axes flipped in each averaged copy."""


class ModelError(RuntimeError):
    """The network gave something that cannot be probabilities of its input."""


class Predictor:
    """A network with its spec. Batches have one size, the last is padded, so no rounding depends on how many windows come."""

    def __init__(self, spec: ModelSpec, network: "Network", batch: int, devices: tuple[str, ...] = ("cpu",)) -> None:
        self.spec = spec
        self.network = network
        self._placed: dict[str, Network] = {}
        self._batch = batch
        self._devices = devices
        shape = (1, len(spec.channels), 1, 1)
        self._offset = np.asarray(spec.normalisation["offset"], np.float32).reshape(shape)
        self._inverse = (1 / np.asarray(spec.normalisation["scale"], np.float64)).astype(np.float32).reshape(shape)
        self._clip = float(spec.normalisation["clip"])

    def predict(self, windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Probabilities of the windows' centres: (n, channels, window, window), NaN = no data → uint8 (n, centre, centre), 0-250; as
        `predict_layers`."""
        return self.predict_layers(windows)[:, 0]

    def predict_layers(self, windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Probabilities of the windows' centres and, of a network that tells it, the depth inside buildings, 250 = DEEP_PX pixels or more:
        (n, channels, window, window), NaN = no data → uint8 (n, layers, centre, centre), 0-250.

        No data counts as a pixel of average value; masking the result is the caller's. Raises ModelError on a faulty output,
        and where neither a smaller batch nor the CPU helps against too little memory.
        """
        side = self.spec.window
        expected = (len(self.spec.channels), side, side)
        if windows.shape[1:] != expected:
            raise ModelError(f"model {self.spec.name} takes windows {expected}, got {windows.shape[1:]}")
        results = np.empty((len(windows), self.spec.layers, self.spec.centre, self.spec.centre), np.uint8)
        start = 0
        while start < len(windows):
            part = windows[start : start + self._batch]
            found = self._attempt(self.normalised(part))
            if found is not None:
                results[start : start + len(part)] = found[: len(part)]
                start += len(part)
        return results

    def _attempt(self, batch: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        """Probabilities of a batch, or None where the device's memory did not do: the next batch is smaller, or runs on the CPU."""
        import torch

        try:
            with suppress(torch.OutOfMemoryError), leased(self._devices) as device:
                return self.on_device(batch, device)
        except DeviceError as error:
            raise ModelError(str(error)) from None
        self._ask_for_less()
        return None

    def _ask_for_less(self) -> None:
        import torch

        if self._batch > 1:
            self._batch //= 2
            LOG.warning("model %s: out of memory on %s, batches of %d from now on", self.spec.name, self._devices[0], self._batch)
        elif self._devices != ("cpu",):
            LOG.warning("model %s: out of memory on %s for a single window, on the CPU from now on", self.spec.name, self._devices[0])
            self._devices = ("cpu",)
            self._placed.clear()
        else:
            raise ModelError(f"model {self.spec.name}: out of memory for one window; give the worker more, or use a smaller model")
        torch.cuda.empty_cache()

    def normalised(self, part: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the network sees it; windows with their no data as 0, and as many empty ones as fill a batch."""
        batch = np.zeros((max(self._batch, len(part)), *part.shape[1:]), np.float32)
        values = batch[: len(part)]
        np.subtract(part, self._offset, out=values)
        np.multiply(values, self._inverse, out=values)
        np.clip(values, -self._clip, self._clip, out=values)
        np.nan_to_num(values, copy=False, nan=0.0)
        return batch

    def on_device(self, batch: NDArray[np.float32], device: str) -> NDArray[np.uint8]:
        """As `predict_layers`, of one batch of `normalised`."""
        import torch

        with torch.inference_mode():
            images = torch.from_numpy(batch).to(device).contiguous(memory_format=torch.channels_last)
            views = [(zoom, axes) for zoom in self.spec.zooms for axes in MIRRORS[self.spec.flips]]
            mean = torch.stack([self._seen(self._on(device), images, zoom, axes) for zoom, axes in views]).mean(0)
            mean[:, 0] = self._calibrated(mean[:, 0])
            return (mean * ONE).round().to(torch.uint8).cpu().numpy()

    def _on(self, device: str) -> "Network":
        """The network's copy on a device."""
        if device not in self._placed:
            network: Any = self.network
            self._placed[device] = network if device == "cpu" else copy.deepcopy(network).to(device)
        return self._placed[device]

    def _seen(self, network: "Network", images: "torch.Tensor", zoom: float, axes: tuple[int, ...]) -> "torch.Tensor":
        """Layers of the centres, 0-1, from one look: with the halo that this zoom needs, made coarser, mirrored along the axes."""
        import torch

        halo, look = self.spec.halo_at(zoom), self.look(images, zoom)
        left_out = _not_needed(halo, zoom)
        logits = self._logits(network, look.flip(axes) if axes else look, round(left_out * zoom))
        kept = slice(halo - left_out, halo - left_out + self.spec.centre)
        layers = torch.sigmoid(resized(logits.flip(axes) if axes else logits, self.spec.window_at(zoom) - 2 * left_out)[..., kept, kept])
        if zoom != 1:
            layers[:, 1:] = (layers[:, 1:] / zoom).clamp(max=1)  # depth is told in pixels of the look
        return layers

    def look(self, images: "torch.Tensor", zoom: float) -> "torch.Tensor":
        """What the network sees of windows (n, bands, window, window) at one of its zooms."""
        halo, side = self.spec.halo_at(zoom), self.spec.window_at(zoom)
        near = slice(self.spec.halo - halo, self.spec.halo - halo + side)
        return resized(images[..., near, near], round(side * zoom))

    def _calibrated(self, mean: "torch.Tensor") -> "torch.Tensor":
        slope, shift = self.spec.calibration["slope"], self.spec.calibration["shift"]
        if (slope, shift) == (1, 0):
            return mean
        import torch

        return torch.sigmoid(slope * torch.logit(mean, LEAST) + shift)

    def _logits(self, network: "Network", images: "torch.Tensor", edge: int) -> "torch.Tensor":
        import torch

        from models.edges import without_edge

        kept = without_edge(images, edge)
        logits = network(images, edge)
        if logits.shape != (images.shape[0], self.spec.layers, *kept.shape[2:]):
            raise ModelError(f"model {self.spec.name} gave shape {tuple(logits.shape)} for windows {tuple(images.shape)}")
        if not torch.isfinite(logits).all():
            raise ModelError(f"model {self.spec.name} gave values that are not finite")
        _refuse_constant(logits[:, :1], kept, self.spec.name)
        return logits


def _not_needed(halo: int, zoom: float) -> int:
    """Pixels of the image at a look's edge whose logits nobody reads: whole pixels of the look, too, two of which are left for resizing."""
    if zoom == 1:
        return halo
    most = halo - math.ceil(2 / zoom)
    return next((pixels for pixels in range(most, 0, -1) if (pixels * zoom).is_integer()), 0)


def resized(images: "torch.Tensor", side: int) -> "torch.Tensor":
    """(n, bands, side, side); bilinear, low-passed first where pixels get larger."""
    from torch.nn import functional

    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=side < images.shape[-1])


def _refuse_constant(logits: "torch.Tensor", images: "torch.Tensor", name: str) -> None:
    """A trained network never gives one and the same float for an image that varies."""
    constant, alike = (each.flatten(1).amin(1) == each.flatten(1).amax(1) for each in (logits, images))
    if (wrong := constant & ~alike).any():
        raise ModelError(f"model {name} gave the constant {float(logits[wrong].min()):g} for a window that varies")


def load_predictor(path: str, sha256: str, threads: int = 1, batch: int = 1, backend: str = "cpu") -> Predictor:
    """The predictor of a bundle, loaded once per process. Raises InputError unless the file is sound and has that sha256.

    `threads` is set for the whole process; `backend` is `cpu`, `cuda` or `openvino`.
    """
    return _load(str(path), sha256, threads, batch, backend)


def predictor_of(
    spec: ModelSpec,
    tensors: dict[str, NDArray[np.float32]],
    path: str = "in memory",
    batch: int = 1,
    backend: str = "cpu",
    threads: int = 1,
) -> Predictor:
    """The predictor of a spec and its weights. Raises InputError when they do not fit each other; `path` is for its message."""
    import torch

    from models.backends import OpenVinoNetwork

    if spec.of_series:
        raise InputError(f"model {path}: {spec.name} sees image series; name it as layers.<layer>.series, and a model of images as model")
    network = _network(spec, tensors, path)
    refuse_uneven(spec, network.stride, path)
    if backend == "openvino":
        return Predictor(spec, OpenVinoNetwork(network, threads), batch)
    return Predictor(spec, network.to(memory_format=torch.channels_last), batch, devices_called(backend))


def sound_bundle(path: str, sha256: str) -> tuple[ModelSpec, dict[str, NDArray[np.float32]]]:
    """Spec and weights of a bundle. Raises InputError unless the file is sound and has that sha256."""
    spec, data = read_spec(path), Path(path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise InputError(f"model {path}: sha256 is {found}, {sha256} was asked for; fetch the bundle again or pin the new one")
    return spec, read_tensors(data, path)


@lru_cache(maxsize=8)
def _load(path: str, sha256: str, threads: int, batch: int, backend: str) -> Predictor:
    spec, tensors = sound_bundle(path, sha256)
    predictor = predictor_of(spec, tensors, path, batch, backend, threads)
    import torch

    torch.set_num_threads(threads)
    return predictor


def refuse_uneven(spec: ModelSpec, stride: int, path: str) -> None:
    """Windows next to each other agree only where the network's coarsest cells lie on the same ground in both."""
    for zoom in spec.zooms:
        if (spec.window_at(zoom) * zoom) % stride or (spec.centre * zoom) % stride:
            sides = f"windows of {spec.window_at(zoom)} pixels, centre {spec.centre}, at zoom {zoom:g}"
            raise InputError(f"model {path}: {sides} do not fit its network's stride of {stride}; build the bundle with others")


def _network(spec: ModelSpec, tensors: dict[str, NDArray[np.float32]], path: str) -> Any:
    from models.inference import inference_network

    return with_weights(inference_network(spec.architecture).eval(), tensors, path)


def with_weights(network: Any, tensors: Tensors, path: str) -> Any:
    """The network with a bundle's weights. Raises InputError where they are not all of its own."""
    import torch

    held = network.state_dict()
    expected = {name: tuple(value.shape) for name, value in held.items() if value.is_floating_point()}
    found = {name: value.shape for name, value in tensors.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        message = f"tensor {name} has shape {found.get(name)}, the network needs {expected.get(name)}"
        raise InputError(f"model {path}: {message}; build the bundle again with the train job")
    network.load_state_dict({**held, **{name: torch.from_numpy(value) for name, value in tensors.items()}})
    return network
