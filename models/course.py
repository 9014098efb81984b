"""A course: steps over what a lesson draws, the running mean of weights judged now and then. What is learned is the lesson's.

The same seed, threads and processes give the same network."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from models.ahead import ahead
from models.augmentation import Augmentation
from models.checkpoints import Look, Progress, begun, restore, save
from models.distributed import agreed, alike, averaging, processes, rank, summed
from models.streaming import WindowStream
from models.windows import Window

Report = Callable[[str], None]


@dataclass(frozen=True)
class Course:
    """How a network is trained. Ends after `steps`, or earlier after `cpu_minutes` of a process, which then depends on the machine."""

    seed: int = 1
    steps: int = 1000
    cpu_minutes: float = 12.0
    batch: int = 8
    """Crops of a step, by all processes together."""
    side: int = 192
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_share: float = 0.1
    jaccard_share: float = 0.5
    average: float = 0.99
    """Share of the running mean of weights that each step keeps."""
    fresh: int = 1
    """Windows of a stream that each step brings into memory."""
    looks: int = 6
    """How often the choosing windows are looked at."""
    patience: int = 0
    """The course ends after so many looks without a better F1; 0 = it goes on."""
    keep: str = "best"
    """`best`: the network with the best F1 on the choosing windows. `last`: that at the course's end, where the choosing ground is
    too small to choose by."""
    aid_share: float = 0.3
    """Weight of what the network also learns (models/aids.py), where its architecture names any."""
    consistency: float = 0.0
    """Of a network of two sensors: weight of what both together teach each alone on windows of split `unlabelled`, of which each step draws
    a batch."""
    half: bool = True
    """Convolve in bfloat16 where the device has it, 1.6 times as fast on a CPU; it is ten times as slow where it has not."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep {self.keep}: use best or last")


@dataclass(frozen=True)
class Machine:
    """Where a course runs; nothing of it is learned from. On CPUs the same processes and threads give the same bytes."""

    device: str = "cpu"
    """`cpu`, or a CUDA device."""
    checkpoints: Path | None = None
    """Folder in which an unfinished course is kept, a file for each of a network's courses; None: it is not kept."""
    seconds: float = 60.0
    """Between two checkpoints."""
    ahead: int = 0
    """Threads that draw the crops of coming steps while a device computes; 0: each step draws its own. The bytes are the same."""


class Trained(NamedTuple):
    """The kept network, on the CPU, and how the course went."""

    network: nn.Module
    looks: list[Look]
    steps: int
    cpu_seconds: float
    """Of all processes."""


class Lesson(Protocol):
    """What a step draws and is judged by."""

    def draw(self, held: list[Window], share: int, random: np.random.Generator) -> list[Any]:
        """`share` crops to learn from, as named tuples of tensors; `held`: windows of a stream beside the lesson's own."""

    def loss(self, network: nn.Module, crops: list[Any]) -> torch.Tensor:
        """Of what was drawn, moved to the network's device."""

    def judge(self, network: nn.Module) -> tuple[float, float]:
        """F1 on ground to choose on, and the threshold with which it has that."""


def run_course(
    network: nn.Module,
    lesson: Lesson,
    course: Course,
    report: Report,
    stream: WindowStream | None = None,
    machine: Machine | None = None,
    number: int = 1,
) -> Trained:
    """Take the course's steps; keep the running mean of weights, the best look's or the last. A course that was cut off goes on from its
    checkpoint, `number` tells a network's courses apart."""
    machine = machine or Machine()
    path = machine.checkpoints / f"{number}.safetensors" if machine.checkpoints else None
    progress = _begun(network, course, machine.device, path, report)
    draw = partial(_drawn, lesson=lesson, share=_share(course), seed=course.seed)
    parallel = averaging(progress.network)
    started, saved = time.process_time() - progress.cpu_seconds, time.monotonic()
    (done,) = agreed([_done(progress, course)], machine.device)
    with closing(ahead(draw, _coming(progress.step, stream, course.fresh), machine.ahead)) as steps:
        while done < 1:
            crops = [type(each)(*(part.to(machine.device) for part in each)) for each in next(steps)]
            loss = _taken(progress, parallel, lesson, crops, done, course)
            progress.cpu_seconds = time.process_time() - started
            (done,) = agreed([_done(progress, course)], machine.device)
            if done >= (len(progress.looks) + 1) / course.looks:
                _look(progress, lesson, loss, report, machine.device)
                (done,) = agreed([_done(progress, course)], machine.device)
            if path and rank() == 0 and (done >= 1 or time.monotonic() - saved >= machine.seconds):
                save(progress, path)
                saved = time.monotonic()
    kept = progress.best if course.keep == "best" else progress.mean
    return Trained(alike(kept).eval().to("cpu"), progress.looks, progress.step, summed(progress.cpu_seconds, machine.device))


