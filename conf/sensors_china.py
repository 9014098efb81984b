"""GF-1, GF-2, GF-3, ZY-3 and SDGSAT-1."""

from conf import instruments as on
from conf.instruments import Instrument
from conf.sensor import Band, Sensor

_DN10 = {"low": 1, "high": 1023, "nodata": 0}
"""10 bits."""


def _colours(gsd: float) -> tuple[Band, ...]:
    return (
        Band("blue", gsd, "blue", (0.45, 0.52)),
        Band("green", gsd, "green", (0.52, 0.59)),
        Band("red", gsd, "red", (0.63, 0.69)),
        Band("nir", gsd, "nir", (0.77, 0.89)),
    )


def _optical(name: str, bands: tuple[Band, ...], source: str, instrument: Instrument) -> Sensor:
    """DN: the coefficients that CRESDA gives each year are linear, and a stretch cancels them."""
    return Sensor(name, bands, "stretched", "uint16", 1.0, source, **_DN10, instrument=instrument)  # type: ignore[arg-type]


def _radar(instrument: Instrument, gsd: float, polarisations: tuple[str, ...]) -> Sensor:
    bands = tuple(Band(name, gsd, name.lower()) for name in polarisations)
    source = (
        "Chen 2022, doi 10.34133/2022/9769536, table 4: resolution and polarisations; sigma nought in dB, calibrated by the product's "
        "own QualifyValue and constant, and geocoded, before it comes here; which polarisations a product has differs: declare `bands`"
    )
    return Sensor(instrument.name, bands, "decibel", "float32", 1.0, source, low=-50, high=30, instrument=instrument)


def _sdgsat1(instrument: Instrument, bands: tuple[Band, ...], source: str) -> Sensor:
    text = f"{source}; radiance = DN * gain + bias of the scene's calib.xml; 0 is no data, to be checked"
    return Sensor(instrument.name, bands, "radiance", "uint16", None, text, low=1, high=4095, nodata=0, instrument=instrument)


CHINA = (
    _optical(
        "gf1_pms", (*_colours(8), Band("pan", 2, "pan", (0.45, 0.90))), "CRESDA GF-1 page: 2 m and 8 m, 10 bits; nodata to be checked",
        on.GF1_PMS,
    ),
    _optical("gf1_wfv", _colours(16), "CRESDA GF-1 page: 16 m, 10 bits; nodata to be checked", on.GF1_WFV),
    _optical(
        "gf2_pms", (*_colours(3.2), Band("pan", 0.8, "pan", (0.45, 0.90))),
        "CRESDA GF-2 page: 0.8 m and 3.2 m at nadir, delivered at 1 m and 4 m, 10 bits; nodata to be checked", on.GF2_PMS,
    ),
    _radar(on.GF3_SL, 1, ("HH", "VV")),
    _radar(on.GF3_UFS, 3, ("HH", "VV")),
    _radar(on.GF3_FSI, 5, ("HH", "HV", "VH", "VV")),
    _radar(on.GF3_FSII, 10, ("HH", "HV", "VH", "VV")),
    _radar(on.GF3_SS, 25, ("HH", "HV", "VH", "VV")),
    _radar(on.GF3_QPSI, 8, ("HH", "HV", "VH", "VV")),
    _optical(
        "zy3", (*_colours(5.8), Band("pan", 2.1, "pan", (0.50, 0.80))),
        "CRESDA ZY-3 page: 2.1 m and 5.8 m, 10 bits; nodata to be checked; the slanted cameras are not read", on.ZY3,
    ),
    _sdgsat1(
        on.SDGSAT1_TIS,
        (Band("B1", 30, "thermal_wide", (8.0, 10.5)), Band("B2", 30, "thermal", (10.3, 11.3)), Band("B3", 30, "thermal2", (11.5, 12.5))),
        "CBAS, SDGSAT-1 page: 30 m, three bands, at least 12 bits",
    ),
    _sdgsat1(
        on.SDGSAT1_GLI,
        (Band("red", 40, "night_red", (0.615, 0.900)), Band("green", 40, "night_green", (0.520, 0.615)),
         Band("blue", 40, "night_blue", (0.430, 0.520)), Band("pan", 10, "night_pan", (0.450, 0.900))),
        "CBAS, SDGSAT-1 page: lights at night, 10 m and 40 m; bits to be checked",
    ),
    _sdgsat1(
        on.SDGSAT1_MII,
        (Band("B1", 10, "violet", (0.374, 0.427)), Band("B2", 10, "coastal", (0.410, 0.467)), Band("B3", 10, "blue", (0.457, 0.529)),
         Band("B4", 10, "green", (0.510, 0.597)), Band("B5", 10, "red", (0.618, 0.696)), Band("B6", 10, "rededge3", (0.744, 0.813)),
         Band("B7", 10, "nir", (0.798, 0.911))),
        "CBAS, SDGSAT-1 handbook: 10 m, seven bands; wavelengths and bits to be checked",
    ),
)  # fmt: skip
