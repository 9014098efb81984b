"""Landsat 5, 7, 8 and 9. Collection 2 Level-2 carries its scale; Level-1 needs its MTL file, or is stretched."""

from dataclasses import replace

from conf.instruments import LANDSAT5_TM, LANDSAT7_ETM, LANDSAT8_OLI, Instrument
from conf.sensor import Band, Mask, Sensor


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


# QA_PIXEL: 0 fill, 1 dilated cloud, 2 cirrus (Landsat 8 and 9), 3 cloud, 4 cloud shadow, 5 snow, 6 clear, 7 water.
# What lies under snow is not seen.
_QA_PIXEL = Mask("QA_PIXEL", "uint16", bits=_bits(0, 1, 2, 3, 4, 5), water_bits=_bits(7))
_QA_PIXEL_TM = replace(_QA_PIXEL, bits=_bits(0, 1, 3, 4, 5))
# QA_RADSAT: a bit for each saturated band, 9 dropped pixel (Landsat 5 and 7), 11 hidden by terrain (8 and 9).
_QA_RADSAT = Mask("QA_RADSAT", "uint16", bits=_bits(0, 1, 2, 3, 4, 5, 6, 8, 11))
_QA_RADSAT_TM = replace(_QA_RADSAT, bits=_bits(0, 1, 2, 3, 4, 6, 9))
# BQA of Collection 1: 0 fill, 1 dropped or hidden, 4 cloud; of two-bit confidences the upper bit is medium or high: 8 shadow, 10 snow,
# 12 cirrus.
_BQA = Mask("BQA", "uint16", bits=_bits(0, 1, 4, 8, 10, 12), instead_of=("QA_PIXEL", "QA_RADSAT"))
_BQA_TM = replace(_BQA, bits=_bits(0, 1, 4, 8, 10))

_BLUE_TO_NIR = (
    Band("B1", 30, "blue", (0.45, 0.52)),
    Band("B2", 30, "green", (0.52, 0.60)),
    Band("B3", 30, "red", (0.63, 0.69)),
    Band("B4", 30, "nir", (0.76, 0.90), aliases=("nir08",)),
)
_TM = (
    *_BLUE_TO_NIR,
    Band("B5", 30, "swir1", (1.55, 1.75), aliases=("swir16",)),
    Band("B7", 30, "swir2", (2.08, 2.35), aliases=("swir22",)),
)
_TM_THERMAL = Band("B6", 30, "thermal", (10.40, 12.50), aliases=("lwir",))
_OLI = (
    Band("B1", 30, "coastal", (0.43, 0.45)),
    Band("B2", 30, "blue", (0.45, 0.51)),
    Band("B3", 30, "green", (0.53, 0.59)),
    Band("B4", 30, "red", (0.64, 0.67)),
    Band("B5", 30, "nir", (0.85, 0.88), aliases=("nir08",)),
    Band("B6", 30, "swir1", (1.57, 1.65), aliases=("swir16",)),
    Band("B7", 30, "swir2", (2.11, 2.29), aliases=("swir22",)),
)
_OLI_THERMAL = Band("B10", 30, "thermal", (10.60, 11.19), aliases=("lwir11",))
_OLI_MORE = (
    Band("B8", 15, "pan", (0.50, 0.68)),
    Band("B9", 30, "cirrus", (1.36, 1.38)),
    _OLI_THERMAL,
    Band("B11", 30, "thermal2", (11.50, 12.51), aliases=("lwir12",)),
)
_ETM_MORE = (
    replace(_TM_THERMAL, name="B6_VCID_1"),
    replace(_TM_THERMAL, name="B6_VCID_2", common="thermal_high_gain", aliases=()),
    Band("B8", 15, "pan", (0.52, 0.90)),
)
_C2L2 = (
    "USGS Collection 2 Level-2 Science Product Guides: reflectance DN * 0.0000275 - 0.2, temperature DN * 0.00341802 + 149 K, "
    "fill 0, QA_PIXEL and QA_RADSAT bits; plausible: reflectance -0.05 to 1.6, 200 to 359 K; B6, B10 resampled to 30 m"
)
_L1 = "USGS Collection 2 Level-1 Data Format Control Books: M * DN + A of each scene's MTL file, over the sine of the sun's elevation"
_KELVIN = {"values": "kelvin", "scale": 0.00341802, "offset": 149.0, "low": 14921, "high": 61440}


