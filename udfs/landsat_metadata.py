"""A Landsat scene's MTL text: date, sun, files, and what turns its DN into values. Parsing and arithmetic only."""

import datetime as dt
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError
from conf.sensors import Linear

LINE = re.compile(r'^\s*(\w+)\s*=\s*"?([^"\n]*?)"?\s*$', re.MULTILINE)
BAND_FILE = re.compile(r"FILE_NAME_BAND_(\w+)")
QUALITY_FILES = {
    "FILE_NAME_BAND_QUALITY": "BQA",
    "FILE_NAME_QUALITY_L1_PIXEL": "QA_PIXEL",
    "FILE_NAME_QUALITY_L1_RADIOMETRIC_SATURATION": "QA_RADSAT",
}
SOLAR_IRRADIANCE = {
    "LANDSAT_5": {"B1": 1983.0, "B2": 1796.0, "B3": 1536.0, "B4": 1031.0, "B5": 220.0, "B7": 83.44},
    "LANDSAT_7": {"B1": 1997.0, "B2": 1812.0, "B3": 1533.0, "B4": 1039.0, "B5": 230.8, "B7": 84.90, "B8": 1362.0},
}
"""ESUN, W/(m² µm), for files that carry radiance only. Chander, Markham & Helder 2009, RSE 113:893, tables 3 and 4."""
THERMAL = {
    "LANDSAT_5": {"B6": (607.76, 1260.56)},
    "LANDSAT_7": {"B6_VCID_1": (666.09, 1282.71), "B6_VCID_2": (666.09, 1282.71)},
}
"""K1, W/(m² sr µm), and K2, kelvin, for files without. The same, table 7."""

Groups = dict[str, dict[str, str]]


@dataclass(frozen=True)
class LandsatMetadata:
    """What an MTL file says; bands are named as in conf/sensors.py. `level` 1 or 2; `sun_elevation` in degrees."""

    name: str
    spacecraft: str
    level: int
    datetime: dt.datetime
    sun_elevation: float
    sun_distance: float
    """Astronomical units."""
    files: dict[str, str]
    """Band to file name, masks included."""
    reflectance: dict[str, Linear]
    """Level 1: before the sun's elevation is taken out. Level 2: of the surface."""
    radiance: dict[str, Linear]
    """W/(m² sr µm)."""
    temperature: dict[str, Linear]
    """Level 2: of the surface, kelvin."""
    thermal: dict[str, tuple[float, float]]
    """K1 and K2, for `brightness_temperature`."""


def read_landsat_metadata(path: Path) -> LandsatMetadata:
    """The metadata in an MTL text of any collection; raises InputError where it is none or lacks date or sun."""
    try:
        text = path.read_bytes().decode("ascii", errors="replace")
    except OSError as error:
        raise InputError(f"{path.name}: {error.strerror}; fetch the scene's MTL file") from None
    return parsed_metadata(text, path.name)


def parsed_metadata(text: str, name: str) -> LandsatMetadata:
    """As `read_landsat_metadata`, of the text of a file called `name`."""
    groups = _groups(text)
    if not groups.keys() & {"L1_METADATA_FILE", "LANDSAT_METADATA_FILE"}:
        raise InputError(f"{name} is no Landsat MTL file; it has neither L1_METADATA_FILE nor LANDSAT_METADATA_FILE")
    level = 2 if "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" in groups else 1
    files = groups.get("PRODUCT_CONTENTS") or groups.get("PRODUCT_METADATA") or {}
    rescaling = groups.get("LEVEL1_RADIOMETRIC_RESCALING") or groups.get("RADIOMETRIC_RESCALING") or {}
    surface = groups.get("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", {})
    spacecraft = _needed(groups, "SPACECRAFT_ID", name)
    moment = _moment(groups, name)
    distance = _found(groups, "EARTH_SUN_DISTANCE")
    return LandsatMetadata(
        name, spacecraft, level, moment, _number(_needed(groups, "SUN_ELEVATION", name), name),
        sun_distance(moment.date()) if distance is None else _number(distance, name),
        _files(files, level),
        _linear(surface if level == 2 else rescaling, "REFLECTANCE", "SR_B" if level == 2 else "B", name),
        _radiance(groups, rescaling, name),
        _linear(groups.get("LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", {}), "TEMPERATURE", "", name),
        _thermal(groups, spacecraft, name),
    )  # fmt: skip


def scene_calibration(metadata: LandsatMetadata) -> dict[str, list[float]]:
    """Band to scale and offset of its DN, for `Scene.calibration`.

    Level 2: surface reflectance and kelvin. Level 1: top-of-atmosphere reflectance (M DN + A) / sin(sun elevation), USGS Landsat 8
    Data Users Handbook, section 5; without M and A pi L d² / (ESUN sin(sun elevation)), Chander 2009; of thermal bands radiance.
    Raises InputError where the sun is not above the horizon.
    """
    if metadata.level == 2:
        return {band: list(linear) for band, linear in {**metadata.reflectance, **metadata.temperature}.items()}
    thermal = {band: list(linear) for band, linear in metadata.radiance.items() if band in metadata.thermal}
    sine = math.sin(math.radians(metadata.sun_elevation))
    if sine <= 0:
        raise InputError(f"{metadata.name}: sun elevation {metadata.sun_elevation}; an image of the night has no reflectance")
    planetary = {band: linear for band, linear in metadata.reflectance.items() if band not in thermal} or _from_radiance(metadata)
    return {**{band: [scale / sine, offset / sine] for band, (scale, offset) in planetary.items()}, **thermal}


