"""A scene: what its files' headers say. Reads headers, and few pixels where a sensor has no calibration."""

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from rasterio.windows import Window

from conf.errors import InputError, ReadError
from conf.sensors import SENSORS, Sensor
from conf.settings import digest
from udfs.addresses import address_of
from udfs.images import Opener, gdal, is_georeferenced
from udfs.lonlat import lonlat_polygons
from udfs.retrying import retried
from udfs.sensor_values import range_fault
from udfs.versions import content_digest, recorded_version

SAMPLE_PX = 128
"""Side of the middle of an image, of which it is seen whether its values can be the sensor's."""
STRETCH_PIXELS = 4_000_000
"""Percentiles come from at most about this many pixels of a scene."""


@dataclass(frozen=True)
class Scene:
    """A row of `scenes`. `transform` a-f, `width`, `height` are the finest band's; `footprint` WKB, EPSG:4326.

    The footprint is that of the whole raster, but for a broken one: there it is its catalog's."""

    scene_id: str
    sensor: str
    datetime: dt.datetime
    hrefs: dict[str, str]
    band_indexes: dict[str, int]
    crs: str = ""
    transform: tuple[float, ...] = ()
    width: int = 0
    height: int = 0
    nodata: float | None = None
    stretch: dict[str, list[float]] | None = None
    calibration: dict[str, list[float]] | None = None
    cloud: float | None = None
    baseline: str | None = None
    footprint: bytes = b""
    licence: str | None = None
    attribution: str | None = None
    content_digest: str = ""
    versions: dict[str, str] = field(default_factory=dict, compare=False)
    fault: str | None = field(default=None, compare=False)
    """Why the headers could not be read; such a scene fails again when its pixels are asked for."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the scene's CRS."""
        a, _, c, _, e, f = self.transform
        return c, f + e * self.height, c + a * self.width, f

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.hrefs.values())))


def inspected(scene: Scene, opener: Opener) -> Scene:
    """`scene` with what its headers say. Raises InputError where the declaration is wrong, sets `fault` where a file is broken."""
    _refuse_missing(scene)
    refuse_unknown_values(scene)
    contents: dict[str, str] = {}
    try:
        contents, _ = retried(lambda: {href: content_digest(Path(href)) for href in scene.files if not address_of(href).is_remote})
        found, _ = retried(lambda: _with_headers(scene, opener))
    except ReadError as error:
        found = replace(scene, fault=f"{error.kind}: {error}")
    versions = {**found.versions, **{href: recorded_version(href, content) for href, content in contents.items()}}
    return replace(found, versions=versions, content_digest=_scene_digest(found, {**found.versions, **contents}))


def is_remote(scene: Scene) -> bool:
    """Whether any of its files lies elsewhere than on a disk of this machine."""
    return any(address_of(href).is_remote for href in scene.files)


def _refuse_missing(scene: Scene) -> None:
    for href in scene.files:
        if not address_of(href).is_remote and not Path(href).is_file():
            raise InputError(
                f"scene {scene.scene_id}: no file {Path(href).name} in {Path(href).parent}; fetch it or correct the place's sources"
            )


def refuse_unknown_values(scene: Scene) -> None:
    """Raises InputError where scale or offset depend on what is not known: a baseline, or the scene's own metadata."""
    if fault := SENSORS[scene.sensor].calibration_fault(scene.hrefs, scene.calibration):
        raise InputError(f"scene {scene.scene_id}: {fault}")
    unknown = SENSORS[scene.sensor].baseline_fault(scene.baseline, scene.datetime.date())
    measured = set(scene.hrefs) - set(SENSORS[scene.sensor].mask_names)
    if unknown and not measured <= set(scene.calibration or {}):
        raise InputError(f"scene {scene.scene_id}: {unknown}; give it as `baseline`, like 05.10 (that of unshifted values is 03.01)")


def described(scene: Scene) -> Scene:
    """A scene whose catalog tells what its headers would, without opening it: with footprint and digest."""
    refuse_unknown_values(scene)
    known = replace(scene, nodata=SENSORS[scene.sensor].nodata if scene.nodata is None else scene.nodata, footprint=footprint(scene))
    return replace(known, content_digest=_scene_digest(known, known.versions))


