"""SIGTERM: Spark's work is cancelled, then the run unwinds: the batch in work is dropped, what is committed stands."""

from types import FrameType

from pyspark import SparkContext

TERMINATED = 143


def terminate(number: int, frame: FrameType | None) -> None:
    """A signal handler. Raises SystemExit with the exit code."""
    cancel_work()
    raise SystemExit(TERMINATED)


def cancel_work() -> None:
    """Cancel every Spark job of this process, from within a call that waits for one.

    The connection of that call is given up: its answer is still to come, and the next call on it would take it for its own.
    """
    context = SparkContext._active_spark_context
    if context is not None:
        context._gateway._gateway_client.thread_connection.connection = None
        context.cancelAllJobs()
