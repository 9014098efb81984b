"""The command `sql` asks and changes nothing: fault 45, as far as it comes in by a statement."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from jobs.query import check_asks

ASKING = (
    "SELECT * FROM units", "WITH a AS (SELECT 1 AS b) SELECT * FROM a JOIN units", "FROM units SELECT id", "VALUES (1)", "SHOW TABLES",
    "SHOW COLUMNS IN units", "DESCRIBE units", "DESCRIBE HISTORY delta.`{table}`", "EXPLAIN SELECT * FROM units",
    "SELECT '; DROP TABLE units' AS text",
)  # fmt: skip
CHANGING = (
    "DROP TABLE units", "DROP VIEW units", "CREATE TABLE x AS SELECT 1", "CREATE OR REPLACE TEMP VIEW units AS SELECT 1",
    "DELETE FROM delta.`{table}`", "UPDATE delta.`{table}` SET id = 1", "INSERT INTO delta.`{table}` SELECT id FROM units",
    "INSERT OVERWRITE delta.`{table}` SELECT id FROM units", "WITH a AS (SELECT id FROM units) INSERT INTO delta.`{table}` SELECT * FROM a",
    "FROM units INSERT INTO delta.`{table}` SELECT id",
    "FROM units INSERT INTO delta.`{table}` SELECT id INSERT INTO delta.`{table}` SELECT id + 1",
    "INSERT OVERWRITE DIRECTORY '{table}/x' USING csv SELECT 1",
    "OPTIMIZE delta.`{table}`", "VACUUM delta.`{table}`", "RESTORE TABLE delta.`{table}` TO VERSION AS OF 0", "SET spark.x = 1",
    "ADD JAR '/x.jar'", "CACHE TABLE units", "EXECUTE IMMEDIATE 'DROP VIEW units'",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("delta") / "t"
    spark.range(3).write.format("delta").save(str(path))
    spark.range(3).createOrReplaceTempView("units")
    return path


@pytest.mark.parametrize("statement", ASKING)
def test_45_what_asks_is_answered(spark: SparkSession, table: Path, statement: str) -> None:
    check_asks(spark, statement.format(table=table))


@pytest.mark.parametrize("statement", CHANGING)
def test_45_what_changes_something_is_refused_before_it_does(spark: SparkSession, table: Path, statement: str) -> None:
    before = sorted(path.name for path in table.rglob("*"))
    with pytest.raises(InputError, match="write a SELECT"):
        check_asks(spark, statement.format(table=table))
    assert sorted(path.name for path in table.rglob("*")) == before
    assert spark.table("units").count() == 3
