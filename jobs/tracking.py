"""Runs in MLflow. The store is made while the first job already works, since a new one takes seconds."""

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from conf.errors import InputError
from conf.place import Place
from jobs.summary import Summary

LOG = logging.getLogger(__name__)


def tracking_uri(place: Place) -> str:
    """The place's MLflow store: the configured one, else sqlite in the warehouse."""
    return place.tracking_uri or f"sqlite:///{Path(place.warehouse).absolute() / 'mlflow.db'}"


def artifacts_of(place: Place) -> str:
    """Where the files of models lie in a store that is made here."""
    return str(Path(place.warehouse).absolute() / "mlartifacts")


def check_store(place: Place) -> None:
    """Raises InputError when a configured store cannot be used; reads only. The default one is made by the first run that writes."""
    if place.tracking_uri is None:
        return
    from models.tracking import check_sqlite, one_line_errors, open_client, sqlite_file

    file = sqlite_file(place.tracking_uri)
    if file is not None and not file.exists():
        _check_writable(file)
        return
    if file is not None:
        check_sqlite(file)
    with one_line_errors(place.tracking_uri):
        open_client(place.tracking_uri).search_experiments(max_results=1)


def _check_writable(file: Path) -> None:
    """Whether the store's file can be made; its folder need not be there yet."""
    there = next(folder for folder in file.absolute().parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"tracking_uri: {file} cannot be made in {there}; name a folder that can be written, or leave it out")


class Tracking:
    """Opened once a run holds its place, so that a refused run leaves no store behind."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._pool = ThreadPoolExecutor(1)
        self._ready: Future[None] | None = None
        self._logged: list[Future[None]] = []

    def open(self) -> None:
        """Start making the store, if it is not there."""
        if self._ready is None:
            self._ready = self._pool.submit(_ensure, tracking_uri(self.place), artifacts_of(self.place))

    def log(self, job: str, run: dict[str, Any], summary: Summary) -> None:
        """One MLflow run: settings hash, code version, model, rows, figures; in the background, in order."""
        params = {name: str(run.get(name)) for name in ("run_id", "settings_digest", "code_version", "model_sha256", "back_end")}
        metrics = {
            "rows": summary.rows,
            "seconds": summary.seconds,
            **{f"tiles_{k}": v for k, v in summary.tiles.items()},
            **summary.figures,
        }
        self._logged.append(self._pool.submit(_log, tracking_uri(self.place), self.place.name, job, params, metrics))

    def close(self) -> None:
        """Wait for what is being logged. What failed is said once: the tables are written, and their `runs` rows tell the same."""
        self._pool.shutdown(wait=True)
        errors = [future.exception() for future in (self._ready, *self._logged) if future is not None]
        for text in sorted({str(error) or type(error).__name__ for error in errors if error}):
            LOG.warning("urbantrace: MLflow has no complete log of this run: %s", text)


def _ensure(uri: str, artifacts: str) -> None:
    from models.registry import ensure_store

    ensure_store(uri, artifacts)


def _log(uri: str, experiment: str, job: str, params: dict[str, str], metrics: dict[str, float]) -> None:
    from models.registry import log_run

    log_run(uri, experiment, job, params, metrics, {})
