"""The registry: from a model's URI to one immutable file. Weights that come with the project, or versions in MLflow."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlparse

from conf.errors import InputError
from models.bundle import ModelSpec, read_spec, refuse_pickles
from models.tracking import check_sqlite, one_line_errors, open_client, sqlite_file

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

WEIGHTS = Path(__file__).parent / "weights"
BUNDLE = "model.safetensors"
CHAMPION, CHALLENGER = "champion", "challenger"
EXPERIMENT = "models"
REGISTERED = re.compile(r"models:/([A-Za-z0-9_-]+)(?:@([A-Za-z0-9_-]+)|/(\d+))")
PINNED = re.compile(r"(.+)#sha256=([0-9a-fA-F]{64})")


class ModelPin(NamedTuple):
    """One immutable file: `sha256` is that of the bundle at `path`."""

    name: str
    version: str
    sha256: str
    path: str


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped_models() -> dict[str, ModelPin]:
    """The weights that come with the project, by name, each as version 1."""
    paths = sorted(WEIGHTS.glob(f"*/{BUNDLE}"))
    return {path.parent.name: ModelPin(path.parent.name, "1", file_sha256(path), str(path)) for path in paths}


def resolve_model(uri: str, tracking_uri: str | None) -> ModelPin:
    """The file that `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `PATH#sha256=HEX` stands for; reads only.

    A store that does not exist yet (None, or a sqlite file still to be made) would hold the shipped weights: these are looked up.
    Raises InputError when there is no such model, its sha256 differs, or it is no safetensors bundle.
    """
    registered = REGISTERED.fullmatch(uri)
    if registered:
        name, alias, version = registered.groups()
        pin = _from_store(tracking_uri, name, alias, version) if _exists(tracking_uri) else _from_shipped(name, alias, version)
        return _checked(pin)
    pinned = PINNED.fullmatch(uri)
    if pinned is None:
        if not uri.startswith("models:"):
            refuse_pickles(uri.partition("#")[0])
        raise InputError(f"model {uri}: write models:/NAME@ALIAS, models:/NAME/VERSION or PATH#sha256=HEX")
    path, sha256 = pinned[1], pinned[2].lower()
    return _checked(ModelPin(read_spec(path).name, sha256[:12], sha256, str(Path(path).resolve())))


def ensure_store(tracking_uri: str, artifacts: str) -> None:
    """Create the store on first use, with the shipped weights as version 1, alias champion; an existing store is left as it is.

    `artifacts`: folder or URI that new experiments keep their files under.
    A sqlite store appears whole or not at all: it is made under another name and linked into place.
    """
    file = sqlite_file(tracking_uri)
    if file is None:
        _register_shipped(tracking_uri, artifacts)
    elif file.exists():
        check_sqlite(file)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=file.parent) as folder:
            made = Path(folder) / file.name
            _register_shipped(f"sqlite:///{made}", artifacts)
            # A link, not a rename: it fails where another run has made the store meanwhile.
            with suppress(FileExistsError):
                os.link(made, file)


def register_model(tracking_uri: str, artifacts: str, path: Path, metrics: Mapping[str, float], tags: Mapping[str, str]) -> ModelPin:
    """Make a bundle a new version of its model, champion where there is none, else challenger; files beside it named *.md or *.json go
    along."""
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        return _register(client, artifacts, read_spec(path), path, metrics, tags)


def is_registered(tracking_uri: str, name: str) -> bool:
    """Whether the store exists and knows a model of this name."""
    if not _exists(tracking_uri):
        return False
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        return bool(client.search_registered_models(f"name = '{name}'", max_results=1))


def make_champion(tracking_uri: str, pin: ModelPin) -> None:
    """Move alias champion to a version. Runs that go on keep the version that they began with."""
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        client.set_registered_model_alias(pin.name, CHAMPION, pin.version)


def log_run(
    tracking_uri: str, experiment: str, run_name: str, params: Mapping[str, str], metrics: Mapping[str, float], tags: Mapping[str, str]
) -> None:
    """One finished run with its parameters, figures and tags. Raises InputError when the store cannot be written."""
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        run_id = _new_run(client, experiment, None, run_name, tags)
        _log(client, run_id, params, metrics)


def _exists(tracking_uri: str | None) -> bool:
    file = sqlite_file(tracking_uri) if tracking_uri else None
    return tracking_uri is not None and (file is None or file.exists())


def _from_shipped(name: str, alias: str | None, version: str | None) -> ModelPin:
    found = shipped_models()
    if name not in found:
        raise InputError(f"model {name}: not among the shipped ones ({', '.join(found)}); train it first, or give PATH#sha256=HEX")
    if alias not in (None, CHAMPION) or version not in (None, "1"):
        raise InputError(f"model {name}: a new store has version 1, alias {CHAMPION}, not {alias or version}")
    return found[name]


def _from_store(tracking_uri: str | None, name: str, alias: str | None, version: str | None) -> ModelPin:
    uri = str(tracking_uri)
    file = sqlite_file(uri)
    if file is not None:
        check_sqlite(file)
    client = open_client(uri)
    with one_line_errors(uri):
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, str(version))
        folder = _local_folder(found, client)
    sha256 = found.tags.get("sha256")
    path = folder / BUNDLE
    if not path.is_file() or not sha256:
        lacks = f"it has no {BUNDLE} with a sha256 tag"
        raise InputError(
            f"model {name} version {found.version}: {lacks}, and pickle models are not accepted; register it with the train job"
        )
    return ModelPin(name, str(found.version), sha256, str(path))


def _local_folder(found: "ModelVersion", client: "MlflowClient") -> Path:
    source = client.get_model_version_download_uri(found.name, found.version)
    parts = urlparse(source)
    if parts.scheme in ("", "file"):
        return Path(unquote(parts.path))
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=f"{source}/{BUNDLE}", tracking_uri=client.tracking_uri)).parent


def _checked(pin: ModelPin) -> ModelPin:
    read_spec(pin.path)
    found = file_sha256(Path(pin.path))
    if found != pin.sha256:
        raise InputError(f"model {pin.path}: sha256 is {found}, {pin.sha256} was expected; fetch the bundle again or pin the new one")
    return pin


def _register_shipped(tracking_uri: str, artifacts: str) -> None:
    client = open_client(tracking_uri)
    with one_line_errors(tracking_uri):
        known = {model.name for model in client.search_registered_models(max_results=1000)}
        for name, pin in shipped_models().items():
            if name not in known:
                _register(client, artifacts, read_spec(pin.path), Path(pin.path), {}, {"origin": "shipped"})


def _register(
    client: "MlflowClient", artifacts: str, spec: ModelSpec, path: Path, metrics: Mapping[str, float], tags: Mapping[str, str]
) -> ModelPin:
    sha256 = file_sha256(path)
    run_id = _new_run(client, EXPERIMENT, artifacts, spec.name, {**tags, "sha256": sha256})
    for file in (path, *sorted(path.parent.glob("*.md")), *sorted(path.parent.glob("*.json"))):
        client.log_artifact(run_id, str(file), "bundle")
    _log(client, run_id, {"layer": spec.layer, "halo": str(spec.halo), "threshold": f"{spec.threshold:g}"}, metrics)
    if spec.name not in {model.name for model in client.search_registered_models(max_results=1000)}:
        client.create_registered_model(spec.name)
    source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
    made = client.create_model_version(spec.name, source, run_id, tags={**tags, "sha256": sha256})
    known = client.get_registered_model(spec.name).aliases
    client.set_registered_model_alias(spec.name, CHALLENGER if CHAMPION in known else CHAMPION, str(made.version))
    return ModelPin(spec.name, str(made.version), sha256, str(_local_folder(made, client) / BUNDLE))


def _new_run(client: "MlflowClient", experiment: str, artifacts: str | None, run_name: str, tags: Mapping[str, str]) -> str:
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment, artifacts)
    return str(client.create_run(experiment_id, run_name=run_name, tags=dict(tags)).info.run_id)


def _log(client: "MlflowClient", run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    values = [Metric(name, value, now, 0) for name, value in metrics.items()]
    client.log_batch(run_id, values, [Param(name, text[:6000]) for name, text in params.items()])
    client.set_terminated(run_id)
