"""DN to values, masks and ranges, on arrays and on small files."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from conf.errors import ReadError
from conf.sensors import SENSORS
from tests.images_on_disk import GRID, ORIGIN, tilted, write
from udfs.grid import PixelBounds, native_grid
from udfs.images import ImagePool
from udfs.reading import read_scene
from udfs.scenes import Scene
from udfs.sensor_values import decibels, is_clear, is_water, range_fault, scaled

WHOLE = PixelBounds(0, 0, 130, 140)
RNG = np.random.default_rng(7)


def scene_of(folder: Path, sensor: str, **more: Any) -> Scene:
    """The scene of the files `a_BAND.tif` in `folder`."""
    hrefs = {path.stem.removeprefix("a_"): str(path) for path in folder.glob("a_*.tif")}
    placed = {"crs": "EPSG:32725", "transform": (10, 0, *ORIGIN[:1], 0, -10, *ORIGIN[1:]), "width": 140, "height": 130}
    declared = {**placed, "nodata": SENSORS[sensor].nodata, **more}
    return Scene("a", sensor, dt.datetime(2020, 5, 4, tzinfo=dt.UTC), hrefs, dict.fromkeys(hrefs, 1), **declared)


def read(scene: Scene, *bands: str, bounds: PixelBounds = WHOLE, grid: Any = GRID) -> Any:
    with ImagePool() as pool:
        return read_scene(pool, scene, bands, grid, bounds)[0]


def test_landsat_level_2_is_reflectance_and_kelvin(tmp_path: Path) -> None:
    reflectance, temperature = tilted(130, 140) + 9000, tilted(130, 140, 1) + 40000
    reflectance[5, 9] = 0
    write(tmp_path / "a_SR_B4.tif", reflectance)
    write(tmp_path / "a_ST_B10.tif", temperature)
    values = read(scene_of(tmp_path, "landsat8_l2"), "ST_B10", "SR_B4")
    expected = np.stack([temperature * 0.00341802 + 149.0, reflectance * 0.0000275 - 0.2])
    expected[:, 5, 9] = np.nan
    np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("band", "pixel", "clear"),
    [
        ("QA_PIXEL", 21824, True),  # clear land, low confidences
        ("QA_PIXEL", 21952, True),  # water
        ("QA_PIXEL", 30048, False),  # snow
        ("QA_PIXEL", 22280, False),  # cloud, high confidence
        ("QA_PIXEL", 23888, False),  # cloud shadow
        ("QA_PIXEL", 21826, False),  # beside a cloud
        ("QA_PIXEL", 54596, False),  # cirrus
        ("QA_PIXEL", 1, False),  # fill
        ("QA_RADSAT", 0, True),
        ("QA_RADSAT", 8, False),  # band 4 saturated
        ("QA_RADSAT", 2048, False),  # hidden by terrain
    ],
)
def test_landsat_flags(tmp_path: Path, band: str, pixel: int, clear: bool) -> None:
    """Values of the USGS tables of Collection 2, one pixel of each among clear ones."""
    write(tmp_path / "a_SR_B4.tif", tilted(130, 140) + 9000)
    flags = np.full((130, 140), 21824 if band == "QA_PIXEL" else 0, np.uint16)
    flags[8, 3] = pixel
    write(tmp_path / f"a_{band}.tif", flags)
    missing = np.isnan(read(scene_of(tmp_path, "landsat8_l2"), "SR_B4")[0])
    assert missing.sum() == missing[8, 3] == (not clear)


def test_ground_under_cloud_shadow_or_snow_is_not_seen() -> None:
    """ESA, Sentinel-2 scene classes: 4 vegetation, 5 bare, 6 water, 7 unclassified, 2 dark; 11 snow."""
    clear = is_clear(SENSORS["sentinel2_l2a"].masks[0], np.arange(12, dtype=np.uint8))
    assert np.flatnonzero(clear).tolist() == [2, 4, 5, 6, 7]
    collection_1 = np.array([2720, 3744], np.uint16)  # clear, snow
    assert is_clear(SENSORS["landsat8_l1"].masks[1], collection_1).tolist() == [True, False]


def test_cirrus_bit_means_nothing_to_tm() -> None:
    cirrus = np.array([[0b100, 0b1000]], np.uint16)
    assert is_clear(SENSORS["landsat8_l2"].masks[0], cirrus).tolist() == [[False, False]]
    assert is_clear(SENSORS["landsat5_l2"].masks[0], cirrus).tolist() == [[True, False]]


def test_water() -> None:
    qa = np.array([[21952, 21824, 21952 | 0b1000, 1]], np.uint16)
    assert is_water(SENSORS["landsat8_l2"].masks[0], qa).tolist() == [[True, False, False, False]]
    scl = np.array([[6, 5, 9, 0]], np.uint8)
    assert is_water(SENSORS["sentinel2_l2a"].masks[0], scl).tolist() == [[True, False, False, False]]
    assert not is_water(SENSORS["planetscope_8band"].masks[0], np.array([0, 1], np.uint8)).any()


def test_two_masks_both_count(tmp_path: Path) -> None:
    write(tmp_path / "a_SR_B4.tif", tilted(130, 140) + 9000)
    for band, row in (("QA_PIXEL", 2), ("QA_RADSAT", 7)):
        flags = np.zeros((130, 140), np.uint16)
        flags[row] = 8
        write(tmp_path / f"a_{band}.tif", flags)
    missing = np.isnan(read(scene_of(tmp_path, "landsat8_l2"), "SR_B4")[0])
    assert np.flatnonzero(missing.any(axis=1)).tolist() == [2, 7]
    assert missing[[2, 7]].all()


def test_a_scene_brings_its_calibration(tmp_path: Path) -> None:
    """A catalog that has taken the offset of baseline 04.00 out already says so by scale and offset of each band."""
    for band in ("B03", "B04"):
        write(tmp_path / f"a_{band}.tif", np.full((130, 140), 3000, np.uint16))
    scene = scene_of(tmp_path, "sentinel2_l2a", baseline="05.09", calibration={"B04": [1e-4, 0.0]})
    np.testing.assert_allclose(read(scene, "B04", "B03")[:, 0, 0], [0.3, 0.2], atol=1e-7)


def test_without_metadata_there_is_no_value(tmp_path: Path) -> None:
    write(tmp_path / "a_B4.tif", tilted(130, 140))
    scene = scene_of(tmp_path, "landsat8_l1")
    with pytest.raises(ReadError, match="run scenes again") as caught:
        read(scene, "B4")
    assert caught.value.kind == "profile"
    given = read(replace(scene, calibration={"B4": [4e-5, -0.2]}), "B4")
    np.testing.assert_allclose(given[0], tilted(130, 140) * 4e-5 - 0.2, atol=1e-6)


def test_power_is_sampled_before_the_logarithm(tmp_path: Path) -> None:
    """Between 1 (0 dB) and 3 the mean is 2, 3.01 dB; the mean of the decibels would be 2.39."""
    power = np.full((130, 140), 1, np.float32)
    power[:, 70:] = 3
    power[4, 6] = 0
    power[4, 9] = -0.5
    write(tmp_path / "a_VV.tif", power)
    grid = native_grid("EPSG:32725", Affine(10, 0, 300_005, 0, -10, 9_000_000))
    for sensor, expected in (("sentinel1_linear", 2.0), ("sentinel1_linear_db", 10 * np.log10(2.0))):
        scene = scene_of(tmp_path, sensor)
        assert read(scene, "VV", grid=grid)[0, 60, 69] == pytest.approx(expected, abs=1e-6)
        assert np.isnan(read(scene, "VV")[0, 4, 6])
    missing = np.isnan(read(scene, "VV")[0])
    assert missing.sum() == 2
    assert missing[4, [6, 9]].all(), "power below 0 has no logarithm"


def test_decibels_do_not_depend_on_the_cut() -> None:
    power = (10 ** RNG.uniform(-4, 2, (37, 53))).astype(np.float32)
    whole = decibels(power)
    np.testing.assert_allclose(whole, 10 * np.log10(power.astype(float)), atol=2e-6)
    for cut in (np.s_[3:20, 5:8], np.s_[::2, 1:], np.s_[36:, 52:]):
        assert decibels(power[cut].copy()).tobytes() == whole[cut].copy().tobytes()
    assert scaled(np.float32([4]), (0.5, 8.0), in_decibel=True) == pytest.approx(10)


def test_files_own_nodata_is_per_file(tmp_path: Path) -> None:
    """255 is no data in one file, 0 in the other: neither rule reaches the other's pixels."""
    first, second = tilted(130, 140) % 200 + 1, tilted(130, 140, 1) % 200 + 1
    first[3, 4], first[3, 5], second[6, 7], second[6, 8] = 255, 0, 0, 255
    write(tmp_path / "a_B1.tif", first.astype(np.uint8), nodata=255)
    write(tmp_path / "a_B2.tif", second.astype(np.uint8), nodata=0)
    scene = scene_of(tmp_path, "landsat5_l1", calibration={"B1": [1, 0], "B2": [1, 0]})
    missing = np.isnan(read(scene, "B1", "B2")[0])
    assert np.argwhere(missing).tolist() == [[3, 4], [6, 7]]


