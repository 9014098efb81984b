"""A scene: what its files' headers say. Reads headers, and few pixels where a sensor has no calibration."""

import datetime as dt
import hashlib
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
from udfs.images import gdal, is_georeferenced, open_image, read_pixels, retried

HASHED_WHOLE = 256 * 2**20
"""Files up to this size, in bytes, are digested whole; of larger ones both ends and the size."""
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
    cloud: float | None = None
    baseline: str | None = None
    footprint: bytes = b""
    licence: str | None = None
    attribution: str | None = None
    content_digest: str = ""
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


def inspected(scene: Scene) -> Scene:
    """`scene` with what its headers say. Raises InputError where the declaration is wrong, sets `fault` where a file is broken."""
    for path in scene.files:
        if not Path(path).is_file():
            raise InputError(
                f"scene {scene.scene_id}: no file {Path(path).name} in {Path(path).parent}; fetch it or correct the place's sources"
            )
    unknown = SENSORS[scene.sensor].baseline_fault(scene.baseline, scene.datetime.date())
    if unknown:
        raise InputError(f"scene {scene.scene_id}: {unknown}; give it as `baseline`, like 05.10 (that of unshifted values is 03.01)")
    contents: dict[str, str] = {}
    try:
        contents, _ = retried(lambda: {path: _file_digest(Path(path)) for path in scene.files})
        found, _ = retried(lambda: _with_headers(scene))
    except ReadError as error:
        found = replace(scene, fault=f"{error.kind}: {error}")
    return replace(found, content_digest=_scene_digest(found, contents))


def _with_headers(scene: Scene) -> Scene:
    with gdal():
        known = _on_its_grid(scene)
        stretch = _stretch(known) if SENSORS[scene.sensor].values == "stretched" else None
    # A catalog's outline may be smaller than what is read: tiles would then show what happens to lie in them.
    return replace(known, footprint=footprint(known), stretch=stretch)


def _on_its_grid(scene: Scene) -> Scene:
    sensor = SENSORS[scene.sensor]
    finest: Any = None
    nodata = scene.nodata
    for band in sorted(scene.hrefs):
        with open_image(scene.hrefs[band]) as dataset:
            _check_band(scene, band, dataset, sensor)
            if band == sensor.classes:
                continue
            nodata = dataset.nodata if dataset.nodata is not None else nodata
            if finest is None or dataset.width > finest[1]:
                finest = (dataset.crs, dataset.width, dataset.height, dataset.transform)
    if finest is None:
        raise InputError(f"scene {scene.scene_id}: no band of sensor {sensor.name}; it has {', '.join(sensor.band_names)}")
    crs, width, height, transform = finest
    nodata = sensor.nodata if nodata is None else nodata
    return replace(scene, crs=_crs_text(crs), transform=tuple(transform)[:6], width=width, height=height, nodata=nodata)


def _check_band(scene: Scene, band: str, dataset: Any, sensor: Sensor) -> None:
    name = f"scene {scene.scene_id}, {Path(dataset.name).name}"
    if scene.band_indexes[band] > dataset.count:
        raise InputError(
            f"{name}: band {band} is missing, the file has {dataset.count} of {len(scene.band_indexes)} bands; correct `bands`"
        )
    found = dataset.dtypes[scene.band_indexes[band] - 1]
    expected = "uint8" if band == sensor.classes else sensor.dtype
    if found != expected:
        raise InputError(f"{name}: band {band} is {found}, sensor {sensor.name} has {expected}; name another sensor or convert the file")
    if not is_georeferenced(dataset):
        found = "no CRS" if dataset.crs is None else f"transform {tuple(dataset.transform)[:6]}"
        raise ReadError("georeference", f"{Path(dataset.name).name}: {found}; give it a CRS and north up, e.g. with gdalwarp")


def _crs_text(crs: Any) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def footprint(scene: Scene) -> bytes:
    """Outline of the finest band, WKB, EPSG:4326; edges get a vertex each sixteenth so that curved ones keep their shape."""
    west, south, east, north = scene.bounds
    box = shapely.segmentize(shapely.box(west, south, east, north), max(east - west, north - south) / 16)
    to_degrees = Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
    return bytes(shapely.to_wkb(shapely.transform(box, lambda xy: np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1])))))


def ground_resolution(scene: Scene) -> float:
    """Geodesic height of the scene's middle pixel, metres."""
    a, _, c, _, e, f = scene.transform
    x, y = c + a * scene.width / 2, f + e * scene.height / 2
    to_degrees = Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
    (lon0, lon1), (lat0, lat1) = to_degrees.transform([x, x], [y, y + e])
    return float(abs(Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)[2]))


def _stretch(scene: Scene) -> dict[str, list[float]] | None:
    """Band to its 2nd and 98th percentile over pixels with data. None where pixels cannot be read: the tiles tell then."""
    try:
        bands, _ = retried(lambda: {band: _thinned(scene, band) for band in sorted(scene.hrefs)})
    except ReadError:
        return None
    empty = np.all([values == scene.nodata for values in bands.values()], axis=0) if scene.nodata is not None else None
    kept = {band: values if empty is None else values[~empty] for band, values in bands.items()}
    if any(values.size == 0 for values in kept.values()):
        return None
    return {band: [float(value) for value in np.percentile(values, [2, 98])] for band, values in kept.items()}


def _thinned(scene: Scene, band: str) -> NDArray[Any]:
    """Every n-th pixel of every n-th row, read by strips."""
    step = max(1, round((scene.width * scene.height / STRETCH_PIXELS) ** 0.5))
    with open_image(scene.hrefs[band]) as dataset:
        strips = []
        for top in range(0, scene.height, step * 256):
            rows = min(step * 256, scene.height - top)
            window = Window(0, top, scene.width, rows)
            strips.append(read_pixels(dataset, scene.band_indexes[band], window)[::step, ::step])
    return np.concatenate(strips)


def _scene_digest(scene: Scene, contents: dict[str, str]) -> str:
    """sha256 over all that decides pixel values: the files' `contents` and what is declared. The same wherever the folder lies.

    What could not be read counts too, so that a scene that can be read again is not taken for the one that could not.
    """
    bands = [[band, scene.band_indexes[band], Path(path).name, contents.get(path)] for band, path in sorted(scene.hrefs.items())]
    missed = [scene.fault and scene.fault.partition(": ")[0], scene.stretch is None]
    return digest([scene.sensor, scene.datetime, scene.nodata, scene.baseline, bands, missed])


def _file_digest(path: Path) -> str:
    try:
        return _digest_of_bytes(path)
    except OSError as error:
        raise ReadError("read_failed", f"{path.name}: {error.strerror}; check that the file can be read") from None


def _digest_of_bytes(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= HASHED_WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        ends = hashlib.sha256(str(size).encode() + file.read(2**20))
        file.seek(-(2**20), 2)
        ends.update(file.read())
    return ends.hexdigest()


def same_crs(one: str, other: str) -> bool:
    """Whether two CRS texts mean the same, whatever the spelling."""
    return one == other or CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True)
