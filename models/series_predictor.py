"""The predictor of image series: the windows of all dates in, probabilities of states and of changes out."""

import logging
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conf.errors import InputError
from conf.rasters import ONE
from models.bundle import ModelSpec, Tensors
from models.devices import DeviceError, devices_called, leased
from models.fitting import normaliser
from models.halo import halo_figures
from models.predictor import LEAST, ModelError, Predictor, refuse_uneven, sound_bundle, with_weights
from models.series_network import Edges, SeriesNetwork

LOG = logging.getLogger(__name__)


class SeriesPredictor:
    """A network of series with its spec; one window of ground at a time, whatever comes with it."""

    def __init__(self, spec: ModelSpec, network: SeriesNetwork, devices: tuple[str, ...] = ("cpu",)) -> None:
        self.spec, self.network = spec, network.eval()
        self._devices, self._normalise = devices, normaliser(spec)

    def predict(self, windows: NDArray[np.float32], days: NDArray[np.int64], edges: Edges) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Windows (T, channels, window, window), NaN = no data, of the ground at days (T,) → of its centre states (T, centre, centre) and
        changes (E, centre, centre), uint8, 0-250. Raises ModelError on a faulty output, and where memory does not do."""
        side = self.spec.window
        if windows.shape != (len(days), len(self.spec.channels), side, side):
            raise ModelError(f"model {self.spec.name} takes {len(self.spec.channels)} bands of {side} pixels, got {windows.shape}")
        while True:
            try:
                with suppress(torch.OutOfMemoryError), leased(self._devices) as device:
                    return self._on(device, windows, days, edges)
            except DeviceError as error:
                raise ModelError(str(error)) from None
            if self._devices == ("cpu",):
                raise ModelError(f"model {self.spec.name}: out of memory for {len(days)} dates; give the worker more, or map fewer epochs")
            LOG.warning("model %s: out of memory on %s, on the CPU from now on", self.spec.name, self._devices[0])
            self._devices = ("cpu",)

    def _on(
        self, device: str, windows: NDArray[np.float32], days: NDArray[np.int64], edges: Edges
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        with torch.inference_mode():
            images = self._normalise(torch.from_numpy(windows))[None].to(device)
            when = torch.from_numpy(days.astype(np.float32))[None].to(device)
            states, changes = self.network.to(device)(images, when, edges, self.spec.halo)
            if not (torch.isfinite(states).all() and torch.isfinite(changes).all()):
                raise ModelError(f"model {self.spec.name} gave values that are not finite")
            return _probabilities(states, self.spec.calibration), _probabilities(changes, self.spec.change)


def _probabilities(logits: torch.Tensor, mended: dict[str, float]) -> NDArray[np.uint8]:
    limit = float(np.log((1 - LEAST) / LEAST))
    found = torch.sigmoid(mended["slope"] * logits[0].clamp(-limit, limit) + mended["shift"])
    values: NDArray[np.uint8] = (found * ONE).round().to(torch.uint8).cpu().numpy()
    return values


@lru_cache(maxsize=8)
def load_series_predictor(path: str, sha256: str, threads: int = 1, backend: str = "cpu") -> SeriesPredictor:
    """The predictor of a bundle, loaded once per process. Raises InputError unless the file is sound, has that sha256 and is of series.
    `threads` is set for the whole process."""
    torch.set_num_threads(threads)
    spec, tensors = sound_bundle(path, sha256)
    return series_predictor_of(spec, tensors, path, backend)


def series_predictor_of(spec: ModelSpec, tensors: Tensors, path: str = "in memory", backend: str = "cpu") -> SeriesPredictor:
    """Raises InputError where spec and weights are not those of a network of series."""
    if not spec.of_series:
        raise InputError(f"model {path}: {spec.name} sees single images; name one of image series, or leave layers.<layer>.series out")
    network = with_weights(SeriesNetwork(spec.architecture), tensors, path)
    refuse_uneven(spec, network.stride, path)
    return SeriesPredictor(spec, network, devices_called(backend))


class _Pair(torch.nn.Module):
    """A network of series as one of images: two dates one upon the other, three years apart; what it says of the second and of a change,
    as one logit."""

    def __init__(self, network: SeriesNetwork) -> None:
        super().__init__()
        self.network, self.stride = network, network.stride

    def forward(self, images: torch.Tensor, edge: int = 0) -> torch.Tensor:
        days = torch.tensor([[0.0, 3 * 365.25]], device=images.device).expand(len(images), -1)
        states, changes = self.network(images.reshape(len(images), 2, -1, *images.shape[2:]), days, [(0, 1)], edge)
        summed: torch.Tensor = states[:, 1:] + changes
        return summed


def series_halo_figures(predictor: SeriesPredictor, pairs: list[NDArray[Any]]) -> dict[str, float]:
    """As models.halo.halo_figures; of series of two dates (2, bands, height, width)."""
    spec = predictor.spec
    twice = {name: [*spec.normalisation[name]] * 2 for name in ("offset", "scale")}
    architecture = {**spec.architecture, "in_channels": 2 * spec.architecture["in_channels"]}
    normalisation = {**spec.normalisation, **twice}
    paired = replace(spec, bands=spec.channels, beside=None, dates=2, normalisation=normalisation, architecture=architecture)
    images = [pair.reshape(-1, *pair.shape[2:]) for pair in pairs]
    return halo_figures(Predictor(paired, _Pair(predictor.network), 1), images)