def in_half(device: str, course: Course) -> AbstractContextManager[Any]:
    """Where a forward pass convolves in bfloat16, if the course wants that and the device has it."""
    return torch.autocast(device, torch.bfloat16, enabled=course.half and _has_bfloat16(device))


def _begun(network: nn.Module, course: Course, device: str, path: Path | None, report: Report) -> Progress:
    progress = begun(network, course.learning_rate, course.weight_decay, device)
    if path and path.is_file():
        restore(progress, path)
        report(f"goes on after step {progress.step}")
    return progress


def _taken(progress: Progress, parallel: nn.Module, lesson: Lesson, crops: list[Any], done: float, course: Course) -> float:
    """Take one step and let the running mean follow; the loss."""
    torch.manual_seed(int(np.random.SeedSequence(_key(course.seed, progress.step)).generate_state(1)[0]))
    for group in progress.optimizer.param_groups:
        group["lr"] = course.learning_rate * _pace(done, course.warm_share)
    loss = _step(parallel, progress.optimizer, lesson, crops)
    _follow(progress.mean, progress.network, min(course.average, (1 + progress.step) / (10 + progress.step)))
    progress.step += 1
    return loss


def _share(course: Course) -> int:
    """Crops of a step that this process draws."""
    if course.batch % processes():
        raise ValueError(f"batch {course.batch} cannot be shared by {processes()} processes; take a divisor of it")
    return course.batch // processes()


def _coming(step: int, stream: WindowStream | None, fresh: int) -> Iterator[tuple[int, list[Window]]]:
    """Steps from `step` on, without end, each with what the stream holds then."""
    if stream:
        stream.go_to(fresh * step)
    for number in count(step):
        yield number, stream.windows() if stream else []
        if stream:
            stream.move_on(fresh)


def _drawn(coming: tuple[int, list[Window]], lesson: Lesson, share: int, seed: int) -> list[Any]:
    step, held = coming
    return lesson.draw(held, share, np.random.default_rng(_key(seed, step)))


def _key(seed: int, step: int) -> list[int]:
    """Of one step in this process: what it draws does not depend on the steps before, so that a course can go on anywhere."""
    return [seed, step] if processes() == 1 else [seed, step, processes(), rank()]


def _done(progress: Progress, course: Course) -> float:
    """Share of the course that is over."""
    if course.patience and progress.looks_without_gain >= course.patience:
        return 1.0
    return max(progress.step / course.steps, progress.cpu_seconds / 60 / course.cpu_minutes)


def _look(progress: Progress, lesson: Lesson, loss: float, report: Report, device: str) -> None:
    """Judge the running mean, in the first process alone. `loss`: of this process's crops."""
    found = lesson.judge(progress.mean) if rank() == 0 else (0.0, 0.0)
    f1, threshold = agreed(found, device)
    if f1 > progress.best_f1:
        progress.best.load_state_dict(progress.mean.state_dict())
    loss = summed(loss, device) / processes()
    progress.looks.append(Look(progress.step, f1, threshold, loss))
    report(f"step {progress.step}: loss {loss:.4f}, F1 {f1:.4f} at {threshold:.2f}, {progress.cpu_seconds:.0f} CPU s")


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, lesson: Lesson, crops: list[Any]) -> float:
    network.train()
    loss = lesson.loss(network, crops)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _pace(done: float, warm_share: float) -> float:
    """Share of the full learning rate: up in a line, then down along a cosine."""
    if done < warm_share:
        return max(done / warm_share, 0.02)
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_share) / (1 - warm_share))


def _follow(mean: nn.Module, network: nn.Module, keep: float) -> None:
    """Weights all at once: one by one, their number would tell on a GPU."""
    pairs = list(zip(mean.state_dict().values(), network.state_dict().values(), strict=True))
    weights = [pair for pair in pairs if pair[0].is_floating_point()]
    get_ema_multi_avg_fn(keep)([kept for kept, _ in weights], [now for _, now in weights], None)  # type: ignore[no-untyped-call]
    for kept, now in pairs:
        if not kept.is_floating_point():
            kept.copy_(now)
