"""What a sensor is: bands, calibration, masks. The sensors themselves are declared in conf/sensors.py."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from conf.errors import InputError
from conf.instruments import Instrument

Values = Literal["reflectance", "radiance", "kelvin", "rgb", "stretched", "decibel", "power"]
"""radiance in W/(m² sr µm); power is backscatter, and decibel 10 log10 of it."""
Linear = tuple[float, float]
"""Scale and offset: value = DN * scale + offset."""
BASELINE = re.compile(r"[Nn]?(\d\d?)(?:\.|(?=\d\d$))(\d\d?)")
OFFSET_DATE = dt.date(2022, 1, 25)
"""ESA: baseline 04.00, the first with the offset, entered operations on this day."""


@dataclass(frozen=True)
class Band:
    """`gsd` in metres as delivered; `common` is the name shared by sensors that see the same colour. What is None is the sensor's."""

    name: str
    gsd: float
    common: str
    wavelength: tuple[float, float] | None = None
    """First and last, micrometres."""
    aliases: tuple[str, ...] = ()
    """Further names that catalogs use."""
    values: Values | None = None
    scale: float | None = None
    offset: float | None = None
    dtype: str | None = None
    low: float | None = None
    high: float | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Mask:
    """A band of pixel classes, or of flags in bits. It counts where a scene has it."""

    band: str
    dtype: str = "uint8"
    clear: frozenset[int] = frozenset()
    """Classes of clear ground; empty: the bits decide alone."""
    bits: int = 0
    """A pixel with any of these bits is not clear."""
    water: frozenset[int] = frozenset()
    water_bits: int = 0
    instead_of: tuple[str, ...] = ()
    """Masks whose work it does, in images that have it."""


