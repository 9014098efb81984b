"""Sentinel-1 and Sentinel-2."""

from dataclasses import replace

from conf.instruments import SENTINEL1, SENTINEL2
from conf.sensor import OFFSET_DATE, Band, Mask, Sensor

_SENTINEL2 = (
    Band("B01", 60, "coastal", (0.433, 0.453)),
    Band("B02", 10, "blue", (0.459, 0.525)),
    Band("B03", 10, "green", (0.542, 0.578)),
    Band("B04", 10, "red", (0.649, 0.680)),
    Band("B05", 20, "rededge1", (0.697, 0.712)),
    Band("B06", 20, "rededge2", (0.733, 0.748)),
    Band("B07", 20, "rededge3", (0.773, 0.793)),
    Band("B08", 10, "nir", (0.780, 0.886)),
    Band("B8A", 20, "nir08", (0.854, 0.875)),
    Band("B09", 60, "nir09", (0.935, 0.955)),
    Band("B10", 60, "cirrus", (1.358, 1.389)),
    Band("B11", 20, "swir1", (1.568, 1.659), aliases=("swir16",)),
    Band("B12", 20, "swir2", (2.115, 2.290), aliases=("swir22",)),
)
_SENTINEL2_L2A = tuple(band for band in _SENTINEL2 if band.name != "B10")
# Scene classes: 2 dark, 4 vegetation, 5 bare, 6 water, 7 unclassified; not clear: 0, 1, 3 shadow, 8-10 cloud, 11 snow, for what lies
# under it is not seen.
_SCL = Mask("SCL", clear=frozenset({2, 4, 5, 6, 7}), water=frozenset({6}))

_SENTINEL1 = Sensor(
    "sentinel1_grd", (Band("VV", 10, "vv"), Band("VH", 10, "vh")), "decibel", "float32", 1.0,
    "ESA Sentinel-1 Product Definition; backscatter in dB: land and sea lie between -50 and +30", low=-50, high=30,
    instrument=SENTINEL1,
)  # fmt: skip
_LINEAR = replace(
    _SENTINEL1, name="sentinel1_linear", values="power", low=1e-5, high=1000, nodata=0,
    source="ESA Sentinel-1 Product Definition; backscatter as linear power, the same range as in dB; 0 is no data",
)  # fmt: skip

ESA = (
    Sensor(
        "sentinel2_l2a", _SENTINEL2_L2A, "reflectance", "uint16", 1e-4,
        "ESA Sentinel-2 Products Specification: quantification 10000, BOA_ADD_OFFSET -1000 from baseline 04.00, scene classes; "
        "wavelengths of Sentinel-2A",
        high=20000, nodata=0, offset_since="04.00", offset_certain=OFFSET_DATE, late_offset=-0.1, masks=(_SCL,), instrument=SENTINEL2,
    ),
    Sensor(
        "sentinel2_l1c", _SENTINEL2, "reflectance", "uint16", 1e-4,
        "ESA Sentinel-2 Products Specification: quantification 10000, RADIO_ADD_OFFSET -1000 from baseline 04.00",
        high=28000, nodata=0, offset_since="04.00", offset_certain=OFFSET_DATE, late_offset=-0.1, instrument=SENTINEL2,
    ),
    _SENTINEL1,
    _LINEAR,
    replace(
        _LINEAR, name="sentinel1_linear_db", values="decibel", in_decibel=True,
        source=f"{_LINEAR.source}; read as 10 log10 of it, sampled before the logarithm",
    ),
)  # fmt: skip
