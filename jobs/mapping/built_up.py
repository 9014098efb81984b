"""Built-up probability of each tile; the table is the ledger of the work. Parallel over tiles.
Run: ./spark-submit.sh built_up --place mumbai"""

import shutil
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Layer, Place
from conf.sensors import SENSORS
from conf.settings import Settings, digest
from conf.tables import BUILT_UP, SCENES
from jobs.job import Context, Tables, job
from jobs.tracking import tracking_uri
from models.predictor import ModelSpec, read_spec
from models.registry import ModelPin, file_sha256, resolve_model
from udfs.compositing import CompositeName
from udfs.grid import BLOCK_PX
from udfs.mapping import Recipe, built_up_batches
from udfs.planning import REACH_PX
from udfs.rasters import ONE
from udfs.scenes import Scene, ground_resolution

DATA_VERSION = 1
PARTITIONS_PER_CORE = 3
NVIDIA_DRIVER = Path("/proc/driver/nvidia")
FILLED_BY_RUNNER = ("input_digest", "run_id")


class BuiltUpSettings(Settings):
    """How scenes become probabilities. All but the last are in the digest: rounding may depend on them."""

    composite: CompositeName = Field("median", description="how an epoch's dates become one image, pixel by pixel")
    min_clear: float = Field(0.5, ge=0, le=1, description="after a scene failed: share of the covered ground that must still have data")
    batch: int = Field(1, ge=1, le=64, description="windows per network call")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of the network in one process")
    backend: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where the driver has it")
    partitions: int | None = Field(None, ge=1, json_schema_extra={"matters": False}, description="default: three for each core")


def model_pins(place: Place, settings: BuiltUpSettings) -> dict[str, dict[str, str]]:
    """Layer to name, version and sha256 of its model."""
    return {name: _plain(_resolved(place, layer)) for name, layer in place.layers.items()}


def layer_digests(place: Place, settings: BuiltUpSettings) -> dict[str, str]:
    """Layer to the digest of all that decides its rows but the scenes."""
    return {name: _digest(place, name, _resolved(place, layer).sha256, settings) for name, layer in place.layers.items()}


def _digest(place: Place, name: str, sha256: str, settings: BuiltUpSettings) -> str:
    layer = place.layers[name]
    decided = {**settings.digested(), "backend": _backend(settings)}
    declared = {"grid": place.grid, "sensor": layer.sensor, "resolution": layer.resolution, "threshold": layer.threshold}
    return digest({"data_version": DATA_VERSION, "settings": decided, "layer": declared, "model_sha256": sha256})


def model_sources(place: Place, settings: BuiltUpSettings) -> dict[str, str]:
    """Layer to the sha256 of its model; raises InputError where a model does not suit its layer."""
    found = {}
    for name, layer in place.layers.items():
        pin = _resolved(place, layer)
        spec = read_spec(pin.path)
        _check_suits(name, layer, spec)
        if place.grid == "utm" and layer.resolution is not None:
            _check_resolution(name, layer.resolution, spec)
        found[name] = pin.sha256
    return found


def _resolved(place: Place, layer: Layer) -> ModelPin:
    return resolve_model(layer.model, tracking_uri(place))


def _plain(pin: ModelPin) -> dict[str, str]:
    return {"name": pin.name, "version": pin.version, "sha256": pin.sha256}


def _check_suits(name: str, layer: Layer, spec: ModelSpec) -> None:
    sensor = SENSORS.get(layer.sensor)
    if sensor is None:
        raise InputError(f"layer {name}: sensor {layer.sensor} is unknown; use one of {', '.join(sorted(SENSORS))}")
    if sensor.name not in spec.sensors or sensor.values != spec.values:
        raise InputError(
            f"layer {name}: model {spec.name} is for {', '.join(spec.sensors)} ({spec.values}), not {sensor.name}; name another model"
        )
    missing = [band for band in spec.bands if sensor.band_called(band) is None]
    if missing:
        raise InputError(
            f"layer {name}: sensor {sensor.name} has no band {', '.join(missing)} that model {spec.name} needs; name another model"
        )
    if BLOCK_PX % spec.centre or spec.halo >= REACH_PX:
        raise InputError(f"layer {name}: model {spec.name} keeps {spec.centre} of {spec.window} pixels; the centre must divide {BLOCK_PX}")


def _check_resolution(name: str, metres: float, spec: ModelSpec) -> None:
    finest, coarsest = spec.gsd_range
    # A pixel of a geographic or a stretched grid is never exactly as large as it says.
    if not finest * 0.95 <= metres <= coarsest * 1.05:
        raise InputError(
            f"layer {name}: pixels of {metres:.3g} m; model {spec.name} is for {finest:g} to {coarsest:g} m: change resolution or model"
        )


