"""Finding scenes: a static STAC catalog on disk, or files named by a pattern. Reads catalogs and headers only."""

import datetime as dt
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import shapely
from pystac.stac_io import DefaultStacIO

from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS, Sensor
from udfs.scenes import Scene, inspected

READERS = 8
LOG = logging.getLogger(__name__)


def scenes_of(sources: tuple[Source, ...], storage: Path) -> list[Scene]:
    """Every scene of the sources, by scene_id, with what its headers say. `{storage}` in paths stands for the place's folder.

    Raises InputError for a wrong declaration, and when no scene at all can be read. A broken scene among sound ones stays,
    with `fault` set and taken to cover what the others cover: a failed read is not "no image".
    """
    declared = [scene for source in sources for scene in _declared(source, storage)]
    _check_unique(declared)
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(inspected, sorted(declared, key=lambda scene: scene.scene_id)))
    sound = [scene for scene in found if scene.fault is None]
    if not sound:
        first = found[0]
        raise InputError(f"no scene can be read; {first.scene_id}: {first.fault}")
    return [scene if scene.fault is None else _stand_in(scene, sound) for scene in found]


def _declared(source: Source, storage: Path) -> list[Scene]:
    if source.sensor is not None and source.sensor not in SENSORS:
        raise InputError(f"sensor {source.sensor} is unknown; use one of {', '.join(sorted(SENSORS))}")
    if source.stac is not None:
        return _from_catalog(_local(source.stac, storage), source)
    return [_from_pattern(source, storage)]


def _local(path: str, storage: Path) -> str:
    if "://" in path or path.startswith("/vsi"):
        raise InputError(f"{path}: images are read from folders; copy them to one and name it")
    return str(Path(path.replace("{storage}", str(storage))).absolute())


def _check_unique(scenes: list[Scene]) -> None:
    seen: set[str] = set()
    for scene in scenes:
        if scene.scene_id in seen:
            raise InputError(f"two scenes are called {scene.scene_id}; give each its own id or folder")
        seen.add(scene.scene_id)
    if not scenes:
        raise InputError("the place's sources hold no scene; check scenes.sources")


def _stand_in(broken: Scene, sound: list[Scene]) -> Scene:
    """The broken scene with the grid of a sound one, preferably of its sensor, and the footprint of all."""
    alike = [scene for scene in sound if scene.sensor == broken.sensor] or sound
    like = alike[0]
    LOG.warning("scene %s: %s", broken.scene_id, broken.fault)
    whole = shapely.to_wkb(shapely.union_all(shapely.from_wkb([scene.footprint for scene in alike])))
    return replace(
        broken, crs=like.crs, transform=like.transform, width=like.width, height=like.height, footprint=broken.footprint or whole
    )


def _from_pattern(source: Source, storage: Path) -> Scene:
    sensor = SENSORS[str(source.sensor)]
    bands = tuple(_known(sensor, name, str(source.href)) for name in source.bands) or sensor.band_names
    href = _local(str(source.href), storage)
    if source.datetime is None:
        raise InputError(f"{source.href}: give its acquisition date as `datetime`")
    apart = "{band}" in href
    return Scene(
        scene_id=source.scene_id or Path(href).stem.replace("{band}", "").rstrip("_-. "),
        sensor=sensor.name,
        datetime=dt.datetime.combine(source.datetime, dt.time(), dt.UTC),
        hrefs={band: href.replace("{band}", band) for band in bands},
        band_indexes={band: 1 if apart else number for number, band in enumerate(bands, 1)},
        nodata=source.nodata,
        baseline=source.baseline,
        licence=source.licence,
        attribution=source.attribution,
    )


def _known(sensor: Sensor, name: str, where: str) -> str:
    band = sensor.band_called(name)
    if band is None:
        raise InputError(f"{where}: sensor {sensor.name} has no band {name}; it has {', '.join(sensor.band_names)}")
    return band


class _FolderOnly(DefaultStacIO):
    """Links that lead off the disk are refused."""

    def read_text_from_href(self, href: str) -> str:
        if "://" in href and not href.startswith("file://"):
            raise InputError(f"the catalog links to {href[:80]}; only catalogs on disk are read, download it first")
        return Path(href.removeprefix("file://")).read_text(encoding="utf-8")


