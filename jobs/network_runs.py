"""A network in a run: what runs it, which version, and where workers load it from."""

import shutil
from pathlib import Path
from typing import Literal

from conf.place import Place
from jobs.tracking import tracking_uri
from models.registry import ModelPin, file_sha256, resolve_model

Backend = Literal["auto", "cpu", "cuda", "openvino"]
NVIDIA_DRIVER = Path("/proc/driver/nvidia")


def plain_pin(pin: ModelPin) -> dict[str, str]:
    """Plain JSON, for a job's pins."""
    return {"name": pin.name, "version": pin.version, "sha256": pin.sha256}


def network_backend(backend: str) -> str:
    """What runs the network, `auto` resolved."""
    if backend != "auto":
        return backend
    if not NVIDIA_DRIVER.exists():  # importing torch takes the driver seconds
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def model_of_run(place: Place, found: ModelPin, pinned: dict[str, str] | None) -> ModelPin:
    """The model the run began with, also when its alias has moved since."""
    if pinned is None or pinned["sha256"] == found.sha256:
        return found
    return resolve_model(f"models:/{pinned['name']}/{pinned['version']}", tracking_uri(place))


def staged_model(pin: ModelPin, storage: Path) -> str:
    """The weights in the place's folder, under their sha256: what workers load and verify."""
    target = storage / "models" / f"{pin.sha256}.safetensors"
    if not target.is_file() or file_sha256(target) != pin.sha256:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial_copy = target.with_suffix(".partial")
        shutil.copyfile(pin.path, partial_copy)
        partial_copy.replace(target)
    return str(target.absolute())
