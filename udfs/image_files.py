"""Scenes from plain files: one named, a folder, or a pattern with {band}, {date} and *."""

import datetime as dt
import re
from pathlib import Path
from typing import NamedTuple

from conf.errors import InputError, ReadError
from conf.place import STORAGE, Source
from conf.sensors import SENSORS, Sensor
from udfs.addresses import address_of, without_secrets
from udfs.scenes import Scene

DATE = r"(?P<date>\d{4}-?\d{2}-?\d{2})"
IMAGE_NAMES = ("*.tif", "*.tiff", "*.jp2")


class _Found(NamedTuple):
    """Files of one scene: `stem` is their name without band, by band where each has its own file."""

    stem: str
    date: dt.date | None
    by_band: dict[str, str]


def scenes_of_files(source: Source, storage: Path) -> list[Scene]:
    """The scenes of a source that names files, by name. Raises InputError where none is found or a date cannot be read."""
    sensor = SENSORS[str(source.sensor)]
    bands = tuple(known_band(sensor, name, str(source.href or "files")) for name in source.bands) or sensor.band_names
    if source.files:
        named = {known_band(sensor, band, "files"): located(path, storage) for band, path in source.files.items()}
        return [_scene(source, sensor, _Found(source.scene_id or Path(min(named.values())).stem, None, named))]
    href = located(str(source.href), storage)
    masks = () if source.bands or "{band}" not in href else sensor.mask_names  # theirs are files beside the bands'
    found = _matching(href, bands, masks) if _is_pattern(str(source.href)) else [_one(href, bands, masks)]
    if not found:
        raise InputError(f"{source.href}: no file matches; fetch the images or correct scenes.sources")
    if len(found) > 1 and source.scene_id:
        raise InputError(f"{source.href}: {len(found)} images cannot all be called {source.scene_id}; leave scene_id out")
    return [_scene(source, sensor, each) for each in found]


def located(path: str, storage: Path) -> str:
    """A declared path, absolute, or an address as it is; `{storage}` stands for the place's folder. Raises InputError."""
    try:
        address = address_of(path)
    except ReadError as error:
        raise InputError(f"{error}; correct scenes.sources") from None
    if address.is_remote:
        return without_secrets(path)
    ending = "/" if path.endswith("/") else ""
    return str(Path(address.path.replace(STORAGE, str(storage))).absolute()) + ending


def known_band(sensor: Sensor, name: str, where: str) -> str:
    """The sensor's own name of a band; raises InputError."""
    band = sensor.band_called(name)
    if band is None:
        raise InputError(f"{where}: sensor {sensor.name} has no band {name}; it has {', '.join(sensor.band_names)}")
    return band


def fixed_folder(path: str) -> str:
    """The folder of a path or pattern that every file it stands for lies under."""
    fixed = re.split(r"[{*?\[]", path, maxsplit=1)[0]
    return fixed if fixed.endswith("/") else str(Path(fixed).parent)


def files_like(pattern: str) -> list[str]:
    """The local files that a path or a pattern with * names, by name."""
    folder = fixed_folder(pattern)
    return sorted(str(file) for file in Path(folder).glob(pattern[len(folder.rstrip("/")) + 1 :]))


def _is_pattern(href: str) -> bool:
    return "{date}" in href or "*" in href or href.endswith("/")


def _one(href: str, bands: tuple[str, ...], masks: tuple[str, ...]) -> _Found:
    address = address_of(href)
    there = () if address.is_remote else (mask for mask in masks if Path(address.path.replace("{band}", mask)).is_file())
    return _Found(Path(address.path).stem.replace("{band}", ""), None, {band: href.replace("{band}", band) for band in (*bands, *there)})


def _matching(pattern: str, bands: tuple[str, ...], masks: tuple[str, ...]) -> list[_Found]:
    if address_of(pattern).is_remote:
        raise InputError(f"{pattern}: a folder on the web or in a bucket cannot be listed; use a STAC catalog, or name one file")
    patterns = [f"{pattern}{name}" for name in IMAGE_NAMES] if pattern.endswith("/") else [pattern]
    found: dict[tuple[str, dt.date | None], dict[str, str]] = {}
    for each in patterns:
        expression = _expression(each)
        for path in files_like(re.sub(r"\{(band|date)\}", "*", each)):
            match = expression.fullmatch(path)
            band = match.groupdict().get("band") if match else None
            if match is None or (band is not None and band not in (*bands, *masks)):
                continue
            text = match.groupdict().get("date")
            stem = Path(path[: match.start("band")] + path[match.end("band") :] if band else path).stem
            stem = stem if text is None or text in stem else f"{text}_{stem}"
            named = {band: path} if band else dict.fromkeys(bands, path)
            found.setdefault((stem, _date(text, path) if text else None), {}).update(named)
    return [_Found(stem, date, by_band) for (stem, date), by_band in sorted(found.items(), key=lambda pair: pair[0][0])]


def _expression(pattern: str) -> re.Pattern[str]:
    """The pattern as an expression; the first {band} and {date} are kept, others must repeat them."""
    text = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    for name, group in (("band", r"(?P<band>[A-Za-z0-9_]+?)"), ("date", DATE)):
        written = rf"\{{{name}\}}"
        text = text.replace(written, group, 1).replace(written, f"(?P={name})")
    return re.compile(text)


def _date(text: str, path: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{Path(path).name}: {text} is no date; correct the name or the place of {{date}} in href") from None


def _scene(source: Source, sensor: Sensor, found: _Found) -> Scene:
    date = found.date or source.datetime
    if date is None:
        raise InputError(f"{source.href}: give its acquisition date as `datetime`")
    apart = len(set(found.by_band.values())) == len(found.by_band) and (bool(source.files) or "{band}" in str(source.href))
    return Scene(
        scene_id=source.scene_id or found.stem.rstrip("_-. "),
        sensor=sensor.name,
        datetime=dt.datetime.combine(date, dt.time(), dt.UTC),
        hrefs=found.by_band,
        band_indexes={band: 1 if apart else number for number, band in enumerate(found.by_band, 1)},
        nodata=source.nodata,
        baseline=source.baseline,
        licence=source.licence,
        attribution=source.attribution,
    )
