"""The `runs` table: the record of every run, and the lock of a place.

One row in state `running` holds the place. It is taken by a MERGE that inserts only where nobody alive holds it: of two
at once, Delta lets one commit. A holder is dead when its process on this host is gone or its heartbeat is stale."""

import datetime as dt
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from conf.tables import RUNS
from jobs.table_checks import schema_of
from jobs.warehouse import Warehouse

HEARTBEAT_SECONDS = 60.0
STALE_AFTER = dt.timedelta(minutes=5)
ATTEMPTS = 5
LOG = logging.getLogger(__name__)


class PlaceHeld(RuntimeError):
    """Another run holds the place; exit code 1."""


def now() -> dt.datetime:
    """UTC, without a zone, as Spark's UTC session reads it."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def this_process() -> str:
    """Host, process id and the process's start, which tells a reused id from the same process."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_of(os.getpid())}"


def _start_of(pid: int) -> str:
    """The process's start in clock ticks since boot, or '' where there is none such."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_dead(owner: str, heartbeat: dt.datetime) -> bool:
    """Whether a holder can no longer be at work."""
    host, pid, started = owner.rsplit(":", 2)
    if host == socket.gethostname() and Path("/proc/self/stat").exists():
        return _start_of(int(pid)) != started
    return now() - heartbeat > STALE_AFTER


def _lost_the_race(error: Exception) -> bool:
    """Whether another commit came first. By name: delta-spark 4.0.0 ships without its `delta.exceptions`."""
    names = ("ConcurrentAppend", "ConcurrentDelete", "ConcurrentWrite", "MetadataChanged", "ProtocolChanged", "ConcurrentTransaction")
    return any(f"{name}Exception" in str(error) for name in names) or "DELTA_CONCURRENT" in str(error)


class Runs:
    """This process's hold on a place: `begin` takes it with the first job and hands it to the next, `release` ends it."""

    def __init__(self, spark: SparkSession, warehouse: Warehouse) -> None:
        self.spark, self.warehouse = spark, warehouse
        self.current: dict[str, Any] | None = None
        self._outcome: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()

    @property
    def held(self) -> bool:
        return self.current is not None

    def begin(self, row: dict[str, Any]) -> None:
        """Start a run; in the same commit the one before it in this process ends. Raises PlaceHeld."""
        with self._lock:
            self._ensure_table()
            row = {**row, "state": "running", "owner": this_process(), "started": now(), "heartbeat": now()}
            if not any(self._took(row) for _ in range(ATTEMPTS)):
                raise PlaceHeld(f"the place is held by another run ({self._holder()}); wait until it has ended, then start again")
            first, self.current, self._outcome = self.current is None, row, {}
        if first:
            threading.Thread(target=self._keep_beating, daemon=True).start()

    def finish(self, state: str, **values: Any) -> None:
        """What became of the current run; written when the next one begins or the place is released."""
        self._outcome = {"state": state, **values}

    def release(self) -> None:
        """End the current run and free the place."""
        self._stop.set()
        with self._lock:
            if self.current:
                self._update({"heartbeat": now(), **(self._outcome or {"state": "stopped"})})
            self.current = None

    def check_hold(self) -> None:
        """Raises PlaceHeld when this run was taken for dead and another one started; call before a commit."""
        others = [run for run in self._running() if run["run_id"] != (self.current or {}).get("run_id")]
        if others:
            raise PlaceHeld(f"run {others[0]['run_id']} took over the place; this one stops without another commit")

    def _took(self, row: dict[str, Any]) -> bool:
        mine = {self.current["run_id"]: {"heartbeat": now(), **self._outcome}} if self.current else {}
        others = [run for run in self._running() if run["run_id"] not in mine]
        if any(not is_dead(run["owner"], run["heartbeat"]) for run in others):
            return False
        ended = {run["run_id"]: {"state": "failed", "message": "the process ended without a word"} for run in others}
        try:
            self._replace(row, ended | mine)
        except (Py4JJavaError, PySparkException) as error:
            if not _lost_the_race(error):
                raise
            return False
        return row["run_id"] in [run["run_id"] for run in self._running()]

    def _replace(self, row: dict[str, Any], ended: dict[str, dict[str, Any]]) -> None:
        """One commit: the ended runs get their outcome, and the new row is added unless somebody else is running."""
        before = self._target().toDF().where(F.col("run_id").isin(list(ended))).collect()
        rows = [row, *({**old.asDict(), **ended[old["run_id"]]} for old in before)]
        complete = [{column.name: values.get(column.name) for column in RUNS.columns} for values in rows]
        source = self.spark.createDataFrame(complete, schema_of(RUNS)).alias("new")
        held = (F.col("old.state") == "running") & (F.col("new.state") == "running") & ~F.col("old.run_id").isin(list(ended))
        merge = self._target().alias("old").merge(source, (F.col("old.run_id") == F.col("new.run_id")) | held)
        merge.withSchemaEvolution().whenMatchedUpdateAll("new.state != 'running'").whenNotMatchedInsertAll().execute()

    def _keep_beating(self) -> None:
        """A beat that fails is tried again with the next: a storage's bad minute must not make a living run pass for dead."""
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
            except (Py4JError, PySparkException) as error:
                reason = str(error).split("\n", 1)[0]
                LOG.warning("runs: a heartbeat was not written (%s); the next is tried in %.0f s", reason, HEARTBEAT_SECONDS)

    def _beat(self) -> None:
        with self._lock:
            if self.current:
                self._update({"heartbeat": now()})

    def _update(self, values: dict[str, Any]) -> None:
        run_id = (self.current or {})["run_id"]
        self._target().update(F.col("run_id") == run_id, {name: F.lit(value) for name, value in values.items()})

    def _running(self) -> list[Any]:
        return list(self._target().toDF().where("state = 'running'").select("run_id", "owner", "heartbeat").collect())

    def _holder(self) -> str:
        return ", ".join(f"run {run['run_id']} of {run['owner'].rsplit(':', 1)[0]}" for run in self._running()) or "just ended"

    def _target(self) -> DeltaTable:
        return DeltaTable.forPath(self.spark, self.warehouse.path(RUNS.name))

    def _ensure_table(self) -> None:
        """By a write, which two runs may do at once and do again after a kill; Delta's CREATE TABLE refuses a folder that is there."""
        if self.warehouse.exists(RUNS.name):
            self.warehouse.check_columns(RUNS)
            return
        writer = self.spark.createDataFrame([], schema_of(RUNS)).write.format("delta").mode("ignore")
        try:
            writer.option("delta.isolationLevel", "Serializable").save(self.warehouse.path(RUNS.name))
        except (Py4JJavaError, PySparkException) as error:
            if not _lost_the_race(error):
                raise
