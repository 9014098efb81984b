"""Export a model as MLflow's pyfunc, for use outside of these jobs. Writes one folder, which no job reads.
Run: ./spark-submit.sh export_model --set export_model.model=models:/built_up_10m@champion
Parallel over nothing."""

import logging
from pathlib import Path
from typing import Any

from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.job import Context, Tables, job
from jobs.tracking import tracking_uri
from models.registry import ModelPin, resolve_model

LOG = logging.getLogger(__name__)


class ExportModelSettings(Settings):
    """Which model, and where to."""

    model: str = Field("models:/built_up_10m@champion", description="models:/NAME@ALIAS, models:/NAME/VERSION or PATH#sha256=HEX")
    path: str | None = Field(None, description="folder to write, which must not be there; default: pyfunc/<name>-<version> of the place")


def export_model_sources(place: Place, settings: ExportModelSettings) -> Any:
    """The model's sha256; raises InputError where there is no such model, or the folder is there."""
    pin = resolve_model(settings.model, tracking_uri(place))
    folder = _folder(place.folder, pin, settings)
    if folder.exists():
        raise InputError(f"export_model.path: {folder} is there already; remove it or name another")
    return pin.sha256


@job(writes=(), settings=ExportModelSettings, parallel_over="nothing", in_flow=False, sources=export_model_sources)
def export_model(tables: Tables, settings: ExportModelSettings, context: Context) -> None:
    from models.pyfunc import save_pyfunc

    pin = resolve_model(settings.model, tracking_uri(context.place))
    folder = _folder(context.storage, pin, settings)
    save_pyfunc(pin, folder)
    LOG.info("%s version %s: open it with mlflow.pyfunc.load_model(%r)", pin.name, pin.version, str(folder))


def _folder(storage: Path, pin: ModelPin, settings: ExportModelSettings) -> Path:
    return Path(settings.path).absolute() if settings.path else storage / "pyfunc" / f"{pin.name}-{pin.version}"
