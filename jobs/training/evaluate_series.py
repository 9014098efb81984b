"""Evaluate series: a network of image series on held-out series, beside maps of single images, pairs of dates and an index.
Run: ./spark-submit.sh evaluate_series --set evaluate_series.baseline_steps=1000
Parallel over held-out windows; the networks run on the driver."""

import json
import logging
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.courses import start_of
from jobs.held_out import written_windows
from jobs.job import Context, Tables, job
from jobs.recipes import Recipe, course_of, held_out_orders, orders, read_recipe, untrained_spec
from jobs.tracking import tracking_uri
from models.predictor import load_predictor, read_spec
from models.registry import resolve_model
from models.series import ImageSeries, series_of
from models.windows import read_windows

LOG = logging.getLogger(__name__)
INDEX_BANDS = ("B04", "B08", "B11")
"""Red, near and short-wave infrared, for the threshold of an index at each date."""
OURS = "network"


class EvaluateSeriesSettings(Settings):
    """Which network is judged, beside what."""

    network: str = Field("built_up_10m_series", pattern=r"^[a-z0-9_]+$", description="a recipe of conf/training with series to judge on")
    model: str | None = Field(None, description="default: models:/<network>@champion")
    images: str | None = Field(None, description="model of single images beside it; default: that of the recipe's start, if any")
    dates: tuple[int, ...] = Field((3, 6, 12), min_length=1, description="numbers of dates, evenly spread, each at least 2")
    missing: tuple[float, ...] = Field((0.0, 0.2, 0.4), min_length=1, description="shares of squares of each date that show nothing")
    withheld: tuple[Literal["nothing", "main", "beside"], ...] = Field(
        ("nothing",), min_length=1, description="sensors whose images are held back, of a network of two"
    )
    baseline_steps: int = Field(0, ge=0, description="of a bi-temporal network on the recipe's series; 0 = none")
    threads: int = Field(1, ge=1, description="CPU threads of the networks")
    seed: int = Field(7, description="of bootstraps and of what is missing")


def evaluate_series_sources(place: Place, settings: EvaluateSeriesSettings) -> Any:
    """The held-out orders and the models' sha256; raises InputError for an unknown recipe or model, or one that is not of series."""
    recipe = read_recipe(settings.network)
    if not untrained_spec(recipe).of_series:
        raise InputError(f"evaluate_series.network {settings.network}: its recipe is of single images; use evaluate")
    if min(settings.dates) < 2 or not all(0 <= share < 1 for share in settings.missing):
        raise InputError(f"evaluate_series.dates {settings.dates}, missing {settings.missing}: at least 2 dates, shares from 0 to under 1")
    if {*settings.withheld} - {"nothing"} and untrained_spec(recipe).beside is None:
        raise InputError(f"evaluate_series.withheld {settings.withheld}: {settings.network} sees one sensor; use nothing")
    pins = [resolve_model(uri, tracking_uri(place)) for uri in _uris(recipe, settings)]
    if not read_spec(pins[0].path).of_series:
        raise InputError(f"evaluate_series.model {settings.model}: it sees single images; name one of series")
    return [*held_out_orders(recipe), *(pin.sha256 for pin in pins)]


@job(
    writes=(), settings=EvaluateSeriesSettings, parallel_over="held-out windows", in_flow=False, sources=evaluate_series_sources,
)  # fmt: skip
def evaluate_series(tables: Tables, settings: EvaluateSeriesSettings, context: Context) -> None:
    import torch

    from models.series_predictor import load_series_predictor

    torch.set_num_threads(settings.threads)
    recipe = read_recipe(settings.network)
    folder = context.storage / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    ours, *images = (resolve_model(uri, tracking_uri(context.place)) for uri in _uris(recipe, settings))
    series = _made(held_out_orders(recipe), context, folder / f"{settings.network}_windows")
    ways = [_by_network(load_series_predictor(ours.path, ours.sha256, settings.threads))]
    ways += [_by_maps(load_predictor(pin.path, pin.sha256)) for pin in images]
    ways += [_by_index(recipe)] if set(INDEX_BANDS) <= set(untrained_spec(recipe).bands) else []
    ways += [_by_pairs(recipe, settings, context, folder)] if settings.baseline_steps else []
    figures = _figures(series, ways, settings)
    text = json.dumps({"model": ours.name, "version": ours.version, "sha256": ours.sha256, **figures}, indent=1, sort_keys=True)
    (folder / f"{settings.network}.json").write_text(text + "\n", encoding="utf-8")
    LOG.info("%s", text)
    context.figures.update(figures)


