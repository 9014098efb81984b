"""Leave one out: a recipe's course without one world region at a time, judged on that region. Figures and JSON; no model is kept.
Run: ./spark-submit.sh leave_one_out --set leave_one_out.network=built_up_10m --set leave_one_out.steps=600
Parallel over world regions; a region that is done is not done again, one that was cut off goes on."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings, digest
from conf.windows import CHOOSE, JUDGE, TRAIN
from jobs.courses import CourseOrder, forget, taught
from jobs.held_out import MOST_TILES, tile_files, written_windows
from jobs.job import Context, Tables, job
from jobs.recipes import Recipe, held_out_orders, orders, read_recipe, untrained_spec
from models.judging import has_built, judged_window, pixel_figures
from models.streaming import held_windows, regions_in
from models.windows import Window, figure_name, read_windows, region_of

LOG = logging.getLogger(__name__)
SPLITS = (TRAIN, CHOOSE, JUDGE)
"""What is learned from without labels is not judged on."""


class LeaveOneOutSettings(Settings):
    """Which network, and which regions."""

    network: str = Field("built_up_10m", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training")
    regions: tuple[str, ...] = Field((), description="world regions, of simulated cities their looks; default: all")
    steps: int | None = Field(None, ge=1, description="of the first course; default: the recipe's")
    threads: int = Field(1, ge=1, description="of each course")
    seed: int = Field(7, description="of the bootstrap")


def leave_one_out_sources(place: Place, settings: LeaveOneOutSettings) -> Any:
    """The recipe's orders; raises InputError for an unknown recipe, data that are not declared or regions that are not in it."""
    recipe = read_recipe(settings.network)
    if not recipe.tiles:
        _chosen(settings, _ordered_regions(recipe))
    return _texts(recipe)


@job(
    optional=("training_tiles",), writes=(), settings=LeaveOneOutSettings, parallel_over="world regions", in_flow=False,
    sources=leave_one_out_sources,
)  # fmt: skip
def leave_one_out(tables: Tables, settings: LeaveOneOutSettings, context: Context) -> None:
    recipe, folder = read_recipe(settings.network), context.storage / "evaluation" / "leave_one_out" / settings.network
    ordered = _orders(recipe, tables, settings, context, folder)
    todo = [(text, str(path), settings.seed) for text, path in ordered.values() if not path.is_file()]
    if todo:
        rows = context.spark.createDataFrame(todo, "spec string, path string, seed int").coalesce(1).repartition(len(todo))
        rows.mapInPandas(region_batches, "path string").collect()
    figures = {region: json.loads(path.read_text(encoding="utf-8")) for region, (_, path) in ordered.items()}
    text = json.dumps(figures, indent=1, sort_keys=True)
    folder.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    LOG.info("%s", text)
    context.figures.update({f"{name}_region_{region}": value for region, each in figures.items() for name, value in each.items()})


def _orders(recipe: Recipe, tables: Tables, settings: LeaveOneOutSettings, context: Context, folder: Path) -> dict[str, tuple[str, Path]]:
    """Region to its order as JSON, and where its figures lie once it is done."""
    tiles = tile_files(tables) if recipe.tiles else []
    regions, texts = _chosen(settings, _ordered_regions(recipe) | regions_in(tiles)), _texts(recipe)
    windows = written_windows(context.spark, texts, folder / "windows") if texts else []
    found = {}
    for region in regions:
        order = CourseOrder(
            recipe=recipe, tiles=tuple(tiles), without=region, steps=settings.steps, threads=settings.threads,
            checkpoints=str(folder / "courses" / figure_name(region)),
        )  # fmt: skip
        # The windows follow from the recipe; their files have other names each time.
        key = digest([order.model_dump(mode="json", exclude={"checkpoints"}), texts, settings.seed])[:16]
        placed = order.model_copy(update={"windows": tuple(windows)})
        found[figure_name(region)] = (placed.model_dump_json(), folder / f"{figure_name(region)}-{key}.json")
    return found


def _texts(recipe: Recipe) -> list[str]:
    return [*orders(recipe), *held_out_orders(recipe)]


def _ordered_regions(recipe: Recipe) -> set[str]:
    """With labelled ground that the recipe orders; labels that rules gave are nothing to judge by."""
    ordered = (json.loads(text) for text in _texts(recipe))
    return {region_of(order["source"]) for order in ordered if order["split"] in SPLITS and order["kind"] != "weak"}


def _chosen(settings: LeaveOneOutSettings, known: set[str]) -> list[str]:
    """Raises InputError for a region that is not there."""
    if unknown := sorted(set(settings.regions) - known):
        raise InputError(f"leave_one_out.regions: no ground in {unknown[0]}; there is: {', '.join(sorted(known))}")
    return list(settings.regions) or sorted(known)


def region_batches(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Shell: a row with `spec` (an order as JSON), `path` and `seed` becomes a file of figures."""
    for frame in frames:
        for row in frame.itertuples():
            order = CourseOrder.model_validate_json(row.spec)
            figures = left_out_figures(order, int(row.seed))
            path = Path(row.path)
            path.with_suffix(".new").write_text(json.dumps(figures, sort_keys=True), encoding="utf-8")
            path.with_suffix(".new").replace(path)
            forget(order)
            yield pd.DataFrame({"path": [row.path]})


def left_out_figures(order: CourseOrder, seed: int) -> dict[str, float]:
    """Pixel figures of the region that the course does without, on all its labelled ground, none of which was learned from or chosen on;
    only how many windows that is where nothing is built."""
    from models.predictor import predictor_of

    learned = taught(order, LOG.info).fitted
    predictor = predictor_of(learned.spec, learned.tensors)
    windows = _labelled(order)
    judged = [judged_window(predictor, window) for window in windows]
    figures = pixel_figures(judged, learned.spec.threshold, seed) if has_built(judged) else {}
    return {name: float(value) for name, value in figures.items()} | {"windows": float(len(windows))}


def _labelled(order: CourseOrder) -> list[Window]:
    region = str(order.without)
    ordered = [window for window in read_windows(order.windows) if window.split in SPLITS]
    found = [window for window in ordered if region_of(window.source) == figure_name(region)]
    bands = untrained_spec(order.recipe).channels
    return found + [
        window for split in SPLITS if order.tiles for window in held_windows(order.tiles, split, bands, MOST_TILES, only=region)
    ]
