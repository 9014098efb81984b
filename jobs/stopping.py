"""SIGTERM: Spark's work is cancelled, then the run unwinds: the batch in work is dropped, what is committed stands."""

import sys
from types import FrameType

from py4j.protocol import Py4JError
from pyspark import SparkContext

TERMINATED = 143


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


def cancel_work() -> None:
    """Cancel every Spark job of this process, from within a call that waits for one.

    The connection of that call is given up: its answer is still to come, and the next call on it would take it for its own.
    """
    context = SparkContext._active_spark_context
    if context is not None:
        context._gateway._gateway_client.thread_connection.connection = None
        context.cancelAllJobs()
