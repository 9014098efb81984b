"""The model of each layer: resolved to one file, and checked against its layer and images before anything is written."""

from functools import lru_cache
from pathlib import Path

from conf.errors import InputError
from conf.place import Layer, Place
from conf.sensors import SENSORS, Sensor
from jobs.tracking import tracking_uri
from models.bundle import Beside, read_tensors
from models.predictor import ModelSpec, load_predictor, read_spec
from models.registry import ModelPin, resolve_model, shipped_models
from udfs.composites import MARGIN_PX
from udfs.grid import BLOCK_PX
from udfs.planning import REACH_PX
from udfs.scenes import Scene, ground_resolution


def pin_of(place: Place, model: str | None, name: str) -> ModelPin:
    """The file of a layer's model; `model` is setting `built_up.model`. Raises InputError."""
    return resolve_model(_uri(place, model, name), tracking_uri(place))


def _uri(place: Place, model: str | None, name: str) -> str:
    if model and len(place.layers) > 1:
        raise InputError(f"setting built_up.model = {model!r}: the place has {len(place.layers)} layers; set layers.{name}.model instead")
    uri = model or place.layers[name].model
    if uri is None:
        raise InputError(f"layer {name} has no model; set layers.{name}.model, e.g. to models:/{name}@champion")
    return uri


def checked_model(place: Place, model: str | None, name: str) -> ModelPin:
    """`pin_of`, sound and made for the layer. Raises InputError."""
    pin, layer = pin_of(place, model, name), place.layers[name]
    spec = read_spec(pin.path)
    if spec.of_series:
        raise InputError(f"layer {name}: model {spec.name} sees image series; name it as layers.{name}.series, and one of images as model")
    _check_suits(name, layer, spec)
    if place.grid == "utm":
        _check_resolution(name, layer.resolution, spec)
    _check_weights(pin.path, pin.sha256)
    return pin


def checked_series_model(place: Place, name: str) -> ModelPin | None:
    """The file of a layer's model of image series, sound and made for the layer; None where it has none. One that sees the layer's main
    sensor alone will do. Raises InputError."""
    layer = place.layers[name]
    if layer.series is None:
        return None
    pin = resolve_model(layer.series, tracking_uri(place))
    spec = read_spec(pin.path)
    if not spec.of_series:
        raise InputError(f"layer {name}: model {spec.name} sees single images; name one of series, or leave layers.{name}.series out")
    if not spec.change["states"]:
        raise InputError(f"layer {name}: model {spec.name} learned changes alone and knows no states; name another as layers.{name}.series")
    _check_suits(name, layer.model_copy(update={"world_region": None, "beside": layer.beside if spec.beside else None}), spec)
    if place.grid == "utm":
        _check_resolution(name, layer.resolution, spec)
    _check_weights(pin.path, pin.sha256)
    return pin


@lru_cache(maxsize=16)
def _check_weights(path: str, sha256: str) -> None:
    """Only torch knows which tensors a network needs, and its import takes seconds: shipped weights, which the tests load, are
    spared it."""
    if sha256 in {pin.sha256 for pin in shipped_models().values()}:
        read_tensors(Path(path).read_bytes(), path)
        return
    try:
        _load(path, sha256)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise InputError(f"model {path}: no network can be built from its header ({reason}); build it again with the train job") from None


def _load(path: str, sha256: str) -> None:
    if not read_spec(path).of_series:
        load_predictor(path, sha256)
        return
    from models.series_predictor import load_series_predictor

    load_series_predictor(path, sha256)


def check_images(place: Place, images: dict[str, list[Scene]], specs: dict[str, ModelSpec]) -> None:
    """Raises InputError where no image of a layer has the model's bands or, on a native grid, its pixel size. Keys are layers."""
    for name, scenes in images.items():
        layer, spec = place.layers[name], specs[name]
        of_sensor = {sensor: [scene for scene in scenes if scene.sensor == sensor] for sensor in layer.sensors}
        _check_bands(name, SENSORS[layer.sensor], spec, of_sensor[layer.sensor])
        if layer.beside and spec.beside:
            _check_bands(name, SENSORS[layer.beside], spec.beside, of_sensor[layer.beside])
        if of_sensor[layer.sensor] and place.grid == "native":
            _check_resolution(name, ground_resolution(of_sensor[layer.sensor][0]), spec)


def _check_bands(name: str, sensor: Sensor, seen: ModelSpec | Beside, scenes: list[Scene]) -> None:
    needed = {sensor.band_called(band) or band for band in seen.bands}
    lacking = [sorted(needed - set(scene.hrefs)) for scene in scenes]
    if scenes and all(lacking):
        raise InputError(f"layer {name}: scene {scenes[0].scene_id} has no band {', '.join(lacking[0])}; add it to the source")


def threshold_of(layer: Layer, spec: ModelSpec) -> float:
    """The probability from which a pixel of a layer counts."""
    return layer.threshold or spec.thresholds.get(layer.world_region or "", spec.threshold)


def _check_suits(name: str, layer: Layer, spec: ModelSpec) -> None:
    _check_sensor(name, layer.sensor, spec.name, spec)
    if layer.beside and spec.beside:
        _check_sensor(name, layer.beside, f"{spec.name}, beside {layer.sensor},", spec.beside)
    elif layer.beside:
        raise InputError(f"layer {name}: model {spec.name} sees one sensor only; take layers.{name}.beside out or name another model")
    elif spec.beside:
        others = ", ".join(spec.beside.sensors)
        raise InputError(f"layer {name}: model {spec.name} sees a second sensor; set layers.{name}.beside to one of {others}")
    if layer.world_region and layer.world_region not in spec.thresholds:
        known = ", ".join(sorted(spec.thresholds)) or "none"
        raise InputError(
            f"layer {name}: model {spec.name} has no threshold for world region {layer.world_region}, but for: {known}; "
            f"leave layers.{name}.world_region out for that of all ground"
        )
    if BLOCK_PX % spec.centre or spec.halo >= REACH_PX - MARGIN_PX:
        sides = f"keeps {spec.centre} pixels and sees {spec.halo} around"
        rule = f"the first must divide {BLOCK_PX}, the second be under {REACH_PX - MARGIN_PX}"
        raise InputError(f"layer {name}: model {spec.name} {sides}; {rule}: build the bundle with others")


def _check_sensor(name: str, key: str, model: str, seen: ModelSpec | Beside) -> None:
    sensor = SENSORS[key]
    if key not in seen.sensors or sensor.values != seen.values:
        raise InputError(f"layer {name}: model {model} is for {', '.join(seen.sensors)} ({seen.values}), not {key}; name another model")
    missing = [band for band in seen.bands if sensor.band_called(band) is None]
    if missing:
        raise InputError(f"layer {name}: sensor {key} has no band {', '.join(missing)} that model {model} needs; name another model")


def _check_resolution(name: str, metres: float, spec: ModelSpec) -> None:
    finest, coarsest = spec.gsd_range
    # A pixel of a geographic or a stretched grid is never exactly as large as it says.
    if not finest * 0.95 <= metres <= coarsest * 1.05:
        raise InputError(
            f"layer {name}: pixels of {metres:.3g} m; model {spec.name} is for {finest:g} to {coarsest:g} m: change resolution or model"
        )
