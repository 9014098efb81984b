"""A progress bar on a terminal, plain lines elsewhere, both on stderr, fed by Spark's own count of tasks."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

POLL_SECONDS = 1.0
LINE_SECONDS = 15.0


@contextmanager
def progress(spark: SparkSession, name: str) -> Iterator[None]:
    """Show the tasks of the active stages while the block runs."""
    stop = threading.Event()
    show = _bar if sys.stderr.isatty() else _lines
    thread = threading.Thread(target=show, args=(spark, name, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _tasks(spark: SparkSession) -> tuple[int, int]:
    """Tasks done and planned in the active stages."""
    tracker = spark.sparkContext.statusTracker()
    stages = [info for stage in tracker.getActiveStageIds() if (info := tracker.getStageInfo(stage))]
    return sum(info.numCompletedTasks for info in stages), sum(info.numTasks for info in stages)


def _bar(spark: SparkSession, name: str, stop: threading.Event) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} tasks"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        while not stop.wait(POLL_SECONDS):
            done, planned = _tasks(spark)
            bar.update(task, completed=done, total=planned or None)


def _lines(spark: SparkSession, name: str, stop: threading.Event) -> None:
    while not stop.wait(LINE_SECONDS):
        done, planned = _tasks(spark)
        if planned:
            print(f"{name}: {done} of {planned} tasks of the running stages", file=sys.stderr, flush=True)  # noqa: T201
