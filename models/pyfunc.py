"""A second door: a bundle as MLflow's pyfunc, for those who work with MLflow and not with this project. Its own jobs never open one.

The package holds code, which opening it runs, as any pyfunc does: open those that you made or trust. It holds no pickle.
"""

import importlib.metadata
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import ModelSpec, read_spec
from models.predictor import ONE
from models.registry import ModelPin
from models.tracking import quiet

PACKAGES = ("torch", "numpy", "safetensors", "segmentation-models-pytorch")
ROOT = Path(__file__).parents[1]


def save_pyfunc(pin: ModelPin, folder: Path) -> None:
    """Write a bundle, what reads it and its signature as a folder that `mlflow.pyfunc.load_model` opens. The folder must not be there."""
    quiet()
    spec = read_spec(pin.path)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # MLflow warns of its own type hints, and asks for an example, which would be a window of some megabytes as text.
        warnings.filterwarnings("ignore", message=".*(type hint|input example)", category=UserWarning)
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("pyfunc_loader.py")),
            artifacts={"bundle": pin.path},
            model_config={"sha256": pin.sha256},
            code_paths=_code(Path(scratch)),
            signature=_signature(spec),
            metadata=_metadata(pin, spec),
            pip_requirements=[f"mlflow=={importlib.metadata.version('mlflow')}", *map(_pinned, PACKAGES)],
        )


def _code(scratch: Path) -> list[str]:
    """Copies of the two packages that a predictor needs, without weights and settings."""
    for package in ("models", "conf"):
        shutil.copytree(ROOT / package, scratch / package, ignore=lambda folder, names: [n for n in names if not n.endswith(".py")])
    return [str(scratch / "models"), str(scratch / "conf")]


def _signature(spec: ModelSpec) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    windows = TensorSpec(np.dtype(np.float32), (-1, len(spec.channels), spec.window, spec.window))
    centres = TensorSpec(np.dtype(np.uint8), (-1, spec.centre, spec.centre))
    return ModelSignature(Schema([windows]), Schema([centres]))


def _metadata(pin: ModelPin, spec: ModelSpec) -> dict[str, Any]:
    """What a signature cannot say."""
    return {
        "name": pin.name, "version": pin.version, "sha256": pin.sha256, "bands": list(spec.channels), "values": spec.values,
        "gsd_range_m": list(spec.gsd_range), "probability_scale": 1 / ONE,
        "no_data": "NaN", "threshold": spec.threshold, "halo_px": spec.halo,
    }  # fmt: skip


def _pinned(package: str) -> str:
    return f"{package}=={importlib.metadata.version(package).partition('+')[0]}"
