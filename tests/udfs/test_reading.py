"""Reading scenes: values do not depend on the window, and a fault is never a pixel."""

import datetime as dt
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from conf.errors import InputError, ReadError
from conf.place import Source
from tests.images_on_disk import DAY, GRID, ORIGIN, flip_block, tilted, write
from udfs.catalogs import scenes_of
from udfs.grid import Grid, PixelBounds, native_grid, utm_grid
from udfs.images import ImagePool
from udfs.reading import read_scene
from udfs.scenes import Scene


def sentinel(folder: Path, **files: Any) -> Scene:
    """A Sentinel-2 scene of band files in `folder`."""
    href = str(folder / "s2_{band}.tif")
    return scenes_of((Source(sensor="sentinel2_l2a", href=href, datetime=DAY, bands=tuple(files) or ("B02", "B11")),), folder)[0]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    write(tmp_path / "s2_B02.tif", tilted(400, 600))
    write(tmp_path / "s2_B11.tif", tilted(200, 300, seed=1), pixel=20.0)
    return sentinel(tmp_path)


def read(scene: Scene, bands: tuple[str, ...], grid: Grid, bounds: PixelBounds) -> Any:
    with ImagePool() as pool:
        return read_scene(pool, scene, bands, grid, bounds)[0]


def assert_quarters_equal(scene: Scene, bands: tuple[str, ...], grid: Grid, whole: PixelBounds) -> None:
    values = read(scene, bands, grid, whole)
    assert np.isfinite(values).mean() > 0.05
    height, width = whole.shape_yx
    for top in (0, height // 2):
        for left in (0, width // 2):
            quarter = PixelBounds(whole.top + top, whole.left + left, whole.top + top + height // 2, whole.left + left + width // 2)
            part = values[:, top : top + height // 2, left : left + width // 2]
            assert read(scene, bands, grid, quarter).tobytes() == part.tobytes()


def test_aligned_pixels_are_the_files_own(scene: Scene) -> None:
    with rasterio.open(scene.hrefs["B02"]) as file:
        expected = file.read(1)[100:150, 200:270] * np.float32(1e-4)
    np.testing.assert_array_equal(read(scene, ("B02",), GRID, PixelBounds(100, 200, 150, 270))[0], expected)


def test_coarse_band_is_bilinear_at_the_pixels_centre(tmp_path: Path) -> None:
    ramp = (1000 + 100 * np.arange(8)[:, None] + 10 * np.arange(9)[None, :]).astype(np.uint16)
    write(tmp_path / "s2_B11.tif", ramp, pixel=20.0)
    values = read(sentinel(tmp_path, B11=1), ("B11",), GRID, PixelBounds(2, 4, 3, 5))
    # Centre of fine pixel (2, 4) is at (1.25, 2.25) coarse pixels, (0.75, 1.75) from the first centre.
    assert values[0, 0, 0] == pytest.approx((1000 + 75 + 17.5) * 1e-4, abs=1e-7)


def test_quarters_equal_the_whole(scene: Scene) -> None:
    assert_quarters_equal(scene, ("B02", "B11"), GRID, PixelBounds(-64, 100, 448, 612))
    assert_quarters_equal(scene, ("B02", "B11"), utm_grid(-34.9, -9.1, 7.0), PixelBounds(142_800, 42_800, 143_312, 43_312))


def test_outside_and_nodata_and_clouds_are_nan(tmp_path: Path) -> None:
    pixels = tilted(200, 200)
    pixels[10, 20] = 0
    write(tmp_path / "s2_B02.tif", pixels)
    write(tmp_path / "s2_B03.tif", tilted(200, 200, 1))
    classes = np.full((100, 100), 4, np.uint8)
    classes[30, 40] = 9
    write(tmp_path / "s2_SCL.tif", classes, pixel=20.0)
    scene = sentinel(tmp_path, B02=1, B03=1, SCL=1)
    missing = np.isnan(read(scene, ("B03", "B02"), GRID, PixelBounds(-1, 0, 200, 200)))
    expected = np.zeros((201, 200), bool)
    expected[0] = expected[11, 20] = expected[61:63, 80:82] = True
    np.testing.assert_array_equal(missing, np.stack([expected, expected]))


@pytest.mark.parametrize(
    ("baseline", "offset"),
    [("02.14", 0.0), ("04.00", -0.1), ("05.09", -0.1), ("N0204", 0.0), ("0204", 0.0), ("0510", -0.1), ("N0510", -0.1), (None, 0.0)],
)
def test_offset_follows_the_baseline(tmp_path: Path, baseline: str | None, offset: float) -> None:
    values = read(flat_scene(tmp_path, baseline, dt.date(2022, 1, 24)), ("B04",), GRID, PixelBounds(0, 0, 5, 7))
    np.testing.assert_allclose(values, 0.3 + offset, atol=1e-7)


@pytest.mark.parametrize(("baseline", "day"), [(None, 25), ("latest", 25), ("latest", 24)])
def test_an_image_whose_offset_is_unknown_is_refused(tmp_path: Path, baseline: str | None, day: int) -> None:
    with pytest.raises(InputError, match=r"scene late: .*processing baseline.*give it as `baseline`"):
        flat_scene(tmp_path, baseline, dt.date(2022, 1, day))


def flat_scene(folder: Path, baseline: str | None, day: dt.date) -> Scene:
    href = str(write(folder / "late_B04.tif", np.full((130, 140), 3000, np.uint16))).replace("B04", "{band}")
    source = Source(sensor="sentinel2_l2a", href=href, datetime=day, bands=("B04",), baseline=baseline)
    return scenes_of((source,), folder)[0]


def test_mask_band_and_empty_colour(tmp_path: Path) -> None:
    pixels = np.stack([tilted(150, 160, seed) % 200 for seed in range(3)]).astype(np.uint8) + 1
    mask = np.full((150, 160), 255, np.uint8)
    mask[3, 5] = 0
    path = tmp_path / "drone.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, pixels)
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    scene = scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)[0]
    values = read(scene, ("green",), GRID, PixelBounds(0, 0, 150, 160))[0]
    np.testing.assert_array_equal(np.isnan(values), mask == 0)
    assert values[7, 9] == np.float32(pixels[1, 7, 9] * np.float32(1 / 255))


def test_nodata_does_not_darken_its_neighbours(tmp_path: Path) -> None:
    """1 m pixels of 200 beside pixels without data, on a 0.5 m grid; a single band of 0 is a colour."""
    pixels = np.full((3, 150, 160), 200, np.uint8)
    pixels[:, :, 90:] = 0
    pixels[1, :, 40:] = 0
    scene = scenes_of((Source(sensor="rgb", href=str(write(tmp_path / "a.tif", pixels, pixel=1.0, nodata=0)), datetime=DAY),), tmp_path)[0]
    grid = native_grid("EPSG:32725", Affine(0.5, 0, ORIGIN[0], 0, -0.5, ORIGIN[1]))
    red, green, _ = read(scene, ("red", "green", "blue"), grid, PixelBounds(20, 60, 200, 320))
    assert np.unique(red[:, : 180 - 60]) == np.float32(200) * np.float32(1 / 255)
    assert np.isnan(red[:, 180 - 60 :]).all()
    assert set(np.unique(np.rint(green[:, : 180 - 60] * 255))) == {0, 50, 150, 200}


def test_blocks_left_out_of_the_file_are_no_data(tmp_path: Path) -> None:
    """Pixels of 0 in a block that is there stay pixels; an absent block of one band alone is no data only where any suffices."""
    pixels = np.stack([tilted(300, 400, seed) % 200 for seed in range(3)]).astype(np.uint8)
    pixels[:, 128:256, 256:384] = 0
    pixels[:, 5, 6] = 0
    pixels[2, :128, :128] = 0
    path = write(tmp_path / "sparse.tif", pixels, SPARSE_OK=True, interleave="band")
    rgb = scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)[0]
    missing = np.zeros((300, 400), bool)
    missing[128:256, 256:384] = True
    values = read(rgb, ("red", "green", "blue"), GRID, PixelBounds(0, 0, 300, 400))
    np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(missing, values.shape))
    assert values[2, 5, 6] == 0
    radar_pixels = np.where(pixels[1:] == 0, 0, pixels[1:] / 8 - 30).astype(np.float32)
    path = write(tmp_path / "radar.tif", radar_pixels, SPARSE_OK=True, interleave="band")
    radar = scenes_of((Source(sensor="sentinel1_grd", href=str(path), datetime=DAY),), tmp_path)[0]
    missing[:128, :128] = True
    part = read(radar, ("VV", "VH"), GRID, PixelBounds(100, 90, 290, 400))
    np.testing.assert_array_equal(np.isnan(part), np.broadcast_to(missing[100:290, 90:], part.shape))


def test_cut_list_of_blocks_fails(tmp_path: Path) -> None:
    path = write(tmp_path / "radar.tif", np.full((512, 640), -9, np.float32), compress="none", blockxsize=16, blockysize=16)
    data = bytearray(path.read_bytes())
    start, (entries,) = 8, struct.unpack("<H", data[8:10])
    places = {struct.unpack("<H", data[at : at + 2])[0]: at for at in range(start + 2, start + 2 + 12 * entries, 12)}
    count, offsets = struct.unpack("<II", data[places[324] + 4 : places[324] + 12])
    struct.pack_into("<I", data, places[324] + 8, len(data))
    path.write_bytes(bytes(data + data[offsets : offsets + 2 * count]))
    source = Source(sensor="sentinel1_grd", href=str(path), datetime=DAY, bands=("VV",))
    scene = scenes_of((source,), tmp_path)[0]
    assert (read(scene, ("VV",), GRID, PixelBounds(0, 0, 9, 9)) == -9).all()
    with pytest.raises(ReadError, match="list of blocks"):
        read(scene, ("VV",), GRID, PixelBounds(490, 600, 512, 640))


def test_stretch_is_between_the_scenes_percentiles(tmp_path: Path) -> None:
    pixels = np.stack([np.arange(128 * 200).reshape(128, 200) % 101 + 40 * band for band in range(4)]).astype(np.uint8)
    scene = scenes_of((Source(sensor="landsat_stretched", href=str(write(tmp_path / "p.tif", pixels)), datetime=DAY),), tmp_path)[0]
    assert scene.stretch is not None
    assert scene.stretch["nir"] == pytest.approx(np.percentile(pixels[1], [2, 98]).tolist())
    assert read(scene, ("nir", "green"), GRID, PixelBounds(0, 0, 128, 200)).max() == 1.0


def test_truncated_file_fails_only_where_it_is_cut(scene: Scene) -> None:
    path = Path(scene.hrefs["B02"])
    path.write_bytes(path.read_bytes()[:-20_000])
    assert np.isfinite(read(scene, ("B02",), GRID, PixelBounds(0, 0, 128, 128))).all()
    with pytest.raises(ReadError, match=r"s2_B02\.tif") as caught:
        read(scene, ("B02",), GRID, PixelBounds(384, 512, 400, 600))
    assert (caught.value.kind, caught.value.tries) == ("truncated", 3)


def test_flipped_bytes_fail(scene: Scene) -> None:
    flip_block(Path(scene.hrefs["B02"]), 1, 1)
    assert np.isfinite(read(scene, ("B02",), GRID, PixelBounds(0, 0, 128, 128))).all()
    with pytest.raises(ReadError):
        read(scene, ("B02",), GRID, PixelBounds(128, 128, 256, 256))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>503</html>", "not_a_tiff"),
        (b"", "not_a_tiff"),
        (
            b'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
            b"<SourceFilename>/etc/passwd</SourceFilename></VRTRasterBand></VRTDataset>",
            "driver_not_allowed",
        ),
    ],
)
def test_only_tiffs_are_opened(scene: Scene, content: bytes, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(scene.hrefs["B02"]).write_bytes(content)
    opened: list[str] = []
    monkeypatch.setattr(rasterio, "open", lambda path, **_: opened.append(path))
    with pytest.raises(ReadError) as caught:
        read(scene, ("B02",), GRID, PixelBounds(0, 0, 9, 9))
    assert (caught.value.kind, opened) == (kind, [])


def test_remote_paths_are_refused(scene: Scene) -> None:
    with pytest.raises(InputError, match="no plain path"):
        scenes_of((Source(sensor="rgb", href="/vsicurl/http://127.0.0.1:9/a.tif", datetime=DAY),), Path())


def test_one_scene_without_crs_stays_and_fails_where_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "good.tif", np.full((3, 200, 180), 9, np.uint8))
    bad = write(tmp_path / "bad.tif", np.full((3, 200, 180), 9, np.uint8), crs=None)
    sources = tuple(Source(sensor="rgb", href=str(tmp_path / name), datetime=DAY) for name in ("good.tif", "bad.tif"))
    found = {scene.scene_id: scene for scene in scenes_of(sources, tmp_path)}
    assert found["bad"].footprint == found["good"].footprint
    with pytest.raises(ReadError) as caught:
        read(found["bad"], ("red",), GRID, PixelBounds(0, 0, 9, 9))
    assert caught.value.kind == "georeference"
    with pytest.raises(InputError, match="no CRS"):
        scenes_of((Source(sensor="rgb", href=str(bad), datetime=DAY),), tmp_path)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [(np.ones((3, 130, 130), np.uint16), "uint16"), (np.ones((2, 130, 130), np.uint8), "band blue is missing")],
)
def test_wrong_declaration_is_refused(tmp_path: Path, pixels: Any, message: str) -> None:
    path = write(tmp_path / "wrong.tif", pixels)
    with pytest.raises(InputError, match=message):
        scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)
    with pytest.raises(InputError, match=r"no file absent\.tif"):
        scenes_of((Source(sensor="rgb", href=str(tmp_path / "absent.tif"), datetime=DAY),), tmp_path)