LAND = np.clip(RNG.gamma(4, 400, 5000), 1, None).astype(np.uint16)
BACKSCATTER = RNG.normal(-12, 5, 5000).astype(np.float32)
CLOUDS = np.concatenate([LAND, RNG.integers(20_000, 26_000, 3000).astype(np.uint16)])


@pytest.mark.parametrize(
    ("sensor", "band", "sample"),
    [
        ("sentinel2_l2a", "B04", LAND),
        ("sentinel2_l2a", "B04", CLOUDS),
        ("sentinel2_l2a", "B04", np.zeros(100, np.uint16)),
        ("sentinel2_l2a", "B12", RNG.integers(1, 12, 900).astype(np.uint16)),
        ("sentinel1_grd", "VV", np.append(BACKSCATTER, np.full(200, np.nan, np.float32))),
        ("sentinel1_linear", "VH", 10 ** (BACKSCATTER / 10)),
        ("sentinel1_linear_db", "VH", 10 ** (BACKSCATTER / 10)),
        ("landsat8_l2", "SR_B4", ((LAND * 1e-4 + 0.2) / 2.75e-5).astype(np.uint16)),
        ("landsat8_l2", "ST_B10", ((RNG.normal(300, 9, 500) - 149) / 0.00341802).astype(np.uint16)),
        ("landsat8_dn", "B4", LAND),
        ("worldview2", "pan", LAND),
        ("rgb", "red", np.zeros(50, np.uint8)),
    ],
)
def test_plausible_pixels_pass(sensor: str, band: str, sample: Any) -> None:
    assert range_fault(SENSORS[sensor], band, sample) is None


