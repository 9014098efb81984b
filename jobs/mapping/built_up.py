"""Built-up probability of each tile; the table is the ledger of the work. Parallel over tiles.
Run: ./spark-submit.sh built_up --place mumbai"""

from functools import partial
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame

from conf.errors import InputError
from conf.place import Place
from conf.settings import UNLESS_USUAL, Settings, digest
from conf.tables import BUILT_UP
from jobs.job import Context, Tables, job
from jobs.layer_models import check_images, checked_model, pin_of, threshold_of
from jobs.network_runs import Backend, model_of_run, network_backend, plain_pin, staged_model
from jobs.planned_scenes import beside_neighbours, images_of, reading_of, scenes_named
from jobs.recipes import labels_of
from jobs.unadapted import say_unadapted
from models.devices import check_backend
from models.predictor import read_spec
from udfs.channels import BESIDE_COMPOSITE, Channels
from udfs.composites import MapCompositeName
from udfs.compositing import suited
from udfs.mapping import Recipe, built_up_batches
from udfs.masks import PolygonFile, polygon_file, water_bands
from udfs.rasters import ONE
from udfs.speckle import LOOKS

DATA_VERSION = 3
FILLED_BY_RUNNER = ("input_digest", "run_id")
MASKS = ("water_path", "exclude_path")


class BuiltUpSettings(Settings):
    """How scenes become probabilities. All but the first and the last are in the digest: rounding may depend on them."""

    # The version that it stands for is compared instead, as that of layers.<layer>.model is.
    model: str | None = Field(
        None, json_schema_extra={"matters": False}, description="of a place with one layer; default: layers.<layer>.model"
    )
    composite: MapCompositeName = Field("median", description="how an epoch's dates become one image, pixel by pixel")
    beside_composite: MapCompositeName = Field(
        BESIDE_COMPOSITE,
        json_schema_extra={"matters": UNLESS_USUAL},
        description="as composite, of a layer's second sensor",
    )
    looks: float = Field(LOOKS, ge=1, description="equivalent number of looks of a radar image, for composite despeckled")
    min_clear: float = Field(0.5, ge=0, le=1, description="after a scene failed: share of the ground that sound scenes must still give")
    water: bool = Field(False, description="permanent water, by the scenes' own classes or flags, is never built-up")
    water_share: float = Field(0.5, gt=0, le=1, description="of a pixel's clear dates at which it must be water, two of them at the least")
    water_path: str | None = Field(None, description="vector file of water, in any CRS: never built-up; {storage} is the place's folder")
    exclude_path: str | None = Field(None, description="vector file of ground to leave out, in any CRS: it becomes no data")
    batch: int = Field(1, ge=1, le=64, description="windows per network call; a tile of 512 pixels has four, more are padding")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of the network in one process")
    backend: Backend = Field("auto", description="what runs the network; auto: cuda where the driver has it, else cpu")
    read_ahead: int | None = Field(
        None,
        ge=1,
        le=16,
        json_schema_extra={"matters": False},
        description="tiles read at once by a process; default: 1, of remote images 4",
    )
    partitions: int | None = Field(None, ge=1, json_schema_extra={"matters": False}, description="default: three for each core")

    def digested(self) -> dict[str, Any]:
        """Masks by whether they are there, not by their paths: the rows' digests hold what is in them. Those not asked for do not show."""
        values = super().digested()
        masks = {name: values.pop(name) for name in ("water", "water_share", "water_path", "exclude_path")}
        asked = {name: masks[name] for name in ("water", "water_share") if masks["water"]}
        return {**values, **asked, **{name: True for name in MASKS if masks[name]}}


def model_pins(place: Place, settings: BuiltUpSettings) -> dict[str, dict[str, str]]:
    """Layer to name, version and sha256 of its model."""
    return {name: plain_pin(pin_of(place, settings.model, name)) for name in place.layers}


def layer_digests(place: Place, settings: BuiltUpSettings) -> dict[str, str]:
    """Layer to the digest of all that decides its rows but the scenes."""
    return {name: _digest(place, name, pin_of(place, settings.model, name).sha256, settings) for name in place.layers}


def _digest(place: Place, name: str, sha256: str, settings: BuiltUpSettings) -> str:
    layer = place.layers[name]
    decided = {**settings.digested(), "backend": network_backend(settings.backend)}
    decided.pop("beside_composite", None)
    if layer.beside:
        decided["beside_composite"] = settings.beside_composite
    if masks := declared_masks(place, settings):
        decided["masks"] = {name: [file.crs, file.content] for name, file in masks.items()}
    if {"best_date", "dates"} & {settings.composite, decided.get("beside_composite")}:
        decided["references"] = {epoch.name: epoch.reference.isoformat() for epoch in place.epochs}
    declared = {"grid": place.grid, "sensor": layer.sensor, "resolution": layer.resolution, "threshold": layer.threshold}
    if layer.beside:
        declared["beside"] = layer.beside
    if layer.world_region:
        declared["world_region"] = layer.world_region
    return digest({"data_version": DATA_VERSION, "settings": decided, "layer": declared, "model_sha256": sha256})


