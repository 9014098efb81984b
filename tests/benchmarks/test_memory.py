"""Peaks are those of the processes asked about, since they were asked about; a tile that fails ends the benchmark."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.memory import SessionUse, in_own_process, peak_mib, peaks_of_tiles, scene_under

KINDS = (0, 1, 60)
"""Numbers of images in a neighbour zone's CRS, in degrees, in their own zone's."""


def test_peaks_come_after_so_many_tiles(tmp_path: Path) -> None:
    scenes = [scene_under(number, tmp_path) for number in KINDS]
    frames = [pd.DataFrame({"id": range(5, 10)}), pd.DataFrame({"id": range(10, 12)})]
    rows = pd.concat(peaks_of_tiles(frames, scenes, (2, 6)))
    assert rows[["worker", "tiles"]].to_numpy().tolist() == [[5, 2], [5, 6]]
    early, late = rows["peak"]
    assert 50 < early <= late <= peak_mib() + 1  # pages are counted in batches
    assert {scene.crs for scene in scenes} == {"EPSG:32602", "EPSG:4326", "EPSG:32601"}


def test_a_tile_that_fails_is_no_measure(tmp_path: Path) -> None:
    scene = scene_under(0, tmp_path)
    (tmp_path / "0_B03.tif").write_bytes(b"<html>busy</html>")
    with pytest.raises(ValueError, match="tile 1: quarantined"):
        list(peaks_of_tiles([pd.DataFrame({"id": [0]})], [scene], (1,)))


HOLDER = (
    "import sys; held = b'x' * (int(sys.argv[1]) << 20); print(len(held), flush=True); held = held[:1]; sum(range(10**7)); sys.stdin.read()"
)


def test_peaks_begin_anew_and_outlast_their_process() -> None:
    """In a process that has no others below it yet."""
    use = in_own_process(use_of_two_holders)
    assert 100 < use["worker"] < 200
    assert use["worker"] < use["together"] < 300
    assert use["jvm"] == 0
    assert 0.05 < use["cpu"] < 30


def use_of_two_holders() -> dict[str, float]:
    """One that held more memory before it was asked about, and one that ends."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, "300"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as before:
        assert before.stdout is not None
        before.stdout.readline()
        with SessionUse() as use:
            with subprocess.Popen([sys.executable, "-c", HOLDER, "100"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as during:
                assert during.stdout is not None
                during.stdout.readline()
                time.sleep(1)
                during.communicate()
            time.sleep(0.3)
        before.communicate()
    return {name: getattr(use, name) for name in ("worker", "together", "jvm", "cpu")}


def test_a_process_of_its_own() -> None:
    assert in_own_process(os.getppid) == os.getpid()