@pytest.mark.parametrize(
    ("sensor", "band", "sample", "why"),
    [
        ("sentinel2_l2a", "B04", (LAND * 1e-4).astype(np.float32), "fractions where DN are whole"),
        ("sentinel2_l2a", "B04", np.rint(LAND * 1e-4).astype(np.uint16), "nothing above 1"),
        ("sentinel2_l2a", "B04", np.full(500, 65000, np.uint16), "most pixels lie outside"),
        ("sentinel1_grd", "VV", 10 ** (BACKSCATTER / 10), "no pixel is below 0 dB, as in linear power"),
        ("sentinel1_grd", "VV", np.float32(LAND), "most pixels lie outside"),
        ("sentinel1_linear", "VV", BACKSCATTER, "most pixels lie outside"),
        ("sentinel1_linear_db", "VV", BACKSCATTER, "most pixels lie outside"),
        ("landsat8_l2", "SR_B4", LAND, "most pixels lie outside"),
        ("landsat8_l2", "ST_B10", LAND, "most pixels lie outside"),
        ("sdgsat1_tis", "B2", np.full(500, 30_000, np.uint16), "most pixels lie outside"),
    ],
)
def test_wrong_declarations_are_told_with_expected_and_found(sensor: str, band: str, sample: Any, why: str) -> None:
    fault = range_fault(SENSORS[sensor], band, sample)
    assert fault is not None
    assert fault.startswith(f"band {band}: {why}")
    assert f"{sensor} expects DN" in fault
    assert f"median {np.median(sample[sample != 0]):.6g}" in fault or "nothing above" in fault
    assert "\n" not in fault


def test_half_of_the_pixels_may_be_odd_and_not_more() -> None:
    odd = np.where(np.arange(1000) < 501, 30_000, 2000).astype(np.uint16)
    assert range_fault(SENSORS["sentinel2_l2a"], "B04", odd[2:]) is None
    assert range_fault(SENSORS["sentinel2_l2a"], "B04", odd) is not None


def test_range_follows_the_scenes_calibration() -> None:
    """Reflectance 0-0.4 as DN 0-40000: wrong by the sensor's scale, right by the scene's."""
    fine = (LAND.astype(np.float64) * 10).clip(0, 65000).astype(np.uint16) + 15_000
    assert range_fault(SENSORS["sentinel2_l2a"], "B04", fine) is not None
    assert range_fault(SENSORS["sentinel2_l2a"], "B04", fine, linear=(1e-5, 0.0)) is None
