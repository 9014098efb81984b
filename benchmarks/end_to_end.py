"""Job `built_up` ÷ a bare loop of the same reads and network, in tiles per second: 2 cores beside 2 processes of 1 thread;
and the largest peak of a Python worker that did the job's part."""

import hashlib
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.pairs import Measure, speed_ratio
from conf.place import Place, load_place
from jobs.job import Context, declared_jobs
from jobs.mapping.built_up import built_up, recipe_of, scenes_named
from jobs.session import start_session
from udfs.images import ImagePool
from udfs.mapping import Plan, Recipe, map_tile, plan_of, read_tile
from udfs.rasters import encode_raster

REACH = 0.90
WORKER_MIB = 2048.0
PROCESSES = 2
TIMES = 4
"""Each tile is mapped so many times over: two minutes, for a rate in steady state: a stage starts and ends once."""
KEY = ("layer", "epoch", "tile_id")
Digests = dict[tuple[str, ...], str]
Work = tuple[tuple[str, ...], Plan, Recipe]


def measure() -> list[Measure]:
    """The ratio, of runs that must give the same bytes for every tile, and the peak."""
    spark = start_session(f"local[{PROCESSES}]", {})
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        place, tiles, scenes = planned(spark, Path(folder))
        tiles, context = repeated(tiles, TIMES), Context(spark, place, "benchmark", place.folder)
        settings = built_up.settings()
        works = _works(tiles, scenes, settings, context)
        peaks: list[float] = []

        def ours() -> Digests:
            digests = by_job(tiles, scenes, settings, context)
            peaks.append(_largest_peak())  # now: Spark ends a worker that has been idle for a minute
            return digests

        bare: Callable[[], Digests] = lambda: _by_loop(pool, works)  # noqa: E731
        note = f"{len(works)} tiles of {place.name}"
        ratio = speed_ratio("end_to_end", ours, bare, agree, REACH, pairs=5, note=note)
        return [ratio, Measure("end_to_end: worker's peak", "MiB", tuple(peaks), WORKER_MIB, at_most=True)]


def _largest_peak() -> float:
    """Peak resident memory of the largest Python worker of this process's session, MiB."""
    peaks = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if b"pyspark.daemon" in command and _descends(folder.name):
            peaks.append(int(status["VmHWM"].split()[0]) / 1024)
    if not peaks:
        raise ValueError("no Python worker of the session is alive; run the benchmark by itself")
    return max(peaks)


def _descends(pid: str) -> bool:
    """Whether a process is below this one."""
    while pid not in ("0", "1"):
        if pid == str(os.getpid()):
            return True
        pid = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    return False


def planned(spark: SparkSession, folder: Path, layers: Sequence[str] = ("built_up_10m",)) -> tuple[Place, DataFrame, DataFrame]:
    """A simulated city's scenes and tiles of some layers, in memory."""
    jobs = declared_jobs()
    place = load_place("simulated", (f"warehouse={folder}",), frozenset(jobs))
    place = place.model_copy(update={"layers": {name: place.layers[name] for name in layers}})
    tables: dict[str, DataFrame] = {}
    for name in ("simulated_city", "scenes", "tiles"):
        job = jobs[name]
        result = job.run(tables, place.section(job.settings, name), Context(spark, place, "benchmark", place.folder))
        tables |= {} if isinstance(result, dict) else {name: result.persist()}
    return place, tables["tiles"].withColumn("settings_digest", F.lit("")).persist(), tables["scenes"]


def repeated(tiles: DataFrame, times: int) -> DataFrame:
    """Each tile so many times, under other names."""
    number = F.explode(F.sequence(F.lit(1), F.lit(times)))
    return tiles.withColumn("number", number).withColumn("tile_id", F.concat_ws("_", "tile_id", "number")).drop("number").persist()


def _works(tiles: DataFrame, scenes: DataFrame, settings: Any, context: Context) -> list[Work]:
    planned = tiles.withColumn("scene_ids", F.transform("scenes", lambda scene: scene["scene_id"]))
    found = scenes_named(scenes, planned)
    sensors = {name: layer.sensor for name, layer in context.place.layers.items()}
    recipes = {name: recipe_of(name, settings, context) for name in context.place.layers}
    rows = planned.orderBy("epoch", "row", "col").toPandas().itertuples()
    return [(tuple(getattr(row, name) for name in KEY), plan_of(row, found, sensors), recipes[row.layer]) for row in rows]


def by_job(tiles: DataFrame, scenes: DataFrame, settings: Any, context: Context) -> Digests:
    rows = built_up.run({"planned": tiles, "scenes": scenes}, settings, context).select(*KEY, F.sha2("probability", 256).alias("digest"))
    return {tuple(row[name] for name in KEY): row["digest"] or "" for row in rows.collect()}


def _mapped(works: list[Work]) -> Digests:
    """A process's share, its image handles kept."""
    with ImagePool() as images:
        return {key: _digest(plan, recipe, images) for key, plan, recipe in works}


def _digest(plan: Plan, recipe: Recipe, images: ImagePool) -> str:
    probability = map_tile(plan, read_tile(images, plan, recipe), recipe, recipe.predictor.predict_layers).probability
    return "" if probability is None else hashlib.sha256(encode_raster(probability)).hexdigest()


def _by_loop(pool: Any, works: list[Work]) -> Digests:
    half = -(-len(works) // PROCESSES)
    parts = pool.map(_mapped, [works[:half], works[half:]], chunksize=1)
    return {key: digest for part in parts for key, digest in part.items()}


def agree(ours: Mapping[Any, str], bare: Mapping[Any, str]) -> None:
    """Raises ValueError where a tile's digests differ."""
    if ours != bare:
        raise ValueError(f"{sum(ours.get(key) != digest for key, digest in bare.items())} of {len(bare)} tiles differ from the bare loop")