@job(
    reads=("tiles", "scenes"), writes="built_up", settings=BuiltUpSettings, parallel_over="tiles",
    data_version=DATA_VERSION, tilewise=True, layer_digests=layer_digests, pins=model_pins, sources=model_sources,
)  # fmt: skip
def built_up(tables: Tables, settings: BuiltUpSettings, context: Context) -> DataFrame:
    """A row for every planned tile of the batch: its probability, that it has no data, or why it could not be mapped."""
    planned = tables["tiles"].withColumn("scene_ids", F.transform("scenes", lambda scene: scene["scene_id"]))
    scenes = scenes_named(tables["scenes"], planned)
    recipes = {name: recipe_of(name, settings, context) for name in context.place.layers}
    _check_scenes(context.place, scenes, recipes)
    sensors = {name: layer.sensor for name, layer in context.place.layers.items()}
    shell = partial(built_up_batches, scenes=scenes, recipes=recipes, sensors=sensors)
    return _grouped(planned.drop("scenes", "settings_digest"), settings, context).mapInPandas(shell, _ddl())


def _ddl() -> str:
    return ", ".join(f"{column.name} {column.type}" for column in BUILT_UP.columns if column.name not in FILLED_BY_RUNNER)


def _grouped(planned: DataFrame, settings: BuiltUpSettings, context: Context) -> DataFrame:
    """Neighbours of one layer and epoch read the same images: they stay together; ranges keep the parts even."""
    cores = context.spark.sparkContext.defaultParallelism
    parts = settings.partitions or PARTITIONS_PER_CORE * cores
    return planned.repartitionByRange(parts, "layer", "epoch", "row", "col").sortWithinPartitions("layer", "epoch", "row", "col")


def scenes_named(scenes: DataFrame, planned: DataFrame) -> dict[str, Scene]:
    """The scenes that the planned tiles name, by id."""
    wanted = planned.select(F.explode("scene_ids").alias("scene_id")).distinct()
    names = [name for name in SCENES.names if name in Scene.__dataclass_fields__ or name == "geometry"]
    rows = scenes.join(wanted, on="scene_id", how="left_semi").select(*names).collect()
    return {row["scene_id"]: _scene(row.asDict()) for row in rows}


def _scene(row: dict[str, Any]) -> Scene:
    moment = row["datetime"].astimezone(None)
    footprint = bytes(row.pop("geometry"))
    return Scene(**{**row, "transform": tuple(row["transform"]), "footprint": footprint, "datetime": moment})


def recipe_of(name: str, settings: BuiltUpSettings, context: Context) -> Recipe:
    """How a layer is mapped; its weights are staged in the place's folder."""
    place = context.place
    layer = place.layers[name]
    pin = _pinned(place, layer, context.pins.get(name))
    spec = read_spec(pin.path)
    return Recipe(
        model_path=_staged(pin, context.storage),
        model_name=pin.name,
        model_version=pin.version,
        model_sha256=pin.sha256,
        bands=spec.bands,
        centre=spec.centre,
        halo=spec.halo,
        threshold=round(ONE * (layer.threshold or spec.threshold)),
        composite=settings.composite,
        min_clear=settings.min_clear,
        threads=settings.threads,
        batch=settings.batch,
        backend=_backend(settings),
        settings_digest=_digest(place, name, pin.sha256, settings),
    )


def _pinned(place: Place, layer: Layer, pinned: dict[str, str] | None) -> ModelPin:
    """The model the run began with, also when its alias has moved since."""
    found = _resolved(place, layer)
    if pinned is None or pinned["sha256"] == found.sha256:
        return found
    return resolve_model(f"models:/{pinned['name']}/{pinned['version']}", tracking_uri(place))


def _staged(pin: ModelPin, storage: Path) -> str:
    """The weights in the place's folder, under their sha256: what workers load and verify."""
    target = storage / "models" / f"{pin.sha256}.safetensors"
    if not target.is_file() or file_sha256(target) != pin.sha256:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial_copy = target.with_suffix(".partial")
        shutil.copyfile(pin.path, partial_copy)
        partial_copy.replace(target)
    return str(target.absolute())


def _backend(settings: BuiltUpSettings) -> str:
    if settings.backend != "auto":
        return settings.backend
    if not NVIDIA_DRIVER.exists():  # importing torch takes the driver seconds
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _check_scenes(place: Place, scenes: dict[str, Scene], recipes: dict[str, Recipe]) -> None:
    """Raises InputError where no scene of a layer has the model's bands or, on a native grid, its pixel size."""
    for name, layer in place.layers.items():
        images = [scene for scene in scenes.values() if scene.sensor == layer.sensor]
        needed = {SENSORS[layer.sensor].band_called(band) or band for band in recipes[name].bands}
        lacking = [sorted(needed - set(scene.hrefs)) for scene in images]
        if images and all(lacking):
            raise InputError(f"layer {name}: scene {images[0].scene_id} has no band {', '.join(lacking[0])}; add it to the source")
        if images and place.grid == "native":
            _check_resolution(name, ground_resolution(images[0]), read_spec(recipes[name].model_path))
