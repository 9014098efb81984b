"""Reference sample: draws points for visual interpretation and, when they are answered, tells how right the map is. Parallel over tiles.
Run: ./spark-submit.sh reference_sample --place mumbai
     ./spark-submit.sh reference_sample --place mumbai --set reference_sample.folder=conf/reference/mumbai
       --set 'reference_sample.answers=[first.csv, second.csv]'"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.answered_samples import POINTS, STRATA_FILE, AnsweredSample, answered_sample
from jobs.job import Context, Tables, job
from jobs.reference_points import Ground, built_up_map, composites_at, counts_of, drawn_points, ground_of, index_maps
from udfs.accuracy import judged
from udfs.composites import CompositeName
from udfs.compositing import suited
from udfs.files import write_whole
from udfs.reference_sample import indices_of, shown_bands
from udfs.sample_sheets import Shown, sheets
from udfs.speckle import LOOKS
from udfs.strata import Counts, cuts_of

LOG = logging.getLogger(__name__)
COLUMNS = ("point_id", "stratum", "lon", "lat", "layer", "epoch", "grid", "crs", "row", "col", "scenes", "dates")


class ReferenceSampleSettings(Settings):
    """Which points, and where their answers lie."""

    name: str = Field("reference", pattern=r"^[a-z0-9_]+$", description="of the sample")
    folder: str | None = Field(None, description="of points.csv and strata.csv; default: {storage}/samples/<name>")
    layer: str | None = Field(None, description="default: the layer that feeds built_m2")
    epoch: str | None = Field(None, description="default: the last one")
    points: int = Field(168, ge=4, le=5000, description="in all strata together")
    least: int = Field(24, ge=2, description="points of a stratum")
    seed: int = Field(1, description="of the draw")
    composite: CompositeName = Field("median", description="as built_up.composite")
    looks: float = Field(LOOKS, ge=1, description="as built_up.looks")
    context_px: int = Field(81, ge=17, le=513, description="side of the wide view, pixels; odd")
    sheet_points: int = Field(12, ge=1, le=60, description="on a sheet")
    answers: tuple[str, ...] = Field((), max_length=2, description="files of the folder, one a pass; none: the sample is drawn")
    resolved: str | None = Field(None, description="file of the folder: answers that settle what two passes disagree on")


def sample_sources(place: Place, settings: ReferenceSampleSettings) -> Any:
    """The layer, epoch and bands. Raises InputError where there is no such layer or epoch, no way to make strata, a sample already
    where one is to be drawn, or answers that do not fit."""
    layer, epoch = _chosen(place, settings)
    sensor, folder = place.layers[layer].sensor, _folder(place, settings)
    suited(settings.composite, {sensor})
    if settings.answers:
        _answered(place, layer, epoch, settings)
    elif (folder / POINTS).exists():
        raise InputError(f"{folder / POINTS} is there; give its answers by reference_sample.answers, or another reference_sample.name")
    return [layer, epoch, shown_bands(sensor)]


@job(
    reads=("tiles", "scenes"), optional=("built_up",), writes=(), settings=ReferenceSampleSettings, parallel_over="tiles", in_flow=False,
    sources=sample_sources,
)  # fmt: skip
def reference_sample(tables: Tables, settings: ReferenceSampleSettings, context: Context) -> None:
    """Draws, or where there are answers judges by them."""
    layer, epoch = _chosen(context.place, settings)
    ground = ground_of(tables, layer, epoch, settings.composite, settings.looks, context)
    counts = counts_of(ground)
    if not counts:
        raise InputError(f"layer {layer}, epoch {epoch}: no pixel has data; nothing can be drawn")
    if not settings.answers:
        _draw(ground, counts, layer, epoch, settings, context)
        return
    answered = _answered(context.place, layer, epoch, settings)
    maps = index_maps(ground, counts, answered.points, context.place.layers[layer].sensor)
    models: list[dict[str, Any]] = []
    if "built_up" in tables:
        maps["built_up"], models = built_up_map(tables["built_up"], layer, epoch, answered.points)
    _tell(answered, maps, models, settings, context)


def _chosen(place: Place, settings: ReferenceSampleSettings) -> tuple[str, str]:
    layer, epochs = settings.layer or place.fed_layer, [epoch.name for epoch in place.epochs]
    if layer not in place.layers:
        raise InputError(f"reference_sample.layer = {layer}: no such layer; use one of {', '.join(place.layers)}")
    epoch = settings.epoch or epochs[-1]
    if epoch not in epochs:
        raise InputError(f"reference_sample.epoch = {epoch}: no such epoch; use one of {', '.join(epochs)}")
    return layer, epoch


def _folder(place: Place, settings: ReferenceSampleSettings) -> Path:
    return place.located(settings.folder) if settings.folder else place.folder / "samples" / settings.name


def _draw(ground: Ground, counts: dict[str, Counts], layer: str, epoch: str, settings: ReferenceSampleSettings, context: Context) -> None:
    """points.csv, strata.csv, a blank answers.csv and the sheets. Nothing in them comes from a model."""
    sensor, folder = context.place.layers[layer].sensor, _folder(context.place, settings)
    points, strata = drawn_points(ground, cuts_of(counts[indices_of(sensor)[0]]), settings.seed, settings.points, settings.least)
    seen = composites_at(ground, points, settings.context_px // 2)
    _write_sheets(seen, tuple(shown_bands(sensor)), settings, folder / "sheets")
    _write_csv(strata, folder / STRATA_FILE)
    _write_csv(points[["point_id"]].assign(answer="", note=""), folder / "answers.csv")
    listed = points.merge(seen, on="point_id").assign(layer=layer, epoch=epoch)
    for name in ("scenes", "dates"):
        listed[name] = [" ".join(map(str, each)) for each in listed[name]]
    _write_csv(listed[list(COLUMNS)], folder / POINTS)
    LOG.info("%d points and their pictures lie in %s; give answers by reference_sample.answers", len(points), folder)
    context.figures["points"] = len(points)


def _write_sheets(seen: pd.DataFrame, bands: tuple[str, ...], settings: ReferenceSampleSettings, folder: Path) -> None:
    side = settings.context_px // 2 * 2 + 1
    shown = [
        Shown(row["point_id"], dict(zip(bands, np.frombuffer(row["values"], np.float32).reshape(len(bands), side, side), strict=True)))
        for row in seen.to_dict("records")
    ]
    columns = max(1, round(np.sqrt(settings.sheet_points)))
    for number, png in enumerate(sheets(shown, settings.sheet_points, columns), 1):
        write_whole(folder / f"sheet_{number:02d}.png", lambda path, png=png: path.write_bytes(png))


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    write_whole(path, lambda fresh: frame.to_csv(fresh, index=False, lineterminator="\n"))


def _answered(place: Place, layer: str, epoch: str, settings: ReferenceSampleSettings) -> AnsweredSample:
    return answered_sample(_folder(place, settings), layer, epoch, settings.answers, settings.resolved)


def _tell(
    answered: AnsweredSample, maps: dict[str, pd.Series], models: list[dict[str, Any]], settings: ReferenceSampleSettings, context: Context
) -> None:
    """Figures to the summary, and with the error matrices as JSON to the place's folder `evaluation`."""
    found = answered.interpreted
    told: dict[str, Any] = {
        "points": len(answered.points), "disputed": found.disputed, "left_out": found.left_out, "kappa": found.kappa, "models": models,
        "maps": {name: judged(answered.points, answered.strata, found, mapped) for name, mapped in maps.items()},
    }  # fmt: skip
    text = json.dumps(told, indent=1, sort_keys=True)
    path = context.storage / "evaluation" / f"{settings.name}_sample.json"
    write_whole(path, lambda fresh: fresh.write_text(text + "\n", encoding="utf-8"))
    LOG.info("%s", text)
    context.figures |= {"points": len(answered.points), "disputed": len(found.disputed), "left_out": len(found.left_out)}
    if found.kappa is not None:
        context.figures["kappa"] = found.kappa
    for name, figures in told["maps"].items():
        context.figures |= {f"{name}_{key}": value for key, value in figures.items()}
