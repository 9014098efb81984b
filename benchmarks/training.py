"""The course of `built_up_10m` on a GPU ÷ on CPUs, in steps per second, looks at the choosing ground included: beside one thread, as the
job runs it by default, and beside all of the machine's. Without a CUDA device there is nothing to measure, and it says so."""

import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.pairs import Measure
from jobs.courses import machine_for
from jobs.held_out import made_windows
from jobs.recipes import course_of, orders, read_recipe, untrained_spec
from models.course import Course
from models.fitting import normaliser
from models.networks import build_network
from models.training import train
from models.windows import Window

REACH = 10.0
RECIPE = "built_up_10m"
CITIES = 3
STEPS = {"cuda": 300, "cpu": 20}
PAIRS, WARM_UP = 5, 10
ALIKE = 0.1
"""Loss of both devices' first steps may differ by this share: they see the same crops."""


def measure() -> list[Measure]:
    """Ratios of steps per second. Raises ValueError without a CUDA device, or where the devices' losses part."""
    if not torch.cuda.is_available():
        raise ValueError("this machine has no CUDA device; run `python -m benchmarks training` where there is one")
    windows, course = learned_from(), _course()
    _agree(*(_seconds_of_step(windows, course, device, WARM_UP)[1] for device in ("cuda", "cpu")))
    return [_beside(threads, windows, course) for threads in sorted({1, os.cpu_count() or 1})]


def learned_from() -> list[Window]:
    """A few simulated cities, of those that the recipe learns from and chooses on."""
    recipe = read_recipe(RECIPE)
    simulated = [group for group in recipe.windows if group.cities]
    few = tuple(group.model_copy(update={"cities": dict(list(group.cities.items())[:CITIES])}) for group in simulated)
    with TemporaryDirectory() as folder:
        return made_windows(orders(recipe.model_copy(update={"windows": few})), Path(folder) / "windows.parquet")


def _course() -> Course:
    recipe = read_recipe(RECIPE)
    return course_of(recipe, looks=1, cpu_minutes=1e6)


def _beside(threads: int, windows: list[Window], course: Course) -> Measure:
    torch.set_num_threads(threads)
    ratios = []
    for _ in range(PAIRS):
        gpu, cpu = (_seconds_of_step(windows, course, device, STEPS[device])[0] for device in ("cuda", "cpu"))
        ratios.append(cpu / gpu)
    note = f"{torch.cuda.get_device_name()}, {1000 * gpu:.1f} ms a step; CPU {1000 * cpu:.0f} ms"
    return Measure(f"training: GPU ÷ {threads} CPU thread{'s' if threads > 1 else ''}", "x", tuple(ratios), REACH, note=note)


def _seconds_of_step(windows: list[Window], course: Course, device: str, steps: int) -> tuple[float, float]:
    """And the mean loss of the last one."""
    spec = untrained_spec(read_recipe(RECIPE))
    started = time.perf_counter()
    network, machine = build_network(spec.architecture, 1), machine_for(device, None)
    made = train(network, windows, normaliser(spec), replace(course, steps=steps), _silent, machine=machine)
    return (time.perf_counter() - started) / steps, made.looks[-1].loss


def _agree(gpu: float, cpu: float) -> None:
    if abs(gpu - cpu) > ALIKE * cpu:
        raise ValueError(f"after {WARM_UP} steps the loss is {gpu:.4f} on the GPU and {cpu:.4f} on the CPU")


def _silent(text: str) -> None:
    return None
