"""What DN mean: physical values, clear ground, water, and whether they can be what a sensor gives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.sensors import Linear, Mask, Sensor

Values = NDArray[np.float32]
MOST = 0.5
"""Share of pixels that must be implausible before a declaration counts as wrong: clouds, glint and dark water never are so many."""
FEW = 0.01
STRIPE = 64
"""Rows that go through all steps together: of a tile they stay in a core's cache."""


def scaled(dn: NDArray[Any], linear: Linear, in_decibel: bool, out: Values | None = None) -> Values:
    """DN * scale + offset, float32, of any shape; with `in_decibel` 10 log10 of that, NaN where it is not above 0.

    DN are of a type that float32 holds exactly. Written into `out` where given.
    """
    values: Values = np.empty(dn.shape, np.float32) if out is None else out
    for top in range(0, len(dn), STRIPE):
        part = values[top : top + STRIPE]
        part[...] = dn[top : top + STRIPE]
        part *= np.float32(linear[0])
        part += np.float32(linear[1])
    if in_decibel:
        values[...] = decibels(values)
    return values


def decibels(power: Values) -> Values:
    """10 log10 of linear power, float32; NaN where power is not above 0. In float64 between, so that no last bit shows."""
    positive = np.where(power > 0, power, np.nan).astype(np.float64)
    return (10 * np.log10(positive)).astype(np.float32)


def is_clear(mask: Mask, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where classes or flags of any shape say clear ground."""
    clear = ~_has_bits(pixels, mask.bits)
    return clear & np.isin(pixels, sorted(mask.clear)) if mask.clear else clear


def is_water(mask: Mask, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where classes or flags of any shape say clear water; nowhere, of a mask that does not tell water."""
    water = np.isin(pixels, sorted(mask.water)) | _has_bits(pixels, mask.water_bits)
    return np.asarray(water & is_clear(mask, pixels), bool)


def _has_bits(pixels: NDArray[Any], bits: int) -> NDArray[np.bool_]:
    return np.asarray((pixels.astype(np.int64) & bits) != 0, bool)


def range_fault(sensor: Sensor, band: str, sample: NDArray[Any], linear: Linear | None = None) -> str | None:
    """Why these DN cannot be the band's, expected against found, in one line; None: they can, or there are none.

    `linear` is the scene's own calibration. Of stretched bands any DN can be: a stretch fits every range.
    """
    dn = _with_data(sample, sensor.nodata_of(band))
    if dn.size == 0 or sensor.values_of(band) == "stretched":
        return None
    limits = sensor.limits(band, linear)
    why = _implausible(dn, sensor, band, limits, linear)
    low, middle, high = np.percentile(dn, [1, 50, 99])
    found = f"found {low:.6g} to {high:.6g}, median {middle:.6g}"
    expected = f"{sensor.name} expects DN {limits[0]:.6g} to {limits[1]:.6g}"
    return f"band {band}: {why}: {expected}, {found}; name the sensor that fits or convert the file" if why else None


def _with_data(sample: NDArray[Any], nodata: float | None) -> NDArray[Any]:
    kept: NDArray[Any] = np.asarray(sample)[np.isfinite(sample)]
    return kept if nodata is None else np.asarray(kept[kept != nodata])


def _implausible(dn: NDArray[Any], sensor: Sensor, band: str, limits: tuple[float, float], linear: Linear | None) -> str | None:
    low, high = limits
    whole = np.dtype(sensor.dtype_of(band)).kind in "iu"
    if whole and (dn % 1 != 0).mean() > MOST:
        return "fractions where DN are whole numbers"
    if ((dn < low) | (dn > high)).mean() > MOST:
        return "most pixels lie outside the range"
    if sensor.values_of(band) == "decibel" and not sensor.in_decibel and (dn < 0).mean() < FEW:
        return "no pixel is below 0 dB, as in linear power"
    if whole and linear is None and sensor.values_of(band) == "reflectance" and np.percentile(dn, 99) <= 1:
        return "nothing above 1, as in reflectance that is not scaled"
    return None
