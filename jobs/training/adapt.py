"""Adapt: the champion of a network learns from the footprints of a place, and is registered for it if it is better on its held-out ground.
Run: ./spark-submit.sh adapt --place my_city.yaml, after footprints and training_tiles
Parallel over nothing: the course runs on the driver, on at most `most_tiles` tiles of each split."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.windows import CHOOSE, JUDGE, TRAIN
from jobs.adaptation import Origin, card_of, comparisons, figures_of, refuse_foreign_labels, refuse_no_better
from jobs.held_out import tile_files
from jobs.job import Context, Tables, job
from jobs.tracking import artifacts_of, tracking_uri
from models.bundle import read_tensors, write_bundle
from models.comparing import Comparison, maps_of
from models.judging import Groups
from models.predictor import load_predictor, predictor_of, read_spec
from models.registry import BUNDLE, CHAMPION, ModelPin, is_registered, make_champion, register_model, resolve_model
from models.windows import Window, groups_of, windows_digest

if TYPE_CHECKING:
    from models.adapting import Ground
    from models.fitting import Fitted

LOG = logging.getLogger(__name__)


class AdaptSettings(Settings):
    """What is adapted, and how long it may learn."""

    network: str = Field("built_up_10m", pattern=r"^[a-z0-9_]+$", description="the model's name; the place's own is <network>-<place>")
    layer: str | None = Field(None, description="of training_tiles; default: the network's own, or the place's only one")
    model: str | None = Field(None, description="what to start from; default: models:/<network>@champion")
    steps: int = Field(400, ge=1, description="of the course")
    cpu_minutes: float = Field(9.0, gt=0, description="after which the course ends earlier; then it depends on the machine")
    learning_rate: float = Field(1e-3, gt=0, description="highest of the course")
    batch: int = Field(8, ge=1, description="crops a step")
    side: int = Field(96, ge=32, multiple_of=32, description="of a crop, pixels")
    average: float = Field(0.95, ge=0, lt=1, description="share of the running mean of weights that each step keeps")
    threshold: Literal["best_f1", "equal_area", "half"] = Field("best_f1", description="how it is chosen on split choose")
    most_tiles: int = Field(96, ge=1, description="of each split, drawn over the whole place; all are in memory")
    threads: int = Field(1, ge=1, description="of the course; another number gives other last digits")
    seed: int = Field(1, description="of tiles, course and bootstrap")
    register_version: bool = Field(True, description="keep it in the registry")


def adapt_sources(place: Place, settings: AdaptSettings) -> Any:
    """The layer; raises InputError where the place has none such, or the model is not for its sensor."""
    layer = layer_of(place, settings)
    spec = read_spec(_parent(place, settings).path)
    if place.layers[layer].sensor not in spec.sensors:
        raise InputError(f"adapt.layer {layer}: model {spec.name} is for {', '.join(spec.sensors)}, not {place.layers[layer].sensor}")
    return layer


def layer_of(place: Place, settings: AdaptSettings) -> str:
    """The layer whose tiles are learned from. Raises InputError."""
    layer = settings.layer or (settings.network if settings.network in place.layers else None)
    if layer is None and len(place.layers) == 1:
        layer = next(iter(place.layers))
    if layer not in place.layers:
        raise InputError(f"adapt.layer {layer}: the place has {', '.join(place.layers)}; set adapt.layer to one of them")
    return layer


def adapt_pins(place: Place, settings: AdaptSettings) -> dict[str, dict[str, str]]:
    """The model to start from, and the one to be better than: the place's own where it has one."""
    uri, own, parent = tracking_uri(place), own_name(place, settings), _parent(place, settings)
    rival = resolve_model(f"models:/{own}@{CHAMPION}", uri) if is_registered(uri, own) else parent
    return {"parent": parent._asdict(), "rival": rival._asdict()}


def own_name(place: Place, settings: AdaptSettings) -> str:
    """Of the place's own model."""
    return f"{settings.network}-{place.name}"


def _parent(place: Place, settings: AdaptSettings) -> ModelPin:
    return resolve_model(settings.model or f"models:/{settings.network}@{CHAMPION}", tracking_uri(place))


