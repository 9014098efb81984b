"""MTL files of three generations, and the formulas they feed."""

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest

from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS
from tests.images_on_disk import tilted, write
from udfs.catalogs import scenes_of
from udfs.landsat_metadata import brightness_temperature, parsed_metadata, read_landsat_metadata, scene_calibration, sun_distance

COLLECTION_2 = """GROUP = LANDSAT_METADATA_FILE
  GROUP = PRODUCT_CONTENTS
    PROCESSING_LEVEL = "{level}"
    FILE_NAME_BAND_2 = "LC08_{level}_014032_20210722_B2.TIF"
    FILE_NAME_BAND_10 = "LC08_{level}_014032_20210722_B10.TIF"
    FILE_NAME_BAND_ST_B10 = "LC08_{level}_014032_20210722_ST_B10.TIF"
    FILE_NAME_QUALITY_L1_PIXEL = "LC08_{level}_014032_20210722_QA_PIXEL.TIF"
  END_GROUP = PRODUCT_CONTENTS
  GROUP = IMAGE_ATTRIBUTES
    SPACECRAFT_ID = "LANDSAT_8"
    DATE_ACQUIRED = 2021-07-22
    SCENE_CENTER_TIME = "15:33:50.7654321Z"
    SUN_ELEVATION = 30.0
    EARTH_SUN_DISTANCE = 1.0159
  END_GROUP = IMAGE_ATTRIBUTES
{surface}  GROUP = LEVEL1_RADIOMETRIC_RESCALING
    RADIANCE_MULT_BAND_2 = 1.2E-02
    RADIANCE_MULT_BAND_10 = 3.3420E-04
    RADIANCE_ADD_BAND_2 = -60.0
    RADIANCE_ADD_BAND_10 = 0.10000
    REFLECTANCE_MULT_BAND_2 = 2.0000E-05
    REFLECTANCE_ADD_BAND_2 = -0.100000
  END_GROUP = LEVEL1_RADIOMETRIC_RESCALING
  GROUP = LEVEL1_THERMAL_CONSTANTS
    K1_CONSTANT_BAND_10 = 774.8853
    K2_CONSTANT_BAND_10 = 1321.0789
  END_GROUP = LEVEL1_THERMAL_CONSTANTS
END_GROUP = LANDSAT_METADATA_FILE
END
"""
SURFACE = """  GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
    REFLECTANCE_MULT_BAND_2 = 2.75e-05
    REFLECTANCE_ADD_BAND_2 = -0.2
  END_GROUP = LEVEL2_SURFACE_REFLECTANCE_PARAMETERS
  GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS
    TEMPERATURE_MULT_BAND_ST_B10 = 0.00341802
    TEMPERATURE_ADD_BAND_ST_B10 = 149.0
  END_GROUP = LEVEL2_SURFACE_TEMPERATURE_PARAMETERS
"""
LEVEL_1 = COLLECTION_2.format(level="L1TP", surface="")
LEVEL_2 = COLLECTION_2.format(level="L2SP", surface=SURFACE)


def test_level_1_is_scaled_by_the_sun() -> None:
    """USGS: (M DN + A) / sin(sun elevation); at 30° the sine is a half."""
    found = parsed_metadata(LEVEL_1, "a_MTL.txt")
    assert found.datetime == dt.datetime(2021, 7, 22, 15, 33, 50, 765432, tzinfo=dt.UTC)
    assert (found.level, found.spacecraft, found.sun_elevation, found.sun_distance) == (1, "LANDSAT_8", 30.0, 1.0159)
    assert found.files["B2"] == "LC08_L1TP_014032_20210722_B2.TIF"
    assert found.files["QA_PIXEL"] == "LC08_L1TP_014032_20210722_QA_PIXEL.TIF"
    calibration = scene_calibration(found)
    assert calibration["B2"] == pytest.approx([4e-5, -0.2])
    assert calibration["B10"] == [3.342e-4, 0.1]
    assert SENSORS["landsat8_l1"].calibration_fault(("B2", "B10"), calibration) is None


def test_level_2_has_its_own_numbers_under_the_same_keys() -> None:
    found = parsed_metadata(LEVEL_2, "a_MTL.txt")
    assert found.level == 2
    assert set(found.files) == {"SR_B2", "SR_B10", "ST_B10", "QA_PIXEL"}
    sensor = SENSORS["landsat8_l2"]
    assert scene_calibration(found) == {band: list(sensor.linear(band, None) or ()) for band in ("SR_B2", "ST_B10")}


def test_brightness_temperature() -> None:
    """DN 26000 of a Landsat 8 scene, worked out by hand: L = 8.7892, T = 1321.0789 / ln(89.163)."""
    kelvin = brightness_temperature(np.array([[26000 * 3.342e-4 + 0.1, 0.0, -1.0]]), 774.8853, 1321.0789)
    assert kelvin[0, 0] == pytest.approx(294.18, abs=0.02)
    assert np.isnan(kelvin[0, 1:]).all()
    assert brightness_temperature(774.8853 / (np.exp(1321.0789 / np.array([250.0, 333.0])) - 1), 774.8853, 1321.0789) == pytest.approx(
        [250.0, 333.0]
    )


