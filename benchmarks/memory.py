"""Peak memory of a Python worker after 10,000 tiles ÷ after 100; and, for other benchmarks, of the processes of a session.

Tiles of 60 zones are read from many small images, an eighth of them in a neighbour zone's CRS or in degrees, so that handles,
transformers and caches turn over; a network that does nothing gives their results."""

import datetime as dt
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyspark.errors import PySparkException

from benchmarks.pairs import Measure
from jobs.session import start_session
from udfs.grid import Grid, Tile, tile_id
from udfs.mapping import Recipe, built_up_batches
from udfs.planning import outlines
from udfs.scenes import Scene, footprint
from udfs.zones import ZONES, zone_grid

REACH = 1.1
TILES, EARLY, WORKERS = 10_000, 100, 2
TILE_PX, HALO, SIDE, IMAGES, KINDS = 256, 16, 384, 480, 8
BANDS = ("B02", "B03")
LAYER, SENSOR, EPOCH = "built_up_10m", "sentinel2_l2a", "e"
CODE_ON_WORKERS = {"spark.executorEnv.PYTHONPATH": str(Path(__file__).parents[1])}
"""So that workers find functions of benchmarks."""
Result = TypeVar("Result")


def measure() -> list[Measure]:
    """The ratio, of each of the workers that map at the same time. Raises ValueError where a tile fails."""
    found = in_own_process(_worker_peaks, IMAGES, TILES)
    ratios = tuple(late / early for early, late in found)
    note = f"{TILES} tiles of {IMAGES} images; {' and '.join(f'{early:.0f} -> {late:.0f} MiB' for early, late in found)}"
    return [Measure("memory", "x", ratios, REACH, at_most=True, note=note)]


def in_own_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function gives in a fresh process: its session and its peaks are its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_told, function, *arguments).result()


def _told(function: Callable[..., Result], *arguments: Any) -> Result:
    """Spark's errors cannot travel between processes; what they say can."""
    try:
        return function(*arguments)
    except PySparkException as error:
        raise RuntimeError(str(error)) from None


def peak_mib(pid: str = "self") -> float:
    """Peak resident memory of a process; raises OSError where it is not there any more."""
    return _memory_mib(pid)[0]


