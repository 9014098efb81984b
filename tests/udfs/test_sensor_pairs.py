"""Pairs of instruments: the gap is what a simulation of their looks finds."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from conf import instruments as on
from conf.instruments import Flight, Instrument
from conf.sensors import SENSORS
from udfs.sensor_pairs import bands_of, finest_gsd, gap_days, pairs_within, together, wait_days


@pytest.mark.parametrize(("one", "other"), [(on.SENTINEL2, on.SDGSAT1_MII), (on.SENTINEL1, on.GF1_PMS), (on.ZY3, on.SENTINEL2)])
def test_gap_and_wait_are_the_worst_of_all_phases(one: Instrument, other: Instrument) -> None:
    """Looks at every phase, in steps of a twentieth of a day, over two hundred days."""
    rare, dense = sorted((one, other), key=lambda instrument: -instrument.revisit_days)
    looks = np.arange(100, 200, rare.revisit_days)[:, None]
    nearest, following = [], []
    for phase in np.arange(0, dense.revisit_days, 0.05):
        away = np.arange(phase, 300, dense.revisit_days)[None, :] - looks
        nearest.append(np.abs(away).min(axis=1).max())
        following.append(np.where(away >= 0, away, np.inf).min(axis=1).max())
    assert gap_days(one, other) == gap_days(other, one) == pytest.approx(max(nearest), abs=0.05)
    assert wait_days(dense) == pytest.approx(max(following), abs=0.06)


def test_pairs_are_those_within_the_days() -> None:
    everything = pairs_within(np.inf)
    for days in (0, 1.4, 1.5, 2, 2.9, 30):
        assert pairs_within(days) == [pair for pair in everything if min(pair.first.revisit_days, pair.second.revisit_days) / 2 <= days]
    assert pairs_within(1.4) == []
    chinese = {sensor.instrument.name for sensor in SENSORS.values() if sensor.instrument and sensor.instrument.programme == "China"}
    assert {(pair.first.name, pair.second.name) for pair in everything} == {(a, b) for a in ("sentinel1", "sentinel2") for b in chinese}


def test_what_pairs_have_in_common() -> None:
    pairs = {(pair.first.name, pair.second.name): pair for pair in pairs_within(np.inf)}
    mii = pairs["sentinel2", "sdgsat1_mii"]
    assert mii.common == ("coastal", "blue", "green", "red", "rededge3", "nir")
    assert (mii.gap_days, mii.gsd_ratio, mii.since, mii.until) == (2.5, 1, dt.date(2021, 11, 5), None)
    assert pairs["sentinel2", "sdgsat1_gli"].common == (), "light at night is not reflected sun"
    assert pairs["sentinel1", "gf3_qpsi"].common == ("vv", "vh")
    assert pairs["sentinel2", "gf2_pms"].gsd_ratio == 10 / 0.8
    assert "buildings" in pairs["sentinel2", "gf2_pms"].use
    assert "radar" in pairs["sentinel1", "gf1_wfv"].use
    assert "temperature" in pairs["sentinel2", "sdgsat1_tis"].use


def test_days_flown_together() -> None:
    early = replace(on.ZY3, flights=(Flight("a", dt.date(2000, 1, 1), dt.date(2003, 5, 1)),))
    late = replace(on.ZY3, flights=(Flight("b", dt.date(2003, 5, 2)), Flight("c", dt.date(2010, 1, 1), dt.date(2011, 1, 1))))
    assert together(early, late) is None
    touching = replace(late, flights=(Flight("b", dt.date(2003, 5, 1)),))
    assert together(early, touching) == (dt.date(2003, 5, 1), dt.date(2003, 5, 1))
    assert together(on.LANDSAT5_TM, on.LANDSAT7_ETM) == (dt.date(1999, 4, 15), dt.date(2011, 11, 18))
    assert together(on.SENTINEL1, on.SENTINEL2) == (dt.date(2015, 6, 23), None)


def test_bands_of_all_products_of_an_instrument() -> None:
    """Level-1 and Level-2 of Landsat 8 share colours; the panchromatic band is of Level-1 only."""
    common = [band.common for band in bands_of(on.LANDSAT8_OLI)]
    assert sorted(common) == sorted({*common})
    assert {"coastal", "swir2", "pan", "thermal"} <= set(common)
    assert finest_gsd(on.LANDSAT8_OLI) == 15
