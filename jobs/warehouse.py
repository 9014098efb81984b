"""The place's Delta tables: read, written in one commit each, every commit carrying what it was made from."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.table import Table
from conf.tables import TABLES
from jobs.table_checks import check_stored_columns


class Warehouse:
    """`folder/<table>`, one Delta table each."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.folder = folder

    def path(self, table: str) -> str:
        return str((self.folder / table).absolute())

    def exists(self, table: str) -> bool:
        """True once the table has a commit; reads only."""
        return (self.folder / table / "_delta_log").is_dir() and DeltaTable.isDeltaTable(self.spark, self.path(table))

    def existing(self) -> list[str]:
        """Names of the declared tables that exist."""
        return [name for name in TABLES if self.exists(name)]

    def read(self, table: str, version: int | None = None) -> DataFrame:
        """The newest version, or a fixed one, which stays the same while this process writes the table.

        Columns that were declared since it was written are null.
        """
        reader = self.spark.read.format("delta")
        frame = (reader if version is None else reader.option("versionAsOf", version)).load(self.path(table))
        later = [column for column in TABLES[table].columns if column.nullable and column.name not in frame.columns]
        return frame.withColumns({column.name: F.lit(None).cast(column.type) for column in later})

    def check_columns(self, table: Table) -> None:
        """Raises InputError where rows cannot be added to the table as it is stored."""
        check_stored_columns(DeltaTable.forPath(self.spark, self.path(table.name)).toDF().schema, table)

    def version(self, table: str) -> int:
        """The newest Delta version."""
        return int(self._history(table, 1)[0]["version"])

    def stamp(self, table: str) -> dict[str, Any]:
        """What the runner wrote beside the newest of its commits; empty for a table of unknown origin."""
        for limit in (1, None):
            for commit in self._history(table, limit):
                if commit["userMetadata"]:
                    return dict(json.loads(commit["userMetadata"]))
        return {}

    def _history(self, table: str, limit: int | None) -> list[Any]:
        delta = DeltaTable.forPath(self.spark, self.path(table))
        frame = delta.history(limit) if limit else delta.history()
        return list(frame.select("version", "userMetadata").orderBy("version", ascending=False).collect())

    def overwrite(self, table: Table, frame: DataFrame, stamp: dict[str, Any]) -> None:
        """Replace the table in one commit."""
        self._write(table, frame, stamp, "overwrite")

    def append(self, table: Table, frame: DataFrame, stamp: dict[str, Any]) -> None:
        """Add rows in one commit, and columns that were declared since. Raises InputError where others differ."""
        if self.exists(table.name):
            self.check_columns(table)
        self._write(table, frame, stamp, "append")

    def _write(self, table: Table, frame: DataFrame, stamp: dict[str, Any], mode: str) -> None:
        writer = frame.write.format("delta").mode(mode).option("userMetadata", json.dumps(stamp, sort_keys=True))
        writer.option("overwriteSchema" if mode == "overwrite" else "mergeSchema", "true").save(self.path(table.name))

    def merge(self, table: Table, frame: DataFrame, stamp: dict[str, Any]) -> None:
        """Replace rows of the same key and add the others, in one commit, and columns that were declared since. Raises InputError where
        others differ."""
        self.check_columns(table)
        with _stamped(self.spark, stamp):
            target = DeltaTable.forPath(self.spark, self.path(table.name)).alias("old")
            merge = target.merge(frame.alias("new"), same_key(table.key)).withSchemaEvolution()
            merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()

    def delete_keys(self, table: Table, keys: DataFrame, stamp: dict[str, Any]) -> None:
        """Delete the rows of these keys, in one commit."""
        with _stamped(self.spark, stamp):
            target = DeltaTable.forPath(self.spark, self.path(table.name)).alias("old")
            target.merge(keys.alias("new"), same_key(table.key)).whenMatchedDelete().execute()


def same_key(key: Sequence[str]) -> str:
    """The merge condition of `old` and `new` rows."""
    return " AND ".join(f"old.{name} = new.{name}" for name in key)


@contextmanager
def _stamped(spark: SparkSession, stamp: dict[str, Any]) -> Iterator[None]:
    """MERGE takes its commit's metadata from the session."""
    name = "spark.databricks.delta.commitInfo.userMetadata"
    spark.conf.set(name, json.dumps(stamp, sort_keys=True))
    try:
        yield
    finally:
        spark.conf.unset(name)
