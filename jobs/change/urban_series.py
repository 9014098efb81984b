"""Urban series: the maps of all epochs, or their images by a network of series, made one series of states that never contradicts itself.
Parallel over tiles.
Run: ./spark-submit.sh urban_series --place pucallpa"""

from collections.abc import Callable, Collection
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import UNLESS_USUAL, Settings, digest
from conf.tables import URBAN_SERIES
from jobs.arrow_batches import ARROW_BYTES, rows_per_batch
from jobs.job import Context, Tables, job
from jobs.layer_models import check_images, checked_series_model
from jobs.network_runs import model_of_run, network_backend, plain_pin, staged_model
from jobs.planned_scenes import PARTITIONS_PER_CORE, images_of, reading_of, scenes_named
from jobs.series_maps import series_layers
from jobs.tracking import tracking_uri
from jobs.unadapted import say_unadapted
from models.change_integration import Rule
from models.predictor import read_spec
from models.registry import resolve_model
from models.series_states import USUAL, Steadiness
from udfs.channels import BESIDE_COMPOSITE, Channels
from udfs.composites import CompositeName
from udfs.scenes import Scene
from udfs.series_images import SeriesReading, SeriesRecipe
from udfs.speckle import LOOKS
from udfs.urban_series import series_batches

DATA_VERSION = 1
MOST_EPOCHS = 254
"""Their numbers fit a byte beside `none` and `never seen`."""
FILLED_BY_RUNNER = ("input_digest", "run_id")
SECONDS_PER_PIXEL, SECONDS_BY_NETWORK = 2e-7, 5e-6
"""Of one core, for a date: to integrate maps, and to read images and show them to a network of series."""
_PLACED = ("grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry", "xmin", "ymin", "xmax", "ymax")
_MAP = ("epoch", "status", "probability", "threshold", "scenes_used", "model_sha256", "error_class", "message")


class UrbanSeriesSettings(Settings):
    """What is held of the ground before it is seen."""

    layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="default: those with pixels larger than 2 m; of finer ones, bridge tells",
        json_schema_extra={"matters": False},
    )  # fmt: skip
    change_per_year: float = Field(
        USUAL.change_per_year, gt=0, lt=1, description="how often a pixel is thought to turn, per year and either way"
    )
    weight: float = Field(
        USUAL.weight,
        ge=0,
        description="of that, beside what maps show: more makes steadier series; maps err alike, so their differences tell much",
    )
    rule: Literal["free", "monotone"] = Field("free", description="monotone: what is built stays built")
    least_dates: int = Field(1, ge=1, le=12, description="dates that a state must last, but at both ends of the series")
    composite: CompositeName = Field(
        "median", json_schema_extra={"matters": UNLESS_USUAL}, description="for models of series: how an epoch's dates become one image"
    )
    beside_composite: CompositeName = Field(
        BESIDE_COMPOSITE, json_schema_extra={"matters": UNLESS_USUAL}, description="as composite, of a layer's second sensor"
    )
    looks: float = Field(
        LOOKS, ge=1, json_schema_extra={"matters": UNLESS_USUAL}, description="number of looks of a radar image, for composite despeckled"
    )
    threads: int = Field(
        1, ge=1, le=64, json_schema_extra={"matters": UNLESS_USUAL}, description="CPU threads of a model of series in one process"
    )
    backend: Literal["auto", "cpu", "cuda"] = Field(
        "auto", json_schema_extra={"matters": UNLESS_USUAL}, description="what runs a model of series; auto: cuda where the driver has it"
    )
    read_ahead: int | None = Field(
        None, ge=1, le=16, json_schema_extra={"matters": False}, description="tiles read at once by a process; as of built_up"
    )


def no_series(place: Place, settings: UrbanSeriesSettings) -> str | None:
    """Why the place does not run the job."""
    if len(place.epochs) < 2:
        return "it has one epoch, which makes no series"
    return None if series_layers(place) else "all its layers have pixels of 2 m or finer; see urban_series.layers"


def series_sources(place: Place, settings: UrbanSeriesSettings) -> dict[str, str]:
    """Layer to the sha256 of its model of series; raises InputError where the declared layers, dates or models make no series."""
    if unknown := sorted(set(settings.layers or ()) - set(place.layers)):
        raise InputError(f"setting urban_series.layers: no layer {', '.join(unknown)}; use some of {', '.join(place.layers)}")
    if len(place.epochs) > MOST_EPOCHS:
        raise InputError(f"{len(place.epochs)} epochs: series have at most {MOST_EPOCHS}; declare fewer, or another place for the rest")
    for before, after in pairwise(place.epochs):
        if before.reference == after.reference:
            raise InputError(f"epochs {before.name} and {after.name}: both have reference {after.reference}; give one another date")
    pins = series_pins(place, settings)
    return {name: pin["sha256"] for name, pin in pins.items()}


def series_pins(place: Place, settings: UrbanSeriesSettings) -> dict[str, dict[str, str]]:
    """Layer to name, version and sha256 of its model of series, where it has one."""
    found = {name: checked_series_model(place, name) for name in series_layers(place) if name in place.layers}
    return {name: plain_pin(pin) for name, pin in found.items() if pin}


def series_backend(place: Place, settings: UrbanSeriesSettings) -> str | None:
    """What runs models of series, where a layer has one."""
    networked = any(place.layers[name].series for name in series_layers(place) if name in place.layers)
    return network_backend(settings.backend) if networked else None


def layer_digests(place: Place, settings: UrbanSeriesSettings) -> dict[str, str]:
    """Layer to the digest of all that decides its rows but the maps."""
    decided = {"data_version": DATA_VERSION, "settings": settings.digested(), "epochs": _dates(place)}
    pins = series_pins(place, settings)
    return {name: digest(decided | _read_by(place, name, pins.get(name), settings)) for name in series_layers(place)}


