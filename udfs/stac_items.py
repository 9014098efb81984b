"""From STAC items, as plain dictionaries, to scenes. An item whose metadata say all that a header would is never opened to plan."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.errors import ShapelyError  # type: ignore[attr-defined]

from conf.errors import InputError, ReadError
from conf.place import Source
from conf.sensors import SENSORS, Sensor
from udfs.addresses import address_of, without_secrets
from udfs.image_files import known_band
from udfs.scenes import Scene

Item = Mapping[str, Any]
Given = dict[str, tuple[Mapping[str, Any], int]]
"""Band name to its asset, and its 1-based band in the file."""
SENSORS_OF_COLLECTIONS = {
    "sentinel-2-l2a": "sentinel2_l2a",
    "sentinel-2-c1-l2a": "sentinel2_l2a",
    "sentinel-2-pre-c1-l2a": "sentinel2_l2a",
    "sentinel-2-l1c": "sentinel2_l1c",
}
"""Names used by Earth Search and the Planetary Computer; others are told by `sensor` of the source."""


def scene_of_item(item: Item, source: Source) -> Scene:
    """The scene of an item with absolute hrefs; its grid is set where the item tells it. Raises InputError."""
    try:
        return _scene(item, source)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, CRSError, ShapelyError, ReadError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
        raise InputError(f"item {item.get('id')} is no sound STAC item ({reason}); leave it out or have it mended") from None


def _scene(item: Item, source: Source) -> Scene:
    name, properties = str(item.get("id")), item.get("properties") or {}
    sensor = _sensor(item, properties, source)
    given = _assets(item, sensor, source)
    _refuse_missing(item, sensor, source, given)
    cloud, baseline = properties.get("eo:cloud_cover"), _baseline(properties, source)
    return Scene(
        scene_id=name,
        sensor=sensor.name,
        datetime=_moment(name, properties),
        hrefs={band: _plain_href(str(asset["href"])) for band, (asset, _) in given.items()},
        band_indexes={band: number for band, (_, number) in given.items()},
        cloud=None if cloud is None else float(cloud) / 100,
        baseline=baseline,
        footprint=_outline(item["geometry"]) if item.get("geometry") else b"",
        licence=properties.get("license") or source.licence,
        attribution=source.attribution or _producer(properties),
        **_stated(properties, sensor, given, baseline, source),
    )


def _plain_href(href: str) -> str:
    """Without a signature; a local file as its path."""
    address = address_of(href)
    return without_secrets(href) if address.is_remote else address.path


def _outline(geometry: Any) -> bytes:
    """The polygons of an item's geometry, WKB."""
    parts = shapely.get_parts(shapely.make_valid(shapely.geometry.shape(geometry)))
    return bytes(shapely.to_wkb(shapely.union_all(parts[shapely.get_dimensions(parts) == 2])))


def is_complete(scene: Scene) -> bool:
    """Whether the item told what the headers say, so that planning need not open them."""
    return bool(scene.crs and scene.transform and scene.width) and SENSORS[scene.sensor].values != "stretched"


def _sensor(item: Item, properties: Mapping[str, Any], source: Source) -> Sensor:
    collection = str(item.get("collection"))
    named = properties.get("urbantrace:sensor") or source.sensor or SENSORS_OF_COLLECTIONS.get(collection, collection)
    sensor = SENSORS.get(str(named))
    if sensor is None:
        known = ", ".join(sorted(SENSORS))
        raise InputError(f"item {item.get('id')}: no known sensor; name it as `sensor` of the source, one of {known}")
    return sensor


def _moment(name: str, properties: Mapping[str, Any]) -> dt.datetime:
    """Of a series of shots, which has no one moment, the start."""
    text = properties.get("datetime") or properties.get("start_datetime")
    if text is None:
        raise InputError(f"item {name}: no datetime; the epoch of an image follows from it")
    stamp = text if isinstance(text, dt.datetime) else dt.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return stamp.astimezone(dt.UTC) if stamp.tzinfo else stamp.replace(tzinfo=dt.UTC)


def _baseline(properties: Mapping[str, Any], source: Source) -> str | None:
    found = properties.get("processing:baseline") or properties.get("s2:processing_baseline") or source.baseline
    return None if found is None else str(found)


def _producer(properties: Mapping[str, Any]) -> str | None:
    names = [provider.get("name") for provider in properties.get("providers") or []]
    return ", ".join(name for name in names if name) or None


def _refuse_missing(item: Item, sensor: Sensor, source: Source, given: Given) -> None:
    """Raises InputError where an item has no band, or not those that the source asks for; where it asks for none, no mask."""
    asked = [sensor.band_called(band) or band for band in source.bands]
    missed = [band for band in asked or sensor.lacking_masks(given) if band not in given]
    if not missed and set(given) - set(sensor.mask_names):
        return
    what = ", ".join(missed) if set(given) - set(sensor.mask_names) or asked else "any band"
    keys = ", ".join(sorted(item.get("assets") or {}))
    without = "" if asked else ", or give `bands` to do without a mask"
    step = f"name it as `assets: {{{missed[0]}: ...}}` of the source{without}" if missed else "name them as `assets` of the source"
    raise InputError(f"item {item.get('id')}: no asset for {what} of {sensor.name}; it has {keys}; {step}")


