"""Train: a network from its recipe in conf/training: windows, course, threshold, bundle, model card, registry.
Run: ./spark-submit.sh train --set train.network=buildings_15cm
Parallel over training windows; the course itself runs on the driver."""

import hashlib
import logging
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field
from pyspark.sql import DataFrame

from conf.place import Place
from conf.settings import Settings
from conf.windows import CHOOSE, TRAIN, WINDOW_DDL
from jobs.held_out import tile_files
from jobs.job import Context, Tables, job
from jobs.recipes import Recipe, card_text, orders, read_recipe, typed, untrained_spec
from jobs.tracking import tracking_uri
from models.registry import BUNDLE, WEIGHTS, file_sha256, register_model
from udfs.training_windows import window_batches

LOG = logging.getLogger(__name__)
MOST_TO_CHOOSE_ON = 64
"""Tiles of split `choose` that thresholds and checkpoints are chosen on."""


class TrainSettings(Settings):
    """Which network, and where it goes."""

    network: str = Field("built_up_10m", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training")
    threads: int = Field(1, ge=1, description="of the course; another number gives other last digits")
    steps: int | None = Field(None, ge=1, description="of the first course; default: the recipe's")
    weights: str = Field(
        str(WEIGHTS), description="folder for <network>/model.safetensors and CARD.md", json_schema_extra={"matters": False}
    )
    register_version: bool = Field(True, description="make it a new version in the registry: champion where there is none, else challenger")


def train_sources(place: Place, settings: TrainSettings) -> Any:
    """The recipe's orders; raises InputError for an unknown recipe or data that are not declared."""
    return orders(read_recipe(settings.network))


@job(
    optional=("training_tiles",), writes=(), settings=TrainSettings, parallel_over="training windows", in_flow=False,
    sources=train_sources,
)  # fmt: skip
def train(tables: Tables, settings: TrainSettings, context: Context) -> None:
    recipe = read_recipe(settings.network)
    files = _written_windows(recipe, context, settings.network) if recipe.windows else []
    made = _fitted(recipe, files, tile_files(tables) if recipe.tiles else [], settings)
    cost = made.figures["cpu_minutes"] / 60 * context.place.price_per_cpu_hour
    context.figures.update(made.figures | {"cost_usd": cost})
    if settings.register_version:
        artifacts = Path(context.place.warehouse).absolute() / "mlartifacts"
        tags = {"origin": "trained", "data_sha256": made.data_sha256}
        register_model(tracking_uri(context.place), str(artifacts), made.path, made.figures, tags)


class _Made(NamedTuple):
    """A bundle, its figures, and the digest of what it learned from."""

    path: Path
    figures: dict[str, float]
    data_sha256: str


def _written_windows(recipe: Recipe, context: Context, network: str) -> list[str]:
    """The ordered windows as Parquet files in the place's folder."""
    folder = context.storage / "training" / network
    texts = orders(recipe)
    ordered = context.spark.createDataFrame([(text,) for text in texts], "spec string").repartition(len(texts))
    made: DataFrame = ordered.mapInArrow(window_batches, WINDOW_DDL)
    made.write.mode("overwrite").parquet(str(folder))
    return sorted(str(path) for path in folder.glob("*.parquet"))


def _fitted(recipe: Recipe, files: list[str], tiles: list[str], settings: TrainSettings) -> _Made:
    import torch

    from models.augmentation import Augmentation
    from models.bundle import write_bundle
    from models.fitting import Teaching, fit
    from models.streaming import WindowStream, held_windows, tiles_digest
    from models.training import Course
    from models.windows import read_windows, windows_digest

    torch.set_num_threads(settings.threads)
    spec = untrained_spec(recipe)
    windows = [*read_windows(files), *(held_windows(tiles, CHOOSE, spec.channels, MOST_TO_CHOOSE_ON) if recipe.tiles else ())]
    course = Course(
        **{**recipe.course, **({"steps": settings.steps} if settings.steps else {})}, augmentation=typed(Augmentation, recipe.augmentation)
    )
    stream = WindowStream(tiles, TRAIN, spec.channels, recipe.tiles, course.seed) if recipe.tiles else None
    fitted = fit(spec, windows, course, Teaching(**recipe.teaching), recipe.threshold, LOG.info, stream)
    path = Path(settings.weights) / spec.name / BUNDLE
    write_bundle(path, fitted.spec, fitted.tensors)
    sources = sorted({f"{window.source} ({window.split})" for window in windows})
    sources += [f"table training_tiles, {stream.count} tiles (train)"] if stream else []
    data = windows_digest(windows) + (tiles_digest(tiles) if tiles else "")
    data_sha256 = hashlib.sha256(data.encode()).hexdigest()
    card = card_text(recipe, fitted.spec, fitted.figures, [*sources, f"sha256 over all of it: {data_sha256}"], file_sha256(path))
    path.with_name("CARD.md").write_text(card, encoding="utf-8")
    return _Made(path, fitted.figures, data_sha256)