def model_sources(place: Place, settings: BuiltUpSettings) -> dict[str, str]:
    """Layer to the sha256 of its model, mask to its file's; raises InputError where a model, the composite, the water class or a file
    does not suit."""
    pins = {name: checked_model(place, settings.model, name) for name in place.layers}
    suited(settings.composite, {layer.sensor for layer in place.layers.values()})
    suited(settings.beside_composite, {layer.beside for layer in place.layers.values() if layer.beside}, "built_up.beside_composite")
    sensors = {sensor for layer in place.layers.values() for sensor in layer.sensors}
    if settings.water and not any(water_bands(sensor) for sensor in sensors):
        raise InputError(f"setting built_up.water = True: {', '.join(sorted(sensors))} has no class of water; give built_up.water_path")
    check_backend(settings.backend)
    for name, pin in pins.items():
        _check_dates(name, settings.composite, read_spec(pin.path).dates)
    masks = {f"built_up.{name}": file.content for name, file in declared_masks(place, settings).items()}
    return {**{name: pin.sha256 for name, pin in pins.items()}, **masks}


def _check_dates(name: str, composite: str, dates: int) -> None:
    if (composite == "dates") != (dates > 1):
        wanted = (
            f"sees {dates} dates: set it to dates" if dates > 1 else "sees one image: set it to median, or name a model of several dates"
        )
        raise InputError(f"setting built_up.composite = {composite!r}: the model of layer {name} {wanted}")


def declared_masks(place: Place, settings: BuiltUpSettings) -> dict[str, PolygonFile]:
    """Those of MASKS that are declared; raises InputError where a file cannot be one."""
    declared = {name: getattr(settings, name) for name in MASKS}
    return {name: polygon_file(place.located(path), f"built_up.{name}") for name, path in declared.items() if path}


@job(
    reads=("tiles", "scenes"), writes="built_up", settings=BuiltUpSettings, parallel_over="tiles",
    data_version=DATA_VERSION, tilewise=True, layer_digests=layer_digests, pins=model_pins, sources=model_sources,
    backend=lambda place, settings: network_backend(settings.backend),
)  # fmt: skip
def built_up(tables: Tables, settings: BuiltUpSettings, context: Context) -> DataFrame:
    """A row for every planned tile of the batch: its probability, that it has no data, or why it could not be mapped."""
    planned = tables["planned"]
    scenes = scenes_named(tables["scenes"], planned)
    recipes = {name: recipe_of(name, settings, context) for name in context.place.layers}
    specs = {name: read_spec(recipe.model_path) for name, recipe in recipes.items()}
    # Checked before the first write already, but for images that this run has only just made.
    images = images_of(context.place, scenes, context.place.layers)
    check_images(context.place, images, specs)
    for name, recipe in recipes.items():
        say_unadapted(context, name, images[name], f"{recipe.model_name} version {recipe.model_version}", recipe.model_labels)
    shell = partial(built_up_batches, recipes=recipes, **reading_of(scenes, context, settings.read_ahead))
    return beside_neighbours(planned.drop("settings_digest"), context, settings.partitions).mapInPandas(shell, _ddl())


def _ddl() -> str:
    return ", ".join(f"{column.name} {column.type}" for column in BUILT_UP.columns if column.name not in FILLED_BY_RUNNER)


def recipe_of(name: str, settings: BuiltUpSettings, context: Context) -> Recipe:
    """How a layer is mapped; its weights are staged in the place's folder."""
    place = context.place
    layer = place.layers[name]
    pin = model_of_run(place, pin_of(place, settings.model, name), context.pins.get(name))
    masks = declared_masks(place, settings)
    spec = read_spec(pin.path)
    return Recipe(
        model_path=staged_model(pin, context.storage),
        model_name=pin.name,
        model_version=pin.version,
        model_sha256=pin.sha256,
        model_labels=labels_of(spec),
        bands=spec.bands,
        centre=spec.centre,
        halo=spec.halo,
        threshold=round(ONE * threshold_of(layer, spec)),
        composite=settings.composite,
        dates=spec.dates,
        layers=spec.layers,
        looks=settings.looks,
        min_clear=settings.min_clear,
        threads=settings.threads,
        batch=settings.batch,
        backend=network_backend(settings.backend),
        settings_digest=_digest(place, name, pin.sha256, settings),
        beside=Channels(layer.beside, spec.beside.bands, settings.beside_composite) if layer.beside and spec.beside else None,
        water_share=settings.water_share if settings.water else None,
        water=masks.get("water_path"),
        exclude=masks.get("exclude_path"),
    )