def _level2(name: str, bands: tuple[Band, ...], thermal: Band, masks: tuple[Mask, ...], instrument: Instrument) -> Sensor:
    reflective = tuple(replace(band, name=f"SR_{band.name}") for band in bands)
    temperature = replace(thermal, name=f"ST_{thermal.name}", **_KELVIN)  # type: ignore[arg-type]
    return Sensor(
        name, (*reflective, temperature), "reflectance", "uint16", 2.75e-5, _C2L2, constant=-0.2, low=5455, high=65455, nodata=0,
        masks=masks, instrument=instrument,
    )  # fmt: skip


def _level1(name: str, bands: tuple[Band, ...], dtype: str, masks: tuple[Mask, ...], instrument: Instrument) -> Sensor:
    """Thermal bands are radiance: brightness temperature is not linear in DN, see udfs/landsat_metadata.py."""
    read = tuple(replace(band, values="radiance") if band.common.startswith("thermal") else band for band in bands)
    high = 255 if dtype == "uint8" else 65535
    return Sensor(name, read, "reflectance", dtype, None, _L1, low=1, high=high, nodata=0, masks=masks, instrument=instrument)


def _stretched(level1: Sensor, name: str) -> Sensor:
    source = "USGS Level-1 DN without their MTL file: the scene's percentiles stand in"
    bands = tuple(replace(band, values=None) for band in level1.bands)
    return replace(level1, name=name, bands=bands, values="stretched", scale=1.0, source=source)


_TM_MASKS = (_QA_PIXEL_TM, _BQA_TM, _QA_RADSAT_TM)
_OLI_MASKS = (_QA_PIXEL, _BQA, _QA_RADSAT)
_TM_L1 = _level1("landsat5_l1", (*_TM, _TM_THERMAL), "uint8", _TM_MASKS, LANDSAT5_TM)
_OLI_L1 = _level1("landsat8_l1", (*_OLI, *_OLI_MORE), "uint16", _OLI_MASKS, LANDSAT8_OLI)

LANDSAT = (
    _level2("landsat5_l2", _TM, _TM_THERMAL, (_QA_PIXEL_TM, _QA_RADSAT_TM), LANDSAT5_TM),
    _level2("landsat7_l2", _TM, _TM_THERMAL, (_QA_PIXEL_TM, _QA_RADSAT_TM), LANDSAT7_ETM),
    _level2("landsat8_l2", _OLI, _OLI_THERMAL, (_QA_PIXEL, _QA_RADSAT), LANDSAT8_OLI),
    _TM_L1,
    _level1("landsat7_l1", (*_TM, *_ETM_MORE), "uint8", _TM_MASKS, LANDSAT7_ETM),
    _OLI_L1,
    _stretched(_TM_L1, "landsat5_dn"),
    Sensor(
        "landsat7_dn",
        (Band("blue", 30, "blue"), Band("green", 30, "green"), Band("red", 30, "red"),
         Band("nir", 30, "nir"), Band("swir1", 30, "swir1"), Band("swir2", 30, "swir2")),
        "stretched", "uint8", 1.0, "USGS Landsat 7 Data Users Handbook: 8-bit DN, bands 1-5 and 7", nodata=0, nodata_in="all",
        instrument=LANDSAT7_ETM,
    ),
    _stretched(_OLI_L1, "landsat8_dn"),
    Sensor(
        "landsat_stretched",
        (Band("swir1", 30, "swir1"), Band("nir", 30, "nir"), Band("red", 30, "red"), Band("green", 30, "green")),
        "stretched", "uint8", 1.0, "composites stretched for display: no calibration survives, the scene's percentiles stand in",
        nodata=0, nodata_in="all",
    ),
)  # fmt: skip
