"""The second door: what another process opens with MLflow alone gives the same bytes, and holds no pickle."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.errors import InputError
from conf.place import Place
from jobs.job import Context
from jobs.training.export_model import ExportModelSettings, export_model, export_model_sources
from models.predictor import load_predictor
from models.registry import resolve_model
from tests.jobs.training.test_train_on_tiles import PLACE
from tests.random_model import write_random_model

OPENED = """
import sys
import mlflow.pyfunc, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2])))
print(sys.modules["models.predictor"].__file__)
print(model.metadata.signature.inputs.inputs[0].shape, model.metadata.metadata["bands"])
"""


@pytest.mark.filterwarnings("ignore:.*(type hint|input example):UserWarning")
def test_a_package_gives_in_another_process_what_the_job_maps(tmp_path: Path) -> None:
    model = write_random_model(tmp_path / "random.safetensors")
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    settings = ExportModelSettings(model=model, path=str(tmp_path / "package"))
    pin = resolve_model(model, None)
    assert export_model_sources(place, settings) == pin.sha256
    nothing: Any = None
    export_model.run({}, settings, Context(nothing, place, "run", place.folder))

    windows = np.random.default_rng(2).uniform(0, 0.5, (2, 3, 320, 320)).astype(np.float32)
    windows[0, :, 90:130, 100:180] = np.nan
    np.save(tmp_path / "windows.npy", windows)
    command = [sys.executable, "-c", OPENED, *(str(tmp_path / name) for name in ("package", "windows.npy", "found.npy"))]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0].startswith(str(tmp_path / "package"))
    assert said[1] == "(-1, 3, 320, 320) ['B02', 'B08', 'B11']"
    found = np.load(tmp_path / "found.npy")
    assert len(np.unique(found)) > 5
    assert found.tobytes() == load_predictor(pin.path, pin.sha256).predict(windows).tobytes()

    files = [path for path in (tmp_path / "package").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".py", ".txt", ".yaml", ".safetensors"}
    assert sum(path.stat().st_size for path in files) < 1_000_000
    with pytest.raises(InputError, match="is there already"):
        export_model_sources(place, settings)


def test_a_package_is_no_model_for_a_job(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: os, code: code}}\n")
    for uri in (f"{tmp_path}#sha256={'0' * 64}", f"{tmp_path}/MLmodel#sha256={'0' * 64}", str(tmp_path)):
        with pytest.raises(InputError, match="pickle models not accepted"):
            resolve_model(uri, None)