@job(
    reads=("training_tiles",), writes=(), settings=AdaptSettings, parallel_over="nothing", in_flow=False,
    sources=adapt_sources, pins=adapt_pins,
)  # fmt: skip
def adapt(tables: Tables, settings: AdaptSettings, context: Context) -> None:
    """Raises GateError where labels do not belong to their images, or what was learned from them is no better on split judge."""
    parent, rival = (ModelPin(**context.pins[name]) for name in ("parent", "rival"))
    _say_without_sealed(tables, settings, context)
    ground = _ground(tables, parent, settings, context)
    fitted = _learned(ground, parent, settings, context)
    found = _compared(ground.judge, rival, fitted, settings)
    folder = context.storage / "adaptation" / own_name(context.place, settings)
    folder.mkdir(parents=True, exist_ok=True)
    context.figures |= fitted.figures | figures_of(found)
    (folder / "figures.json").write_text(json.dumps(context.figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    refuse_no_better(found)
    _keep(folder, fitted, parent, ground, settings, context)


def _say_without_sealed(tables: Tables, settings: AdaptSettings, context: Context) -> None:
    layer = layer_of(context.place, settings)
    labelled = tables["training_tiles"].where((F.col("layer") == layer) & F.col("split").isin(TRAIN, CHOOSE, JUDGE))
    if layer == context.place.fed_layer and labelled.where("sealed_share IS NOT NULL").isEmpty():
        context.say_once(
            f"layer {layer}: labels are of footprints alone, so that neither what is learned nor the judge knows streets and yards; "
            "set training_tiles.sealed_path, or compare the built-up areas of both maps before this one is used"
        )


def _ground(tables: Tables, parent: ModelPin, settings: AdaptSettings, context: Context) -> "Ground":
    from models.adapting import Ground
    from models.streaming import drawn_windows

    files, layer, channels = tile_files(tables), layer_of(context.place, settings), read_spec(parent.path).channels
    return Ground(*(drawn_windows(files, layer, split, channels, settings.most_tiles, settings.seed) for split in (TRAIN, CHOOSE, JUDGE)))


def _learned(ground: "Ground", parent: ModelPin, settings: AdaptSettings, context: Context) -> "Fitted":
    """The network after its course, under the place's name. Raises GateError before it where labels are foreign."""
    import torch

    from models.adapting import AUGMENTATION, adapt_network, chance_of_foreign_labels
    from models.course import Course

    torch.set_num_threads(settings.threads)
    chance = chance_of_foreign_labels(load_predictor(parent.path, parent.sha256), ground, settings.seed)
    context.figures["chance_of_labels"] = chance
    refuse_foreign_labels(chance)
    names = ("seed", "steps", "cpu_minutes", "learning_rate", "batch", "side", "average")
    course = Course(**{name: getattr(settings, name) for name in names}, looks=1, keep="last", augmentation=AUGMENTATION)
    tensors = read_tensors(Path(parent.path).read_bytes(), parent.path)
    fitted = adapt_network(read_spec(parent.path), tensors, ground, course, settings.threshold, LOG.info)
    return fitted._replace(spec=replace(fitted.spec, name=own_name(context.place, settings), labels="footprints", thresholds={}))


def _compared(judge: list[Window], rival: ModelPin, fitted: "Fitted", settings: AdaptSettings) -> list[Comparison]:
    before, after = load_predictor(rival.path, rival.sha256), predictor_of(fitted.spec, fitted.tensors)
    return comparisons(maps_of(before, judge), maps_of(after, judge), _groups(judge), settings.seed)


def _groups(windows: list[Window]) -> Groups:
    """As elsewhere, but that a tile in no world region is none of its own."""
    groups = groups_of(windows)
    inside = ["/" in window.source for window in windows]
    return {**groups, "region": [name if told else "" for name, told in zip(groups["region"], inside, strict=True)]}


def _keep(folder: Path, fitted: "Fitted", parent: ModelPin, ground: "Ground", settings: AdaptSettings, context: Context) -> None:
    """Bundle and card in the place's folder, a new version in the registry, which is champion of its name."""
    place = context.place
    tiles = {split: len(windows) for split, windows in ground._asdict().items()}
    digest = windows_digest(window for windows in ground for window in windows)
    origin = Origin(place.name, f"{parent.name} version {parent.version}", parent.sha256, digest, tiles)
    write_bundle(folder / BUNDLE, fitted.spec, fitted.tensors)
    command = f"./spark-submit.sh adapt --place {place.name} --set adapt.network={settings.network}"
    (folder / "CARD.md").write_text(card_of(fitted.spec, origin, context.figures, command), encoding="utf-8")
    if not settings.register_version:
        return
    tags = {
        "origin": "adapted", "place": place.name, "parent": parent.name, "parent_version": parent.version,
        "parent_sha256": parent.sha256, "data_sha256": digest,
    }  # fmt: skip
    pin = register_model(tracking_uri(place), artifacts_of(place), folder / BUNDLE, context.figures, tags)
    make_champion(tracking_uri(place), pin)
    LOG.info("to use it: --set layers.%s.model=models:/%s@%s", layer_of(place, settings), pin.name, CHAMPION)
