"""The runner: compares what is there with what would be made now, and makes only what is missing.

Comparing reads only. The first job with work to do takes the place, compares again, writes, and hands the place on."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.place import Place
from conf.redaction import redacted
from conf.settings import digest
from conf.table import Table
from conf.tables import TABLES
from jobs.code_version import code_version
from jobs.digests import Origin, content_digest, origin_now, refuse_changed, row_digests
from jobs.job import Context, Job
from jobs.kept_rows import kept
from jobs.progress import progress
from jobs.runs import Runs
from jobs.stopping import stoppable
from jobs.summary import Summary
from jobs.table_checks import check_rows, in_declared_order
from jobs.tilewise import ALL, Pending, Wanted, commit_tiles, pending_tiles
from jobs.tracking import Tracking
from jobs.warehouse import Warehouse


@dataclass(frozen=True)
class Prepared:
    """A job with its settings read and everything resolved that must not change during the run."""

    job: Job
    settings: Any
    pins: dict[str, Any]
    layer_digests: dict[str, str]
    sources: Any

    @property
    def decided(self) -> dict[str, Any]:
        """The settings that matter, and the model versions: what must not change without `--recompute`."""
        return {**self.settings.digested(), **self.pins}


def prepare(job: Job, place: Place) -> Prepared:
    """Read and check a job's settings and declared input; raises InputError. Needs no Spark, writes nothing."""
    settings = place.section(job.settings, job.name)
    sources = job.sources(place, settings)
    return Prepared(job, settings, job.pins(place, settings), job.layer_digests(place, settings), sources)


def _runs_always(job: Job) -> bool:
    """Training, evaluation and the like: asked for by name, with other settings each time, and no table to compare them with."""
    return not job.in_flow and not job.writes


