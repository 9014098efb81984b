"""Seconds from the command to the first committed `built_up` tiles of place olinda, empty warehouse, environment and jars present."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.pairs import Measure

ROOT = Path(__file__).parents[1]
REACH = 45.0
RUNS = 3
STAGES = {"session on": "session", "scenes:": "scenes", "tiles:": "tiles", "built_up:": "built_up"}


def measure() -> list[Measure]:
    """The whole, and each stage's end after the command. Raises ValueError when the run fails or there are no data."""
    if "URBANTRACE_DATA" not in os.environ:
        raise ValueError("URBANTRACE_DATA is not set; export it, the folder of the real images")
    runs = [_run() for _ in range(RUNS)]
    stages = [Measure(f"start: {name} by", "s", tuple(run[name] for run in runs)) for name in STAGES.values()]
    return [*stages, Measure("start", "s", tuple(run["first tile"] for run in runs), REACH, at_most=True)]


def _run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started, wall = time.monotonic(), time.time()
        command = [ROOT / "spark-submit.sh", "flow", "--place", "olinda", "--set", f"warehouse={folder}", "--master", "local[2]"]
        ended = _stages(command, started)
        commit = Path(folder) / "olinda" / "built_up" / "_delta_log" / "00000000000000000000.json"
        return {**ended, "first tile": commit.stat().st_mtime - wall}


def _stages(command: list[object], started: float) -> dict[str, float]:
    """When each stage's closing line came, in seconds after the start."""
    ended: dict[str, float] = {}
    with subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            name = next(
                (stage for head, stage in STAGES.items() if line.startswith(head) and (" rows in " in line or stage == "session")), None
            )
            if name:
                ended[name] = time.monotonic() - started
    if process.returncode or len(ended) < len(STAGES):
        raise ValueError(f"flow ended with {process.returncode} after {', '.join(ended) or 'nothing'}")
    return ended
