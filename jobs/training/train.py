"""Train: a network from its recipe in conf/training: windows, course, threshold, bundle, model card, registry.
Run: ./spark-submit.sh train --set train.network=buildings_15cm
Parallel over training windows; the course runs on the driver, or on `processes`. Cut off, it goes on from its last minute."""

import logging
from pathlib import Path
from typing import Any

from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.courses import CourseOrder, Device, Taught, forget, taught
from jobs.distributing import taught_on_processes
from jobs.held_out import tile_files, written_windows
from jobs.job import Context, Tables, job
from jobs.judged_pictures import draw_worst
from jobs.recipes import Recipe, card_text, orders, read_recipe
from jobs.tracking import artifacts_of, tracking_uri
from models.bundle import write_bundle
from models.registry import BUNDLE, WEIGHTS, file_sha256, register_model
from models.run_logs import log_files, log_looks

LOG = logging.getLogger(__name__)


class TrainSettings(Settings):
    """Which network, and where it goes."""

    network: str = Field("built_up_10m", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training")
    threads: int = Field(1, ge=1, description="of the course, in each process; another number gives other last digits")
    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="that share each step's crops; with a local master on this machine, else a task each. Must divide batch",
    )
    device: Device = Field("auto", description="auto: cuda where it is there; several processes take GPUs only for cuda")
    steps: int | None = Field(None, ge=1, description="of the first course; default: the recipe's")
    label_share: float = Field(
        1.0, gt=0, le=1, description="of the recipe's ground of split `train`, that whose labels are learned from; the rest is `unlabelled`"
    )
    weights: str = Field(
        str(WEIGHTS), description="folder for <network>/model.safetensors and CARD.md", json_schema_extra={"matters": False}
    )
    register_version: bool = Field(True, description="make it a new version in the registry: champion where there is none, else challenger")


def train_sources(place: Place, settings: TrainSettings) -> Any:
    """The recipe's orders; raises InputError for an unknown recipe, data that are not declared, processes that cannot share a step, or a
    GPU that is not there."""
    recipe = read_recipe(settings.network)
    batch = int(recipe.course.get("batch", 8))
    if batch % settings.processes:
        raise InputError(f"train.processes {settings.processes}: {batch} crops of a step cannot be shared; use a divisor of {batch}")
    if settings.device == "cuda" and settings.processes == 1:
        from models.distributed import device_of

        device_of(settings.device)
    return orders(recipe)


@job(
    optional=("training_tiles",), writes=(), settings=TrainSettings, parallel_over="training windows", in_flow=False,
    sources=train_sources,
)  # fmt: skip
def train(tables: Tables, settings: TrainSettings, context: Context) -> None:
    recipe = read_recipe(settings.network)
    folder = context.storage / "training" / settings.network
    order = CourseOrder(
        recipe=recipe,
        windows=tuple(written_windows(context.spark, orders(recipe), folder)) if recipe.windows else (),
        tiles=tuple(tile_files(tables)) if recipe.tiles else (),
        label_share=settings.label_share, steps=settings.steps,
        threads=settings.threads, processes=settings.processes, device=settings.device,
        checkpoints=str(context.storage / "courses" / settings.network),
    )  # fmt: skip
    made = taught(order, LOG.info) if settings.processes == 1 else taught_on_processes(context.spark, order)
    path = _written(recipe, made, Path(settings.weights))
    picture = draw_worst(made.fitted.worst, made.fitted.spec.threshold, folder.with_name(f"{settings.network}_worst.png"))
    cost = made.fitted.figures["cpu_minutes"] / 60 * context.place.price_per_cpu_hour
    context.figures.update(made.fitted.figures | {"cost_usd": cost})
    if settings.register_version:
        _register(context.place, path, made, picture)
    forget(order)


def _written(recipe: Recipe, made: Taught, folder: Path) -> Path:
    """The bundle, with its card beside it."""
    fitted = made.fitted
    path = folder / fitted.spec.name / BUNDLE
    write_bundle(path, fitted.spec, fitted.tensors)
    sources = [*made.sources, f"sha256 over all of it: {made.data_sha256}"]
    path.with_name("CARD.md").write_text(card_text(recipe, fitted.spec, fitted.figures, sources, file_sha256(path)), encoding="utf-8")
    return path


def _register(place: Place, path: Path, made: Taught, picture: Path) -> None:
    tags = {"origin": "trained", "data_sha256": made.data_sha256}
    pin = register_model(tracking_uri(place), artifacts_of(place), path, made.fitted.figures, tags)
    looks = [(look.step, {f"look_{name}": value for name, value in look._asdict().items() if name != "step"}) for look in made.fitted.looks]
    log_looks(tracking_uri(place), pin, looks)
    log_files(tracking_uri(place), pin, [picture], "pictures")
