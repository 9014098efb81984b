"""Instruments as data: who flies them, since when, how wide and how often they see the same ground."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

Kind = Literal["optical", "radar", "thermal", "night light"]
Programme = Literal["ESA", "China", "Landsat", "commercial"]


@dataclass(frozen=True)
class Flight:
    """A satellite, from its launch to its last image; `end` None: it flies."""

    satellite: str
    start: dt.date
    end: dt.date | None = None


@dataclass(frozen=True)
class Instrument:
    """`revisit_days`: between looks at the same ground at the equator, of all its satellites together, turned where they can be."""

    name: str
    title: str
    programme: Programme
    kind: Kind
    flights: tuple[Flight, ...]
    swath_km: float
    revisit_days: float
    source: str
    """Where the numbers come from."""
    straight_days: float | None = None
    """The same of one satellite that is not turned, where that differs and is known."""


def _flight(satellite: str, start: str, end: str | None = None) -> Flight:
    return Flight(satellite, dt.date.fromisoformat(start), dt.date.fromisoformat(end) if end else None)


_GF1 = (_flight("GF-1", "2013-04-26"),)
_GF3 = (_flight("GF-3", "2016-08-10"), _flight("GF-3 02", "2021-11-23"), _flight("GF-3 03", "2022-04-07"))
_SDGSAT1 = (_flight("SDGSAT-1", "2021-11-05"),)
_GAOFEN = "Chen 2022, An Introduction to the Chinese High-Resolution Earth Observation System, doi 10.34133/2022/9769536"
_CRESDA = "CRESDA, satellite pages, of"
_CBAS = "CBAS, SDGSAT-1 page: swath 300 km, the globe in 11 days"


def _gf3(mode: str, title: str, swath: float) -> Instrument:
    source = f"swath: {_GAOFEN}, table 4; revisit with looks to both sides and repeat: CRESDA, GF-3 page, to be checked"
    return Instrument(f"gf3_{mode}", f"GF-3 C-SAR, {title}", "China", "radar", _GF3, swath, 3, source, straight_days=29)


SENTINEL1 = Instrument(
    "sentinel1", "Sentinel-1 C-SAR, IW", "ESA", "radar",
    (_flight("Sentinel-1A", "2014-04-03"), _flight("Sentinel-1B", "2016-04-25", "2021-12-23"), _flight("Sentinel-1C", "2024-12-05"),
     _flight("Sentinel-1D", "2025-11-04")), 250, 6,
    "ESA Sentinel-1 mission pages: 12 days, 6 with two satellites; 1D's launch and what flew alone after 2021-12-23 to be checked", 12,
)  # fmt: skip
SENTINEL2 = Instrument(
    "sentinel2", "Sentinel-2 MSI", "ESA", "optical",
    (_flight("Sentinel-2A", "2015-06-23"), _flight("Sentinel-2B", "2017-03-07"), _flight("Sentinel-2C", "2024-09-05")), 290, 5,
    "ESA Sentinel-2 mission pages: 10 days, 5 with two satellites", 10,
)  # fmt: skip
LANDSAT5_TM = Instrument(
    "landsat5_tm", "Landsat 5 TM", "Landsat", "optical", (_flight("Landsat 5", "1984-03-01", "2011-11-18"),), 185, 16,
    "USGS Landsat 5 page; the day of TM's last image to be checked",
)  # fmt: skip
LANDSAT7_ETM = Instrument(
    "landsat7_etm", "Landsat 7 ETM+", "Landsat", "optical", (_flight("Landsat 7", "1999-04-15", "2024-01-19"),), 185, 16,
    "USGS Landsat 7 page; stripes without data from 2003-05-31 on; the day of the last image to be checked",
)  # fmt: skip
LANDSAT8_OLI = Instrument(
    "landsat8_oli", "Landsat 8 and 9 OLI/TIRS", "Landsat", "optical",
    (_flight("Landsat 8", "2013-02-11"), _flight("Landsat 9", "2021-09-27")), 185, 8,
    "USGS Landsat 8 and 9 pages: 16 days, 8 with two satellites", 16,
)  # fmt: skip
GF1_PMS = Instrument(
    "gf1_pms", "GF-1 PMS", "China", "optical", _GF1, 60, 4, f"{_CRESDA} GF-1: two cameras, turned by up to 35°; to be checked", 41
)
GF1_WFV = Instrument("gf1_wfv", "GF-1 WFV", "China", "optical", _GF1, 800, 4, f"{_CRESDA} GF-1: four cameras side by side; to be checked")
GF2_PMS = Instrument(
    "gf2_pms", "GF-2 PMS", "China", "optical", (_flight("GF-2", "2014-08-19"),), 45, 5,
    f"{_CRESDA} GF-2: two cameras, turned by up to 35°; to be checked", 69,
)  # fmt: skip
GF3_SL = _gf3("sl", "spotlight", 10)
GF3_UFS = _gf3("ufs", "ultra-fine strip", 30)
GF3_FSI = _gf3("fsi", "fine strip 1", 50)
GF3_FSII = _gf3("fsii", "fine strip 2", 100)
GF3_SS = _gf3("ss", "standard strip", 130)
GF3_QPSI = _gf3("qpsi", "quad-pol strip 1", 30)
ZY3 = Instrument(
    "zy3", "ZY-3, multispectral and nadir panchromatic", "China", "optical",
    (_flight("ZY-3 01", "2012-01-09"), _flight("ZY-3 02", "2016-05-30"), _flight("ZY-3 03", "2020-07-25")), 51, 5,
    f"{_CRESDA} ZY-3: one satellite, turned; to be checked", 59,
)  # fmt: skip
SDGSAT1_TIS = Instrument("sdgsat1_tis", "SDGSAT-1 thermal (TIS)", "China", "thermal", _SDGSAT1, 300, 11, _CBAS)
SDGSAT1_GLI = Instrument("sdgsat1_gli", "SDGSAT-1 glimmer (GLI)", "China", "night light", _SDGSAT1, 300, 11, _CBAS)
SDGSAT1_MII = Instrument("sdgsat1_mii", "SDGSAT-1 multispectral (MII)", "China", "optical", _SDGSAT1, 300, 11, _CBAS)
WORLDVIEW2 = Instrument(
    "worldview2", "WorldView-2", "commercial", "optical", (_flight("WorldView-2", "2009-10-08"),), 16.4, 3.7,
    "Maxar (DigitalGlobe) WorldView-2 data sheet: revisit within 20° of nadir, 1.1 days at 1 m; to be checked",
)  # fmt: skip
WORLDVIEW3 = Instrument(
    "worldview3", "WorldView-3", "commercial", "optical", (_flight("WorldView-3", "2014-08-13"),), 13.1, 4.5,
    "Maxar (DigitalGlobe) WorldView-3 data sheet: revisit within 20° of nadir, below 1 day at 1 m; to be checked",
)  # fmt: skip
SUPERVIEW1 = Instrument(
    "superview1", "SuperView-1 (GaoJing-1) 01-04", "commercial", "optical",
    (_flight("SuperView-1 01 and 02", "2016-12-28"), _flight("SuperView-1 03 and 04", "2018-01-09")), 12, 1,
    "Space View data sheet: 4 days with one satellite, 1 with four; to be checked",
)  # fmt: skip
PLANET_DOVE = Instrument(
    "planet_dove", "PlanetScope Dove (PS2)", "commercial", "optical", (_flight("Doves", "2014-07-01", "2022-04-29"),), 24, 1,
    "Planet Imagery Product Specifications; first and last day to be checked",
)  # fmt: skip
PLANET_SUPERDOVE = Instrument(
    "planet_superdove", "PlanetScope SuperDove (PSB.SD)", "commercial", "optical", (_flight("SuperDoves", "2020-03-01"),), 32.5, 1,
    "Planet Imagery Product Specifications; first day to be checked",
)  # fmt: skip