@dataclass(frozen=True)
class Sensor:
    """Physical value = DN * scale + offset; where `values` is "stretched": (DN - p2) / (p98 - p2) of the scene's own percentiles.

    A stretch cancels any linear calibration, so a stretched scene's own is not used.
    """

    name: str
    bands: tuple[Band, ...]
    values: Values
    dtype: str
    scale: float | None
    """None: only the scene's metadata know it."""
    source: str
    """Where the numbers come from."""
    constant: float = 0.0
    """Added to the scaled DN, of every image."""
    low: float = 0.0
    """Smallest plausible DN."""
    high: float = 255.0
    """Largest plausible DN."""
    nodata: float | None = None
    """DN of pixels without data where a file declares none."""
    nodata_in: Literal["any", "all"] = "any"
    """A pixel is empty when any, or when all, of the bands read hold the nodata value."""
    offset_since: str | None = None
    """Processing baseline from which `late_offset` is added."""
    offset_certain: dt.date = dt.date.max
    """Acquisition date from which an image may have it, whatever is known: without its baseline it cannot be read."""
    late_offset: float = 0.0
    in_decibel: bool = False
    """The file holds linear power, the value is 10 log10 of it."""
    masks: tuple[Mask, ...] = ()
    instrument: Instrument | None = None
    """What took the image; None: any camera."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the measured bands."""
        return tuple(band.name for band in self.bands)

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Names of the bands that only say which pixels are clear."""
        return tuple(mask.band for mask in self.masks)

    def lacking_masks(self, given: Iterable[str]) -> tuple[str, ...]:
        """Masks that an image with these bands should have besides them: without one clouds would be taken for ground."""
        there = set(given)
        replaced = {band for mask in self.masks if mask.band in there for band in mask.instead_of}
        return tuple(mask.band for mask in self.masks if not mask.instead_of and mask.band not in there | replaced)

    @property
    def classes(self) -> str | None:
        """The first mask's band."""
        return self.mask_names[0] if self.masks else None

    def band(self, name: str) -> Band:
        """A measured band by its own name; raises KeyError."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Band]:
        return {band.name: band for band in self.bands}

    def values_of(self, name: str) -> Values:
        """What a band's values are."""
        return self.band(name).values or self.values

    def dtype_of(self, name: str) -> str:
        """Pixel type of a measured band or of a mask."""
        masks = {mask.band: mask.dtype for mask in self.masks}
        return masks[name] if name in masks else self.band(name).dtype or self.dtype

    def nodata_of(self, name: str) -> float | None:
        """DN of a band's pixels without data where its file declares none."""
        own = self.band(name).nodata
        return self.nodata if own is None else own

    def limits(self, name: str, linear: Linear | None = None) -> tuple[float, float]:
        """Smallest and largest plausible DN of a band; under another calibration those of the same physical values."""
        band, usual = self.band(name), self.linear(name, None)
        low = self.low if band.low is None else band.low
        high = self.high if band.high is None else band.high
        if linear is None or usual is None or linear == usual:
            return low, high
        moved = [(dn * usual[0] + usual[1] - linear[1]) / linear[0] for dn in (low, high)]
        return min(moved), max(moved)

    def linear(self, name: str, baseline: str | None, of_scene: Mapping[str, list[float]] | None = None) -> Linear | None:
        """Scale and offset of a band: the scene's own, else the sensor's for this processing baseline. None: neither is known."""
        if of_scene is not None and name in of_scene:
            scale, offset = of_scene[name]
            return scale, offset
        band = self.band(name)
        known = self.scale if band.scale is None else band.scale
        constant = self.constant if band.offset is None else band.offset
        return None if known is None else (known, constant + self.offset(baseline))

    def offset(self, baseline: str | None) -> float:
        """Added to the scaled DN, for an image of this processing baseline; None: of one that is older than the offset."""
        if self.offset_since is None or baseline is None:
            return 0.0
        return self.late_offset if _version(baseline) >= _version(self.offset_since) else 0.0

    def baseline_fault(self, baseline: str | None, date: dt.date) -> str | None:
        """Why the offset of an image of this date cannot be known, or None."""
        if self.offset_since is None or (baseline is None and date < self.offset_certain):
            return None
        if baseline is None:
            return f"no processing baseline, and from {self.offset_certain} on values may be shifted"
        return None if BASELINE.fullmatch(baseline) else f"processing baseline {baseline!r} is not one"

    def dtype_fault(self, name: str, found: str) -> str | None:
        """Why pixels of this type are not the band's, or None."""
        expected = self.dtype_of(name)
        if found == expected:
            return None
        return f"band {name} is {found}, sensor {self.name} has {expected}; name another sensor or convert the file"

    def calibration_fault(self, names: Iterable[str], of_scene: Mapping[str, list[float]] | None) -> str | None:
        """Why a scene with these bands and this calibration of its own cannot be read to values, or None."""
        measured = [name for name in names if name in self.band_names and self.values_of(name) != "stretched"]
        missing = [name for name in measured if self.linear(name, None, of_scene) is None]
        if missing:
            bands = ", ".join(missing)
            return f"{self.name} is scaled by each scene's metadata, and none are given for {bands}; name the MTL file as `metadata`"
        flat = [name for name in measured if name in (of_scene or {}) and (of_scene or {})[name][0] == 0]
        return f"a scale of 0 for {', '.join(flat)}; correct the scene's calibration" if flat else None

    def band_called(self, name: str) -> str | None:
        """The name of a band given its own, its common name or an alias, in any case; None: the sensor has no such band."""
        wanted = name.lower()
        own = (band.name for band in self.bands if band.name.lower() == wanted)
        common = (band.name for band in self.bands if band.common == wanted)
        alias = (band.name for band in self.bands if wanted in band.aliases)
        extra = (band for band in self.mask_names if band.lower() == wanted)
        return next((*own, *common, *alias, *extra).__iter__(), None)


@lru_cache(maxsize=256)
def _version(baseline: str) -> tuple[int, int]:
    """`05.10`, `0510` and `N0510` alike; raises InputError."""
    found = BASELINE.fullmatch(baseline)
    if found is None:
        raise InputError(f"processing baseline {baseline!r} is not one; write it like 05.10 as `baseline`")
    return int(found[1]), int(found[2])
