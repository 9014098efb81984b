"""Job `built_up` on a GPU ÷ the same windows through the network alone, in windows per second, and how busy the job keeps the GPU.

As many processes as the machine has cores read and take turns on the device. The network alone: one process, windows in memory and
normalised before. Slim networks wait for what is read; beside them one as heavy as those that a GPU is bought for, with random weights.
Without a CUDA device there is nothing to measure, and it says so."""

import hashlib
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.end_to_end import by_job, planned, repeated
from benchmarks.network import materials
from benchmarks.pairs import Measure, seconds_of
from conf.place import Place
from jobs.job import Context
from jobs.mapping.built_up import built_up, recipe_of
from jobs.session import start_session
from models.bundle import write_bundle
from models.networks import build_network, folded_tensors
from models.predictor import load_predictor, read_spec
from models.registry import shipped_models
from udfs.mapping import Recipe

SHARE, BUSY_PERCENT = 0.80, 85.0
PAIRS = 5
TILE_WINDOWS = 4
"""The job's batch: a tile of 512 pixels has four windows, a larger batch would be padded."""
BATCH = 16
"""Of the network alone."""
LAYERS = ("built_up_10m", "buildings_50cm")
JOB_SECONDS = 10.0
"""Each layer's tiles are mapped so many times over that a run takes about so long."""
HEAVY_LAYER = "buildings_50cm"
HEAVY = {"kind": "library", "decoder": "Unet", "encoder": "tu-convnext_base", "in_channels": 3}
"""An encoder of 88 million weights, in place of the layer's 0.1."""


class Layer(NamedTuple):
    """A job over a layer's tiles, and as many windows as it shows the network."""

    job: Callable[[], object]
    recipe: Recipe
    windows: int


def measure() -> list[Measure]:
    """Speed and utilisation, of each layer's network and of a heavy one. Raises ValueError without a CUDA device, or where results
    differ from the CPU's by more than one step."""
    if not torch.cuda.is_available():
        raise ValueError("this machine has no CUDA device; run `python -m benchmarks gpu` where there is one")
    spark = start_session(f"local[{os.cpu_count()}]", {})
    with tempfile.TemporaryDirectory() as folder:
        place, tiles, scenes = planned(spark, Path(folder), LAYERS)
        cases = [(name, name, place) for name in LAYERS] + [("heavy network", HEAVY_LAYER, heavier(place, Path(folder)))]
        return [
            each
            for name, layer, mapped in cases
            for each in _measured(name, _layer(layer, tiles, scenes, Context(spark, mapped, "benchmark", place.folder)))
        ]


def heavier(place: Place, folder: Path) -> Place:
    """The place with a heavy network for one layer."""
    spec = replace(read_spec(shipped_models()[HEAVY_LAYER].path), architecture=HEAVY)
    path = folder / "heavy.safetensors"
    write_bundle(path, spec, folded_tensors(build_network(HEAVY, 1)))
    model = f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
    layer = place.layers[HEAVY_LAYER].model_copy(update={"model": model})
    return place.model_copy(update={"layers": {**place.layers, HEAVY_LAYER: layer}})


def _measured(name: str, layer: Layer) -> list[Measure]:
    shares, busy = zip(*(_pair(layer) for _ in range(PAIRS)), strict=True)
    note = f"{torch.cuda.get_device_name()}, {os.cpu_count()} processes, {layer.windows} windows, batches of {TILE_WINDOWS}, alone {BATCH}"
    return [
        Measure(f"gpu {name}: job ÷ network alone", "x", shares, SHARE, note=note),
        Measure(f"gpu {name}: busy", "%", busy, BUSY_PERCENT),
    ]


def _layer(name: str, planned_tiles: DataFrame, scenes: DataFrame, context: Context) -> Layer:
    tiles = planned_tiles.where(F.col("layer") == name)
    settings = built_up.settings(backend="cuda", batch=TILE_WINDOWS)
    recipe = recipe_of(name, settings, context)
    agree(recipe)
    once: Callable[[], object] = lambda: by_job(tiles, scenes, settings, context)  # noqa: E731
    once()
    times = max(1, round(JOB_SECONDS / seconds_of(once)))
    many = repeated(tiles, times)
    return Layer(lambda: by_job(many, scenes, settings, context), recipe, many.count() * (tiles.first()["tile_px"] // recipe.centre) ** 2)


def agree(recipe: Recipe) -> None:
    """Raises ValueError where the GPU and the CPU differ by more than one step."""
    windows = materials(read_spec(recipe.model_path))
    cpu, gpu = (load_predictor(recipe.model_path, recipe.model_sha256, backend=name).predict(windows) for name in ("cpu", "cuda"))
    if np.abs(cpu.astype(int) - gpu).max() > 1:
        raise ValueError("GPU and CPU differ by more than one step")


def _pair(layer: Layer) -> tuple[float, float]:
    """Seconds of the network alone ÷ those of the job, and how busy the job kept the GPU, percent."""
    alone = _seconds_alone(layer.recipe, layer.windows)
    with _sampled_use() as samples:
        seconds = seconds_of(layer.job)
    return alone / seconds, statistics.mean(samples)


def _seconds_alone(recipe: Recipe, windows: int) -> float:
    """Of as many windows from memory."""
    predictor = load_predictor(recipe.model_path, recipe.model_sha256, batch=BATCH, backend="cuda")
    batch = predictor.normalised(np.repeat(materials(read_spec(recipe.model_path)), BATCH, axis=0))
    predictor.on_device(batch, "cuda:0")
    return seconds_of(lambda: [predictor.on_device(batch, "cuda:0") for _ in range(-(-windows // BATCH))])


@contextmanager
def _sampled_use() -> Iterator[list[float]]:
    """Percent of time with work on the GPU, every fifth of a second, filled when the block ends."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        raise ValueError("nvidia-smi is not here; install the driver's tools to see how busy the GPU is")
    samples: list[float] = []
    command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0", "--loop-ms=200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield samples
        finally:
            process.terminate()
            samples += [float(line) for line in (process.stdout or ()) if line.strip()]