def test_digest_follows_content_not_folder(tmp_path: Path) -> None:
    found = []
    for name, value in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        path = write(tmp_path / name / "same.tif", np.full((3, 130, 130), value, np.uint8))
        found.append(scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)[0].content_digest)
    assert found[0] == found[1] != found[2]


def test_digest_follows_what_is_declared(tmp_path: Path) -> None:
    for band, seed in (("B02", 0), ("B03", 1)):
        write(tmp_path / f"s2_{band}.tif", tilted(130, 140, seed))
    pair = write(tmp_path / "pair.tif", np.stack([tilted(130, 140), tilted(130, 140, 1)]))
    base: dict[str, Any] = {"sensor": "sentinel2_l2a", "href": str(tmp_path / "s2_{band}.tif"), "datetime": DAY, "bands": ("B02", "B03")}
    changes: list[dict[str, Any]] = [
        {}, {"sensor": "sentinel2_l1c"}, {"datetime": DAY.replace(day=5)}, {"nodata": 7.0}, {"baseline": "05.09"}, {"bands": ("B02",)},
        {"href": str(pair)}, {"href": str(pair), "bands": ("B03", "B02")},
    ]  # fmt: skip
    found = [scenes_of((Source(**{**base, **change}),), tmp_path)[0].content_digest for change in changes]
    assert len(set(found)) == len(changes)
    renamed = Source(**base, scene_id="another", licence="CC0-1.0")
    assert scenes_of((renamed,), tmp_path)[0].content_digest == found[0]


def test_degree_pixels_onto_utm_do_not_depend_on_the_window(real_data: Path) -> None:
    href = str(real_data / "oscd_s2/mumbai/date1_{band}.tif")
    scene = scenes_of((Source(sensor="sentinel2_l1c", href=href, datetime=DAY),), Path())[0]
    assert_quarters_equal(scene, ("B02", "B05", "B01"), utm_grid(72.93, 19.07, 10.0), PixelBounds(788_800, 28_000, 789_312, 28_512))
