"""The declarations: sorted by what they read, one writer a table, drawn as they are."""

import runpy
from pathlib import Path

import pytest

from conf.settings import Settings
from conf.tables import TABLES
from jobs.job import Job, declared_jobs, in_order
from jobs.job import job as declare

ROOT = Path(__file__).parents[2]


def _job(name: str, reads: tuple[str, ...], writes: str) -> Job:
    def run(tables: object, settings: object, context: object) -> None:
        return None

    run.__name__ = name
    return declare(reads=reads, writes=writes, settings=Settings, parallel_over="tiles")(run)


def test_the_flow_is_sorted_and_every_table_is_declared() -> None:
    jobs = declared_jobs()
    made: set[str] = set()
    for job in jobs.values():
        assert set(job.reads) <= made, f"{job.name} comes before what it reads"
        assert set(job.after) <= set(jobs)
        assert set(job.writes) <= set(TABLES)
        made |= set(job.writes)
    order = [name for name in jobs if jobs[name].in_flow]
    wanted = ["simulated_city", "scenes", "tiles", "built_up", "buildings", "unit_statistics", "indicators", "report"]
    assert [name for name in order if name in wanted] == wanted


def test_a_job_carries_the_name_of_its_module_and_table() -> None:
    for name, job in declared_jobs().items():
        assert job.run.__module__.rpartition(".")[2] == name
        assert not job.writes or name in job.writes or name == "simulated_city"


def test_two_writers_and_circles_are_refused() -> None:
    with pytest.raises(ValueError, match="written by a and b"):
        in_order({"a": _job("a", (), "tiles"), "b": _job("b", (), "tiles")})
    with pytest.raises(ValueError, match="circle"):
        in_order({"a": _job("a", ("scenes",), "tiles"), "b": _job("b", ("tiles",), "scenes")})


def test_the_picture_of_the_flow_is_current() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "figures" / "flow.py"))
    assert drawn["draw"]() == drawn["TARGET"].read_text(encoding="utf-8"), "run python docs/figures/flow.py"
