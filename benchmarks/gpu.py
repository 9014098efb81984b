"""Job `built_up` on a GPU ÷ the same windows through the network alone, in windows per second; and how busy the GPU is meanwhile.

Two processes read and take turns on the device. Without a CUDA device there is nothing to measure, and it says so."""

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.end_to_end import Digests, by_job, planned
from benchmarks.network import materials
from benchmarks.pairs import Measure
from jobs.job import Context
from jobs.mapping.built_up import built_up, recipe_of
from jobs.session import start_session
from models.predictor import load_predictor, read_spec
from udfs.mapping import Recipe

SHARE, BUSY_PERCENT = 0.80, 85.0
PAIRS = 5
BATCH = 16


def measure() -> list[Measure]:
    """Speed and utilisation. Raises ValueError without a CUDA device, or where results differ from the CPU's by more than one step."""
    if not torch.cuda.is_available():
        raise ValueError("this machine has no CUDA device; run `python -m benchmarks gpu` where there is one")
    spark = start_session("local[2]", {})
    with tempfile.TemporaryDirectory() as folder:
        place, tiles, scenes = planned(spark, Path(folder))
        context = Context(spark, place, "benchmark", place.folder)
        settings = built_up.settings(backend="cuda", batch=BATCH)
        recipe = recipe_of("built_up_10m", settings, context)
        agree(recipe)
        windows = tiles.count() * (tiles.first()["tile_px"] // recipe.centre) ** 2
        job: Callable[[], Digests] = lambda: by_job(tiles, scenes, settings, context)  # noqa: E731
        job()
        shares, busy = zip(*(_pair(job, recipe, windows) for _ in range(PAIRS)), strict=True)
    note = f"{torch.cuda.get_device_name()}, {windows} windows, batches of {BATCH}"
    return [Measure("gpu: job ÷ network alone", "x", shares, SHARE, note=note), Measure("gpu: busy", "%", busy, BUSY_PERCENT)]


def agree(recipe: Recipe) -> None:
    """Raises ValueError where the GPU and the CPU differ by more than one step."""
    windows = materials(read_spec(recipe.model_path))
    cpu, gpu = (load_predictor(recipe.model_path, recipe.model_sha256, backend=name).predict(windows) for name in ("cpu", "cuda"))
    if np.abs(cpu.astype(int) - gpu).max() > 1:
        raise ValueError("GPU and CPU differ by more than one step")


def _pair(job: Callable[[], Digests], recipe: Recipe, windows: int) -> tuple[float, float]:
    """Seconds of the network alone ÷ those of the job, and how busy the job kept the GPU, percent."""
    alone = _seconds_alone(recipe, windows)
    with _sampled_use() as samples:
        started = time.perf_counter()
        job()
        seconds = time.perf_counter() - started
    return alone / seconds, statistics.mean(samples)


def _seconds_alone(recipe: Recipe, windows: int) -> float:
    """Of as many windows from memory."""
    batch = np.repeat(materials(read_spec(recipe.model_path)), recipe.batch, axis=0)
    predictor = recipe.predictor
    predictor.predict(batch)
    started = time.perf_counter()
    for _ in range(-(-windows // recipe.batch)):
        predictor.predict(batch)
    return time.perf_counter() - started


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