def brightness_temperature(radiance: NDArray[np.floating[Any]], k1: float, k2: float) -> NDArray[np.float64]:
    """Kelvin, of any shape: K2 / ln(K1 / L + 1), USGS Landsat 8 Data Users Handbook, section 5. NaN where radiance is not above 0."""
    positive = np.where(radiance > 0, radiance, np.nan).astype(np.float64)
    return np.asarray(k2 / np.log(k1 / positive + 1))


def sun_distance(day: dt.date) -> float:
    """From Earth to Sun in astronomical units, within 0.0003: 1 - 0.01672 cos(0.9856° (day of year - 4))."""
    return 1 - 0.01672 * math.cos(math.radians(0.9856 * (day.timetuple().tm_yday - 4)))


def _groups(text: str) -> Groups:
    """Innermost group to its keys: Level-1 and Level-2 groups use the same keys for different numbers."""
    groups: Groups = {}
    within: list[str] = []
    for key, value in LINE.findall(text):
        if key == "GROUP":
            within.append(value)
            groups.setdefault(value, {})
        elif key == "END_GROUP":
            within = within[:-1]
        elif within:
            groups[within[-1]][key] = value
    return groups


def _found(groups: Groups, key: str) -> str | None:
    return next((group[key] for group in groups.values() if key in group), None)


def _needed(groups: Groups, key: str, name: str) -> str:
    value = _found(groups, key)
    if value is None:
        raise InputError(f"{name} has no {key}; fetch the scene's MTL file again")
    return value


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is no number; fetch the scene's MTL file again") from None


def _moment(groups: Groups, name: str) -> dt.datetime:
    text = f"{_needed(groups, 'DATE_ACQUIRED', name)}T{_needed(groups, 'SCENE_CENTER_TIME', name)}"
    try:
        return dt.datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=dt.UTC)
    except ValueError:
        raise InputError(f"{name}: {text!r} is no date and time; fetch the scene's MTL file again") from None


def _files(group: dict[str, str], level: int) -> dict[str, str]:
    named = {QUALITY_FILES[key]: value for key, value in group.items() if key in QUALITY_FILES}
    for key, value in group.items():
        found = BAND_FILE.fullmatch(key)
        if found is not None and key not in QUALITY_FILES:
            band = found[1] if found[1].startswith("ST_") else ("SR_B" if level == 2 else "B") + found[1]
            named[band] = value
    return named


def _linear(group: dict[str, str], quantity: str, prefix: str, name: str) -> dict[str, Linear]:
    start = f"{quantity}_MULT_BAND_"
    bands = [
        key.removeprefix(start) for key in group if key.startswith(start) and f"{quantity}_ADD_BAND_{key.removeprefix(start)}" in group
    ]
    return {prefix + band: (_number(group[start + band], name), _number(group[f"{quantity}_ADD_BAND_{band}"], name)) for band in bands}


def _radiance(groups: Groups, rescaling: dict[str, str], name: str) -> dict[str, Linear]:
    """From the range where there is one: old files round M to three decimals, 0.4 K of temperature."""
    known = _linear(rescaling, "RADIANCE", "B", name)
    values = groups.get("LEVEL1_MIN_MAX_RADIANCE") or groups.get("MIN_MAX_RADIANCE") or {}
    pixels = groups.get("LEVEL1_MIN_MAX_PIXEL_VALUE") or groups.get("MIN_MAX_PIXEL_VALUE") or {}
    for band in known:
        ends = [f"{end}_BAND_{band[1:]}" for end in ("RADIANCE_MINIMUM", "RADIANCE_MAXIMUM", "QUANTIZE_CAL_MIN", "QUANTIZE_CAL_MAX")]
        if all(key in {**values, **pixels} for key in ends):
            least, most, first, last = (_number({**values, **pixels}[key], name) for key in ends)
            scale = (most - least) / (last - first)
            known[band] = scale, least - scale * first
    return known


def _thermal(groups: Groups, spacecraft: str, name: str) -> dict[str, tuple[float, float]]:
    start = "K1_CONSTANT_BAND_"
    keys = {key.removeprefix(start): group for group in groups.values() for key in group if key.startswith(start)}
    given = {
        f"B{band}": (_number(group[start + band], name), _number(group[f"K2_CONSTANT_BAND_{band}"], name)) for band, group in keys.items()
    }
    return given or THERMAL.get(spacecraft, {})


def _from_radiance(metadata: LandsatMetadata) -> dict[str, Linear]:
    """Reflectance before the sun's elevation is taken out: pi L d² / ESUN."""
    known = SOLAR_IRRADIANCE.get(metadata.spacecraft, {})
    factors = {band: math.pi * metadata.sun_distance**2 / known[band] for band in metadata.radiance if band in known}
    if not factors:
        raise InputError(f"{metadata.name} has neither reflectance nor radiance of a known band; fetch the scene as Collection 2")
    return {band: (metadata.radiance[band][0] * factor, metadata.radiance[band][1] * factor) for band, factor in factors.items()}