def _memory_mib(pid: str) -> tuple[float, float]:
    """At its peak and now."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    told = {words[0]: int(words[1]) / 1024 for words in lines if words[0] in ("VmHWM:", "VmRSS:")}
    return told.get("VmHWM:", 0.0), told.get("VmRSS:", 0.0)


class Process(NamedTuple):
    """Its name, the id of the one above it, resident memory at its peak and now in MiB, CPU seconds."""

    name: str
    parent: str
    peak: float
    now: float
    cpu: float


class SessionUse:
    """What the processes below this one need while it is entered: CPU seconds `cpu`; and peaks, MiB, of the `jvm`, of the largest
    Python `worker`, and of all `together`."""

    def __enter__(self) -> "SessionUse":
        self.jvm = self.worker = self.together = 0.0
        self._before = processes_below()
        for pid in self._before:
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")  # peaks begin anew
        self._spent: dict[str, float] = {}
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._watcher.join()
        self._look()

    @property
    def cpu(self) -> float:
        return sum(self._spent.values())

    def _watch(self) -> None:
        """Workers may end before the session does: they are looked at meanwhile."""
        while not self._ended.wait(0.5):
            self._look()

    def _look(self) -> None:
        below = processes_below()
        # One JVM: a child that it has only just forked, to start a program, still has its size.
        jvm = max((each.peak for each in below.values() if each.name == "java"), default=0.0)
        workers = [each.peak for each in below.values() if each.name.startswith("python")]
        self.jvm, self.worker = max(self.jvm, jvm), max([self.worker, *workers])
        self.together = max(self.together, jvm + sum(workers))
        self._spent |= {pid: each.cpu - (self._before[pid].cpu if pid in self._before else 0.0) for pid, each in below.items()}


def processes_below(top: int | None = None) -> dict[str, Process]:
    """By id, the processes below one; default: this one."""
    found: dict[str, Process] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, text = (folder / "stat").read_text(encoding="utf-8").partition("(")[2].rpartition(")")
            peak, now = _memory_mib(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        fields = text.split()
        found[folder.name] = Process(name, fields[1], peak, now, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return {pid: each for pid, each in found.items() if _is_below(pid, str(top or os.getpid()), found)}


def _is_below(pid: str, top: str, processes: Mapping[str, Process]) -> bool:
    above = processes[pid].parent
    while above in processes and above != top:
        above = processes[above].parent
    return above == top


def _worker_peaks(images: int, tiles: int) -> list[tuple[float, float]]:
    """Of each worker, MiB after EARLY and after all of its tiles."""
    with tempfile.TemporaryDirectory() as folder:
        scenes = [scene_under(number, Path(folder)) for number in range(images)]
        spark = start_session(f"local[{WORKERS}]", CODE_ON_WORKERS)
        shell = partial(peaks_of_tiles, scenes=scenes, after=(EARLY, tiles))
        numbers = spark.range(0, WORKERS * tiles, 1, WORKERS)
        rows = numbers.mapInPandas(shell, "worker int, tiles int, peak double").toPandas()
        spark.stop()
    wide = rows.pivot_table(index="worker", columns="tiles", values="peak")
    if wide.shape != (WORKERS, 2):
        raise ValueError(f"workers and tiles {wide.shape}: each part should have had a worker of its own")
    return [(float(early), float(late)) for early, late in wide.to_numpy()]


class Still:
    """A network that does nothing."""

    def predict_layers(self, windows: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.zeros((len(windows), 1, TILE_PX, TILE_PX), np.uint8)


@dataclass(frozen=True)
class StillRecipe(Recipe):
    """A recipe without weights."""

    @property
    def predictor(self) -> Any:
        return Still()


RECIPE = StillRecipe(
    model_path="", model_name="still", model_version="1", model_sha256="0", bands=BANDS, centre=TILE_PX, halo=HALO, threshold=125,
    composite="median", looks=4.4, min_clear=0.5, threads=1, batch=1, backend="cpu", settings_digest="",
)  # fmt: skip


def peaks_of_tiles(frames: Iterable[pd.DataFrame], scenes: list[Scene], after: tuple[int, ...]) -> Iterator[pd.DataFrame]:
    """Shell: numbers of tiles (`id`) to `worker` (its first number), `tiles`, `peak`: MiB after so many. Raises ValueError."""
    numbers = (int(number) for frame in frames for number in frame["id"])
    planned = (pd.DataFrame([_row(number, scenes[number % len(scenes)])]) for number in numbers)
    by_id = {scene.scene_id: scene for scene in scenes}
    first = -1
    for count, rows in enumerate(built_up_batches(planned, by_id, {LAYER: RECIPE}, {LAYER: SENSOR}), 1):
        if rows["status"][0] != "done":
            raise ValueError(f"tile {count}: {rows['status'][0]} {rows['message'][0]}")
        first = int(rows["xmin"][0]) if first < 0 else first
        if count in after:
            yield pd.DataFrame({"worker": [first], "tiles": [count], "peak": [peak_mib()]})


def _place(number: int) -> tuple[Grid, Tile]:
    """A zone of the north and a tile near its middle."""
    return zone_grid(ZONES[number % 60], 10.0), Tile(2300 + number, 195, TILE_PX)


def _row(number: int, scene: Scene) -> dict[str, Any]:
    grid, tile = _place(int(scene.scene_id))
    (outline,) = outlines(grid, [tile])
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), (float(number), 0.0, 0.0, 0.0), strict=True))
    return {
        "layer": LAYER, "epoch": EPOCH, "tile_id": tile_id(grid, tile), "grid": grid.name, "crs": grid.crs, "tile_px": TILE_PX,
        "row": tile.row, "col": tile.col, "transform": list(grid.transform(*tile.pixels[:2]))[:6], "strip": None,
        "geometry": shapely.to_wkb(outline), "scenes": [{"scene_id": scene.scene_id, "covers": 1.0, "why": "", "blocks": None}], **box,
    }  # fmt: skip


def scene_under(number: int, folder: Path) -> Scene:
    """An image, a file a band, over the tile of that number and its halo."""
    grid, tile = _place(number)
    crs = grid.crs if number // 60 % KINDS else (ZONES[(number + 1) % 60].crs, "EPSG:4326")[number % 2]
    x, y = grid.transform(*tile.pixels[:2]) @ (TILE_PX / 2, TILE_PX / 2)
    middle = Transformer.from_crs(grid.crs, crs, always_xy=True).transform(x, y)
    pixel = 1e-4 if crs == "EPSG:4326" else 10.0
    transform = Affine(pixel, 0, middle[0] - SIDE / 2 * pixel, 0, -pixel, middle[1] + SIDE / 2 * pixel)
    for band in BANDS:
        _write(folder / f"{number}_{band}.tif", crs, transform, number)
    hrefs = {band: str(folder / f"{number}_{band}.tif") for band in BANDS}
    scene = Scene(
        str(number), SENSOR, dt.datetime(2020, 5, 4, tzinfo=dt.UTC), hrefs, dict.fromkeys(BANDS, 1), crs, tuple(transform)[:6], SIDE, SIDE,
        nodata=0.0, baseline="03.01",
    )  # fmt: skip
    return replace(scene, footprint=footprint(scene))


def _write(path: Path, crs: str, transform: Affine, seed: int) -> None:
    rows, columns = np.indices((SIDE, SIDE))
    pixels = (1000 + 3 * rows + 5 * columns + np.random.default_rng(seed).integers(0, 16, (SIDE, SIDE))).astype(np.uint16)
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    with rasterio.open(path, "w", count=1, height=SIDE, width=SIDE, dtype="uint16", crs=crs, transform=transform, **layout) as file:
        file.write(pixels, 1)