def _figures(series: list[ImageSeries], ways: list[Any], settings: EvaluateSeriesSettings) -> dict[str, float]:
    """Of every number of dates and share that is missing, its figures, named `..._dates_6_missing_0.2`, and `..._without_main` where a
    sensor is held back."""
    from models.series_judging import answer_figures, better_by, thinned, with_missing, without

    figures: dict[str, float] = {}
    own = len(untrained_spec(read_recipe(settings.network)).bands)
    held_back = {"nothing": slice(0), "main": slice(own), "beside": slice(own, None)}
    for dates, missing, withheld in product(settings.dates, settings.missing, settings.withheld):
        fewer = [thinned(each, min(dates, len(each.days))) for each in series]
        seen = [with_missing(without(each, held_back[withheld]), missing, settings.seed) for each in fewer]
        answers = [{name: answer for way in ways for name, answer in way(each).items()} for each in seen]
        others = [name for name in answers[0] if not name.startswith(OURS)]
        found = answer_figures(answers, seen, settings.seed)
        found |= better_by(answers, seen, OURS, others, settings.seed) if others else {}
        case = f"dates_{dates}_missing_{missing:g}" + (f"_without_{withheld}" if withheld != "nothing" else "")
        figures |= {f"{name}_{case}": value for name, value in found.items()}
        LOG.info("%s: F1 of change %s", case, {name: round(found[f"change_f1_{name}"], 3) for name in answers[0]})
    return figures


def _by_network(predictor: Any) -> Any:
    from models.fitting import normaliser
    from models.series_fitting import calibrated_series
    from models.series_judging import network_answers
    from models.series_training import predicted_series

    spec = predictor.spec

    def answers(series: ImageSeries) -> Any:
        said = calibrated_series(predicted_series(predictor.network, series, normaliser(spec)), spec.calibration, spec.change)
        return network_answers(said, series, spec.threshold, spec.change["weight"])

    return answers


def _by_maps(predictor: Any) -> Any:
    from models.series_judging import map_answers

    return lambda series: map_answers(predictor, series)


def _by_index(recipe: Recipe) -> Any:
    from models.series_judging import index_states, of_states

    red, near, short = (untrained_spec(recipe).bands.index(band) for band in INDEX_BANDS)
    return lambda series: {"index": of_states(index_states(series, (red, near, short)), series.known)}


def _by_pairs(recipe: Recipe, settings: EvaluateSeriesSettings, context: Context, folder: Path) -> Any:
    """A bi-temporal network, trained on the recipe's series."""
    from models.series_baseline import train_bitemporal
    from models.series_crops import SeriesDraw

    learned = _made(orders(recipe), context, folder / f"{settings.network}_learned")
    course = course_of(recipe, steps=settings.baseline_steps)
    return train_bitemporal(untrained_spec(recipe), learned, course, SeriesDraw(**recipe.series), start_of(recipe), LOG.info).answers


def _made(ordered: list[str], context: Context, folder: Path) -> list[ImageSeries]:
    return series_of(read_windows(written_windows(context.spark, ordered, folder)))


def _uris(recipe: Recipe, settings: EvaluateSeriesSettings) -> list[str]:
    """Of the network and, where there is one, of that of single images."""
    images = settings.images or (f"models:/{recipe.start}@champion" if recipe.start else None)
    return [settings.model or f"models:/{settings.network}@champion", *([images] if images else [])]
