"""Multispectral images of a simulated city: Sentinel-2 Level-2A-like digital numbers and Landsat-like reflectance."""

import datetime as dt
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.simulation.city import City
from udfs.simulation.clouds import plan_sky, scene_classes
from udfs.simulation.land import shares
from udfs.simulation.seeds import Floats, fractal_noise, generator
from udfs.simulation.spectra import BANDS, COVER, COVERS, ROOFS, SEALED, pure_spectra

FINE_BANDS = ("B02", "B03", "B04", "B08")
COARSE_BANDS = ("B05", "B06", "B07", "B8A", "B11", "B12")
FINE_M, COARSE_M = 10.0, 20.0
DN_PER_UNIT, DN_OFFSET = 10_000, 1000
"""Digital number = reflectance * 10000 + 1000, as in Sentinel-2 baselines from 04.00 on; 0 is no data."""
LANDSAT_BANDS = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B8A", "swir1": "B11", "swir2": "B12"}

# Light scattered by the air, as reflectance, in the order of BANDS; with a haze of 1 about that of a Level-1C image.
_PATH = np.array([0.082, 0.056, 0.034, 0.026, 0.021, 0.018, 0.014, 0.010, 0.003, 0.002])
_BUILT_COVERS = [COVER[name] for name in ROOFS] + list(SEALED)


class Sentinel2Image(NamedTuple):
    """`bands`: digital numbers, uint16 (rows, cols), 10 m or 20 m by band, 0 no data. `scl`: scene classes, uint8, 20 m."""

    bands: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]


def render_sentinel2(city: City, when: dt.date, cloud_cover: float = 0.0, swath_edge: bool = False) -> Sentinel2Image:
    """The whole square on a date. `cloud_cover`: share of cloud, 0-1. `swath_edge`: a corner lies outside the swath (no data).
    Row 0 is north; 10 m bands FINE_BANDS, 20 m bands COARSE_BANDS and scl."""
    keys = ("sentinel2", *city.key, when.isoformat())
    clear = _clear_reflectance(city, when, FINE_M, *keys)
    side = clear.shape[1]
    sky = plan_sky((side, side), FINE_M, cloud_cover, city.look, *keys)
    built = shares(city, when.year, FINE_M)
    bands = {}
    seen = np.empty_like(clear)
    for number, band in enumerate(BANDS):
        seen[number] = sky.applied(clear[number])
        image = seen[number] if band in FINE_BANDS else _halved(seen[number])
        bands[band] = _digital(image, generator("noise", band, *keys))
    scl = scene_classes(_halved_all(seen), sky, _halved(built.lit[COVER["metal_bright"]]), *keys)
    if swath_edge:
        _cut_corner(bands, scl, generator("swath", *keys))
    return Sentinel2Image(bands, scl)


def render_landsat(city: City, when: dt.date, gsd: float = 30.0) -> dict[str, Floats]:
    """Cloud-free reflectance (0-1) of LANDSAT_BANDS at a pixel size in metres, float32 (rows, cols), row 0 north."""
    keys = ("landsat", *city.key, when.isoformat(), gsd)
    clear = _clear_reflectance(city, when, gsd, *keys)
    draw = generator("noise", *keys)
    noise = {name: draw.standard_normal(clear.shape[1:], np.float32) * np.float32(0.004) for name in LANDSAT_BANDS}
    return {name: np.clip(clear[BANDS.index(band)] + noise[name], 0, 1) for name, band in LANDSAT_BANDS.items()}


def through_air(ground: Floats, bands: tuple[str, ...], haze: float) -> Floats:
    """Reflectance (bands, height, width) of ground as a satellite sees it through a look's mean `haze`."""
    light = (haze * _PATH[[BANDS.index(band) for band in bands]]).astype(np.float32)
    return ground * np.float32(1 - 0.1 * haze) + light[:, None, None]


def greenness(city: City, when: dt.date) -> float:
    """State of the vegetation, 0 driest to 1 lushest, by the day of the year and the year's own weather."""
    low, high = city.look.greenness
    peak = generator("season", city.look.name).uniform(0, 365)
    season = 0.5 + 0.5 * np.cos(2 * np.pi * (when.timetuple().tm_yday - peak) / 365)
    return float(np.clip(low + (high - low) * season + generator("weather", *city.key, when.isoformat()).normal(0, 0.05), 0, 1))


def _clear_reflectance(city: City, when: dt.date, gsd: float, *keys: object) -> Floats:
    """Reflectance without clouds, float32 (bands, rows, cols)."""
    lit = shares(city, when.year, gsd).lit
    spectra = pure_spectra(city.look, greenness(city, when), *keys).astype(np.float32)
    light = _texture(city, lit.shape[1:], gsd)
    draw = generator("air", *keys)
    gain = np.float32(draw.normal(1.0, 0.03))
    air = (city.look.haze * draw.uniform(0.7, 1.2) * _PATH + draw.normal(0, 0.002)).astype(np.float32)
    through = np.float32(1 - 0.1 * city.look.haze)
    image = np.zeros((len(BANDS), *lit.shape[1:]), np.float32)
    for code in range(len(COVERS)):
        if not lit[code].any():
            continue
        share = lit[code] if code in _BUILT_COVERS or code == COVER["water"] else lit[code] * light
        for band in range(len(BANDS)):
            image[band] += share * spectra[code, band]
    for band in range(len(BANDS)):
        blurred = ndimage.gaussian_filter(image[band], 0.42)
        image[band] = np.maximum(blurred * (gain * through) + air[band], 0.0005)
    return image


@lru_cache(maxsize=1)
def _texture(city: City, shape_yx: tuple[int, ...], gsd: float) -> Floats:
    """Brightness of natural ground: slopes, moisture, growth; lasting, so that a composite of dates keeps it."""
    shape = (shape_yx[0], shape_yx[1])
    slope = fractal_noise(shape, max(900 / gsd, 2), 3, "slope", *city.key)
    grain = fractal_noise(shape, max(80 / gsd, 1), 4, "grain", *city.key)
    return np.asarray((1 + 0.06 * slope + 0.09 * grain).clip(0.6, 1.5), np.float32)


def _halved(image: Floats) -> Floats:
    """Mean of 2 x 2 pixels."""
    rows, cols = image.shape[0] // 2, image.shape[1] // 2
    quads = image[: rows * 2, : cols * 2].reshape(rows, 2, cols, 2)
    return np.asarray((quads[:, 0, :, 0] + quads[:, 0, :, 1] + quads[:, 1, :, 0] + quads[:, 1, :, 1]) * np.float32(0.25))


def _halved_all(images: Floats) -> Floats:
    return np.stack([_halved(image) for image in images])


def _digital(image: Floats, draw: np.random.Generator) -> NDArray[np.uint16]:
    noise = draw.standard_normal(image.shape, np.float32) * (np.float32(0.0012) + np.float32(0.008) * image)
    return np.asarray(np.rint((image + noise) * DN_PER_UNIT + DN_OFFSET).clip(1, 65535), np.uint16)


def _cut_corner(bands: dict[str, NDArray[np.uint16]], scl: NDArray[np.uint8], draw: np.random.Generator) -> None:
    """No data east of a slanting line, in place."""
    foot, slant = draw.uniform(0.6, 0.85), draw.uniform(0.1, 0.25)
    images: list[NDArray[Any]] = [*bands.values(), scl]
    for image in images:
        rows, cols = image.shape
        line = (foot + slant * np.arange(rows) / rows) * cols
        image[np.arange(cols)[None] >= line[:, None]] = 0
