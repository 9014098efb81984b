"""A command: how long it takes and what memory its processes have at their peaks."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.memory import processes_below

LOOK_SECONDS = 0.2


class CommandUse(NamedTuple):
    """Seconds, CPU seconds, and peaks in MiB: of the process that was started, of its JVM, of the largest Python worker, and of all workers
    at one time, where pages that they share count for each."""

    seconds: float
    cpu: float
    driver: float
    jvm: float
    worker: float
    workers: float


def run_command(command: Sequence[str]) -> CommandUse:
    """Raises ValueError, with what it said last, where the command's exit code is not 0."""
    started, looks = time.perf_counter(), _Looks()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        with subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                looks.look(process.pid)
                time.sleep(LOOK_SECONDS)
        said.seek(0)
        if process.returncode:
            raise ValueError(f"{' '.join(command)}: exit code {process.returncode}\n{said.read()[-4000:]}")
    return looks.use(time.perf_counter() - started)


class _Looks:
    """What was seen of the processes so far; they may end before the command does."""

    def __init__(self) -> None:
        self._peaks = dict.fromkeys(("driver", "jvm", "worker", "workers"), 0.0)
        self._cpu: dict[str, float] = {}

    def look(self, pid: int) -> None:
        below, driver = processes_below(pid), processes_below().get(str(pid))
        workers = [process for process in below.values() if process.name.startswith("python")]
        seen = {
            "driver": [driver.peak] if driver else [],
            "jvm": [process.peak for process in below.values() if process.name == "java"],
            "worker": [process.peak for process in workers],
            "workers": [sum(process.now for process in workers)],
        }
        self._peaks = {name: max([peak, *seen[name]]) for name, peak in self._peaks.items()}
        self._cpu |= {each: process.cpu for each, process in below.items()} | ({str(pid): driver.cpu} if driver else {})

    def use(self, seconds: float) -> CommandUse:
        return CommandUse(seconds, sum(self._cpu.values()), **self._peaks)