def _with_headers(scene: Scene, opener: Opener) -> Scene:
    with gdal():
        known = _on_its_grid(scene, opener)
        stretch = _stretch(known, opener) if SENSORS[scene.sensor].values == "stretched" else None
    # A catalog's outline may be smaller than what is read: tiles would then show what happens to lie in them.
    return replace(known, footprint=footprint(known), stretch=stretch)


def _on_its_grid(scene: Scene, opener: Opener) -> Scene:
    sensor = SENSORS[scene.sensor]
    finest: Any = None
    nodata, versions = scene.nodata, {}
    for band in sorted(scene.hrefs):
        with opener.open(scene.hrefs[band]) as dataset:
            _check_band(scene, band, dataset, sensor)
            if dataset.version:
                versions[scene.hrefs[band]] = dataset.version
            if band in sensor.mask_names:
                continue
            _check_range(scene, band, dataset, sensor)
            nodata = dataset.nodata if dataset.nodata is not None else nodata
            if finest is None or dataset.width > finest[1]:
                finest = (dataset.crs, dataset.width, dataset.height, dataset.transform)
            if dataset.crs != finest[0]:
                raise ReadError("georeference", f"{dataset.title}: its CRS is not that of the other bands; warp it to theirs")
    if finest is None:
        raise InputError(f"scene {scene.scene_id}: no band of sensor {sensor.name}; it has {', '.join(sensor.band_names)}")
    crs, width, height, transform = finest
    nodata = sensor.nodata if nodata is None else nodata
    grid = {"crs": crs_text(crs), "transform": tuple(transform)[:6], "width": width, "height": height}
    return replace(scene, **grid, nodata=nodata, versions=versions)


def _check_band(scene: Scene, band: str, dataset: Any, sensor: Sensor) -> None:
    name = f"scene {scene.scene_id}, {dataset.title}"
    if scene.band_indexes[band] > dataset.count:
        raise InputError(
            f"{name}: band {band} is missing, the file has {dataset.count} of {len(scene.band_indexes)} bands; correct `bands`"
        )
    named = sensor.band_called(str(dataset.descriptions[scene.band_indexes[band] - 1] or ""))
    if named is not None and named != band:
        raise InputError(f"{name}: band {scene.band_indexes[band]} calls itself {named}, and is declared as {band}; correct `bands`")
    if fault := sensor.dtype_fault(band, dataset.dtypes[scene.band_indexes[band] - 1]):
        raise InputError(f"{name}: {fault}")
    if not is_georeferenced(dataset):
        found = "no CRS" if dataset.crs is None else f"transform {tuple(dataset.transform)[:6]}"
        raise ReadError("georeference", f"{dataset.title}: {found}; give it a CRS and north up, e.g. with gdalwarp")


def _check_range(scene: Scene, band: str, dataset: Any, sensor: Sensor) -> None:
    """Raises InputError when the pixels in the middle cannot be the sensor's. Pixels that cannot be read are for the tiles to tell."""
    height, width = (min(side, SAMPLE_PX) for side in (dataset.height, dataset.width))
    window = Window((dataset.width - width) // 2, (dataset.height - height) // 2, width, height)
    try:
        sample = dataset.pixels(scene.band_indexes[band], window)
    except ReadError:
        return
    own = sensor.linear(band, scene.baseline, scene.calibration) if scene.calibration else None
    if fault := range_fault(sensor, band, sample[~dataset.absent(scene.band_indexes[band], window)], own):
        raise InputError(f"scene {scene.scene_id}, {dataset.title}: {fault}")


def check_as_planned(dataset: Any, scene: Scene, band: str) -> None:
    """Raises ReadError where a file is not what the scene says of it: a catalog may be wrong, and is believed when planning."""
    name, index = dataset.title, scene.band_indexes[band]
    if not is_georeferenced(dataset):
        raise ReadError("georeference", f"{name}: no CRS or not north up")
    if index > dataset.count:
        raise ReadError("missing_band", f"{name} has {dataset.count} bands, {band} should be number {index}")
    if fault := SENSORS[scene.sensor].dtype_fault(band, dataset.dtypes[index - 1]):
        raise ReadError("profile", f"{name}: {fault}")
    if not same_crs(crs_text(dataset.crs), scene.crs):
        raise ReadError("georeference", f"{name}: its CRS is {crs_text(dataset.crs)[:40]}, planned with {scene.crs[:40]}; run scenes again")
    if scene.hrefs[band] in scene.versions:  # its header was looked at when it was planned
        return
    off = max(abs(found - planned) for found, planned in zip(dataset.bounds, scene.bounds, strict=True))
    if off > 2 * max(dataset.transform.a, scene.transform[0]):
        raise ReadError("georeference", f"{name}: it lies {off:g} units of its CRS from where it was planned; run scenes again")


def crs_text(crs: Any) -> str:
    """EPSG code or WKT2 of a rasterio CRS."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def footprint(scene: Scene) -> bytes:
    """Outline of the finest band, WKB, EPSG:4326; edges get a vertex each sixteenth so that curved ones keep their shape."""
    west, south, east, north = scene.bounds
    box = shapely.segmentize(shapely.box(west, south, east, north), max(east - west, north - south) / 16)
    to_degrees = Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(*shapely.get_coordinates(box).T)
    return bytes(shapely.to_wkb(lonlat_polygons(lon[None], lat[None])[0]))


def ground_resolution(scene: Scene) -> float:
    """Geodesic height of the scene's middle pixel, metres."""
    a, _, c, _, e, f = scene.transform
    x, y = c + a * scene.width / 2, f + e * scene.height / 2
    to_degrees = Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
    (lon0, lon1), (lat0, lat1) = to_degrees.transform([x, x], [y, y + e])
    return float(abs(Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)[2]))


