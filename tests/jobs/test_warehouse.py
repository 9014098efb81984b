"""Tables that an older version wrote: columns declared since are added, and nothing else is changed in silence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.table import Column, Table
from conf.tables import RUNS, TABLES
from jobs.fingerprint import table_fingerprint
from jobs.job import Context, Tables
from jobs.job import job as declare
from jobs.runner import Runner, prepare
from jobs.runs import Runs
from jobs.warehouse import Warehouse

TOY = Table(
    "toy",
    "a thing",
    ("name",),
    (Column("name", "string", "of it"), Column("height", "int", "m"), Column("colour", "string", "added since", nullable=True)),
)
OLD = replace(TOY, columns=TOY.columns[:2])
STAMP = {"run_id": "r"}


@pytest.fixture
def warehouse(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """With two rows of before."""
    monkeypatch.setitem(TABLES, "toy", TOY)
    found = Warehouse(spark, tmp_path)
    found.append(OLD, spark.createDataFrame([("a", 1), ("b", 2)], OLD.ddl), STAMP)
    return found


def rows(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return sorted((row["name"], row["height"], row["colour"]) for row in warehouse.read("toy").collect())


def test_what_is_read_of_an_older_table_has_nulls_where_columns_were_added(warehouse: Warehouse) -> None:
    assert rows(warehouse) == [("a", 1, None), ("b", 2, None)]
    assert len(table_fingerprint(warehouse.read("toy", 0), TOY)) > 8
    assert warehouse.version("toy") == 0


def test_an_append_adds_columns(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.append(TOY, spark.createDataFrame([("c", 3, "red")], TOY.ddl), STAMP)
    assert rows(warehouse) == [("a", 1, None), ("b", 2, None), ("c", 3, "red")]
    assert spark.read.format("delta").load(warehouse.path("toy")).columns == list(TOY.names)
    assert warehouse.version("toy") == 1 and warehouse.stamp("toy") == STAMP


def test_a_merge_adds_columns(spark: SparkSession, warehouse: Warehouse) -> None:
    warehouse.merge(TOY, spark.createDataFrame([("b", 9, "blue"), ("c", 3, None)], TOY.ddl), {"run_id": "s"})
    assert rows(warehouse) == [("a", 1, None), ("b", 9, "blue"), ("c", 3, None)]
    assert warehouse.version("toy") == 1 and warehouse.stamp("toy") == {"run_id": "s"}


@pytest.mark.parametrize("write", ["append", "merge"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (Column("height", "bigint", "m"), "table toy, made by another version: height is int, now bigint; make the place anew"),
        (Column("height", "string", "m"), "height is int, now string"),
        (Column("width", "double", "m"), "width is missing and needed in every row"),
    ],
)
def test_another_type_and_a_column_that_old_rows_may_not_lack_are_refused(
    spark: SparkSession, warehouse: Warehouse, write: str, changed: Column, said: str
) -> None:
    table = replace(TOY, columns=(TOY.columns[0], changed, TOY.columns[2]))
    frame = spark.createDataFrame([("b", 9, "blue")], OLD.ddl + ", colour string").selectExpr(
        "name", f"CAST(height AS {changed.type}) AS {changed.name}", "colour"
    )
    with pytest.raises(InputError, match=said) as refused:
        getattr(warehouse, write)(table, frame, STAMP)
    assert "\n" not in str(refused.value)
    assert rows(warehouse) == [("a", 1, None), ("b", 2, None)] and warehouse.version("toy") == 0


class NoSettings(Settings):
    pass


def place_in(folder: Path) -> Place:
    epoch = {"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    layer = {"sensor": "rgb", "model": "models:/none@champion", "resolution": 1.0}
    return Place.model_validate({"name": "toy", "warehouse": str(folder), "epochs": [epoch], "layers": {"x": layer}})


def test_a_run_over_a_ledger_of_other_types_is_refused_before_it_takes_the_place(spark: SparkSession, tmp_path: Path) -> None:
    place = place_in(tmp_path)
    warehouse = Warehouse(spark, place.folder)
    spark.sql("SELECT 'x' layer, '2020' epoch, 't' tile_id, 'no number' threshold").write.format("delta").save(warehouse.path("built_up"))

    def built_up(tables: Tables, settings: NoSettings, context: Context) -> Any:
        raise AssertionError("it ran")

    job = declare(writes="built_up", settings=NoSettings, parallel_over="tiles", tilewise=True, layer_digests=lambda *_: {})(built_up)
    with pytest.raises(InputError, match="threshold is string, now int"):
        Runner(spark, place, {"built_up": job}, recompute=True).run([prepare(job, place)])
    assert not warehouse.exists("runs")


def test_the_runs_of_an_older_version_are_kept(spark: SparkSession, tmp_path: Path) -> None:
    warehouse = Warehouse(spark, tmp_path)
    before = replace(RUNS, columns=tuple(column for column in RUNS.columns if column.name != "message"))
    text = {column.name: "elsewhere:1:1" if column.type == "string" else None for column in before.columns}
    line = {**text, "run_id": "a", "state": "failed"}
    frame = spark.createDataFrame([tuple(line.values())], ", ".join(f"{column.name} {column.type}" for column in before.columns))
    frame.write.format("delta").save(warehouse.path("runs"))
    runs = Runs(spark, warehouse)
    plain = {"settings": "{}", "settings_digest": "", "code_version": "", "back_end": "", "device_class": "cpu", "input_versions": "{}"}
    runs.begin({"run_id": "b", "job": "population", **plain})
    runs.finish("failed", message="no more")
    runs.release()
    found = {row["run_id"]: (row["state"], row["message"]) for row in warehouse.read("runs").collect()}
    assert found == {"a": ("failed", None), "b": ("failed", "no more")}
