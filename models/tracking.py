"""The MLflow store: opening it quietly, with errors of one line. MLflow is imported only where a store is really needed."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from conf.errors import InputError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SQLITE = "sqlite:///"
SCHEMES = (SQLITE, "postgresql", "mysql", "mssql", "http://", "https://", "databricks")
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Nothing is sent anywhere, and a dead server is noticed within a minute."""


def open_client(tracking_uri: str) -> "MlflowClient":
    """A client of the store. Raises InputError for a kind that is not supported, e.g. an ./mlruns folder, and for an old schema."""
    if not tracking_uri.startswith(SCHEMES):
        raise InputError(f"tracking_uri {tracking_uri}: folders of runs are not supported; use sqlite:///FILE.db or a tracking server")
    quiet()
    from mlflow.tracking import MlflowClient

    with one_line_errors(tracking_uri):
        return MlflowClient(tracking_uri, tracking_uri)


def quiet() -> None:
    """Before MLflow is imported: it tells nobody what it does, and its log only what is wrong."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


def sqlite_file(tracking_uri: str) -> Path | None:
    """The file of a sqlite store, or None."""
    return Path(tracking_uri.removeprefix(SQLITE)) if tracking_uri.startswith(SQLITE) else None


@contextmanager
def one_line_errors(tracking_uri: str) -> Iterator[None]:
    """Turn whatever a store can raise into an InputError that names the store and the next step."""
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"tracking store {tracking_uri}: it needs Python package {error.name}; install it, or use another store") from None
    except (MlflowException, SQLAlchemyError, requests.RequestException) as error:
        raise InputError(f"tracking store {tracking_uri}: {_first_line(error)}; {_next_step(str(error), tracking_uri)}") from None


def check_sqlite(file: Path) -> None:
    """Raise InputError when an existing sqlite store is locked or is none; MLflow itself would retry for minutes."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5)) as connection:
            connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"tracking store {file}: {error}; stop what holds it, or point tracking_uri to an MLflow store") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _next_step(message: str, tracking_uri: str) -> str:
    if "out-of-date" in message:
        return f"run: mlflow db upgrade {tracking_uri}"
    return "check tracking_uri, or name the model by its bundle's path and sha256"
