"""A GPU is one process's at a time: seen with two processes and devices that no machine has."""

import multiprocessing
import os
import signal

import pytest
import torch

from conf.errors import InputError
from models.devices import DeviceError, devices_called, leased

ONE, TWO = ("none:0",), ("none:0", "none:1")


def _hold(folder, held, release):
    with leased(ONE, folder):
        held.set()
        release.wait(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the first device, and how it is told to let go."""
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(60)
    yield process, release
    if process.is_alive():  # to set an event waits for all that wait for it, for ever where one of them was killed
        release.set()
    process.join(60)


def test_a_device_that_another_process_holds_is_waited_for_and_then_refused(tmp_path, holder):
    with pytest.raises(DeviceError, match="none:0 held by other processes for too long"), leased(ONE, tmp_path, patience=0.05):
        pytest.fail("two processes at once")
    with leased(TWO, tmp_path) as device:
        assert device == "none:1"
    holder[1].set()
    with leased(ONE, tmp_path, patience=60) as device:
        assert device == "none:0"


def test_the_death_of_its_holder_frees_a_device(tmp_path, holder):
    os.kill(holder[0].pid, signal.SIGKILL)
    with leased(ONE, tmp_path, patience=60) as device:
        assert device == "none:0"


def test_cpus_are_not_leased_and_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    with leased(("cpu",), tmp_path), leased(("cpu",), tmp_path) as device:
        assert device == "cpu"
    assert not list(tmp_path.iterdir())
    (tmp_path / f"urbantrace-{os.getuid()}-none-0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), leased(ONE, tmp_path):
        pytest.fail("followed")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_refused():
    assert devices_called("cpu") == devices_called("openvino") == ("cpu",)
    with pytest.raises(InputError, match="no CUDA device; set it to auto or cpu"):
        devices_called("cuda")
