"""What a run would do, printed by `--dry-run`, job by job, reading only."""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.place import Place
from jobs.job import Context, Job
from jobs.runner import Prepared, Runner


def plan_lines(spark: SparkSession, place: Place, jobs: dict[str, Job], prepared: list[Prepared]) -> list[str]:
    """One line a job: done, or what it would do. Scenes and tiles that are not there are planned in memory."""
    runner = Runner(spark, place, jobs)
    planned: dict[str, DataFrame] = {}
    return [line for item in prepared for line in _lines(runner, item, planned)]


def _lines(runner: Runner, item: Prepared, planned: dict[str, DataFrame]) -> list[str]:
    job = item.job
    stale = any(name in planned for name in (*job.reads, *job.optional))
    if not stale and runner.is_done(item):
        return [f"{job.name}: done"]
    if isinstance(item.sources, dict) and item.sources.get("pending"):
        return [f"{job.name}: known once {', '.join(job.after)} has run"]
    if job.name in ("scenes", "tiles") and all(name in planned or runner.warehouse.exists(name) for name in job.reads):
        planned[job.name] = _in_memory(runner, item, planned)
        return [
            f"{job.name}: {planned[job.name].count()} rows",
            *(work_lines(runner.place, planned[job.name]) if job.name == "tiles" else []),
        ]
    return [f"{job.name}: would run"]


def _in_memory(runner: Runner, item: Prepared, planned: dict[str, DataFrame]) -> DataFrame:
    inputs = {name: planned.get(name) or runner.warehouse.read(name) for name in item.job.reads}
    context = Context(runner.spark, runner.place, "dry-run", runner.place.folder, item.pins)
    result: Any = item.job.run(inputs, item.settings, context)
    return result.persist()


def work_lines(place: Place, tiles: DataFrame) -> list[str]:
    """What planned tiles cost, layer by layer."""
    sums = (F.count(F.lit(1)).alias("tiles"), F.sum("predicted_seconds").alias("seconds"), F.sum("predicted_bytes").alias("bytes"))
    rows = tiles.groupBy("layer").agg(*sums).orderBy("layer").collect()
    return [line for row in rows for line in _cost_lines(place, row["layer"], row["tiles"], row["seconds"], row["bytes"])]


def _cost_lines(place: Place, layer: str, tiles: int, seconds: float, read: int) -> list[str]:
    cpu, gpu = seconds / 3600 * place.price_per_cpu_hour, seconds / place.cores_per_gpu / 3600 * place.price_per_gpu_hour
    return [
        f"  {layer}: {tiles} tiles, {read / 1e9:.3f} GB to read",
        f"    on cores: {seconds / 60:.1f} minutes of one, {cpu:.4f} US$ at {place.price_per_cpu_hour:g} US$ an hour",
        f"    on GPUs: {seconds / place.cores_per_gpu / 60:.2f} minutes of one, {gpu:.4f} US$ at {place.price_per_gpu_hour:g} US$ an hour, "
        f"if one does the work of {place.cores_per_gpu:g} cores (assumed)",
    ]
