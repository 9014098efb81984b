"""A model bundle: one safetensors file whose header also holds what the network is for. Nothing in it can run."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError
from conf.windows import channel_names

KEY = "urbantrace"
"""Name of the entry of the header's metadata that holds the spec as JSON."""

HEADER_LIMIT = 1 << 20
"""Bytes; a header of ours has some 10 kB, so a longer one is a broken or hostile file."""

SUFFIX = ".safetensors"
VALUES = ("reflectance", "rgb", "stretched", "decibel")
UNCALIBRATED = {"slope": 1.0, "shift": 0.0}
UNKNOWN = "unknown"
SERIES = "series"
"""Kind of architecture of networks of image series (models/series_network.py)."""
LABELS = ("simulated", "weak", "footprints", "measured", UNKNOWN)
"""Where the labels that a network learned from came from: simulated cities; these and spectral rules on real images; published
footprints; a survey or drawn outlines; not told."""
Tensors = Mapping[str, NDArray[np.float32]]


ADDED: dict[str, Any] = {"beside": None, "dates": 1, "thresholds": {}, "labels": UNKNOWN, "change": {}}
"""Fields of a spec that older bundles lack, with what is usual."""


@dataclass(frozen=True)
class Beside:
    """A second image of the same ground, of another sensor; its bands follow those of the first."""

    sensors: tuple[str, ...]
    """Keys of conf/sensors.py that it may be of."""
    bands: tuple[str, ...]
    values: str = "decibel"
    """As of ModelSpec."""


@dataclass(frozen=True)
class ModelSpec:
    """What a network takes and gives; JSON in the bundle's header."""

    name: str
    layer: str
    bands: tuple[str, ...]
    """Names as in conf/sensors.py, in the network's order."""
    sensors: tuple[str, ...]
    """Keys of conf/sensors.py that it accepts."""
    gsd_range: tuple[float, float]
    """Finest and coarsest pixel it was trained for, metres."""
    values: str
    """`reflectance` 0-1, `rgb` 0-1 (8 bits / 255), `stretched`: 0-1 between a scene's 2nd and 98th percentile, or `decibel`."""
    centre: int
    """Side of what is kept of a window, pixels."""
    halo: int
    """Pixels around the centre that the network must see, at its coarsest zoom."""
    threshold: float
    """Probability from which a pixel counts, chosen on validation ground."""
    architecture: dict[str, Any]
    normalisation: dict[str, Any]
    """`offset`, `scale` per channel and `clip`: the network sees clip((value - offset) / scale)."""
    calibration: dict[str, float] = field(default_factory=lambda: dict(UNCALIBRATED))
    """Probability = sigmoid(slope * logit of the looks' mean probability + shift)."""
    flips: int = 1
    """Mirrored copies whose probabilities are averaged: 1, 2 or 4."""
    zooms: tuple[float, ...] = (1.0,)
    """Sizes, as shares of its own, at which a window is shown to the network; probabilities are averaged. Coarser looks see further."""
    beside: Beside | None = None
    """What it sees of a second sensor."""
    dates: int = 1
    """Images of `bands` that it sees one upon the other: those nearest the epoch's reference date, NaN where there are fewer."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """World region to the threshold for ground in it, where choosing ground told one."""
    labels: str = UNKNOWN
    """One of LABELS."""
    change: dict[str, float] = field(default_factory=dict)
    """Of a network of image series: `slope` and `shift` of what it says of changes, as in `calibration`, their `weight` beside states, and
    `states`: 0 where it learned changes alone, so that what it says of states is nothing."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Bands of all that it sees, in the network's order; a sensor without data at a pixel is NaN in all of its own."""
        own = channel_names(self.bands, self.dates)
        return own if self.beside is None else (*own, *self.beside.bands)

    @property
    def layers(self) -> int:
        """Rasters that it gives: the probability and, of some, the depth inside buildings."""
        return 1 + (len(mapped_aids(self.architecture.get("aids", ()))) if self.architecture["kind"] == "slim_unet" else 0)

    @property
    def of_series(self) -> bool:
        """Whether it sees image series, not single images."""
        return bool(self.architecture["kind"] == SERIES)

    @property
    def facts(self) -> dict[str, Any]:
        """As plain values, for JSON; of what was added later only what is not usual, so that older bundles keep their bytes."""
        values = asdict(self)
        return {name: value for name, value in values.items() if name not in ADDED or value != ADDED[name]}

    @property
    def window(self) -> int:
        """Side of a window, pixels."""
        return self.centre + 2 * self.halo

    def halo_at(self, zoom: float) -> int:
        """The halo, pixels of the image, that shows the network as much around at this zoom as `halo` does at the coarsest."""
        return round(self.halo * min(self.zooms) / zoom)

    def window_at(self, zoom: float) -> int:
        """Side of what is seen of a window at this zoom, pixels of the image."""
        return self.centre + 2 * self.halo_at(zoom)


def mapped_aids(aids: Sequence[str]) -> tuple[str, ...]:
    """Of what a network also learns (models/aids.py), that which its maps show: buildings side by side are told apart by it."""
    return tuple(name for name in aids if name == "distance")


