"""The command line: a job, the flow of a place, and questions to its tables. Results on stdout, the rest on stderr.

Exit codes: 0 done; 1 a job failed or the place is held; 2 bad input, nothing written; 3 too many tiles quarantined;
143 stopped by SIGTERM."""

import argparse
import logging
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from py4j.protocol import Py4JError

from conf.errors import InputError
from conf.place import Place, load_place
from conf.redaction import redacted
from jobs.fingerprint import fingerprint
from jobs.flow import FLOWS, Options, dry_run, run_flow, run_job
from jobs.gate import GateError
from jobs.job import Job, declared_jobs
from jobs.listing import job_lines
from jobs.pilot import share_of
from jobs.query import run_sql
from jobs.runs import PlaceHeld
from jobs.stopping import TERMINATED, terminate, was_stopped
from jobs.table_checks import TableError
from jobs.tilewise import Wanted

DONE, FAILED, BAD_INPUT = 0, 1, 2
DEFAULT_PLACE = "simulated"
SCRIPT = Path(__file__).parents[1] / "spark-submit.sh"
ASKING = {"sql": 'sql "SELECT ..."', "fingerprint": "fingerprint TABLE"}
"""The commands that take an argument."""


def _parser(jobs: dict[str, Job]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("spark-submit.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", metavar="COMMAND", help=f"flow, retry, list, sql, fingerprint, or a job: {', '.join(jobs)}")
    parser.add_argument("argument", nargs="?", help="the SELECT of sql, the table of fingerprint")
    parser.add_argument("--place", default=None, help="a name in conf/, or a YAML file; default: the simulated city")
    parser.add_argument("--set", action="append", default=[], metavar="[SECTION.]KEY=VALUE", dest="assignments", help="override a setting")
    parser.add_argument("--master", default="local[*]", help="Spark master")
    parser.add_argument("--conf", action="append", default=[], metavar="SPARK.X=Y", help="a Spark setting, passed through")
    parser.add_argument("--dry-run", action="store_true", help="print the submit command and the plan; write nothing")
    parser.add_argument("--recompute", action="store_true", help="allow changed settings or models to replace rows")
    parser.add_argument(
        "--pilot", default=None, metavar="SHARE", help="map a stratified share of the tiles, e.g. 1%%, and say what all cost"
    )
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="of sql")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    signal.signal(signal.SIGTERM, terminate)
    logging.basicConfig(format="%(message)s", handlers=[_ToStderr()])
    logging.getLogger("jobs").setLevel(logging.INFO)
    try:
        jobs = declared_jobs()
        options = _parser(jobs).parse_intermixed_args(arguments)
        return _dispatch(options, jobs)
    except InputError as error:
        return _refused(str(error), BAD_INPUT)
    except (PlaceHeld, TableError, GateError) as error:
        return _refused(str(error), FAILED)
    except (Py4JError, OSError) as error:
        if was_stopped(error):
            return TERMINATED
        raise


def _dispatch(options: argparse.Namespace, jobs: dict[str, Job]) -> int:
    spark_conf = _spark_conf(options.conf)
    if options.argument is not None and options.command not in ASKING:
        raise InputError(f"{options.command} takes no argument {options.argument}; name a place by --place {options.argument}")
    if options.command == "list":
        place = _place(options, jobs) if options.place else None
        print("\n".join(job_lines(jobs, place)))  # noqa: T201 - the result
        return DONE
    place = _place(options, jobs)
    if options.command == "sql":
        return run_sql(place, _required(options), options.format, options.master, spark_conf)
    if options.command == "fingerprint":
        return fingerprint(place, _required(options), options.master, spark_conf)
    if options.command not in FLOWS and options.command not in jobs:
        raise InputError(f"unknown command {options.command}; use flow, retry, list, sql, fingerprint, or a job: {', '.join(jobs)}")
    share = None if options.pilot is None else share_of(options.pilot)
    how = Options(options.master, spark_conf, options.recompute, Wanted(options.command == "retry", share))
    if options.dry_run:
        return dry_run(place, jobs, options.command, how, _submit_command(options))
    if options.command in FLOWS:
        return run_flow(place, jobs, how)
    return run_job(place, jobs, options.command, how)


def _place(options: argparse.Namespace, jobs: dict[str, Job]) -> Place:
    return load_place(options.place or DEFAULT_PLACE, tuple(options.assignments), frozenset(jobs))


def _spark_conf(pairs: Sequence[str]) -> dict[str, str]:
    wrong = [pair for pair in pairs if not pair.startswith("spark.") or "=" not in pair]
    if wrong:
        raise InputError(f"--conf {wrong[0]}: write spark.NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def _required(options: argparse.Namespace) -> str:
    if not options.argument:
        raise InputError(f"{options.command} needs an argument: {ASKING[options.command]}")
    return str(options.argument)


def _submit_command(options: argparse.Namespace) -> str:
    """The command line of the same run without --dry-run, to be pasted into a shell in the same folder."""
    parts = [str(SCRIPT) if SCRIPT.is_file() else "urbantrace", options.command]
    parts += ["--place", options.place] if options.place else []
    parts += [part for assignment in options.assignments for part in ("--set", assignment)]
    parts += ["--master", options.master, *(part for pair in options.conf for part in ("--conf", pair))]
    parts += ["--pilot", options.pilot] if options.pilot else []
    return shlex.join([*parts, *(["--recompute"] if options.recompute else [])])


class _ToStderr(logging.Handler):
    """What jobs log, below a progress bar that may have taken stderr over meanwhile."""

    def emit(self, record: logging.LogRecord) -> None:
        print(redacted(self.format(record)), file=sys.stderr, flush=True)  # noqa: T201


def _refused(message: str, code: int) -> int:
    """The one clear line, also where a name in it holds line ends or a terminal's control characters."""
    plain = "".join(letter if letter.isprintable() else " " for letter in redacted(message))
    print(f"urbantrace: {plain}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