def _assets(item: Item, sensor: Sensor, source: Source) -> Given:
    """Band name to its asset, and its band in the file: of the asset that the source names, else with the band's name for a key, else of
    one that lists it. Raises InputError.

    Pictures to look at list bands too, so only assets of data count; other assets may lie anywhere.
    """
    assets: Mapping[str, Any] = item.get("assets") or {}
    given = _renamed(item, assets, sensor, source)
    named = {key: sensor.band_called(key) for key in assets}
    for key, band in named.items():
        if band is not None:
            given.setdefault(band, (assets[key], 1))
    for key, asset in assets.items():
        roles = asset.get("roles")
        if named[key] is None and (roles is None or len(roles) == 0 or "data" in roles):
            for number, band in _listed(asset, sensor):
                if band is not None:
                    given.setdefault(band, (asset, number))
    return given


def _renamed(item: Item, assets: Mapping[str, Any], sensor: Sensor, source: Source) -> Given:
    """Those that the source's `assets` name."""
    given: Given = {}
    for name, key in source.assets.items():
        band = known_band(sensor, name, "scenes.sources.assets")
        if key not in assets:
            raise InputError(
                f"item {item.get('id')}: no asset {key}, which scenes.sources.assets names; it has {', '.join(sorted(assets))}"
            )
        given[band] = (assets[key], 1)
    return given


def _listed(asset: Mapping[str, Any], sensor: Sensor) -> Iterator[tuple[int, str | None]]:
    for number, band in enumerate(asset.get("bands") or asset.get("eo:bands") or [], 1):
        yield number, sensor.band_called(str(band.get("name") or band.get("common_name") or band.get("eo:common_name") or ""))


def _stated(properties: Mapping[str, Any], sensor: Sensor, given: Given, baseline: str | None, source: Source) -> dict[str, Any]:
    """Grid of the finest band, nodata and calibration, as far as the item tells them."""
    assets = {band: asset for band, (asset, _) in given.items() if band not in sensor.mask_names}
    grids = [grid for asset in assets.values() if (grid := _grid(asset, properties)) is not None]
    stated = {band: _calibration(given[band], band, properties, sensor) for band in assets}
    calibration = {band: value for band, value in stated.items() if value is not None}
    usual = all(tuple(value) == sensor.linear(band, baseline) for band, value in calibration.items())
    found: dict[str, Any] = max(grids, key=lambda grid: int(grid["width"])) if len(grids) == len(assets) else {}
    nodata = next((value for band in assets if (value := _number(*given[band], "nodata")) is not None), None)
    return {
        **found,
        "nodata": source.nodata if nodata is None else nodata,
        "calibration": None if usual else calibration,
    }


def _grid(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, Any] | None:
    """CRS, transform (north up), width and height of an asset by the projection extension; None where they are not all told."""
    code = _first("proj:code", asset, properties) or _first("proj:epsg", asset, properties)
    shape, transform = _first("proj:shape", asset, properties), _first("proj:transform", asset, properties)
    if code is None or shape is None or transform is None:
        return None
    a, b, c, d, e, f = (float(value) for value in list(transform)[:6])
    if b or d or a <= 0 or e >= 0:
        return None
    text = str(code) if ":" in str(code) else f"EPSG:{int(code)}"
    return {"crs": CRS.from_user_input(text).to_string(), "transform": (a, b, c, d, e, f), "width": int(shape[1]), "height": int(shape[0])}


def _first(key: str, asset: Mapping[str, Any], properties: Mapping[str, Any]) -> Any:
    value = asset.get(key)
    return properties.get(key) if value is None else value


def _number(asset: Mapping[str, Any], number: int, key: str) -> float | None:
    """A number stated of a band, 1-based, of an asset: by STAC 1.1 in `bands`, before in `raster:bands`, or of the asset itself."""
    own = [listed[number - 1] for name in ("bands", "raster:bands") if len(listed := list(asset.get(name) or [])) >= number]
    values = [value for band in (*own, asset) for name in (key, f"raster:{key}") if isinstance(value := band.get(name), (int, float))]
    return float(values[0]) if values else None


def _calibration(given: tuple[Mapping[str, Any], int], band: str, properties: Mapping[str, Any], sensor: Sensor) -> list[float] | None:
    """Scale and offset of a band's DN as the item states them."""
    scale, offset = _number(*given, "scale"), _number(*given, "offset")
    if properties.get("earthsearch:boa_offset_applied"):  # these files were shifted back when they were made
        usual = sensor.linear(band, None)
        scale, offset = usual[0] if scale is None and usual is not None else scale, 0.0
    return None if scale is None or offset is None else [scale, offset]
