"""The runner on small jobs of its own: what is missing is made, what is there stays, and two runs never mix."""

import logging
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import shapely
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import POPULATION, RUNS, TABLES
from jobs import runs as jobs_runs
from jobs.fingerprint import table_fingerprint
from jobs.job import Context, Job, Tables
from jobs.job import job as declare
from jobs.runner import Prepared, Runner, prepare
from jobs.runs import PlaceHeld, Runs, is_dead, now, this_process
from jobs.table_checks import TableError
from jobs.warehouse import Warehouse


class PopulationSettings(Settings):
    people: float = 7.0


class NoSettings(Settings):
    pass


def _rows(context: Context, people: list[float]) -> DataFrame:
    rows = [(f"u{n}", 2020, value, "census", None) for n, value in enumerate(people)]
    return context.spark.createDataFrame(rows, POPULATION.ddl)


def _population(tables: Tables, settings: PopulationSettings, context: Context) -> DataFrame:
    context.figures["people"] = settings.people
    return _rows(context, [settings.people, 2.0])


def _sources(path: Path) -> Any:
    return lambda place, settings: path.read_text(encoding="utf-8")


def make_jobs(source: Path) -> dict[str, Job]:
    _population.__name__ = "population"
    population = declare(writes="population", settings=PopulationSettings, parallel_over="units", sources=_sources(source))(_population)
    return {"population": population}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    epoch = {"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    layer = {"sensor": "rgb", "model": "models:/none@champion", "resolution": 1.0}
    return Place.model_validate({"name": "toy", "warehouse": str(tmp_path / "warehouse"), "epochs": [epoch], "layers": {"x": layer}})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("first", encoding="utf-8")
    return path


def run(spark: SparkSession, place: Place, jobs: dict[str, Job], recompute: bool = False) -> list[str]:
    done: list[str] = []
    Runner(spark, place, jobs, recompute).run([prepare(item, place) for item in jobs.values()], lambda summary: done.append(summary.job))
    return done


def versions(spark: SparkSession, place: Place) -> dict[str, int]:
    warehouse = Warehouse(spark, place.folder)
    return {name: warehouse.version(name) for name in warehouse.existing()}


def with_setting(place: Place, **values: Any) -> Place:
    return place.model_copy(update={"sections": {"population": values}})


def test_a_finished_run_writes_nothing_again(spark: SparkSession, place: Place, source: Path) -> None:
    jobs = make_jobs(source)
    assert run(spark, place, jobs) == ["population"]
    before = versions(spark, place)
    assert run(spark, place, jobs) == []
    assert versions(spark, place) == before
    row = Warehouse(spark, place.folder).read("runs").first()
    assert (row["state"], row["rows"], row["job"]) == ("done", 2, "population")


def test_a_changed_input_is_made_again_and_a_changed_setting_is_refused(spark: SparkSession, place: Place, source: Path) -> None:
    jobs = make_jobs(source)
    run(spark, place, jobs)
    source.write_text("second", encoding="utf-8")
    assert run(spark, place, jobs) == ["population"]
    before = versions(spark, place)
    with pytest.raises(InputError, match=r"population\.people 7\.0 -> 8\.0.*--recompute"):
        run(spark, with_setting(place, people=8.0), jobs)
    assert versions(spark, place) == before
    assert run(spark, with_setting(place, people=8.0), jobs, recompute=True) == ["population"]
    assert Warehouse(spark, place.folder).read("population").agg(F.max("people")).first()[0] == 8.0


@pytest.mark.parametrize(
    ("people", "said"),
    [([-1.0], "negative people"), ([float("nan")], None)],
)
def test_rows_that_break_a_check_are_not_written(
    spark: SparkSession, place: Place, source: Path, people: list[float], said: str | None
) -> None:
    def population(tables: Tables, settings: PopulationSettings, context: Context) -> DataFrame:
        return _rows(context, people).union(_rows(context, people))

    jobs = {"population": declare(writes="population", settings=PopulationSettings, parallel_over="units")(population)}
    with pytest.raises(TableError, match=said or "repeat a key"):
        run(spark, place, jobs)
    assert not Warehouse(spark, place.folder).exists("population")
    assert Warehouse(spark, place.folder).read("runs").first()["state"] == "failed"


def test_every_differing_column_is_named(spark: SparkSession, place: Place) -> None:
    def population(tables: Tables, settings: PopulationSettings, context: Context) -> DataFrame:
        return context.spark.createDataFrame([("u1", "2020", 1.0)], "unit_id string, year string, persons double")

    jobs = {"population": declare(writes="population", settings=PopulationSettings, parallel_over="units")(population)}
    with pytest.raises(TableError, match=r"year: expected int, found string; people: expected double.*persons: expected no such column"):
        run(spark, place, jobs)


def _run_row(run_id: str) -> dict[str, Any]:
    empty = {"settings": "{}", "settings_digest": "", "code_version": "", "back_end": "", "device_class": "cpu", "input_versions": "{}"}
    return {"run_id": run_id, "job": "population", **empty}


def test_a_held_place_is_refused_and_a_dead_holder_is_not_in_the_way(spark: SparkSession, place: Place) -> None:
    warehouse = Warehouse(spark, place.folder)
    first, second = Runs(spark, warehouse), Runs(spark, warehouse)
    first.begin(_run_row("a"))
    with pytest.raises(PlaceHeld, match="run a of"):
        second.begin(_run_row("b"))
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    dead = this_process().rsplit(":", 2)[0] + f":{process.pid}:123"
    first._update({"owner": dead})
    second.begin(_run_row("c"))
    states = {row["run_id"]: row["state"] for row in warehouse.read("runs").collect()}
    assert states == {"a": "failed", "c": "running"}
    with pytest.raises(PlaceHeld, match="run c took over"):
        first.check_hold()
    second.finish("done")
    second.release()
    first.release()


def test_a_heartbeat_that_fails_is_said_and_tried_again(
    spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs_runs, "HEARTBEAT_SECONDS", 0.1)
    runs, written, update = Runs(spark, Warehouse(spark, place.folder)), threading.Event(), Runs._update
    failures = iter([PySparkException("the storage is away\n\tat org.apache")])

    def fail_once(self: Runs, values: dict[str, Any]) -> None:
        for failure in failures:
            raise failure
        update(self, values)
        written.set()

    monkeypatch.setattr(Runs, "_update", fail_once)
    with caplog.at_level(logging.WARNING, "jobs"):
        runs.begin(_run_row("a"))
        assert written.wait(60)
    runs.release()
    assert [record.getMessage() for record in caplog.records][:1] == [
        "runs: a heartbeat was not written (the storage is away); the next is tried in 0 s"
    ]


def test_of_runs_that_begin_at_once_at_an_empty_place_one_takes_it(spark: SparkSession, place: Place) -> None:
    warehouse = Warehouse(spark, place.folder)
    at_once = threading.Barrier(4)

    def begin(run_id: str) -> Runs | None:
        runs = Runs(spark, warehouse)
        at_once.wait()
        try:
            runs.begin(_run_row(run_id))
        except PlaceHeld:
            return None
        return runs

    with ThreadPoolExecutor(4) as threads:
        [holder] = filter(None, threads.map(begin, "abcd"))
    assert [run["run_id"] for run in holder._running()] == [(holder.current or {})["run_id"]]
    assert warehouse.read("runs").count() == 1
    assert spark.sql(f"SHOW TBLPROPERTIES delta.`{warehouse.path('runs')}` ('delta.isolationLevel')").head()["value"] == "Serializable"  # type: ignore[index]
    holder.release()


def test_a_runs_table_whose_making_was_killed_is_made(spark: SparkSession, place: Place) -> None:
    warehouse = Warehouse(spark, place.folder)
    (warehouse.folder / "runs/_delta_log").mkdir(parents=True)
    runs = Runs(spark, warehouse)
    runs.begin(_run_row("a"))
    assert [run["run_id"] for run in runs._running()] == ["a"]
    runs.release()


def test_a_run_hands_the_place_to_the_next_in_one_commit(spark: SparkSession, place: Place) -> None:
    warehouse = Warehouse(spark, place.folder)
    runs = Runs(spark, warehouse)
    runs.begin(_run_row("a"))
    before = warehouse.version("runs")
    runs.finish("done", rows=3)
    runs.begin(_run_row("b"))
    assert warehouse.version("runs") == before + 1
    assert {row["run_id"]: (row["state"], row["rows"]) for row in warehouse.read("runs").collect()} == {
        "a": ("done", 3),
        "b": ("running", None),
    }
    runs.release()


def test_a_process_of_another_host_is_dead_by_its_heartbeat_only() -> None:
    assert not is_dead("elsewhere:1:1", now())
    assert is_dead("elsewhere:1:1", now().replace(year=2020))
    assert not is_dead(this_process(), now().replace(year=2020))


def _with_tiles(spark: SparkSession, scenes: dict[str, str]) -> DataFrame:
    grid = ("utm", "EPSG:32643", 256, 0)
    rows = [
        (
            "x",
            "2020",
            f"t{n}",
            *grid,
            n,
            [1.0, 0.0, 0.0, 0.0, -1.0, 0.0],
            [],
            None,
            60.0,
            0,
            scenes[f"t{n}"],
            shapely.box(0, 0, 1, 1).wkb,
            0.0,
            0.0,
            1.0,
            1.0,
        )
        for n in range(len(scenes))
    ]
    return spark.createDataFrame(rows, TABLES["tiles"].ddl)


def _result(tiles: DataFrame) -> DataFrame:
    """Rows as a built_up job returns them: no data anywhere."""
    nothing = {
        "status": "nodata",
        "probability": None,
        "depth": None,
        "error_class": None,
        "message": None,
        "first_date": None,
        "last_date": None,
    }
    plain = {"threshold": 125, "valid_share": 0.0, "attempts": 1, "seconds": 0.0}
    plain |= dict.fromkeys(("model_name", "model_version", "model_sha256", "model_labels"), "")
    if "settings_digest" not in tiles.columns:
        tiles = tiles.withColumn("settings_digest", F.lit("s"))
    frame = tiles.withColumns({name: F.lit(value) for name, value in {**nothing, **plain}.items()})
    lists = {"scenes_used": F.array().cast("array<string>"), "scenes_failed": F.array().cast("array<string>")}
    kept = [name for name in TABLES["built_up"].names if name not in ("input_digest", "run_id")]
    casts = {column.name: F.col(column.name).cast(column.type) for column in TABLES["built_up"].columns if column.name in nothing}
    return frame.withColumns(lists).withColumns(casts).select(*kept)


def tilewise_jobs(scenes: dict[str, str], seen: list[list[str]]) -> dict[str, Job]:
    def tiles(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        return _with_tiles(context.spark, scenes)

    def built_up(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        seen.append(sorted(row["tile_id"] for row in tables["planned"].collect()))
        return _result(tables["planned"])

    by_layer = lambda place, settings: {"x": "model one"}  # noqa: E731
    sources = lambda place, settings: dict(scenes)  # noqa: E731
    return {
        "tiles": declare(writes="tiles", settings=NoSettings, parallel_over="tiles", sources=sources)(tiles),
        "built_up": declare(
            reads=("tiles",), writes="built_up", settings=NoSettings, parallel_over="tiles", tilewise=True, layer_digests=by_layer
        )(built_up),
    }


def test_tiles_are_committed_in_batches_and_only_touched_ones_again(spark: SparkSession, place: Place) -> None:
    seen: list[list[str]] = []
    place = place.model_copy(update={"batch_seconds": 60.0})
    scenes = {f"t{n}": "s" for n in range(5)}
    run(spark, place, tilewise_jobs(scenes, seen))
    assert seen == [["t0", "t1"], ["t2", "t3"], ["t4"]]
    before = table_fingerprint(Warehouse(spark, place.folder).read("built_up"), TABLES["built_up"])
    seen.clear()
    run(spark, place, tilewise_jobs({**scenes, "t3": "new image"}, seen))
    assert seen == [["t3"]]
    run(spark, place, tilewise_jobs({"t0": "s", "t1": "s"}, seen))
    left = Warehouse(spark, place.folder).read("built_up")
    assert sorted(row["tile_id"] for row in left.collect()) == ["t0", "t1"]
    assert table_fingerprint(left, TABLES["built_up"]) != before


def test_a_run_over_an_existing_table_does_every_batch_of_its_plan(spark: SparkSession, place: Place) -> None:
    seen: list[list[str]] = []
    place = place.model_copy(update={"batch_seconds": 60.0})
    run(spark, place, tilewise_jobs({"t0": "s"}, seen))
    # Resumed, with new rows; then every row anew. Each commit changes the table that the plan was compared with.
    for scenes in ("s", "new"):
        seen.clear()
        run(spark, place, tilewise_jobs({f"t{n}": scenes for n in range(6)}, seen))
        assert sorted(tile for batch in seen for tile in batch) == [f"t{n}" for n in range(scenes == "s", 6)]
        assert len(seen) == 3
    table = Warehouse(spark, place.folder).read("built_up")
    assert table.select("input_digest").distinct().count() == 1


def test_a_planned_tile_without_a_row_fails_the_job(spark: SparkSession, place: Place) -> None:
    jobs = tilewise_jobs({"t0": "s", "t1": "s"}, [])

    def built_up(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        return _result(tables["planned"].where("tile_id = 't0'"))

    jobs["built_up"] = declare(
        reads=("tiles",),
        writes="built_up",
        settings=NoSettings,
        parallel_over="tiles",
        tilewise=True,
        layer_digests=jobs["built_up"].layer_digests,
    )(built_up)
    with pytest.raises(TableError, match="2 tiles were planned, 1 came back"):
        run(spark, place, jobs)


@pytest.mark.parametrize(("failed", "outcome"), [("tile_id >= 't0'", "fails"), ("tile_id = 't0'", "goes on")])
def test_a_model_that_fails_on_the_whole_first_batch_fails_the_job(spark: SparkSession, place: Place, failed: str, outcome: str) -> None:
    jobs = tilewise_jobs({"t0": "s", "t1": "s"}, [])

    def built_up(tables: Tables, settings: NoSettings, context: Context) -> DataFrame:
        faulty = {"status": "quarantined", "error_class": "model", "message": "it gave the constant 3"}
        changed = {name: F.when(F.expr(failed), F.lit(value)).otherwise(F.col(name)) for name, value in faulty.items()}
        return _result(tables["planned"]).withColumns(changed)

    jobs["built_up"] = declare(
        reads=("tiles",), writes="built_up", settings=NoSettings, parallel_over="tiles", tilewise=True,
        layer_digests=jobs["built_up"].layer_digests,
    )(built_up)  # fmt: skip
    if outcome == "goes on":
        run(spark, place, jobs)
        assert Warehouse(spark, place.folder).read("built_up").where("status = 'quarantined'").count() == 1
        return
    with pytest.raises(TableError, match="the model failed on every tile of the first batch: it gave the constant 3"):
        run(spark, place, jobs)
    warehouse = Warehouse(spark, place.folder)
    assert "built_up" not in warehouse.existing() or warehouse.read("built_up").count() == 0


def test_a_fingerprint_ignores_order_files_and_columns_without_identity(spark: SparkSession) -> None:
    frame = _result(_with_tiles(spark, {f"t{n}": "s" for n in range(9)})).withColumns({"input_digest": F.lit("d"), "run_id": F.lit("r")})
    one = table_fingerprint(frame.coalesce(1), TABLES["built_up"])
    assert table_fingerprint(frame.repartition(7, "tile_id").withColumn("seconds", F.lit(9.0)), TABLES["built_up"]) == one
    assert table_fingerprint(frame.withColumn("threshold", F.lit(126)), TABLES["built_up"]) != one


def test_runs_declares_what_the_lock_needs() -> None:
    assert {"owner", "heartbeat", "state"} <= set(RUNS.names)
    assert os.getpid() == int(this_process().split(":")[1])
    assert Prepared.__dataclass_params__.frozen  # type: ignore[attr-defined]
