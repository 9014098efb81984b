"""Real images of every sensor at hand, read to values and held against rasterio, pixel by pixel."""

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS
from tests.images_on_disk import write
from udfs.catalogs import scenes_of
from udfs.grid import Grid, PixelBounds, native_grid, utm_grid
from udfs.images import ImagePool, Opener
from udfs.landsat_metadata import brightness_temperature, read_landsat_metadata
from udfs.reading import read_scene
from udfs.scenes import Scene, inspected
from udfs.sensor_values import is_water, range_fault

CITIES = (
    "abudhabi", "aguasclaras", "beihai", "bercy", "bordeaux", "cupertino", "dubai", "hongkong", "mumbai", "nantes", "paris", "rio",
)  # fmt: skip


def declared(sensor: str, href: Path, day: dt.date, **more: Any) -> Scene:
    return scenes_of((Source(sensor=sensor, href=str(href), datetime=day, **more),), href.parent)[0]


def with_headers(scene: Scene) -> Scene:
    with Opener() as opener:
        return inspected(scene, opener)


def raw(path: str | Path, index: int = 1) -> Any:
    with rasterio.open(path) as file:
        return file.read(index)


def read(scene: Scene, bands: tuple[str, ...], grid: Grid, bounds: PixelBounds) -> Any:
    with ImagePool() as pool:
        return read_scene(pool, scene, bands, grid, bounds)[0]


def on_own_grid(scene: Scene, *bands: str) -> Any:
    """Values on the grid of the first band's file."""
    with rasterio.open(scene.hrefs[bands[0]]) as file:
        return read(scene, bands, native_grid(str(file.crs), file.transform), PixelBounds(0, 0, file.height, file.width))


def masked(dn: Any, empty: Any) -> Any:
    return np.where(empty, np.nan, dn.astype(np.float64))


@pytest.mark.parametrize("date", [1, 2])
@pytest.mark.parametrize("city", CITIES)
def test_oscd_city(real_data: Path, city: str, date: int) -> None:
    """Thirteen bands of three sizes in degrees: on their own grids, and on UTM against a bilinear look-up of scipy."""
    lines = (real_data / f"oscd_s2/{city}/dates.txt").read_text().split()
    day = dt.datetime.strptime(lines[2 * date - 1], "%Y%m%d").date()
    scene = declared("sentinel2_l1c", real_data / f"oscd_s2/{city}/date{date}_{{band}}.tif", day)
    for band in SENSORS["sentinel2_l1c"].band_names:
        dn = raw(scene.hrefs[band])
        np.testing.assert_allclose(on_own_grid(scene, band)[0], masked(dn, dn == 0) * 1e-4, rtol=1e-6)
        assert range_fault(SENSORS["sentinel2_l1c"], band, dn) is None
    for band in ("B03", "B11", "B09"):
        assert_bilinear_on_utm(scene, band)


