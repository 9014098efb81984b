"""Evaluate: a network on held-out ground, beside a plain U-Net and beside calling everything built. Figures, JSON and a picture.
Run: ./spark-submit.sh evaluate --set evaluate.network=buildings_15cm --set evaluate.baseline_minutes=12
Parallel over nothing: held-out ground is small; the maps are made window by window as in built_up."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pydantic import Field

from conf.place import Place
from conf.settings import Settings
from jobs.held_out import held_out_windows, made_windows
from jobs.job import Context, Tables, job
from jobs.judged_pictures import draw_outlines, draw_reliability, draw_worst
from jobs.recipes import Recipe, held_out_orders, orders, read_recipe, untrained_spec
from jobs.tracking import artifacts_of, tracking_uri
from models.judging import (
    Judged,
    grouped_figures,
    has_objects,
    judged_window,
    object_figures,
    own_threshold_figures,
    pixel_figures,
    reliability_of,
    worst_squares,
)
from models.metrics import matched_objects
from models.predictor import ModelSpec, load_predictor
from models.registry import ModelPin, ensure_store, resolve_model
from models.run_logs import log_files
from models.windows import Window, groups_of
from udfs.tracing import polygons_from_mask

LOG = logging.getLogger(__name__)
Shapes = NDArray[np.object_]


class EvaluateSettings(Settings):
    """Which network is judged."""

    network: str = Field("buildings_15cm", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training with ground to judge on")
    model: str | None = Field(None, description="default: models:/<network>@champion")
    baseline_minutes: float = Field(
        0.0, ge=0, description="CPU minutes for a plain U-Net (ResNet-18, depth 5) on the same windows; 0 = none"
    )
    min_object_px: int = Field(100, ge=0, description="smaller objects are left out, found and true ones alike, pixels")
    seed: int = Field(7, description="of the bootstrap")


def evaluate_sources(place: Place, settings: EvaluateSettings) -> Any:
    """The held-out orders and the model's sha256; raises InputError for an unknown recipe or model."""
    return [*held_out_orders(read_recipe(settings.network)), resolve_model(_uri(settings), tracking_uri(place)).sha256]


@job(
    optional=("training_tiles",), writes=(), settings=EvaluateSettings, parallel_over="nothing", in_flow=False, sources=evaluate_sources,
)  # fmt: skip
def evaluate(tables: Tables, settings: EvaluateSettings, context: Context) -> None:
    recipe = read_recipe(settings.network)
    folder = context.storage / "evaluation"
    pin = resolve_model(_uri(settings), tracking_uri(context.place))
    predictor = load_predictor(pin.path, pin.sha256)
    windows = held_out_windows(recipe, tables, folder / f"{settings.network}.parquet")
    judged, groups = [judged_window(predictor, window) for window in windows], groups_of(windows)
    spec = predictor.spec
    figures = _figures(judged, spec, spec.threshold, settings)
    figures |= grouped_figures(judged, groups, spec.threshold, settings.seed)
    figures |= own_threshold_figures(judged, groups["region"], spec.thresholds, settings.seed)
    if settings.baseline_minutes:
        figures |= _baseline(recipe, windows, settings, folder)
    text = json.dumps({"model": pin.name, "version": pin.version, "sha256": pin.sha256, **figures}, indent=1, sort_keys=True)
    path = folder / f"{settings.network}.json"
    path.write_text(text + "\n", encoding="utf-8")
    LOG.info("%s", text)
    context.figures.update(figures)
    _keep([path, *_pictures(windows, judged, spec.threshold, folder / settings.network)], pin, settings, context.place)


def _pictures(windows: list[Window], judged: list[Judged], threshold: float, stem: Path) -> list[Path]:
    """Of the first window, of the reliability, and of the worst squares."""
    first, reliability, worst = (stem.with_name(f"{stem.name}{end}.png") for end in ("", "_reliability", "_worst"))
    draw_outlines(windows[0].values, judged[0], threshold, first)
    draw_reliability(reliability_of(judged), reliability)
    draw_worst(worst_squares(judged, windows, threshold), threshold, worst)
    return [first, reliability, worst]


def _keep(paths: list[Path], pin: ModelPin, settings: EvaluateSettings, place: Place) -> None:
    """In the run of the model's version; a model that is named by its file has none."""
    if _uri(settings).startswith("models:"):
        ensure_store(tracking_uri(place), artifacts_of(place))
        log_files(tracking_uri(place), pin, paths, "evaluation")


def _uri(settings: EvaluateSettings) -> str:
    return settings.model or f"models:/{settings.network}@champion"


def _figures(judged: list[Judged], spec: ModelSpec, threshold: float, settings: EvaluateSettings) -> dict[str, float]:
    figures = pixel_figures(judged, threshold, settings.seed)
    if has_objects(spec):
        pairs = [_matched(item, threshold, settings.min_object_px) for item in judged]
        found, known = (np.concatenate(column) for column in zip(*pairs, strict=True))
        figures |= object_figures(found, known, settings.seed)
    return {name: float(value) for name, value in figures.items()}


def _matched(item: Judged, threshold: float, least: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which found and which true objects with their middle on judged ground have a partner."""
    found, known = _objects(item.probability >= threshold * 250, least), _objects(item.truth, least)
    partners = matched_objects(found, known)
    first, second = (mask[_on(item.valid, shapes)] for mask, shapes in zip(partners, (found, known), strict=True))
    return first, second


def _objects(mask: NDArray[np.bool_], least: int) -> Shapes:
    shapes = polygons_from_mask(mask)
    return shapes[shapely.area(shapes) >= least]


def _on(valid: NDArray[np.bool_], shapes: Shapes) -> NDArray[np.bool_]:
    middles = shapely.point_on_surface(shapes)
    return valid[shapely.get_y(middles).astype(int), shapely.get_x(middles).astype(int)]


def _baseline(recipe: Recipe, windows: list[Window], settings: EvaluateSettings, folder: Path) -> dict[str, float]:
    """A plain U-Net without weights from elsewhere, for the given CPU minutes on the recipe's real labelled windows, else on all."""
    from models.baseline import train_baseline

    spec = untrained_spec(recipe)
    learned = made_windows(orders(recipe), folder / f"{settings.network}_learned.parquet")
    real = [window for window in learned if not window.source.startswith("simulated")]
    chosen = real if {window.split for window in real} >= {"train", "choose"} else learned
    maps, threshold, plain = train_baseline(spec, chosen, windows, settings.baseline_minutes, LOG.info)
    judged = [Judged(probability, item.labels >= 125, item.weights > 0) for probability, item in zip(maps, windows, strict=True)]
    figures = _figures(judged, spec, threshold, settings) | plain
    return {f"baseline_{name}": value for name, value in figures.items() if not name.startswith("everything")}
