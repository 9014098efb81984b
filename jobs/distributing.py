"""A course on several processes that Spark starts: on this machine where the master is local, else one in each of as many tasks."""

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from jobs.code_version import CODE_ZIP
from jobs.courses import CourseOrder, Taught

ROOT = Path(__file__).parents[1]


def taught_on_processes(spark: SparkSession, order: CourseOrder) -> Taught:
    """The first process's result. A cluster must have as many free slots, and reach the order's files; GPUs must be known to Spark
    (spark.task.resource.gpu.amount; locally spark.driver.resource.gpu.amount)."""
    from pyspark.ml.torch.distributor import TorchDistributor

    local = spark.sparkContext.master.startswith("local")
    distributor = TorchDistributor(order.processes, local_mode=local, use_gpu=order.device == "cuda")
    found: Taught = distributor.run(_started(), str(ROOT if local else CODE_ZIP), order.model_dump_json())
    return found


def _started() -> Any:
    """A function that travels by value: a process that torchrun starts has to be told where the code lies before it imports any. On a
    cluster that is the zip, in the folder in which an executor works."""

    def started(code: str, text: str) -> Any:
        import logging
        import sys
        from pathlib import Path

        sys.path.insert(0, str(Path(code).absolute()))
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        from jobs.courses import taught_together

        return taught_together(text, logging.getLogger("urbantrace").info)

    return started
