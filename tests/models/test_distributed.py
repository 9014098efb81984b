"""One course on two processes: they agree, they learn, and they do so again."""

import itertools
import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from conf.errors import InputError
from jobs.training.train import TrainSettings, train_sources
from models import course
from models.augmentation import Augmentation, Normaliser
from models.checkpoints import Look
from models.course import Course, Machine
from models.distributed import device_of, joined, rank
from models.networks import build_network
from models.training import train
from tests.models.conftest import TINY
from tests.models.test_training import window_of

COURSE = Course(steps=30, batch=4, side=48, learning_rate=0.02, looks=3, half=False, augmentation=Augmentation(noise=0.05))
PLAIN = Normaliser([0.0] * 2, [1.0] * 2, 10.0)
CUT = 3
"""Exit code of a process that is cut off."""


def learn(number: int, port: int, folder: Path, cut: int) -> None:
    """What torchrun would start; leaves this process's weights and looks in the folder, or ends before step `cut`."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    steps, step = itertools.count(), course._step
    course._step = lambda *given: os._exit(CUT) if next(steps) == cut else step(*given)  # type: ignore[assignment]
    windows = [window_of(), window_of(seed=2), window_of("choose", 3)]
    machine = Machine(checkpoints=folder / "kept", seconds=0)
    with joined("cpu"):
        assert rank() == number
        trained = train(build_network(TINY.architecture, 1), windows, PLAIN, COURSE, str, None, machine)
    weights = torch.cat([value.flatten().double() for value in trained.network.state_dict().values()])
    np.savez(folder / f"{number}.npz", weights=weights.numpy(), looks=np.array(trained.looks))


def together(folder: Path, cut: int = -1) -> list[int | None]:
    """Run both processes; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("forkserver")  # which imports torch once
    context.set_forkserver_preload(["models.training", "tests.models.test_training"])
    started = [context.Process(target=learn, args=(number, port, folder, cut)) for number in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def left_in(folder: Path, number: int) -> tuple[bytes, list[Look]]:
    """A process's weights and looks."""
    file = np.load(folder / f"{number}.npz")
    return file["weights"].tobytes(), [Look(*row) for row in file["looks"].tolist()]


def test_processes_agree_and_learn_and_go_on_to_the_same_bytes_when_cut_off(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert together(whole) == [0, 0]
    assert left_in(whole, 0) == left_in(whole, 1)
    looks = left_in(whole, 0)[1]
    assert looks[-1].loss < looks[0].loss and looks[-1].f1 > 0.9
    assert together(cut, 17) == [CUT, CUT]
    assert together(cut) == [0, 0]
    assert left_in(cut, 0) == left_in(cut, 1) == left_in(whole, 0)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URBANTRACE_DATA", "/data")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == "cpu"
    with pytest.raises(InputError, match="torch finds no CUDA device; use cpu or auto"):
        train_sources(None, TrainSettings(network="built_up_landsat", device="cuda"))  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert (device_of("auto"), device_of("cuda"), device_of("cpu")) == ("cuda:2", "cuda:2", "cpu")


def test_a_step_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.course.processes", lambda: 3)
    with pytest.raises(ValueError, match="batch 4 cannot be shared by 3 processes"):
        train(build_network(TINY.architecture, 1), [window_of()], PLAIN, COURSE, str)
