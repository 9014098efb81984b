"""SIGTERM: Spark's work is cancelled, then the run unwinds: the batch in work is dropped, what is committed stands."""

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.sql import SparkSession

TERMINATED = 143
_group: str | None = None
"""The jobs in Spark that a stop cancels; None: all."""


def terminate(number: int, frame: FrameType | None) -> None:
    """A signal handler. Raises SystemExit with the exit code."""
    try:
        cancel_work()
    except (Py4JError, OSError):
        print("urbantrace: Spark has been stopped as well", file=sys.stderr, flush=True)  # noqa: T201
    raise SystemExit(TERMINATED)


def was_stopped(error: BaseException) -> bool:
    """Whether an error came up while a run unwound: who stops a run may stop its Spark with it, as `timeout` and a container do."""
    before = error.__context__
    return before is not None and (isinstance(before, SystemExit) or was_stopped(before))


@contextmanager
def stoppable(spark: SparkSession, description: str) -> Iterator[None]:
    """What Spark does within the block belongs together: `cancel_work` ends that, and nothing that comes after."""
    global _group
    before, _group = _group, uuid.uuid4().hex
    spark.sparkContext.setJobGroup(_group, description)
    try:
        yield
    finally:
        _group = before
        for name in ("spark.jobGroup.id", "spark.job.description"):
            spark.sparkContext.setLocalProperty(name, None)


def cancel_work() -> None:
    """Cancel this process's work in Spark, from within a call that waits for it.

    The connection of that call is given up: its answer is still to come, and the next call on it would take it for its own. Within
    `stoppable` the call's further jobs are cancelled as well, since its thread in the JVM lives on. What follows, such as the run's
    outcome, comes by a new connection, from a thread that is not of the group.
    """
    context = SparkContext._active_spark_context
    if context is None:
        return
    context._gateway._gateway_client.thread_connection.connection = None
    if _group is None:
        context.cancelAllJobs()
    else:
        context._jsc.sc().cancelJobGroupAndFutureJobs(_group)
