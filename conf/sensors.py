"""Sensors as data: bands, calibration, what is no data. A new sensor is one more entry here and nothing else."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from conf.errors import InputError

Values = Literal["reflectance", "rgb", "stretched", "decibel"]
BASELINE = re.compile(r"[Nn]?(\d\d?)(?:\.|(?=\d\d$))(\d\d?)")
OFFSET_DATE = dt.date(2022, 1, 25)
"""ESA: baseline 04.00, the first with the offset, entered operations on this day."""


@dataclass(frozen=True)
class Band:
    """`gsd` in metres as delivered; `common` is the name shared by sensors that see the same colour."""

    name: str
    gsd: float
    common: str


@dataclass(frozen=True)
class Sensor:
    """Physical value = DN * scale + offset; where `values` is "stretched": (DN - p2) / (p98 - p2) of the scene's own percentiles."""

    name: str
    bands: tuple[Band, ...]
    values: Values
    dtype: str
    scale: float
    source: str
    """Where the numbers come from."""
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
    classes: str | None = None
    """Band of pixel classes."""
    clear: frozenset[int] = frozenset()
    """Its values that stand for clear ground."""

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the measured bands."""
        return tuple(band.name for band in self.bands)

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

    def band_called(self, name: str) -> str | None:
        """The name of a band given its own or its common name, in any case; None: the sensor has no such band."""
        wanted = name.lower()
        own = (band.name for band in self.bands if band.name.lower() == wanted)
        common = (band.name for band in self.bands if band.common == wanted)
        extra = (band for band in (self.classes,) if band is not None and band.lower() == wanted)
        return next((*own, *common, *extra).__iter__(), None)


def _version(baseline: str) -> tuple[int, int]:
    """`05.10`, `0510` and `N0510` alike; raises InputError."""
    found = BASELINE.fullmatch(baseline)
    if found is None:
        raise InputError(f"processing baseline {baseline!r} is not one; write it like 05.10 as `baseline`")
    return int(found[1]), int(found[2])


_SENTINEL2 = (
    Band("B01", 60, "coastal"), Band("B02", 10, "blue"), Band("B03", 10, "green"), Band("B04", 10, "red"),
    Band("B05", 20, "rededge1"), Band("B06", 20, "rededge2"), Band("B07", 20, "rededge3"), Band("B08", 10, "nir"),
    Band("B8A", 20, "nir08"), Band("B09", 60, "nir09"), Band("B10", 60, "cirrus"), Band("B11", 20, "swir1"), Band("B12", 20, "swir2"),
)  # fmt: skip
_SENTINEL2_L2A = tuple(band for band in _SENTINEL2 if band.name != "B10")

_ALL = (
    Sensor(
        "sentinel2_l2a", _SENTINEL2_L2A, "reflectance", "uint16", 1e-4,
        # Scene classes: 2 dark, 4 vegetation, 5 bare, 6 water, 7 unclassified, 11 snow; not clear: 0, 1, 3 shadow, 8-10 cloud.
        "ESA Sentinel-2 Products Specification: quantification 10000, BOA_ADD_OFFSET -1000 from baseline 04.00, scene classes",
        high=20000, nodata=0, offset_since="04.00", offset_certain=OFFSET_DATE, late_offset=-0.1,
        classes="SCL", clear=frozenset({2, 4, 5, 6, 7, 11}),
    ),
    Sensor(
        "sentinel2_l1c", _SENTINEL2, "reflectance", "uint16", 1e-4,
        "ESA Sentinel-2 Products Specification: quantification 10000, RADIO_ADD_OFFSET -1000 from baseline 04.00",
        high=28000, nodata=0, offset_since="04.00", offset_certain=OFFSET_DATE, late_offset=-0.1,
    ),
    Sensor(
        "sentinel1_grd", (Band("VV", 10, "vv"), Band("VH", 10, "vh")), "decibel", "float32", 1.0,
        "ESA Sentinel-1 Product Definition; backscatter in dB: land and sea lie between -50 and +30", low=-50, high=30,
    ),
    Sensor(
        "landsat7_dn",
        (Band("blue", 30, "blue"), Band("green", 30, "green"), Band("red", 30, "red"),
         Band("nir", 30, "nir"), Band("swir1", 30, "swir1"), Band("swir2", 30, "swir2")),
        "stretched", "uint8", 1.0, "USGS Landsat 7 Data Users Handbook: 8-bit DN, bands 1-5 and 7", nodata=0, nodata_in="all",
    ),
    Sensor(
        "landsat_stretched",
        (Band("swir1", 30, "swir1"), Band("nir", 30, "nir"), Band("red", 30, "red"), Band("green", 30, "green")),
        "stretched", "uint8", 1.0, "composites stretched for display: no calibration survives, the scene's percentiles stand in",
        nodata=0, nodata_in="all",
    ),
    Sensor(
        "rgb", (Band("red", 0.3, "red"), Band("green", 0.3, "green"), Band("blue", 0.3, "blue")),
        "rgb", "uint8", 1 / 255, "8-bit colour of aerial and drone images, 0.1-0.5 m", nodata_in="all",
    ),
)  # fmt: skip

SENSORS = {sensor.name: sensor for sensor in _ALL}