def _read_by(place: Place, name: str, pin: dict[str, str] | None, settings: UrbanSeriesSettings) -> dict[str, Any]:
    """What decides how images are read and seen, of a layer with a model of series."""
    if pin is None:
        return {}
    layer = place.layers[name]
    sensors = {"sensor": layer.sensor, "beside": layer.beside}
    return {"model_sha256": pin["sha256"], "backend": network_backend(settings.backend), **sensors}


def _dates(place: Place) -> dict[str, str]:
    return {epoch.name: epoch.reference.isoformat() for epoch in place.epochs}


def planned_series(read: Callable[[str], DataFrame], layers: Collection[str], place: Place) -> DataFrame:
    """A row for each tile that has maps, of all its epochs; `scenes_digest` is over what they were made from and what became of them."""
    maps = read("built_up").where(F.col("layer").isin(list(layers)))
    states = F.sort_array(F.collect_list(F.struct("epoch", "input_digest", "status", "attempts")))
    by_network = F.col("layer").isin([name for name in layers if place.layers[name].series])
    seconds = F.when(by_network, SECONDS_BY_NETWORK).otherwise(SECONDS_PER_PIXEL)
    work = F.count(F.lit(1)) * F.first("tile_px") ** 2 * seconds
    return maps.groupBy("layer", "tile_id").agg(
        *(F.first(name).alias(name) for name in _PLACED),
        F.sha2(F.to_json(states), 256).alias("scenes_digest"),
        work.alias("predicted_seconds"),
    )


@job(
    reads=("built_up",), optional=("tiles", "scenes"), writes="urban_series", settings=UrbanSeriesSettings, parallel_over="tiles",
    data_version=DATA_VERSION, tilewise=True, planned=planned_series, layer_digests=layer_digests, absent=no_series,
    sources=series_sources, pins=series_pins, backend=series_backend,
)  # fmt: skip
def urban_series(tables: Tables, settings: UrbanSeriesSettings, context: Context) -> DataFrame:
    """A row for every tile of the batch: its states at each epoch, and when it is first and last built."""
    tiles = tables["planned"]
    held = Steadiness(settings.change_per_year, settings.weight, Rule(settings.rule == "monotone", settings.least_dates))
    work = tiles.join(_gathered(tables["built_up"], tiles, "maps", _MAP), ["layer", "tile_id"], "inner")
    recipes = {name: recipe_of(name, pin, settings, context) for name, pin in context.pins.items()}
    reading = None
    if recipes:
        plans = _gathered(tables["tiles"].where(F.col("layer").isin(list(recipes))), tiles, "plans", ("epoch", "scenes"))
        work = work.join(plans, ["layer", "tile_id"], "left")
        named = scenes_named(tables["scenes"], plans.select(F.explode("plans.scenes").alias("scenes")))
        _check_shown(named, recipes, context)
        reading = SeriesReading(recipes, **reading_of(named, context, settings.read_ahead))
    parts = PARTITIONS_PER_CORE * context.spark.sparkContext.defaultParallelism
    dates = {epoch.name: epoch.reference for epoch in context.place.epochs}
    per_batch = max(1, ARROW_BYTES // (_largest(tiles) ** 2 * len(dates)))
    shell = partial(series_batches, dates=dates, held=held, reading=reading)
    with rows_per_batch(context.spark, per_batch):
        found = work.repartition(parts, "layer", "tile_id").mapInPandas(shell, _ddl()).persist()
        found.count()
    return found


def _check_shown(named: dict[str, Scene], recipes: dict[str, SeriesRecipe], context: Context) -> None:
    """Refuse images that lack a band, and say where a model knows no real place."""
    images = images_of(context.place, named, recipes)
    specs = {name: read_spec(recipe.model_path) for name, recipe in recipes.items()}
    check_images(context.place, images, specs)
    for name, spec in specs.items():
        say_unadapted(context, name, images[name], f"{spec.name} version {context.pins[name]['version']}", spec.labels)


def _gathered(rows: DataFrame, tiles: DataFrame, name: str, columns: tuple[str, ...]) -> DataFrame:
    """Of each of the tiles its rows' columns, as one list."""
    batch = rows.join(F.broadcast(tiles.select("layer", "tile_id")), ["layer", "tile_id"], "left_semi")
    return batch.groupBy("layer", "tile_id").agg(F.collect_list(F.struct(*columns)).alias(name))


def recipe_of(name: str, pin: dict[str, str], settings: UrbanSeriesSettings, context: Context) -> SeriesRecipe:
    """How a layer's series are told; its weights are staged in the place's folder."""
    place, layer = context.place, context.place.layers[name]
    model = model_of_run(place, resolve_model(str(layer.series), tracking_uri(place)), pin)
    spec = read_spec(model.path)
    return SeriesRecipe(
        model_path=staged_model(model, context.storage),
        model_sha256=model.sha256,
        bands=spec.bands,
        halo=spec.halo,
        composite=settings.composite,
        looks=settings.looks,
        threads=settings.threads,
        backend=network_backend(settings.backend),
        beside=Channels(layer.beside, spec.beside.bands, settings.beside_composite) if layer.beside and spec.beside else None,
    )


def _largest(tiles: DataFrame) -> int:
    return int(tiles.agg(F.max("tile_px")).first()[0])


def _ddl() -> str:
    return ", ".join(f"{column.name} {column.type}" for column in URBAN_SERIES.columns if column.name not in FILLED_BY_RUNNER)