def _stretch(scene: Scene, opener: Opener) -> dict[str, list[float]] | None:
    """Band to its 2nd and 98th percentile over pixels with data. None where pixels cannot be read: the tiles tell then."""
    measured = sorted(set(scene.hrefs) - set(SENSORS[scene.sensor].mask_names))
    try:
        bands, _ = retried(lambda: {band: _thinned(scene, band, opener) for band in measured})
    except ReadError:
        return None
    kept = _without_empty(list(bands.values()), scene)
    if any(values.size == 0 for values in kept):
        return None
    return {band: [float(value) for value in np.percentile(values, [2, 98])] for band, values in zip(bands, kept, strict=True)}


def _without_empty(bands: list[NDArray[Any]], scene: Scene) -> list[NDArray[Any]]:
    """Pixels with data: bands of one size are empty where all hold the nodata value, of other sizes each for itself."""
    if scene.nodata is None:
        return bands
    if len({values.shape for values in bands}) == 1:
        empty = np.all([values == scene.nodata for values in bands], axis=0)
        return [values[~empty] for values in bands]
    return [values[values != scene.nodata] for values in bands]


def _thinned(scene: Scene, band: str, opener: Opener) -> NDArray[Any]:
    """Every n-th pixel of every n-th row, read by strips."""
    with opener.open(scene.hrefs[band]) as dataset:
        step = max(1, round((dataset.width * dataset.height / STRETCH_PIXELS) ** 0.5))
        strips = []
        for top in range(0, dataset.height, step * 256):
            window = Window(0, top, dataset.width, min(step * 256, dataset.height - top))
            strips.append(dataset.pixels(scene.band_indexes[band], window)[::step, ::step])
    return np.concatenate(strips)


def _told(scene: Scene, href: str, contents: dict[str, str]) -> list[Any]:
    """A file's name and content; of one whose content was not looked at its whole address and grid."""
    address = address_of(href)
    if href in contents:
        return [address.name, contents[href]]
    if not address.is_remote:
        return [address.name, None]
    return [f"{address.scheme}://{address.host}{address.path}", [scene.crs, list(scene.transform), scene.width, scene.height]]


def _scene_digest(scene: Scene, contents: dict[str, str]) -> str:
    """sha256 over all that decides pixel values: the files' `contents` and what is declared. The same wherever the folder lies.

    What could not be read counts too, so that a scene that can be read again is not taken for the one that could not.
    """
    bands = [[band, scene.band_indexes[band], *_told(scene, href, contents)] for band, href in sorted(scene.hrefs.items())]
    missed = [scene.fault and scene.fault.partition(": ")[0], scene.stretch is None]
    stated = [[scene.calibration, scene.cloud]] if scene.calibration or scene.cloud is not None else []  # cloud weighs in clear_mean
    return digest([scene.sensor, scene.datetime, scene.nodata, scene.baseline, bands, missed, *stated])


def same_crs(one: str, other: str) -> bool:
    """Whether two CRS texts mean the same, whatever the spelling."""
    return one == other or CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True)
