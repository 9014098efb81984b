"""What is kept in MLflow beside a model version, in the run that made it: how its courses went, and pictures."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.registry import ModelPin
from models.tracking import one_line_errors, open_client

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def log_looks(tracking_uri: str, pin: ModelPin, looks: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Figures by step, as metrics that MLflow draws."""
    from mlflow.entities import Metric

    client, now = open_client(tracking_uri), int(time.time() * 1000)
    with one_line_errors(tracking_uri):
        values = [Metric(name, value, now, step) for step, figures in looks for name, value in figures.items()]
        client.log_batch(_run_of(client, pin), values)


def log_files(tracking_uri: str, pin: ModelPin, paths: Sequence[Path], folder: str) -> None:
    """Files as artifacts of the version's run."""
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        run_id = _run_of(client, pin)
        for path in paths:
            client.log_artifact(run_id, str(path), folder)


def _run_of(client: "MlflowClient", pin: ModelPin) -> str:
    return str(client.get_model_version(pin.name, pin.version).run_id)
