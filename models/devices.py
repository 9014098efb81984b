"""Which device a process computes on. A GPU is one process's at a time: two at once would share its time, and its memory would not do."""

import fcntl
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conf.errors import InputError

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 600.0


class DeviceError(RuntimeError):
    """No device could be had in time."""


def check_backend(backend: str) -> None:
    """Raise InputError where a back end's package is not installed."""
    if backend == "openvino" and importlib.util.find_spec("openvino") is None:
        raise InputError("built_up.backend = openvino: not installed; pip install 'urbantrace[openvino]' here and on workers, or use auto")


def devices_called(backend: str) -> tuple[str, ...]:
    """`cuda` → every CUDA device that this process may use; anything else runs on the CPU. Raises InputError where there is none."""
    if backend != "cuda":
        return ("cpu",)
    import torch

    if not torch.cuda.is_available():
        raise InputError("built_up.backend = cuda: this machine has no CUDA device; set it to auto or cpu, or add the device")
    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))


@contextmanager
def leased(devices: Sequence[str], folder: Path | None = None, patience: float = PATIENCE_SECONDS) -> Iterator[str]:
    """One of the devices, for this process alone until the block ends, also by the process's death. CPUs need no lease.

    Waits while other processes hold all of them. Raises DeviceError after `patience` seconds.
    """
    if "cpu" in devices:
        yield "cpu"
        return
    device, lock = _locked(devices, folder or Path(tempfile.gettempdir()), time.monotonic() + patience)
    try:
        yield device
    finally:
        os.close(lock)


def _locked(devices: Sequence[str], folder: Path, until: float) -> tuple[str, int]:
    while True:
        for device in devices:
            lock = os.open(_lock_file(folder, device), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                return device, lock
        if time.monotonic() > until:
            raise DeviceError(f"{', '.join(devices)} held by other processes for too long; see nvidia-smi, end what hangs, then run retry")
        time.sleep(POLL_SECONDS)


def _lock_file(folder: Path, device: str) -> Path:
    """Of this user: what others leave in a shared folder cannot be trusted to be opened."""
    return folder / f"urbantrace-{os.getuid()}-{_identity(device)}.lock"


def _identity(device: str) -> str:
    """A device's own number: processes may count the same devices differently."""
    if not device.startswith("cuda"):
        return device.replace(":", "-")
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)