class Runner:
    """Runs prepared jobs of one place on one session."""

    def __init__(self, spark: SparkSession, place: Place, jobs: dict[str, Job], recompute: bool = False, wanted: Wanted = ALL) -> None:
        self.spark, self.place, self.jobs, self.recompute, self.wanted = spark, place, jobs, recompute, wanted
        self.warehouse = Warehouse(spark, place.folder)
        self.runs = Runs(spark, self.warehouse)
        self.tracking = Tracking(place)
        self.tilewise = {table for job in jobs.values() if job.tilewise for table in job.writes}
        self.ran: set[str] = set()

    def run(self, prepared: list[Prepared], say: Callable[[Summary], None] = lambda _: None) -> int:
        """Run what is missing, in order, and how many jobs that were; each summary goes to `say` as its job ends.
        Raises InputError, PlaceHeld, TableError; the place is free afterwards."""
        for item in prepared:
            self._refuse_changed(item)
        done = 0
        try:
            with stoppable(self.spark, f"place {self.place.name}"):
                for item in prepared:
                    if summary := self._run_missing(item):
                        say(summary)
                        done += 1
            return done
        finally:
            try:
                self.runs.release()
            finally:
                self.tracking.close()

    def _refuse_changed(self, item: Prepared) -> None:
        for table in item.job.writes if item.job.tilewise else ():
            if self.warehouse.exists(table):
                self.warehouse.check_columns(TABLES[table])
        if not _runs_always(item.job) and not self.recompute and (stored := self._stored(item.job)):
            refuse_changed(item.job, stored, item.decided)

    def _run_missing(self, item: Prepared) -> Summary | None:
        if self.is_done(item):
            return None
        held = self.runs.held
        self.runs.begin(self._row(item))
        self.tracking.open()
        # Another run may have done it before this one took the place, but not since.
        if not held and self.is_done(item):
            self.runs.finish("done", rows=0)
            return None
        return self._run(item)

    def _run(self, item: Prepared) -> Summary:
        started = time.monotonic()
        context = Context(self.spark, self.place, str((self.runs.current or {})["run_id"]), self.place.folder, item.pins)
        with self._recorded(item, context, started) as summary, progress(self.spark, item.job.name):
            if item.job.tilewise:
                self._write_tiles(item, context, summary)
            else:
                self._write_whole(item, context, summary)
        # What the job kept: every later plan would be compared with it.
        self.spark.catalog.clearCache()
        self.ran.add(item.job.name)
        return summary

    @contextmanager
    def _recorded(self, item: Prepared, context: Context, started: float) -> Iterator[Summary]:
        """Give the run its outcome in `runs` and MLflow, whatever it is."""
        summary = Summary(item.job.name, self._place_of(item.job), self.place, self.spark.sparkContext.defaultParallelism)
        state, message = "failed", None
        try:
            yield summary
            state = "done"
        except Exception as error:
            message = redacted(str(error).strip().split("\n", 1)[0])[:500] or type(error).__name__
            raise
        except BaseException:
            state = "stopped"
            raise
        finally:
            summary.seconds = time.monotonic() - started
            summary.figures |= context.figures
            summary.notes = context.notes
            self.runs.finish(state, seconds=summary.seconds, rows=summary.rows, message=message)
        self.tracking.log(item.job.name, self.runs.current or {}, summary)

    def _write_whole(self, item: Prepared, context: Context, summary: Summary) -> None:
        origin = self._origin(item)
        result = item.job.run(self._inputs(item.job), item.settings, context)
        frames = result if isinstance(result, dict) else dict(zip(item.job.writes, (result,), strict=False))
        for name in item.job.writes:
            summary.rows += self._write_table(TABLES[name], frames[name], origin, context.run_id)
        if not item.job.writes and not _runs_always(item.job):
            self._write_stamp(item.job, self._stamp(origin, context.run_id))

    def _write_table(self, table: Table, frame: DataFrame, origin: Origin, run_id: str) -> int:
        added = {"input_digest": F.lit(origin.input_digest), "run_id": F.lit(run_id)}
        frame = frame.withColumns({name: value for name, value in added.items() if name in table.names})
        checked = kept(in_declared_order(frame, table))
        rows = check_rows(checked, table)
        self.runs.check_hold()
        self.warehouse.overwrite(table, checked, self._stamp(origin, run_id))
        return rows

    def _write_tiles(self, item: Prepared, context: Context, summary: Summary) -> None:
        origin, table = self._origin(item), TABLES[item.job.writes[0]]
        stamp = self._stamp(origin, context.run_id)
        with self._pending(item) as pending:
            for batch in range(pending.batches):
                inputs = {**self._inputs(item.job), "planned": pending.rows(batch)}
                result = item.job.run(inputs, item.settings, context)
                self.runs.check_hold()
                commit_tiles(self.warehouse, table, result, pending, batch, stamp, summary)
            pending.drop_obsolete(self.warehouse, stamp)

    def _pending(self, item: Prepared) -> AbstractContextManager[Pending]:
        cores = self.spark.sparkContext.defaultParallelism
        planned = row_digests(item.job.planned(self.warehouse.read, item.layer_digests, self.place), item.layer_digests)
        return pending_tiles(self.warehouse, TABLES[item.job.writes[0]], planned, self.place.batch_seconds * cores, self.wanted)

    def is_done(self, item: Prepared) -> bool:
        """Whether a job has nothing to do; reads only."""
        if _runs_always(item.job) or any(not self.warehouse.exists(table) for table in (*item.job.reads, *item.job.writes)):
            return False
        if item.job.tilewise:
            with self._pending(item) as pending:
                return pending.nothing
        stored = self._stored(item.job)
        return bool(stored) and stored["input_digest"] == self._origin(item).input_digest

    def _inputs(self, job: Job) -> dict[str, DataFrame]:
        names = [*job.reads, *(name for name in job.optional if self.warehouse.exists(name))]
        return {name: self.warehouse.read(name) for name in names}

    def _origin(self, item: Prepared) -> Origin:
        names = [*item.job.reads, *(name for name in item.job.optional if self.warehouse.exists(name))]
        contents = {name: content_digest(self.warehouse, TABLES[name], name in self.tilewise) for name in names}
        return origin_now(item.job, self.place, item.decided, self._sources(item), contents)

    def _sources(self, item: Prepared) -> Any:
        """The declared input as found when the run was prepared, or anew where a job that writes it has run since."""
        return item.job.sources(self.place, item.settings) if self.ran & set(item.job.after) else item.sources

    def _stamp(self, origin: Origin, run_id: str) -> dict[str, Any]:
        return {"settings": origin.settings, "input_digest": origin.input_digest, "run_id": run_id}

    def _stored(self, job: Job) -> dict[str, Any]:
        """The stamp of what the job made before, empty if that is nothing or not all of it."""
        if not job.writes:
            path = self._stamp_path(job)
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
        if not all(self.warehouse.exists(table) for table in job.writes):
            return {}
        stamps = [self.warehouse.stamp(table) for table in job.writes]
        return stamps[0] if all(stamp == stamps[0] for stamp in stamps) else {}

    def _stamp_path(self, job: Job) -> Path:
        return self.place.folder / job.name / "stamp.json"

    def _write_stamp(self, job: Job, stamp: dict[str, Any]) -> None:
        path = self._stamp_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(stamp, sort_keys=True), encoding="utf-8")
        fresh.replace(path)

    def _place_of(self, job: Job) -> str:
        if job.writes:
            return self.warehouse.path(job.writes[0])
        return str(self.place.folder.absolute() if _runs_always(job) else self._stamp_path(job).parent)

    def _row(self, item: Prepared) -> dict[str, Any]:
        versions = {name: self.warehouse.version(name) for name in item.job.reads if self.warehouse.exists(name)}
        backend = item.job.backend(self.place, item.settings)
        return {
            "run_id": uuid.uuid4().hex,
            "job": item.job.name,
            "settings": json.dumps(item.decided, sort_keys=True),
            "settings_digest": digest(item.decided),
            "code_version": code_version(),
            "model_sha256": ",".join(sorted({pin["sha256"] for pin in item.pins.values()})) or None,
            "back_end": ", ".join(filter(None, (self.spark.sparkContext.master, backend))),
            "device_class": "cuda" if backend == "cuda" else "cpu",
            "input_versions": json.dumps(versions, sort_keys=True),
        }
