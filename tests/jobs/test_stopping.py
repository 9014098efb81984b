"""How a run ends when something else than its job fails, and what runs by name only."""

import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from py4j.protocol import Py4JNetworkError
from pyspark.sql import SparkSession

from conf.place import Place
from conf.settings import Settings
from conf.tables import POPULATION
from jobs import cli, stopping, tracking
from jobs.job import Context, Job
from jobs.job import job as declare
from jobs.runner import Runner, prepare
from jobs.stopping import cancel_work, stoppable, terminate
from jobs.warehouse import Warehouse

SLOW_SECONDS = 120


class NamedSettings(Settings):
    network: str = "one"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    epoch = {"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    layer = {"sensor": "rgb", "model": "models:/none@champion", "resolution": 1.0}
    return Place.model_validate({"name": "toy", "warehouse": str(tmp_path / "warehouse"), "epochs": [epoch], "layers": {"x": layer}})


def runner_of(spark: SparkSession, place: Place, job: Job) -> tuple[Runner, list[Any]]:
    return Runner(spark, place, {job.name: job}), [prepare(job, place)]


def people() -> Job:
    def population(tables: Any, settings: NamedSettings, context: Context) -> Any:
        return context.spark.createDataFrame([("u", 2020, 1.0, "census", None)], POPULATION.ddl)

    return declare(writes="population", settings=NamedSettings, parallel_over="units")(population)


def test_a_log_that_fails_is_said_and_masks_nothing(
    spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the server is gone")

    monkeypatch.setattr(tracking, "_ensure", lambda *_: None)
    monkeypatch.setattr(tracking, "_log", fail)
    runner, prepared = runner_of(spark, place, people())
    with caplog.at_level(logging.WARNING):
        assert runner.run(prepared) == 1
    assert "the server is gone" in caplog.text
    assert Warehouse(spark, place.folder).read("runs").first()["state"] == "done"


def test_the_log_is_closed_although_the_place_could_not_be_released(
    spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_ensure", lambda *_: None)
    monkeypatch.setattr(tracking, "_log", lambda *_: None)
    runner, prepared = runner_of(spark, place, people())
    release, closed = runner.runs.release, []

    def fail() -> None:
        release()
        raise OSError("disk full")

    monkeypatch.setattr(runner.runs, "release", fail)
    monkeypatch.setattr(runner.tracking, "close", lambda: closed.append(True))
    with pytest.raises(OSError, match="disk full"):
        runner.run(prepared)
    assert closed == [True]


def test_a_job_of_files_that_runs_by_name_runs_each_time(spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_ensure", lambda *_: None)
    monkeypatch.setattr(tracking, "_log", lambda *_: None)
    ran = []

    def learn(tables: Any, settings: NamedSettings, context: Context) -> None:
        ran.append(settings.network)

    job = declare(writes=(), settings=NamedSettings, parallel_over="nothing", in_flow=False)(learn)
    for network in ("one", "two", "two"):
        runner, prepared = runner_of(spark, place.model_copy(update={"sections": {"learn": {"network": network}}}), job)
        assert runner.run(prepared) == 1
    assert ran == ["one", "two", "two"]


def _slow(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    time.sleep(SLOW_SECONDS)
    yield from frames


def test_a_stopped_run_cancels_its_batch_and_frees_the_place(spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_ensure", lambda *_: None)

    def population(tables: Any, settings: NamedSettings, context: Context) -> Any:
        frame = context.spark.createDataFrame([("u", 2020, 1.0, "census", None)], POPULATION.ddl)
        signal.setitimer(signal.ITIMER_REAL, 5)
        return frame.mapInPandas(_slow, POPULATION.ddl)

    before = signal.signal(signal.SIGALRM, terminate)
    job = declare(writes="population", settings=NamedSettings, parallel_over="units")(population)
    runner, prepared = runner_of(spark, place, job)
    started = time.monotonic()
    try:
        with pytest.raises(SystemExit, match="143"):
            runner.run(prepared)
    finally:
        signal.signal(signal.SIGALRM, before)
    while spark.sparkContext.statusTracker().getActiveJobsIds():  # Spark cancels when its scheduler comes to it
        assert time.monotonic() - started < SLOW_SECONDS
        time.sleep(0.1)
    assert time.monotonic() - started < SLOW_SECONDS
    assert Warehouse(spark, place.folder).read("runs").first()["state"] == "stopped"


def test_a_stop_cancels_what_the_given_up_call_is_still_to_do_and_nothing_that_follows(spark: SparkSession) -> None:
    """As where the signal comes between two Spark jobs of one call: its thread in the JVM goes on, and so does the run's outcome."""
    context = spark.sparkContext
    with stoppable(spark, "work"):
        group = context.getLocalProperty("spark.jobGroup.id")
        assert spark.range(5).count() == 5
        cancel_work()
        assert context.getLocalProperty("spark.jobGroup.id") is None
        assert spark.range(6).count() == 6
        context.setJobGroup(str(group), "the call that was given up")
        with pytest.raises(Exception, match="cancelled"):
            spark.range(7).count()
    with stoppable(spark, "other work"):
        assert spark.range(8).count() == 8
    assert context.getLocalProperty("spark.jobGroup.id") is None


@pytest.mark.parametrize("signalled", [True, False])
def test_a_run_whose_spark_is_stopped_with_it_ends_as_stopped(monkeypatch: pytest.MonkeyPatch, signalled: bool) -> None:
    def gone(*_: Any) -> None:
        raise Py4JNetworkError("the JVM is gone")

    def work(*_: Any) -> int:
        try:
            if signalled:
                signal.raise_signal(signal.SIGTERM)
        finally:
            gone()
        return 0

    monkeypatch.setattr(stopping, "cancel_work", gone)
    monkeypatch.setattr(cli, "_dispatch", work)
    before = signal.getsignal(signal.SIGTERM)
    try:
        if signalled:
            assert cli.main(["flow"]) == 143
        else:
            with pytest.raises(Py4JNetworkError):
                cli.main(["flow"])
    finally:
        signal.signal(signal.SIGTERM, before)
