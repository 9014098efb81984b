"""Tables kept by tile: which planned tiles have no row yet, in batches sized by predicted work, each one commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from conf.table import Table
from conf.tables import TABLES
from jobs.pilot import is_drawn, stratified
from jobs.summary import Summary
from jobs.table_checks import TableError, check_rows, in_declared_order
from jobs.warehouse import Warehouse


class Pending(NamedTuple):
    """Planned rows without a result of the same input digest, numbered by batch, and rows no longer planned."""

    table: Table
    planned: DataFrame
    """With `batch`, `input_digest`, `replaces` (a row of the key is there) and `tried` (its attempts)."""
    obsolete: DataFrame | None
    batches: int
    obsolete_rows: int

    @property
    def nothing(self) -> bool:
        return self.batches == 0 and self.obsolete_rows == 0

    def rows(self, batch: int) -> DataFrame:
        """The rows to compute in a batch, with `settings_digest`."""
        return self.planned.where(F.col("batch") == batch).drop("batch", "input_digest", "replaces", "tried")

    def keys(self, batch: int) -> DataFrame:
        return self.planned.where(F.col("batch") == batch).select(*self.table.key, "input_digest", "replaces", "tried")

    def drop_obsolete(self, warehouse: Warehouse, stamp: dict[str, Any]) -> None:
        """Delete results of tiles that are no longer planned."""
        if self.obsolete is not None and self.obsolete_rows:
            warehouse.delete_keys(self.table, self.obsolete, stamp)


class Wanted(NamedTuple):
    """Which tiles besides those without a row are mapped: those in quarantine again, with `retry`; with `share` only a pilot's."""

    retry: bool = False
    share: float | None = None


ALL = Wanted()


@contextmanager
def pending_tiles(warehouse: Warehouse, table: Table, tiles: DataFrame, batch_seconds: float, wanted: Wanted = ALL) -> Iterator[Pending]:
    """Compare planned rows, with their digests, with the table; reads only."""
    key = list(table.key)
    if not warehouse.exists(table.name):
        missing, obsolete, dropped = tiles.withColumns({"replaces": F.lit(False), "tried": F.lit(0)}), None, 0
    else:
        # Pinned: each commit of this run drops what Spark keeps of plans over the table, and the plan is computed again.
        before = warehouse.read(table.name, warehouse.version(table.name))
        there = before.select(*key, F.col("input_digest").alias("digest_there"), "status", "attempts")
        compared = tiles.join(there, on=key, how="left")
        is_missing = F.col("digest_there").isNull() | (F.col("digest_there") != F.col("input_digest"))
        again = ~is_missing & (F.col("status") == "quarantined") if wanted.retry else F.lit(False)
        added = {"replaces": F.col("digest_there").isNotNull(), "tried": F.when(again, F.col("attempts")).otherwise(0)}
        missing = compared.where(is_missing | again).withColumns(added).drop("digest_there", "status", "attempts")
        obsolete = there.join(tiles, on=key, how="left_anti").select(*key)
        dropped = obsolete.count()
    if wanted.share is not None:
        drawn = stratified(warehouse.read(TABLES["tiles"].name)).where(is_drawn(wanted.share)).select("layer", "tile_id")
        missing = missing.join(drawn, on=["layer", "tile_id"], how="left_semi")
    planned = _in_batches(missing, table, batch_seconds).persist()
    last = planned.agg(F.max("batch")).first()[0]
    try:
        yield Pending(table, planned, obsolete, 0 if last is None else last + 1, dropped)
    finally:
        planned.unpersist()


def _in_batches(missing: DataFrame, table: Table, batch_seconds: float) -> DataFrame:
    """Number the rows so that each batch holds about `batch_seconds` of one core's predicted work, neighbours together; none is empty,
    also where a tile takes longer than that."""
    field = [name for name in table.key if name != "tile_id"]
    so_far = Window.orderBy(*field, "row", "col", "tile_id").rowsBetween(Window.unboundedPreceding, -1)
    work = F.coalesce(F.sum("predicted_seconds").over(so_far), F.lit(0.0))
    numbered = missing.withColumn("slot", F.floor(work / batch_seconds))
    return numbered.withColumn("batch", F.dense_rank().over(Window.orderBy("slot")) - 1).drop("slot")


def commit_tiles(
    warehouse: Warehouse, table: Table, result: DataFrame, pending: Pending, batch: int, stamp: dict[str, Any], summary: Summary
) -> None:
    """Check a batch's rows and write them in one commit. Raises TableError when a planned tile has no row."""
    keys = pending.keys(batch)
    joined = result.join(F.broadcast(keys), on=list(table.key), how="left")
    rows = joined.withColumns({"run_id": F.lit(stamp["run_id"]), "attempts": F.col("attempts") + F.coalesce("tried", F.lit(0))})
    checked = in_declared_order(rows.drop("replaces", "tried"), table).persist()
    written = check_rows(checked, table)
    expected = keys.agg(F.count(F.lit(1)).alias("rows"), F.max("replaces").alias("replaces")).first()
    if written != expected["rows"]:
        raise TableError(f"table {table.name}: {expected['rows']} tiles were planned, {written} came back; every planned tile needs a row")
    if batch == 0 and "model_name" in table.names:
        _refuse_faulty_model(checked)
    # Before the commit, which would drop the kept rows: to count them afterwards were to map them twice.
    summary.add_tiles(checked)
    (warehouse.merge if expected["replaces"] else warehouse.append)(table, checked, stamp)
    checked.unpersist()
    result.unpersist()


def _refuse_faulty_model(rows: DataFrame) -> None:
    """A model whose every first answer is unusable is not a matter of tiles."""
    worst = rows.agg(
        F.bool_and(F.coalesce(F.col("error_class") == "model", F.lit(False))).alias("all"), F.max("message").alias("text")
    ).first()
    if worst["all"]:
        raise TableError(f"the model failed on every tile of the first batch: {worst['text']}")