def assert_bilinear_on_utm(scene: Scene, band: str) -> None:
    with rasterio.open(scene.hrefs[band]) as file:
        dn, inverse, (x, y) = file.read(1), ~file.transform, file.xy(file.height // 2, file.width // 2)
    grid = utm_grid(x, y, 10.0)
    east, north = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(x, y)
    start = grid.pixels_over(east, north, east + 1, north + 1)
    bounds = PixelBounds(start.top, start.left, start.top + 48, start.left + 40)
    columns, rows = np.meshgrid(np.arange(bounds.left, bounds.right) + 0.5, np.arange(bounds.top, bounds.bottom) + 0.5)
    degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(columns * 10.0, 10_000_000 - rows * 10.0)
    across, down = inverse @ (degrees[0], degrees[1])
    expected = map_coordinates(dn.astype(np.float64), [down - 0.5, across - 0.5], order=1) * 1e-4
    np.testing.assert_allclose(read(scene, (band,), grid, bounds)[0], expected, atol=2e-6)


@pytest.mark.parametrize("city", ["hongkong", "abudhabi"])
def test_dates_on_unlike_grids_meet_on_utm(real_data: Path, city: str) -> None:
    """The same place on both dates, though the files' pixels differ: bilinear values of nearest pixels, each within its neighbours."""
    scenes = [declared("sentinel2_l1c", real_data / f"oscd_s2/{city}/date{n}_{{band}}.tif", dt.date(2016, 1, n)) for n in (1, 2)]
    assert scenes[0].transform != scenes[1].transform
    assert (scenes[0].width, scenes[0].height) != (scenes[1].width, scenes[1].height)
    for scene in scenes:
        assert_bilinear_on_utm(scene, "B02")


def test_bigearthnet_optical(real_data: Path) -> None:
    folders = sorted((real_data / "bigearthnet_pairs/BigEarthNet-S2-Example").iterdir())
    assert len(folders) == 6
    for folder in folders:
        day = dt.datetime.strptime(folder.name.split("_")[2][:8], "%Y%m%d").date()
        scene = declared("sentinel2_l2a", folder / f"{folder.name}_{{band}}.tif", day)
        assert len(scene.hrefs) == 12
        for band, href in scene.hrefs.items():
            dn = raw(href)
            np.testing.assert_allclose(on_own_grid(scene, band)[0], masked(dn, dn == 0) / 10_000, rtol=1e-6)
            assert range_fault(SENSORS["sentinel2_l2a"], band, dn) is None


def test_bigearthnet_radar(real_data: Path) -> None:
    folders = sorted(path for path in (real_data / "bigearthnet_pairs/BigEarthNet-S1-Example").iterdir() if path.is_dir())
    assert len(folders) == 6
    for folder in folders:
        scene = declared("sentinel1_grd", folder / f"{folder.name}_{{band}}.tif", dt.date(2017, 6, 13))
        values = on_own_grid(scene, "VV", "VH")
        for value, band in zip(values, ("VV", "VH"), strict=True):
            assert value.tobytes() == raw(scene.hrefs[band]).tobytes()
            assert range_fault(SENSORS["sentinel1_grd"], band, value) is None
            assert "most pixels lie outside" in str(range_fault(SENSORS["sentinel1_linear"], band, value))
            assert "linear power" in str(range_fault(SENSORS["sentinel1_grd"], band, 10 ** (value / 10)))


@pytest.mark.parametrize(("name", "sensor", "empty"), [("", "sentinel2_l2a", 9999), ("_l1c", "sentinel2_l1c", 0)])
def test_bangalore_products(real_data: Path, name: str, sensor: str, empty: int) -> None:
    """One block of ground, blue, green, red, near infrared; without data it is 9999 in the one, 0 and undeclared in the other."""
    path = real_data / f"bangalore_s2/section_2_sentinel{name}.tif"
    scene = declared(sensor, path, dt.date(2017, 1, 1), bands=("blue", "green", "red", "nir"))
    values = on_own_grid(scene, "B04", "B02", "B08")
    for value, index in zip(values, (3, 1, 4), strict=True):
        dn = raw(path, index)
        np.testing.assert_allclose(value, masked(dn, dn == empty) * 1e-4, rtol=1e-6)
    assert np.isnan(values).sum() == 3 * 402


def test_bangalore_in_degrees(real_data: Path) -> None:
    path = real_data / "bangalore_s2/section_2_sentinel_rect_wgs84.tif"
    scene = declared("sentinel2_l2a", path, dt.date(2017, 1, 1), bands=("B02", "B03", "B04", "B08"))
    dn = raw(path, 4)
    np.testing.assert_allclose(on_own_grid(scene, "B08")[0], masked(dn, dn == 9999) * 1e-4, rtol=1e-6)
    grid = utm_grid(77.668, 12.930, 10.0)
    values = read(scene, ("B08",), grid, PixelBounds(856_900, 78_880, 856_936, 79_030))
    assert np.isfinite(values).mean() > 0.5
    assert np.nanmax(values) <= dn[dn != 9999].max() * 1e-4 + 1e-6, "no pixel without data reaches its neighbours"


def landsat_scenes(real_data: Path) -> list[Scene]:
    """The scenes of New York with the coefficients that Landsat 8's MTL files give every scene; their sun is not known."""
    found = []
    for folder in sorted((real_data / "newyork_landsat8").iterdir()):
        prefix = "_".join(folder.name.split("_")[:4])
        bands = (*SENSORS["landsat8_l1"].band_names, "BQA")
        hrefs = {band: str(folder / f"{prefix}_{band}.TIF") for band in bands}
        when = dt.datetime.strptime(prefix[-8:], "%Y%m%d").replace(tzinfo=dt.UTC)
        calibration = {band: [3.342e-4, 0.1] if band in ("B10", "B11") else [2e-5, -0.1] for band in bands[:-1]}
        found.append(with_headers(Scene(folder.name, "landsat8_l1", when, hrefs, dict.fromkeys(bands, 1), calibration=calibration)))
    return found


def test_new_york_landsat(real_data: Path) -> None:
    """Nineteen scenes on unequal grids; what is clear follows from bits of BQA, tested one by one here."""
    scenes = landsat_scenes(real_data)
    assert len(scenes) == 19
    assert len({scene.transform for scene in scenes}) > 9
    for scene in scenes:
        assert scene.fault is None
        qa = raw(scene.hrefs["BQA"])
        unclear = (qa & 1) + (qa >> 1 & 1) + (qa >> 4 & 1) + (qa >> 8 & 1) + (qa >> 10 & 1) + (qa >> 12 & 1) > 0
        for band in ("B1", "B4", "B7", "B9", "B10", "B11"):
            dn = raw(scene.hrefs[band])
            scale, offset = (3.342e-4, 0.1) if band in ("B10", "B11") else (2e-5, -0.1)
            np.testing.assert_allclose(on_own_grid(scene, band)[0], masked(dn, unclear | (dn == 0)) * scale + offset, rtol=2e-5, atol=1e-6)
        assert 0.05 < unclear.mean() < 1
        assert not np.isin(qa[~unclear], [1, 2800, 2976, 3744, 6816]).any(), "fill, cloud, shadow, snow, cirrus"
        assert np.isin([2720, 2752], qa[~unclear]).any()


def test_new_york_panchromatic_and_water(real_data: Path) -> None:
    """B8 has pixels of half the size; without the mask all its pixels count. BQA tells no water."""
    scene = landsat_scenes(real_data)[3]
    bare = replace(scene, hrefs={"B8": scene.hrefs["B8"]})
    dn = raw(scene.hrefs["B8"])
    np.testing.assert_allclose(on_own_grid(bare, "B8")[0], masked(dn, dn == 0) * 2e-5 - 0.1, rtol=2e-5, atol=1e-6)
    assert not is_water(SENSORS["landsat8_l1"].masks[1], raw(scene.hrefs["BQA"])).any()


def test_new_york_without_metadata_is_stretched(real_data: Path) -> None:
    folder = real_data / "newyork_landsat8/LC08_L1TP_014032_20180903_20180912_01_T1"
    scene = declared("landsat8_dn", folder / "LC08_L1TP_014032_20180903_{band}.TIF", dt.date(2018, 9, 3), bands=("B2", "B3", "B4"))
    dn = np.stack([raw(scene.hrefs[band]) for band in ("B2", "B3", "B4")])
    covered = (dn != 0).any(axis=0)
    low, high = np.percentile(dn[2][covered], [2, 98])
    expected = masked(np.clip((dn[2] - low) / (high - low), 0, 1), (dn == 0).any(axis=0))
    np.testing.assert_allclose(on_own_grid(scene, "B4", "B2", "B3")[0], expected, atol=1e-6)


def test_para_landsat_5(real_data: Path) -> None:
    """Reflectance pi L d² / (ESUN sin(sun)) with L = (LMAX - LMIN) (DN - 1) / 254 + LMIN, the MTL file's numbers typed here."""
    folder = real_data / "para_landsat5"
    metadata = read_landsat_metadata(folder / "LT52240631988227CUB02_MTL.txt")
    (scene,) = scenes_of((Source(sensor="landsat5_l1", metadata=f"{folder}/*_MTL.txt"),), folder)
    assert (scene.scene_id, scene.fault) == ("LT52240631988227CUB02", None)
    assert scene.datetime.date() == dt.date(1988, 8, 14)
    hrefs = scene.hrefs
    sun = math.sin(math.radians(49.75588889))
    ranges = {"B1": (-1.52, 169.0, 1983), "B3": (-1.17, 264.0, 1536), "B4": (-1.51, 221.0, 1031), "B7": (-0.15, 16.5, 83.44)}
    for band, (low, high, irradiance) in ranges.items():
        dn = raw(hrefs[band])
        radiance = (high - low) * (masked(dn, dn == 255) - 1) / 254 + low
        expected = math.pi * radiance * 1.01285**2 / (irradiance * sun)
        np.testing.assert_allclose(on_own_grid(scene, band)[0], expected, rtol=1e-4, atol=1e-5)
    vegetation = np.nanmedian(on_own_grid(scene, "B4", "B3"), axis=(1, 2))
    assert 0.2 < vegetation[0] < 0.35, "rain forest in the near infrared"
    assert vegetation[1] < 0.06
    kelvin = brightness_temperature(on_own_grid(scene, "B6")[0], *metadata.thermal["B6"])
    dn = raw(hrefs["B6"]).astype(float)
    np.testing.assert_allclose(kelvin, 1260.56 / np.log(607.76 / ((15.303 - 1.238) * (dn - 1) / 254 + 1.238) + 1), rtol=1e-5)
    assert 293 < np.nanmedian(kelvin) < 300


def test_beijing_radar(real_data: Path) -> None:
    """Decibels with NaN and no nodata value."""
    path = real_data / "beijing_s1/beijing_haidian_2020_median_vv_vh_db.tif"
    scene = declared("sentinel1_grd", path, dt.date(2020, 7, 1))
    values = on_own_grid(scene, "VH", "VV")
    assert np.isnan(values).sum() == 2 * 2724
    np.testing.assert_array_equal(values, np.stack([raw(path, 2), raw(path, 1)]))
    assert [range_fault(SENSORS["sentinel1_grd"], band, value) for band, value in zip(("VH", "VV"), values, strict=True)] == [None, None]
    assert "most pixels lie outside" in str(range_fault(SENSORS["sentinel1_linear"], "VV", values[1]))


def test_rotterdam_is_complex_and_turned(real_data: Path, tmp_path: Path) -> None:
    """It is refused as it comes; its power, north up, with -32767 for no data, reads as decibels."""
    with pytest.raises(InputError, match="band VV is complex64, sensor sentinel1_linear_db has float32"):
        declared("sentinel1_linear_db", real_data / "rotterdam_sar/sar_vv.tif", dt.date(2019, 8, 4), bands=("VV",))
    signal = raw(real_data / "rotterdam_sar/sar_vv.tif")
    power = np.where(signal.real == -32767, -32767, np.abs(signal * 2.8e-4) ** 2).astype(np.float32)
    path = write(tmp_path / "power_VV.tif", power, pixel=2.5, crs="EPSG:32631", nodata=-32767)
    scene = declared("sentinel1_linear_db", path, dt.date(2019, 8, 4), bands=("VV",))
    expected = 20 * np.log10(np.abs(masked(signal.real, power == -32767) + 1j * signal.imag) * 2.8e-4)
    np.testing.assert_allclose(on_own_grid(scene, "VV")[0], expected, atol=1e-4)
    assert np.isnan(expected).sum() == 6


def test_atlanta_panchromatic(real_data: Path) -> None:
    path = real_data / "atlanta_vhr/sample_geotiff.tif"
    scene = declared("worldview2", path, dt.date(2009, 12, 22), bands=("pan",))
    dn = raw(path)
    low, high = np.percentile(dn[dn != 0], [2, 98])
    np.testing.assert_allclose(on_own_grid(scene, "pan")[0], masked(np.clip((dn - low) / (high - low), 0, 1), dn == 0), atol=1e-6)
    half = native_grid("EPSG:32616", Affine(1.0, 0, 733_601, 0, -1.0, 3_725_139))
    values = read(scene, ("pan",), half, PixelBounds(10, 20, 40, 70))[0]
    mean = dn.astype(float).reshape(450, 2, 450, 2).mean(axis=(1, 3))[10:40, 20:70]
    unclipped = (values > 0) & (values < 1)
    np.testing.assert_allclose(values[unclipped], ((mean - low) / (high - low))[unclipped], atol=1e-5)
    assert unclipped.mean() > 0.8