def _from_catalog(path: str, source: Source) -> list[Scene]:
    if not Path(path).is_file():
        raise InputError(f"no catalog {path}; fetch it or correct scenes.sources")
    try:
        items = list(pystac.Catalog.from_file(path, stac_io=_FolderOnly()).get_items(recursive=True))
    except (pystac.STACError, OSError, ValueError, KeyError) as error:
        refused = error if isinstance(error, InputError) else error.__cause__
        if isinstance(refused, InputError):
            raise refused from None
        raise InputError(f"{Path(path).name} is no sound STAC catalog: {str(error).splitlines()[0]}") from None
    return [_from_item(item, source) for item in items]


def _from_item(item: pystac.Item, source: Source) -> Scene:
    sensor = SENSORS.get(str(item.properties.get("urbantrace:sensor") or source.sensor or item.collection_id))
    if sensor is None:
        raise InputError(f"item {item.id}: no known sensor; name it as `sensor` of the source, one of {', '.join(sorted(SENSORS))}")
    if item.datetime is None:
        raise InputError(f"item {item.id}: no datetime; the epoch of an image follows from it")
    hrefs, indexes = _assets(item, sensor)
    missing = sorted(set(source.bands) - set(hrefs))
    if missing or not hrefs:
        raise InputError(
            f"item {item.id}: no asset for {', '.join(missing) or 'any band'} of {sensor.name}; it has {', '.join(sorted(item.assets))}"
        )
    stamp = item.datetime if item.datetime.tzinfo else item.datetime.replace(tzinfo=dt.UTC)
    cloud = item.properties.get("eo:cloud_cover")
    baseline = item.properties.get("processing:baseline") or item.properties.get("s2:processing_baseline") or source.baseline
    return Scene(
        scene_id=item.id,
        sensor=sensor.name,
        datetime=stamp.astimezone(dt.UTC),
        hrefs=hrefs,
        band_indexes=indexes,
        nodata=source.nodata,
        cloud=None if cloud is None else float(cloud) / 100,
        baseline=None if baseline is None else str(baseline),
        footprint=bytes(shapely.to_wkb(shapely.geometry.shape(item.geometry))) if item.geometry else b"",
        licence=item.properties.get("license") or source.licence,
        attribution=source.attribution or _producer(item),
    )


def _producer(item: pystac.Item) -> str | None:
    names = [provider.get("name") for provider in item.properties.get("providers", [])]
    return ", ".join(name for name in names if name) or None


def _assets(item: pystac.Item, sensor: Sensor) -> tuple[dict[str, str], dict[str, int]]:
    """Band name to path, and to its band in the file: of the asset with the band's name for a key, else of one that lists it.

    Pictures to look at list bands too, so only assets of data count; other assets may lie anywhere.
    """
    given: dict[str, tuple[pystac.Asset, int]] = {}
    named = {key: sensor.band_called(key) for key in item.assets}
    for key, band in named.items():
        if band is not None:
            given.setdefault(band, (item.assets[key], 1))
    for key, asset in item.assets.items():
        if named[key] is None and (not asset.roles or "data" in asset.roles):
            for number, band in _listed(asset, sensor):
                if band is not None:
                    given.setdefault(band, (asset, number))
    return {band: _path(asset) for band, (asset, _) in given.items()}, {band: number for band, (_, number) in given.items()}


def _path(asset: pystac.Asset) -> str:
    return _local((asset.get_absolute_href() or asset.href).removeprefix("file://"), Path())


def _listed(asset: pystac.Asset, sensor: Sensor) -> list[tuple[int, str | None]]:
    listed: list[dict[str, Any]] = asset.extra_fields.get("bands") or asset.extra_fields.get("eo:bands") or []
    names = [str(band.get("name") or band.get("common_name") or band.get("eo:common_name") or "") for band in listed]
    return [(number, sensor.band_called(name)) for number, name in enumerate(names, 1)]
