"""Sensors as declared: complete, distinct, and on their page."""

import datetime as dt
from collections import Counter

import numpy as np
import pytest

from conf.sensors import SENSORS, Band, Sensor
from docs.sensor_page import PAGE, page

EXPECTED = {
    "sentinel1_grd", "sentinel1_linear", "sentinel1_linear_db", "sentinel2_l2a", "sentinel2_l1c", "landsat5_l1", "landsat5_l2",
    "landsat7_l1", "landsat7_l2", "landsat8_l1", "landsat8_l2", "gf1_pms", "gf1_wfv", "gf2_pms", "gf3_sl", "gf3_fsii", "gf3_qpsi",
    "zy3", "sdgsat1_tis", "sdgsat1_gli", "sdgsat1_mii", "worldview2", "worldview3", "superview1", "planetscope_4band",
    "planetscope_8band", "rgb",
}  # fmt: skip


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m docs.sensor_page"


def test_page_names_every_sensor_and_its_bands() -> None:
    text = page()
    assert set(SENSORS) >= EXPECTED
    for sensor in SENSORS.values():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{sensor.name}` | {sensor.bands[0].name} (")]
        assert all(f"{band.name} ({band.gsd:g})" in row for band in sensor.bands)


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.name)
def test_a_sensor_is_complete(sensor: Sensor) -> None:
    names = [name.lower() for band in sensor.bands for name in {band.name.lower(), band.common, *band.aliases}]
    assert max(Counter([*names, *(name.lower() for name in sensor.mask_names)]).values()) == 1, "two bands answer to one name"
    for band in sensor.bands:
        assert band.gsd > 0
        assert sensor.limits(band.name)[0] < sensor.limits(band.name)[1]
        assert band.wavelength is None or 0.3 < band.wavelength[0] < band.wavelength[1] < 15
        assert np.dtype(sensor.dtype_of(band.name)).kind in "uif"
    assert sensor.source
    assert all(mask.clear or mask.bits for mask in sensor.masks)
    assert all(not mask.water_bits & mask.bits and mask.water <= mask.clear for mask in sensor.masks)


@pytest.mark.parametrize("sensor", [s for s in SENSORS.values() if s.instrument], ids=lambda sensor: sensor.name)
def test_an_instrument_is_complete(sensor: Sensor) -> None:
    on = sensor.instrument
    assert on is not None
    assert on.swath_km > 0
    assert 0 < on.revisit_days <= (on.straight_days or on.revisit_days)
    assert all(dt.date(1972, 7, 23) < flight.start < (flight.end or dt.date.max) for flight in on.flights)


def test_names_of_catalogs_find_bands() -> None:
    """Earth Search, Planetary Computer and USGS call them so."""
    cases = {
        "sentinel2_l2a": {"swir16": "B11", "nir": "B08", "nir08": "B8A", "scl": "SCL"},
        "landsat8_l2": {"nir08": "SR_B5", "swir22": "SR_B7", "lwir11": "ST_B10", "qa_pixel": "QA_PIXEL", "pan": None},
        "landsat7_l2": {"lwir": "ST_B6"},
        "landsat5_l1": {"b6": "B6"},
    }
    for sensor, names in cases.items():
        assert {name: SENSORS[sensor].band_called(name) for name in names} == names


def test_calibration_of_the_scene_takes_the_sensors_place() -> None:
    l2a, landsat = SENSORS["sentinel2_l2a"], SENSORS["landsat8_l2"]
    assert l2a.linear("B04", "05.10") == (1e-4, -0.1)
    assert l2a.linear("B04", "05.10", {"B04": [1e-4, 0.0]}) == (1e-4, 0.0), "an offset that the catalog has applied is not applied again"
    assert l2a.linear("B03", "05.10", {"B04": [1e-4, 0.0]}) == (1e-4, -0.1)
    assert landsat.linear("SR_B4", None) == (0.0000275, -0.2)
    assert landsat.linear("ST_B10", None) == (0.00341802, 149.0)
    assert SENSORS["landsat8_l1"].linear("B4", None) is None


def test_what_only_metadata_know_is_asked_for() -> None:
    level1 = SENSORS["landsat8_l1"]
    fault = level1.calibration_fault(("B2", "B10", "BQA"), {"B2": [2e-5, -0.1]})
    assert fault is not None
    assert "B10" in fault
    assert "B2," not in fault
    assert level1.calibration_fault(("B2", "BQA"), {"B2": [2e-5, -0.1]}) is None
    assert "scale of 0" in str(SENSORS["sentinel2_l2a"].calibration_fault(("B02",), {"B02": [0.0, 0.0]}))
    for name in ("landsat8_dn", "sentinel2_l2a", "gf1_pms", "rgb"):
        assert SENSORS[name].calibration_fault(SENSORS[name].band_names, None) is None


def test_pixel_types_are_per_band() -> None:
    landsat = SENSORS["landsat8_l2"]
    assert [landsat.dtype_fault(band, "uint16") for band in ("SR_B2", "ST_B10", "QA_PIXEL")] == [None] * 3
    assert landsat.dtype_fault("QA_PIXEL", "uint8") == (
        "band QA_PIXEL is uint8, sensor landsat8_l2 has uint16; name another sensor or convert the file"
    )
    assert SENSORS["sentinel2_l2a"].dtype_of("SCL") == "uint8"


def test_a_band_may_differ_from_its_sensor() -> None:
    bands = (Band("a", 10, "red"), Band("b", 60, "thermal", values="kelvin", scale=0.5, offset=9, dtype="int16", low=-3, high=4, nodata=-9))
    mixed = Sensor("mixed", bands, "reflectance", "uint8", 0.1, "made up", low=1, high=99, nodata=0)
    assert [mixed.values_of(name) for name in "ab"] == ["reflectance", "kelvin"]
    assert [mixed.linear(name, None) for name in "ab"] == [(0.1, 0.0), (0.5, 9)]
    assert [mixed.dtype_of(name) for name in "ab"] == ["uint8", "int16"]
    assert [mixed.limits(name) for name in "ab"] == [(1, 99), (-3, 4)]
    assert [mixed.nodata_of(name) for name in "ab"] == [0, -9]
    assert mixed.limits("b", (0.25, 9.0)) == (-6, 8)
