"""Do the declared inputs of a place belong together? Reads headers and attributes only, before anything is written."""

from typing import Any

import pandas as pd
import shapely

from conf.errors import InputError
from conf.place import Epoch, Place
from jobs.declared_area import Area, AreaFile, area_polygon
from jobs.declared_scenes import declared_scenes
from jobs.layer_models import check_images, pin_of
from jobs.runner import Prepared
from jobs.sdg11.population import declared_rasters
from jobs.sdg11.units import declared_units
from models.predictor import read_spec
from udfs.planning import layer_grid
from udfs.population import read_population
from udfs.scenes import Scene
from udfs.units import identifiers, read_attributes

CHECKED = ("scenes", "tiles", "built_up", "units", "population")
"""The jobs whose declarations are compared here."""
SAME_WIDTH = 1e-6
"""Share by which a declared pixel width may differ from the images'."""


def check_inputs(place: Place, prepared: list[Prepared]) -> None:
    """Raises InputError where images, epochs, layers, models, area, units and people of the prepared jobs do not fit each other."""
    found = {item.job.name: item for item in prepared}
    sources = {name: item.sources for name, item in found.items()}
    check_overlap(place, sources)
    scenes = _headers(place, found.get("scenes"))
    if scenes:
        images = check_epochs(place, scenes)
        check_grids(place, images)
        if "tiles" in found:
            check_area(place, found["tiles"].settings.area, images)
        if "built_up" in found:
            model = found["built_up"].settings.model
            check_images(place, images, {name: read_spec(pin_of(place, model, name).path) for name in place.layers})
    if _is_there(found.get("units")) and _is_there(found.get("population")):
        check_people(place, found["units"].settings, found["population"].settings)


def _is_there(item: Prepared | None) -> bool:
    """Whether a job's declared files exist; those that another job is yet to make are `pending`."""
    return item is not None and not item.sources.get("pending")


def _headers(place: Place, item: Prepared | None) -> list[Scene]:
    return declared_scenes(place, item.settings.sources) if item is not None and _is_there(item) else []


def check_epochs(place: Place, scenes: list[Scene]) -> dict[str, list[Scene]]:
    """Layer to its scenes within epochs; raises InputError when it has none."""
    images = {}
    for name, layer in place.layers.items():
        alike = [scene for scene in scenes if scene.sensor in layer.sensors]
        images[name] = [scene for scene in alike if any(_within(scene, epoch) for epoch in place.epochs)]
        if not images[name] and not any(source.items for source in place.sources):
            spans = ", ".join(f"{epoch.name} {epoch.start}..{epoch.end}" for epoch in place.epochs)
            days = sorted(str(scene.datetime.date()) for scene in alike)
            dated = f"{days[0]}..{days[-1]}" if days else "there are none"
            raise InputError(
                f"layer {name}: no {' or '.join(layer.sensors)} scene ({dated}) lies within an epoch ({spans}); "
                "correct the epochs or add scenes"
            )
    return images


def _within(scene: Scene, epoch: Epoch) -> bool:
    return epoch.start <= scene.datetime.date() <= epoch.end


def check_grids(place: Place, images: dict[str, list[Scene]]) -> None:
    """Raises InputError when a native grid's scenes differ from the layer's resolution or from each other."""
    for name, every in images.items():
        declared, sensor = place.layers[name].resolution, place.layers[name].sensor
        scenes = [scene for scene in every if scene.sensor == sensor]
        widths = [scene.transform[0] for scene in scenes if abs(scene.transform[0] - declared) > SAME_WIDTH * declared]
        if place.grid == "native" and scenes and len(widths) == len(scenes):
            found = f"its scenes' pixels are {widths[0]!r} wide"
            raise InputError(f"setting layers.{name}.resolution = {declared!r}: {found}; set it to that, or use `grid: utm`")
        if place.grid == "native":
            layer_grid(name, declared, scenes)


def check_area(place: Place, area: Area | None, images: dict[str, list[Scene]]) -> None:
    """Raises InputError when no scene touches `tiles.area`."""
    polygon = area_polygon(place, area)
    footprints = shapely.from_wkb([scene.footprint for scenes in images.values() for scene in scenes])
    if polygon is not None and not shapely.intersects(footprints, polygon).any():
        scenes = _text([float(value) for value in shapely.total_bounds(footprints)])
        declared = area.path if isinstance(area, AreaFile) else list(area or ())
        raise InputError(f"setting tiles.area = {declared} touches no scene of place {place.name}, {scenes}; correct it or leave it out")


def check_people(place: Place, units: Any, population: Any) -> None:
    """Raises InputError when a count's unit is not among the units. Arguments are the jobs' settings."""
    if declared_rasters(place, population):
        return
    path = place.located(population.path)
    unknown = read_population(path, population.id, population.people, population.year)["unit_id"]
    # Attributes are read in no time; outlines must be for units that are made of others.
    for known in (_ids_in_columns, _all_ids):
        if not unknown.empty:
            unknown = unknown[~unknown.isin(known(place, units))]
    if len(unknown):
        raise InputError(f"{path.name}: unit {min(unknown)!r} is not among the units; set population.id to the column that holds their ids")


def _ids_in_columns(place: Place, units: Any) -> "pd.Series[str]":
    columns = list(dict.fromkeys(column for column in (units.id, units.parent) if column)) if units.layout == "columns" else []
    if not columns:
        return pd.Series(dtype=str)
    frame, _ = read_attributes(place.located(units.path), columns, geometry=False, encoding=units.encoding)
    return pd.concat([identifiers(frame[column]) for column in columns])


def _all_ids(place: Place, units: Any) -> "pd.Series[str]":
    return declared_units(place, units)["unit_id"]


def check_overlap(place: Place, sources: dict[str, Any]) -> None:
    """Raises InputError when scenes and units are nowhere near each other. `bounds` are west, south, east, north, degrees."""
    scenes, units = ((sources.get(name) or {}).get("bounds") for name in ("scenes", "units"))
    if scenes and units and not _overlap(scenes, units):
        found = f"scenes {_text(scenes)} and units {_text(units)}"
        raise InputError(f"place {place.name}: {found} do not overlap; check the CRS of the units and the paths of the scenes")


def _overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _text(bounds: list[float]) -> str:
    west, south, east, north = bounds
    return f"({west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N)"