@pytest.mark.parametrize(
    ("day", "distance"),
    [((2021, 1, 4), 0.98330), ((2021, 4, 4), 1.00000), ((2021, 7, 4), 1.01671), ((2021, 10, 4), 0.99999), ((1988, 8, 14), 1.01285)],
)
def test_sun_distance(day: tuple[int, int, int], distance: float) -> None:
    """Perihelion, aphelion and the mean distance between, of an almanac."""
    assert sun_distance(dt.date(*day)) == pytest.approx(distance, abs=5e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<html>503</html>", "no Landsat MTL"),
        (LEVEL_1.replace("SUN_ELEVATION", "SUN_AZIMUTH"), "no SUN_ELEVATION"),
        (LEVEL_1.replace("2021-07-22\n", "2021-22-07\n"), "no date and time"),
        (LEVEL_1.replace("2.0000E-05", "two"), "'two' is no number"),
    ],
)
def test_what_is_no_metadata_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parsed_metadata(text, "a_MTL.txt")


def test_night_and_unknown_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sun elevation -12"):
        scene_calibration(parsed_metadata(LEVEL_1.replace("= 30.0", "= -12.0"), "a_MTL.txt"))
    with pytest.raises(InputError, match="neither reflectance nor radiance"):
        scene_calibration(parsed_metadata(LEVEL_1.replace("REFLECTANCE_MULT", "X").replace("LANDSAT_8", "LANDSAT_3"), "a_MTL.txt"))
    with pytest.raises(InputError, match=r"absent\.txt"):
        read_landsat_metadata(tmp_path / "absent.txt")


def test_real_landsat_5(real_data: Path) -> None:
    """An old file, radiance only, with zeros after its end. Expected: its own range lines, typed here."""
    found = read_landsat_metadata(real_data / "para_landsat5/LT52240631988227CUB02_MTL.txt")
    assert found.datetime == dt.datetime(1988, 8, 14, 13, 0, 47, 375019, tzinfo=dt.UTC)
    assert (found.sun_elevation, found.level, found.spacecraft) == (49.75588889, 1, "LANDSAT_5")
    assert found.files == {f"B{number}": f"LT52240631988227CUB02_B{number}.TIF" for number in range(1, 8)}
    assert found.thermal == {"B6": (607.76, 1260.56)}
    assert found.radiance["B5"] == pytest.approx((0.120, -0.49035), abs=5e-4), "the file's own, rounded, MULT and ADD"
    scale, offset = scene_calibration(found)["B3"]
    per_radiance = math.pi * 1.01285**2 / (1536 * math.sin(math.radians(49.75588889)))
    assert 1 * scale + offset == pytest.approx(-1.17 * per_radiance, rel=1e-4)
    assert 255 * scale + offset == pytest.approx(264.0 * per_radiance, rel=1e-4)


def delivered(folder: Path, text: str = LEVEL_1, bands: tuple[str, ...] = ("B2", "QA_PIXEL")) -> Path:
    """A scene as it is delivered; returns its MTL file."""
    for band in bands:
        pixels = tilted(130, 140) + 9000 if band == "B2" else np.full((130, 140), 21824, np.uint16)
        write(folder / f"LC08_L1TP_014032_20210722_{band}.TIF", pixels)
    path = folder / "LC08_L1TP_014032_20210722_MTL.txt"
    path.write_text(text)
    return path


def test_a_metadata_file_tells_the_scene(tmp_path: Path) -> None:
    """Its name, date, calibration, and of its files those that are there."""
    delivered(tmp_path)
    (scene,) = scenes_of((Source(sensor="landsat8_l1", metadata=f"{tmp_path}/*_MTL.txt"),), tmp_path)
    assert scene.scene_id == "LC08_L1TP_014032_20210722"
    assert scene.datetime == dt.datetime(2021, 7, 22, 15, 33, 50, 765432, tzinfo=dt.UTC)
    assert set(scene.hrefs) == {"B2", "QA_PIXEL"}
    assert scene.calibration == {"B2": pytest.approx([4e-5, -0.2])}
    assert scene.fault is None


@pytest.mark.parametrize(
    ("sensor", "text", "bands", "why"),
    [
        ("landsat5_l1", LEVEL_1, ("B2",), "a level-1 scene of LANDSAT_8, not of sensor landsat5_l1"),
        ("landsat8_l2", LEVEL_1, ("B2",), "a level-1 scene of LANDSAT_8, not of sensor landsat8_l2"),
        ("landsat8_l1", LEVEL_1, (), "none of its files lies beside it"),
        ("landsat8_l1", "GROUP = OTHER", ("B2",), "no Landsat MTL file"),
    ],
)
def test_a_scene_that_is_not_as_declared_is_refused(tmp_path: Path, sensor: str, text: str, bands: tuple[str, ...], why: str) -> None:
    path = delivered(tmp_path, text, bands)
    with pytest.raises(InputError, match=why):
        scenes_of((Source(sensor=sensor, metadata=str(path)),), tmp_path)


def test_no_metadata_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        scenes_of((Source(sensor="landsat8_l1", metadata=f"{tmp_path}/*_MTL.txt"),), tmp_path)
