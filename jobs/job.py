"""A job as data: what it reads, writes and is set by. The runner does the rest."""

import importlib
import logging
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from conf.place import Place
from conf.settings import Settings

LOG = logging.getLogger(__name__)
Tables = Mapping[str, DataFrame]
Planned = Callable[[Callable[[str], DataFrame], Collection[str], Place], DataFrame]
"""From a reader of tables by name, layers and the place, to the rows of which each gives one: like those of `tiles`."""


@dataclass
class Context:
    """What a job may use besides its tables and settings. `figures` are logged to MLflow and printed in the summary."""

    spark: SparkSession
    place: Place
    run_id: str
    storage: Path
    """Folder of the place for named files: staged weights, images, reports."""
    pins: dict[str, Any] = field(default_factory=dict)
    """What the job's `pins` gave when the run was prepared: a model is resolved once in a run."""
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What whoever uses the result must know; printed with the summary."""

    def say_once(self, note: str) -> None:
        """Log a note, however many batches meet it, and keep it for the summary."""
        if note not in self.notes:
            self.notes.append(note)
            LOG.warning("%s", note)


@dataclass(frozen=True)
class Job:
    """A function from tables to one table, with everything that the runner must know about it."""

    name: str
    family: str
    run: Callable[[Tables, Any, Context], DataFrame]
    reads: tuple[str, ...]
    optional: tuple[str, ...]
    """Tables read where the place has them; else the key is absent from `tables`."""
    writes: tuple[str, ...]
    settings: type[Settings]
    parallel_over: str
    data_version: int
    """Raised when a change of code changes rows."""
    in_flow: bool
    tilewise: bool
    """Keeps rows by tile and computes the missing ones only: the job gets what `planned` gives, less what is done, as table `planned`."""
    planned: Planned
    layer_digests: Callable[[Place, Any], dict[str, str]]
    """Of a tilewise job: layer to the digest of all that decides its rows but the scenes."""
    pins: Callable[[Place, Any], dict[str, Any]]
    """What settings resolve to, e.g. layer to model name, version and sha256; compared like settings. Plain JSON."""
    backend: Callable[[Place, Any], str | None]
    """What runs its networks, by place and settings: cpu, cuda, openvino; None where it has none."""
    after: tuple[str, ...]
    """Jobs whose named files it reads."""
    absent: Callable[[Place, Any], str | None]
    """Why the place does not run the job, or None."""
    sources: Callable[[Place, Any], Any]
    """Plain JSON that stands for the input outside tables, e.g. digests of files; raises InputError on bad input.
    Reads only, needs no Spark: it is the check before the first write."""


def planned_tiles(read: Callable[[str], DataFrame], layers: Collection[str], place: Place) -> DataFrame:
    """Every tile in every epoch."""
    return read("tiles")


def _always(place: Place, settings: Any) -> str | None:
    return None


def _no_sources(place: Place, settings: Any) -> Any:
    return None


def _no_backend(place: Place, settings: Any) -> str | None:
    return None


def _nothing(place: Place, settings: Any) -> dict[str, Any]:
    return {}


def job(
    *,
    reads: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    writes: str | tuple[str, ...],
    settings: type[Settings],
    parallel_over: str,
    data_version: int = 1,
    in_flow: bool = True,
    tilewise: bool = False,
    planned: Planned = planned_tiles,
    layer_digests: Callable[[Place, Any], dict[str, str]] = _nothing,
    pins: Callable[[Place, Any], dict[str, Any]] = _nothing,
    backend: Callable[[Place, Any], str | None] = _no_backend,
    after: tuple[str, ...] = (),
    absent: Callable[[Place, Any], str | None] = _always,
    sources: Callable[[Place, Any], Any] = _no_sources,
) -> Callable[[Callable[[Tables, Any, Context], Any]], Job]:
    """Declare a function as a job. `writes` names tables, or () for files and models."""

    def declare(run: Callable[[Tables, Any, Context], Any]) -> Job:
        return Job(
            name=run.__name__,
            family=run.__module__.rpartition(".")[0].rpartition(".")[2],
            run=run,
            reads=reads,
            optional=optional,
            writes=(writes,) if isinstance(writes, str) else writes,
            settings=settings,
            parallel_over=parallel_over,
            data_version=data_version,
            in_flow=in_flow,
            tilewise=tilewise,
            planned=planned,
            layer_digests=layer_digests,
            pins=pins,
            backend=backend,
            after=after,
            absent=absent,
            sources=sources,
        )

    return declare


def declared_jobs() -> dict[str, Job]:
    """Every job of the families, by name, in the order of the flow (inputs first, then by name)."""
    import jobs

    found: dict[str, Job] = {}
    for module in pkgutil.walk_packages(jobs.__path__, "jobs."):
        if module.name.count(".") == 2:
            values = vars(importlib.import_module(module.name)).values()
            found |= {value.name: value for value in values if isinstance(value, Job)}
    return in_order(found)


def in_order(found: dict[str, Job]) -> dict[str, Job]:
    """Topological order by tables; raises ValueError on a cycle or a table with two writers."""
    writer: dict[str, str] = {}
    for name, declared in found.items():
        for table in declared.writes:
            if table in writer:
                raise ValueError(f"table {table} is written by {writer[table]} and {name}; a table has one writer")
            writer[table] = name
    ordered: dict[str, Job] = {}
    while len(ordered) < len(found):
        ready = sorted(n for n, j in found.items() if n not in ordered and _inputs_ready(j, writer, ordered))
        if not ready:
            raise ValueError(f"jobs read each other in a circle: {sorted(set(found) - set(ordered))}")
        ordered[ready[0]] = found[ready[0]]
    return ordered


def _inputs_ready(declared: Job, writer: dict[str, str], ordered: dict[str, Job]) -> bool:
    tables = (*declared.reads, *declared.optional)
    makers = {writer[table] for table in tables if table in writer} | set(declared.after)
    return makers <= set(ordered)
