"""WorldView-2 and 3, SuperView-1, PlanetScope, and any camera that makes 8-bit colour."""

from conf.instruments import PLANET_DOVE, PLANET_SUPERDOVE, SUPERVIEW1, WORLDVIEW2, WORLDVIEW3, Instrument
from conf.sensor import Band, Mask, Sensor

_CLEAR = Mask("udm2_clear", clear=frozenset({1}))
"""Band 1 of Planet's usable data mask: 1 is clear. It says nothing of water."""


def _worldview(gsd: float, pan: float) -> tuple[Band, ...]:
    return (
        Band("coastal", gsd, "coastal", (0.400, 0.450)),
        Band("blue", gsd, "blue", (0.450, 0.510)),
        Band("green", gsd, "green", (0.510, 0.580)),
        Band("yellow", gsd, "yellow", (0.585, 0.625)),
        Band("red", gsd, "red", (0.630, 0.690)),
        Band("rededge", gsd, "rededge1", (0.705, 0.745)),
        Band("nir1", gsd, "nir", (0.770, 0.895)),
        Band("nir2", gsd, "nir2", (0.860, 1.040)),
        Band("pan", pan, "pan", (0.450, 0.800)),
    )


def _digital(name: str, bands: tuple[Band, ...], source: str, instrument: Instrument) -> Sensor:
    return Sensor(name, bands, "stretched", "uint16", 1.0, f"{source}, 11 bits", low=1, high=2047, nodata=0, instrument=instrument)


def _planet(name: str, bands: tuple[Band, ...], instrument: Instrument) -> Sensor:
    source = "Planet Imagery Product Specifications: surface reflectance times 10000, 3 m, nodata 0, usable data mask"
    return Sensor(
        name, bands, "reflectance", "uint16", 1e-4, source, low=1, high=20000, nodata=0, masks=(_CLEAR,), instrument=instrument
    )  # fmt: skip


COMMERCIAL = (
    _digital("worldview2", _worldview(1.84, 0.46), "Maxar (DigitalGlobe) WorldView-2 data sheet: 0.46 m and 1.84 m", WORLDVIEW2),
    _digital("worldview3", _worldview(1.24, 0.31), "Maxar (DigitalGlobe) WorldView-3 data sheet: 0.31 m and 1.24 m", WORLDVIEW3),
    _digital(
        "superview1",
        (Band("blue", 2, "blue", (0.45, 0.52)), Band("green", 2, "green", (0.52, 0.59)), Band("red", 2, "red", (0.63, 0.69)),
         Band("nir", 2, "nir", (0.77, 0.89)), Band("pan", 0.5, "pan", (0.45, 0.89))),
        "Space View data sheet: 0.5 m and 2 m", SUPERVIEW1,
    ),
    _planet(
        "planetscope_4band",
        (Band("blue", 3, "blue", (0.455, 0.515)), Band("green", 3, "green", (0.500, 0.590)), Band("red", 3, "red", (0.590, 0.670)),
         Band("nir", 3, "nir", (0.780, 0.860))),
        PLANET_DOVE,
    ),
    _planet(
        "planetscope_8band",
        (Band("coastal_blue", 3, "coastal", (0.431, 0.452)), Band("blue", 3, "blue", (0.465, 0.515)),
         Band("green_i", 3, "green1", (0.513, 0.549)), Band("green", 3, "green", (0.547, 0.583)),
         Band("yellow", 3, "yellow", (0.600, 0.620)), Band("red", 3, "red", (0.650, 0.680)),
         Band("rededge", 3, "rededge1", (0.697, 0.713)), Band("nir", 3, "nir", (0.845, 0.885))),
        PLANET_SUPERDOVE,
    ),
    Sensor(
        "rgb", (Band("red", 0.3, "red"), Band("green", 0.3, "green"), Band("blue", 0.3, "blue")),
        "rgb", "uint8", 1 / 255, "8-bit colour of aerial and drone images, 0.1-0.5 m", nodata_in="all",
    ),
)  # fmt: skip
