"""From a place to its runs: which jobs, checked before the first write, then run on a session."""

import sys
import time
from typing import NamedTuple

from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from jobs.job import Job
from jobs.listing import absences
from jobs.pilot import pilot_lines
from jobs.preflight import CHECKED, check_inputs
from jobs.runner import Prepared, Runner, prepare
from jobs.session import start_session
from jobs.tilewise import ALL, Wanted
from jobs.tracking import check_store
from jobs.warehouse import Warehouse

DONE, QUARANTINED = 0, 3
FLOWS = ("flow", "retry")
"""Commands that run every job of a place."""


def jobs_of_flow(place: Place, jobs: dict[str, Job]) -> list[Job]:
    """The jobs whose inputs the place declares, in order."""
    absent = absences(place, jobs)
    return [job for job in jobs.values() if job.in_flow and job.name not in absent]


def prepare_flow(place: Place, jobs: dict[str, Job]) -> list[Prepared]:
    """Check every section of the place and every declared input; raises InputError. Reads only, needs no Spark."""
    _check_sections(place, jobs)
    prepared = [prepare(job, place) for job in jobs_of_flow(place, jobs)]
    check_inputs(place, prepared)
    check_store(place)
    return prepared


def prepare_job(place: Place, jobs: dict[str, Job], name: str) -> Prepared:
    """The same for one job; a job that is compared with others is so by name, too."""
    _check_sections(place, jobs)
    if reason := jobs[name].absent(place, place.section(jobs[name].settings, name)):
        raise InputError(f"place {place.name} does not run {name}: {reason}")
    item = prepare(jobs[name], place)
    if name in CHECKED:
        absent = absences(place, jobs)
        check_inputs(place, [item, *(prepare(jobs[maker], place) for maker in jobs[name].reads if maker in jobs and maker not in absent)])
    check_store(place)
    return item


def _check_sections(place: Place, jobs: dict[str, Job]) -> None:
    for name in place.sections:
        place.section(jobs[name].settings, name)


class Options(NamedTuple):
    """How a run is run: the master, Spark's own settings, whether changed settings may replace rows, and which tiles are meant."""

    master: str
    spark_conf: dict[str, str]
    recompute: bool = False
    wanted: Wanted = ALL


def run_flow(place: Place, jobs: dict[str, Job], options: Options) -> int:
    """Every job of the place, of a pilot those up to the map; the exit code."""
    prepared = prepare_flow(place, jobs)
    if options.wanted.share is not None:
        first = min(number for number, item in enumerate(prepared) if item.job.tilewise)
        prepared = prepared[: first + 1]
    return _run(place, jobs, prepared, options)


def run_job(place: Place, jobs: dict[str, Job], name: str, options: Options) -> int:
    """One job by name, on the tables that are there; the exit code."""
    if options.wanted.share is not None and not jobs[name].tilewise:
        raise InputError(f"--pilot is for flow and jobs that are kept by tile, and {name} is not; leave it out")
    prepared = prepare_job(place, jobs, name)
    missing = [table for table in jobs[name].reads if not (place.folder / table / "_delta_log").is_dir() and "://" not in place.warehouse]
    if missing:
        raise InputError(f"{name} reads {', '.join(missing)}, which place {place.name} does not have yet; run flow, or these jobs first")
    return _run(place, jobs, [prepared], options)


def _run(place: Place, jobs: dict[str, Job], prepared: list[Prepared], options: Options) -> int:
    started = time.monotonic()
    spark = start_session(options.master, options.spark_conf)
    _say(f"session on {spark.sparkContext.master} in {time.monotonic() - started:.1f} s")
    runner = Runner(spark, place, jobs, options.recompute, options.wanted)
    if not runner.run(prepared, lambda summary: _say("\n".join(summary.lines()))):
        _say(f"place {place.name}: everything is done, nothing was written")
    if options.wanted.share is not None:
        _say("\n".join(pilot_lines(place, runner.warehouse.read("tiles"), runner.warehouse.read("built_up"))))
    return _exit_code(runner.warehouse, place)


def _exit_code(warehouse: Warehouse, place: Place) -> int:
    if not warehouse.exists("built_up"):
        return DONE
    is_quarantined = (F.col("status") == "quarantined").cast("double")
    share = warehouse.read("built_up").agg(F.avg(is_quarantined)).first()[0] or 0.0
    if share <= place.max_quarantined_share:
        return DONE
    allowed = f"max_quarantined_share = {place.max_quarantined_share:.2%}"
    _say(f"urbantrace: {share:.2%} of the tiles are quarantined, more than {allowed}; built_up.message says why")
    return QUARANTINED


def dry_run(place: Place, jobs: dict[str, Job], name: str, options: Options, command: str) -> int:
    """Print the submit `command` and what would be done; writes nothing."""
    from jobs.plan import plan_lines

    prepared = prepare_flow(place, jobs) if name in FLOWS else [prepare_job(place, jobs, name)]
    print(command, flush=True)  # noqa: T201 - the result
    spark = start_session(options.master, options.spark_conf)
    print("\n".join(plan_lines(spark, place, jobs, prepared)))  # noqa: T201 - the result
    return DONE


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
