"""A course between two steps, as one safetensors file: weights, their running mean, the best so far, the optimiser's moments, figures.

Draws need no place in it: those of a step follow from seed and step alone."""

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

KEY = "course"


class Look(NamedTuple):
    """What the choosing windows showed after a step: F1 at its best threshold, and the step's mean loss."""

    step: int
    f1: float
    threshold: float
    loss: float


@dataclass
class Progress:
    """All that a course carries from step to step. `best` is the running mean of the look with the best F1."""

    network: nn.Module
    mean: nn.Module
    best: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    cpu_seconds: float = 0.0
    looks: list[Look] = field(default_factory=list)

    @property
    def best_f1(self) -> float:
        """-1 where no look found anything to judge."""
        return max((look.f1 for look in self.looks if math.isfinite(look.f1)), default=-1.0)

    @property
    def looks_without_gain(self) -> int:
        """Since the first of the best ones."""
        found = [look.f1 for look in self.looks]
        return len(found) - 1 - found.index(self.best_f1) if self.best_f1 in found else len(found)


def begun(network: nn.Module, learning_rate: float, weight_decay: float, device: str) -> Progress:
    """A course before its first step."""
    moved = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(moved.parameters(), lr=learning_rate, weight_decay=weight_decay)
    return Progress(moved, copy.deepcopy(moved), copy.deepcopy(moved), optimizer)


def save(progress: Progress, path: Path) -> None:
    """Whole or not at all."""
    from safetensors.torch import save_file

    facts = {"step": progress.step, "cpu_seconds": progress.cpu_seconds, "looks": progress.looks}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(progress)}
    save_file(tensors, fresh, {KEY: json.dumps(facts)})
    fresh.replace(path)


def restore(progress: Progress, path: Path) -> None:
    """Bring a course that is begun to where `path` was saved. Raises KeyError or RuntimeError where it is another network's."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()[KEY])
        _give_moments(progress.optimizer, set(file.keys()))
        with torch.no_grad():
            for name, tensor in _tensors(progress):
                tensor.copy_(file.get_tensor(name))
    progress.step, progress.cpu_seconds = facts["step"], facts["cpu_seconds"]
    progress.looks = [Look(*values) for values in facts["looks"]]


def _tensors(progress: Progress) -> Iterator[tuple[str, torch.Tensor]]:
    for part in ("network", "mean", "best"):
        yield from ((f"{part}.{name}", tensor) for name, tensor in getattr(progress, part).state_dict().items())
    parameters = progress.optimizer.param_groups[0]["params"]
    for number, parameter in enumerate(parameters):
        yield from ((f"optimizer.{number}.{name}", tensor) for name, tensor in progress.optimizer.state[parameter].items())


def _give_moments(optimizer: torch.optim.Optimizer, kept: set[str]) -> None:
    """AdamW makes its moments in its first step, of weights that learn; a course that goes on has them before."""
    for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
        if f"optimizer.{number}.step" in kept:
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.tensor(0.0), **moments}
