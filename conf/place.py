"""A place: a configured run. `conf/base.yaml`, then the place's YAML, then `--set`, read into typed settings."""

import datetime as dt
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from conf.access import Access
from conf.errors import InputError
from conf.plain_yaml import plain_yaml
from conf.sensors import SENSORS
from conf.settings import Settings, parse, shortened, unknown_setting

CONF = Path(__file__).parent
VARIABLE = re.compile(r"\$\{([A-Z_]+)\}")
STORAGE = "{storage}"
"""In a declared path: the place's own folder, where `simulated_city` puts its files."""


LayerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,60}$")]
"""It becomes part of file names, and a key in tables."""


class Epoch(Settings):
    """A span of acquisition dates that one map stands for. Dates are UTC; `end` is inclusive."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    start: dt.date
    end: dt.date
    reference: dt.date = Field(description="the date the map stands for; T is the difference of two of them in years")

    @model_validator(mode="after")
    def ordered(self) -> "Epoch":
        if not self.start <= self.reference <= self.end:
            raise ValueError(f"start {self.start} <= reference {self.reference} <= end {self.end} must hold")
        return self


class Layer(Settings):
    """A named model role at one resolution."""

    sensor: str = Field(description="a key of conf/sensors.py")
    beside: str | None = Field(None, description="another key: of a second sensor, for a model that sees two, e.g. sentinel1_grd")
    model: str | None = Field(None, description="models:/NAME@ALIAS, models:/NAME/VERSION, or PATH#sha256=HEX; or built_up.model")
    series: str | None = Field(
        None, description="a model of image series, written alike: urban_series reads the images with it; default: it takes the maps alone"
    )
    resolution: float = Field(gt=0, description="pixel size, in the grid's units: metres on a utm grid, its scenes' own on a native one")
    feeds: Literal["built_m2", "none"] = Field("none", description="one layer of a place feeds built_m2")
    threshold: float | None = Field(None, gt=0, lt=1, description="probability from which a pixel counts; default: the model's")
    world_region: str | None = Field(None, description="takes the model's threshold for ground in it, instead of that for all ground")

    @field_validator("sensor", "beside")
    @classmethod
    def known(cls, sensor: str | None) -> str | None:
        if sensor is not None and sensor not in SENSORS:
            raise ValueError(f"no such sensor; use one of {', '.join(sorted(SENSORS))}")
        return sensor

    @model_validator(mode="after")
    def two_sensors(self) -> "Layer":
        if self.beside == self.sensor:
            raise ValueError(f"beside {self.beside} is the layer's own sensor; name another or leave it out")
        return self

    @property
    def sensors(self) -> tuple[str, ...]:
        """Its own, then the one beside it."""
        return (self.sensor,) if self.beside is None else (self.sensor, self.beside)


class Source(Settings):
    """Where images come from: a STAC API, a static STAC catalog, a stac-geoparquet file, or files by name."""

    stac: str | None = Field(None, description="path or address of a static STAC catalog.json")
    api: str | None = Field(None, description="address of a STAC API; asked for the epochs and the area")
    items: str | None = Field(None, description="path of a stac-geoparquet file or folder, for up to millions of items; read by Spark")
    href: str | None = Field(
        None,
        description="a path or address, or a local pattern: {band} stands for each band name, {date} for the date, 20200131 or 2020-01-31, "
        "* for anything; ending in / : every GeoTIFF in that folder",
    )
    files: dict[str, str] = Field(default_factory=dict, description="band name to its file, where names follow no pattern")
    metadata: str | None = Field(
        None, description="path or local pattern, with *, of Landsat's MTL files; each tells a scene's files, date and calibration"
    )
    collections: tuple[str, ...] = Field((), description="of `api` and `items`")
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="of `api` and `items`: west, south, east, north; default: the area"
    )
    query: dict[str, Any] = Field(default_factory=dict, description='of `api`, e.g. {"eo:cloud_cover": {"lt": 60}}')
    assets: dict[str, str] = Field(
        default_factory=dict, description="band or mask to the items' asset, where a catalog names it otherwise, e.g. {SCL: SCL_20m}"
    )
    inspect: Literal["auto", "always"] = Field("auto", description="auto: headers are read where the catalog does not tell what they say")
    sensor: str | None = Field(None, description="a key of conf/sensors.py; for a catalog, where its items do not name it")
    datetime: dt.date | None = Field(None, description="acquisition date, UTC, of `href` without {date} and of `files`")
    bands: tuple[str, ...] = Field(
        (),
        description="bands in the file's order, or those {band} stands for; default: the sensor's, and with {band} the masks that lie "
        "beside. Of a catalog: those that each item must have; default: the sensor's masks",
    )
    nodata: float | None = Field(None, description="nodata value where the files carry none")
    scene_id: str | None = Field(None, description="name of the image; default: the file's name")
    baseline: str | None = Field(None, description="processing baseline, e.g. 05.09, where the metadata carry none")
    licence: str | None = None
    attribution: str | None = None

    @model_validator(mode="after")
    def one_kind(self) -> "Source":
        kinds = {name: getattr(self, name) for name in ("stac", "api", "items", "href", "files", "metadata")}
        given = [name for name, value in kinds.items() if value]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(kinds)}, not {' and '.join(given) or 'none'}")
        if given[0] == "metadata" and not self.sensor:
            raise ValueError("metadata needs sensor, e.g. landsat8_l1")
        if given[0] in ("href", "files") and not (self.sensor and (self.datetime or "{date}" in (self.href or ""))):
            raise ValueError("href and files need sensor and datetime; a date in file names is written {date}")
        if given[0] in ("href", "files", "metadata") and self.assets:
            raise ValueError("assets is for items of a catalog; name files band by band with files")
        return self


class Place(Settings):
    """What a run is about. Sections of single jobs are kept as they stand and read by the job's own settings class."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")
    title: str = ""
    attribution: str = ""
    warehouse: str = "warehouse"
    tracking_uri: str | None = Field(None, description="MLflow store; default: sqlite in the warehouse")
    max_quarantined_share: float = Field(0.01, ge=0, le=1)
    batch_seconds: float = Field(120, gt=0, description="predicted work of one commit")
    price_per_cpu_hour: float = Field(0.05, ge=0, description="US dollars, for the summary's cost")
    price_per_gpu_hour: float = Field(1.0, ge=0, description="US dollars, for the plan's cost on GPUs")
    cores_per_gpu: float = Field(60, gt=0, description="cores whose network work one GPU does; assumed until measured on yours")
    grid: Literal["utm", "native"] = "utm"
    epochs: tuple[Epoch, ...] = Field(min_length=1)
    layers: dict[LayerName, Layer] = Field(min_length=1)
    access: Access = Field(default_factory=Access)
    sections: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("warehouse")
    @classmethod
    def plain_name(cls, warehouse: str) -> str:
        if not warehouse or not warehouse.isprintable() or set("%?#") & set(warehouse):
            raise ValueError("readers of tables and of the MLflow store take %, ? and # for parts of an address; name another folder")
        return warehouse

    @field_validator("epochs")
    @classmethod
    def distinct(cls, epochs: tuple[Epoch, ...]) -> tuple[Epoch, ...]:
        if len({epoch.name for epoch in epochs}) < len(epochs):
            raise ValueError("two epochs have one name")
        return tuple(sorted(epochs, key=lambda epoch: epoch.reference))

    @field_validator("layers")
    @classmethod
    def one_feeds(cls, layers: dict[str, Layer]) -> dict[str, Layer]:
        feeding = [name for name, layer in layers.items() if layer.feeds == "built_m2"]
        if len(feeding) > 1:
            raise ValueError(f"layers {' and '.join(feeding)} both say `feeds: built_m2`; set layers.{feeding[1]}.feeds to none")
        return layers

    @property
    def folder(self) -> Path:
        """Where this place's tables lie."""
        return Path(self.warehouse) / self.name

    def located(self, path: str) -> Path:
        """A declared path, absolute."""
        return Path(path.replace(STORAGE, str(self.folder))).absolute()

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its images come from; none where the place declares none."""
        return tuple(parse(Source, source, "scenes.sources") for source in self.sections.get("scenes", {}).get("sources", ()))

    @property
    def fed_layer(self) -> str | None:
        """The layer that feeds built_m2, or None."""
        return next((name for name, layer in self.layers.items() if layer.feeds == "built_m2"), None)

    def section(self, model: type[Any], name: str) -> Any:
        """The settings of job `name`."""
        return parse(model, self.sections.get(name, {}), name)


def load_place(name: str, assignments: tuple[str, ...], sections: frozenset[str]) -> Place:
    """The place `name` (or a YAML file) with `key=value` assignments applied; raises InputError."""
    values = _merged(_read_yaml(CONF / "base.yaml"), _read_yaml(_place_file(name)))
    for assignment in assignments:
        values = _merged(values, _assigned(assignment))
    _check_keys(values, sections)
    values = _expanded(values)
    jobs = {key: values.pop(key) or {} for key in sorted(values) if key in sections}
    for key, section in jobs.items():
        if not isinstance(section, dict):
            raise InputError(f"section {key} is {shortened(repr(section))}; write settings as 'key: value' lines under it")
    return parse(Place, {**values, "sections": jobs}, "")


def _check_keys(values: dict[str, Any], sections: frozenset[str]) -> None:
    """Raises InputError for a key that is neither a setting of the place nor a job's section."""
    known = {*Place.model_fields, *sections} - {"sections"}
    for key in values:
        if key not in known:
            raise InputError(unknown_setting(str(key), "", known))


def _place_file(name: str) -> Path:
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONF / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != "base")
        raise InputError(f"place {name}: no file {path.name}; use one of {', '.join(known)}, or the path of a YAML file")
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    values = plain_yaml(text, path.name)
    if not isinstance(values, dict):
        raise InputError(f"{path.name} holds no settings; write 'key: value' lines")
    return values


def _assigned(assignment: str) -> dict[str, Any]:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise InputError(f"--set {assignment}: write [section.]key=value")
    value: Any = plain_yaml(text, f"--set {shortened(assignment)}") if text else None
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _expanded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item) for item in value]
    return VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise InputError(f"{match[1]} is not set; export {match[1]}=FOLDER, where this place's data lie")
    return value