def write_bundle(path: Path, spec: ModelSpec, tensors: Tensors) -> None:
    """Write spec and tensors as one file; the same input gives the same bytes."""
    from safetensors.numpy import save

    data = {name: np.ascontiguousarray(tensors[name], np.float32) for name in sorted(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(data, {KEY: json.dumps(spec.facts, sort_keys=True)}))


def read_spec(path: str | Path) -> ModelSpec:
    """The spec of a bundle; reads the header only. Raises InputError on anything but a sound bundle."""
    size, header, _ = _read_header(Path(path))
    _check_tensors(header, size, path)
    return _parse_spec(header, path)


def read_tensors(data: bytes, path: str | Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of a bundle's bytes; raises InputError when they are not finite float32."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise InputError(f"model {path}: not a sound safetensors file ({error}); build it again with the train job") from None
    for name, values in tensors.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            raise InputError(f"model {path}: tensor {name} holds {values.dtype}, or values that are not finite; build it again")
    return tensors


def refuse_pickles(path: str | Path) -> None:
    """Raise InputError unless the name ends in .safetensors: other formats can run code when they are loaded."""
    if Path(path).suffix != SUFFIX:
        raise InputError(f"model {path}: pickle models not accepted; give a {SUFFIX} bundle made by the train job")


def _read_header(path: Path) -> tuple[int, dict[str, Any], int]:
    refuse_pickles(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(size - 8, HEADER_LIMIT):
                raise InputError(f"model {path}: header of {length} bytes in a file of {size}; it is truncated or no safetensors file")
            header = json.loads(file.read(length))
    except OSError as error:
        raise InputError(f"model {path}: {error.strerror}; check the path") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model {path}: its header is not JSON; it is no safetensors file") from None
    if not isinstance(header, dict):
        raise InputError(f"model {path}: its header is not a JSON object; it is no safetensors file")
    return size - 8 - length, header, length


def _check_tensors(header: Mapping[str, Any], size: int, path: str | Path) -> None:
    expected = 0
    try:
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                if entry["dtype"] != "F32" or end - begin != 4 * math.prod(entry["shape"]):
                    raise InputError(f"model {path}: tensor {name} is {entry['dtype']} {entry['shape']}; bundles hold float32 of full size")
                expected = max(expected, end)
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"model {path}: its header does not describe tensors; it is no safetensors file") from None
    if expected != size:
        raise InputError(f"model {path}: {size} bytes of weights, {expected} declared; the file is truncated, fetch it again")


def _parse_spec(header: Mapping[str, Any], path: str | Path) -> ModelSpec:
    try:
        spec = spec_of(json.loads(header["__metadata__"][KEY]))
        _check_spec(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"model {path}: its header holds no usable spec ({error}); build it again with the train job") from None
    return spec


def spec_of(values: Mapping[str, Any]) -> ModelSpec:
    """From plain values, as `facts` gives them. Raises TypeError or ValueError where they are not a spec's."""
    beside = values.get("beside")
    spec: ModelSpec = _typed(ModelSpec, values)
    return spec if beside is None else replace(spec, beside=_typed(Beside, beside))


def _typed(kind: Any, values: Mapping[str, Any]) -> Any:
    unknown = sorted(set(values) - {item.name for item in fields(kind)})
    if unknown:
        raise ValueError(f"unknown {unknown}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _check_spec(spec: ModelSpec) -> None:
    if spec.centre <= 0 or spec.halo < 0 or not 0 < spec.threshold < 1:
        raise ValueError(f"centre {spec.centre}, halo {spec.halo}, threshold {spec.threshold}")
    if not all(0 < value < 1 for value in spec.thresholds.values()):
        raise ValueError(f"thresholds {spec.thresholds}")
    if spec.values not in VALUES or spec.flips not in (1, 2, 4):
        raise ValueError(f"values {spec.values}, flips {spec.flips}")
    if not spec.zooms or not all(0 < zoom <= 1 for zoom in spec.zooms):
        raise ValueError(f"zooms {spec.zooms}")
    if spec.labels not in LABELS:
        raise ValueError(f"labels {spec.labels}")
    _check_channels(spec)


def _check_channels(spec: ModelSpec) -> None:
    for name in ("offset", "scale"):
        if len(spec.normalisation[name]) != len(spec.channels):
            raise ValueError(f"{name} for {len(spec.normalisation[name])} of {len(spec.channels)} bands")
    if spec.architecture["in_channels"] != len(spec.channels):
        raise ValueError(f"{spec.architecture['in_channels']} channels for {len(spec.channels)} bands")
    if spec.dates < 1 or (spec.dates > 1 and spec.beside):
        raise ValueError(f"dates {spec.dates}, beside {spec.beside}: a second sensor goes with one date")
    if spec.beside:
        _check_beside(spec.beside, spec.bands)


def _check_beside(beside: Beside, bands: tuple[str, ...]) -> None:
    if beside.values not in VALUES or not beside.sensors or not beside.bands:
        raise ValueError(f"beside: sensors {beside.sensors}, bands {beside.bands}, values {beside.values}")
    # Labelled ground keeps channels by name.
    if twice := sorted(set(beside.bands) & set(bands)):
        raise ValueError(f"beside: bands {twice} are the first image's, too")
