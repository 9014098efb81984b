"""Scenes from a real STAC API, from items with full metadata, and from files by pattern."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import requests
import shapely

from conf.access import Access
from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS
from tests.images_on_disk import DAY, tilted, write
from tests.servers.faults import Faults, Request
from tests.servers.range_server import Canary, serving
from tests.servers.stac_api import stac_api
from udfs.catalogs import scenes_of
from udfs.scenes import refuse_unknown_values
from udfs.stac_catalogs import SearchBounds
from udfs.stac_items import is_complete, scene_of_item

ACCESS = Access(hosts=("images.example.org",), wait_seconds=0.001)


def item(number: int = 0, **properties: Any) -> dict[str, Any]:
    """A Sentinel-2 item as public APIs give it: every band's grid, scale and nodata are told."""
    west, north = 500_000.0 + 100_000 * number, 4_000_000.0
    box = shapely.box(3.0 + number, 35.1, 4.1 + number, 36.1)

    def asset(gsd: int, **more: Any) -> dict[str, Any]:
        side = 109_800 // gsd
        grid = {"proj:shape": [side, side], "proj:transform": [gsd, 0, west, 0, -gsd, north, 0, 0, 1]}
        return {"href": f"https://images.example.org/{number}/{gsd}.tif?sig=CANARY", "roles": ["data"], **grid, **more}

    bands = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": f"S2_{number:03d}", "collection": "sentinel-2-l2a",
        "geometry": shapely.geometry.mapping(box), "bbox": list(box.bounds), "links": [],
        "properties": {
            "datetime": f"2021-{1 + number % 12:02d}-11T10:02:03Z", "eo:cloud_cover": 7.5, "s2:processing_baseline": "05.00",
            "proj:code": "EPSG:32631", "license": "proprietary", "providers": [{"name": "ESA", "roles": ["producer"]}], **properties,
        },
        "assets": {"blue": asset(10, **{"raster:bands": [bands]}), "swir16": asset(20, **{"raster:bands": [bands]}),
                   "scl": asset(20), "thumbnail": {"href": "https://elsewhere.org/x.jpg", "roles": ["thumbnail"]}},
    }  # fmt: skip


SOURCE = Source(api="http://x")


def test_an_item_that_tells_all_is_planned_without_opening_its_images() -> None:
    scene = scene_of_item(item(), SOURCE)
    assert is_complete(scene)
    assert (scene.crs, scene.width, scene.height, scene.transform[:3]) == ("EPSG:32631", 10_980, 10_980, (10.0, 0.0, 500_000.0))
    assert (scene.nodata, scene.cloud, scene.baseline, scene.calibration) == (0.0, 0.075, "05.00", None)
    assert scene.datetime == dt.datetime(2021, 1, 11, 10, 2, 3, tzinfo=dt.UTC)
    assert set(scene.hrefs) == {"B02", "B11", "SCL"}
    assert not any("CANARY" in href for href in scene.files)
    assert (scene.licence, scene.attribution) == ("proprietary", "ESA")


def renamed(**names: str) -> dict[str, Any]:
    """The item with assets of other names."""
    found = item()
    return {**found, "assets": {names.get(key, key): asset for key, asset in found["assets"].items()}}


def test_assets_that_a_catalog_names_otherwise_are_mapped() -> None:
    mapped = Source(api="http://x", assets={"scl": "SCL_20m", "B02": "B02_10m"})
    scene = scene_of_item(renamed(scl="SCL_20m", blue="B02_10m"), mapped)
    assert {band: href.rsplit("/", 1)[1] for band, href in scene.hrefs.items()} == {"B02": "10.tif", "B11": "20.tif", "SCL": "20.tif"}
    assert scene == scene_of_item(item(), SOURCE)
    with pytest.raises(InputError, match=r"S2_000: no asset SCL_20m, which scenes\.sources\.assets names; it has blue, scl, swir16, thumb"):
        scene_of_item(item(), mapped)
    with pytest.raises(InputError, match="sensor sentinel2_l2a has no band clouds"):
        scene_of_item(item(), Source(api="http://x", assets={"clouds": "scl"}))
    with pytest.raises(ValueError, match="assets is for items of a catalog"):
        Source(href="a.tif", sensor="rgb", datetime=DAY, assets={"red": "r"})


def test_an_item_without_its_mask_is_refused_unless_the_source_names_its_bands() -> None:
    """Or every cloud were ground, in silence."""
    lacking = renamed(scl="SCL_20m")
    said = r"S2_000: no asset for SCL of sentinel2_l2a; it has SCL_20m, blue, swir16, thumbnail; name it as `assets: {SCL: \.\.\.}`"
    with pytest.raises(InputError, match=said + " of the source, or give `bands` to do without a mask"):
        scene_of_item(lacking, SOURCE)
    assert set(scene_of_item(lacking, Source(api="http://x", bands=("blue", "swir16"))).hrefs) == {"B02", "B11"}
    with pytest.raises(InputError, match="no asset for SCL, B08 of"):
        scene_of_item(lacking, Source(api="http://x", bands=("blue", "SCL", "nir")))


@pytest.mark.parametrize(
    ("sensor", "given", "lacking"),
    [
        ("sentinel2_l2a", (), ("SCL",)),
        ("landsat8_l2", ("QA_PIXEL",), ("QA_RADSAT",)),
        ("landsat8_l1", (), ("QA_PIXEL", "QA_RADSAT")),
        ("landsat8_l1", ("BQA",), ()),
        ("planetscope_4band", (), ("udm2_clear",)),
        ("sentinel1_grd", (), ()),
    ],
)
def test_masks_that_an_image_should_have(sensor: str, given: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    assert SENSORS[sensor].lacking_masks(given) == lacking


@pytest.mark.parametrize(
    ("properties", "calibration"),
    [({}, None), ({"earthsearch:boa_offset_applied": True}, [0.0001, 0.0]), ({"s2:processing_baseline": "03.01"}, [0.0001, -0.1])],
)
def test_stated_calibration_counts_where_it_is_another(properties: dict[str, Any], calibration: list[float] | None) -> None:
    found = scene_of_item(item(**properties), SOURCE).calibration
    assert found == (None if calibration is None else {"B02": calibration, "B11": calibration})


def test_an_item_without_a_grid_is_not_complete() -> None:
    lacking = item()
    del lacking["properties"]["proj:code"]
    assert not is_complete(scene_of_item(lacking, SOURCE))


def asked(items: list[dict[str, Any]], bounds: SearchBounds, faults: Faults | None = None, **more: Any) -> tuple[list[str], list[Request]]:
    log: list[Request] = []
    with stac_api(items, page=4, faults=faults, log=log) as url:
        scenes = scenes_of((Source(api=url, **more),), Path("/nowhere"), ACCESS, bounds)
    return [scene.scene_id for scene in scenes], log


ITEMS = [item(number) for number in range(11)]
YEAR = ((dt.date(2021, 1, 1), dt.date(2021, 12, 31)),)


def test_every_page_is_asked_for_within_bounds() -> None:
    names, log = asked(ITEMS, SearchBounds(None, YEAR), collections=("sentinel-2-l2a",))
    assert names == [f"S2_{number:03d}" for number in range(11)]
    assert len(log) >= 4
    months = ((dt.date(2021, 2, 1), dt.date(2021, 4, 30)), (dt.date(2021, 4, 1), dt.date(2021, 4, 30)))
    assert asked(ITEMS, SearchBounds(None, months))[0] == ["S2_001", "S2_002", "S2_003"]
    assert asked(ITEMS, SearchBounds((8.0, 35.5, 8.05, 35.6), YEAR))[0] == ["S2_004", "S2_005"]
    assert asked(ITEMS, SearchBounds(None, YEAR), bbox=(3.0, 35.0, 3.5, 36.0))[0] == ["S2_000"]


@pytest.mark.parametrize("faults", [Faults(seed=3, too_many=0.3), Faults(seed=5, unavailable=0.3), Faults(seed=7, half=0.3)])
def test_an_api_that_fails_now_and_then_gives_the_same(faults: Faults) -> None:
    names, log = asked(ITEMS, SearchBounds(None, YEAR), faults)
    assert names == [f"S2_{number:03d}" for number in range(11)]
    assert any(request.fault for request in log)


def test_an_api_that_is_not_there_or_gives_nothing_is_one_line() -> None:
    with Canary() as canary, pytest.raises(InputError, match="the API fails"):
        scenes_of((Source(api=canary.url),), Path("/nowhere"), Access(tries=2, wait_seconds=0.001))
    with pytest.raises(InputError, match="hold no scene"):
        asked(ITEMS, SearchBounds(None, ((dt.date(1999, 1, 1), dt.date(1999, 2, 1)),)))


def test_hosts_of_assets_must_be_named() -> None:
    with stac_api(ITEMS) as url, pytest.raises(InputError, match=r"images\.example\.org is not among access\.hosts"):
        scenes_of((Source(api=url),), Path("/nowhere"), Access())


def found(folder: Path, href: str, **more: Any) -> dict[str, tuple[str, list[str]]]:
    source = Source(**{"sensor": "sentinel2_l2a", "href": f"{folder}/{href}", "bands": ("B02", "B03"), **more})
    scenes = scenes_of((source,), folder)
    return {scene.scene_id: (str(scene.datetime.date()), sorted(Path(path).name for path in scene.files)) for scene in scenes}


def test_patterns_tell_dates_bands_and_images_apart(tmp_path: Path) -> None:
    for day in ("20200131", "20210228"):
        (tmp_path / day).mkdir()
        for band in ("B02", "B03", "B99"):
            write(tmp_path / day / f"T31_{day}_{band}.tif", tilted(130, 140))
    expected = {f"T31_{day}": (date, [f"T31_{day}_B02.tif", f"T31_{day}_B03.tif"]) for day, date in
                (("20200131", "2020-01-31"), ("20210228", "2021-02-28"))}  # fmt: skip
    assert found(tmp_path, "*/T31_{date}_{band}.tif") == expected
    assert found(tmp_path, "{date}/T31_{date}_{band}.tif") == expected
    assert found(tmp_path, "**/T31_{date}_{band}.tif") == expected
    for path in tmp_path.glob("2020*/*_B0*.tif"):
        path.rename(path.with_name(path.name.replace("_20200131", "")))
    assert set(found(tmp_path, "{date}/T31_{band}.tif")) == {"20200131_T31"}
    with pytest.raises(InputError, match="no file matches"):
        found(tmp_path, "*/T32_{date}_{band}.tif")
    (tmp_path / "20200131" / "T31_20209931_B02.tif").touch()
    with pytest.raises(InputError, match="20209931 is no date"):
        found(tmp_path, "*/T31_{date}_{band}.tif")


def test_a_folder_holds_an_image_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "drone"
    folder.mkdir()
    for name in ("b.tif", "a.tif"):
        write(folder / name, np.ones((3, 130, 140), np.uint8))
    (tmp_path / "drone" / "notes.txt").touch()
    images = found(tmp_path, "drone/", sensor="rgb", bands=(), datetime=DAY)
    assert images == {"a": (str(DAY), ["a.tif"]), "b": (str(DAY), ["b.tif"])}


def test_files_may_be_named_band_by_band(tmp_path: Path) -> None:
    files = {band: str(write(tmp_path / name, tilted(130, 140))) for band, name in (("blue", "x1.tif"), ("B03", "y2.tif"))}
    (scene,) = scenes_of((Source(sensor="sentinel2_l2a", files=files, datetime=DAY, scene_id="mine"),), tmp_path)
    assert {band: Path(href).name for band, href in scene.hrefs.items()} == {"B02": "x1.tif", "B03": "y2.tif"}
    assert (scene.scene_id, scene.band_indexes) == ("mine", {"B02": 1, "B03": 1})


def test_swapped_bands_are_found_by_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "pair.tif", np.stack([tilted(130, 140), tilted(130, 140, 1)]))

    with rasterio.open(path, "r+") as file:
        file.descriptions = ("B03", "B02")
    with pytest.raises(InputError, match="calls itself B03, and is declared as B02"):
        found(tmp_path, "pair.tif", datetime=DAY)
    assert found(tmp_path, "pair.tif", datetime=DAY, bands=("B03", "B02"))


@pytest.mark.parametrize(
    ("pixels", "sensor", "message"),
    [
        (np.full((130, 140), 0.3, np.float32), "sentinel1_grd", "no pixel is below 0 dB"),
        (np.full((130, 140), 1, np.uint16), "sentinel2_l2a", "not scaled"),
        (np.full((130, 140), 60_000, np.uint16), "sentinel2_l2a", "outside the range"),
    ],
)
def test_values_of_another_kind_are_refused(tmp_path: Path, pixels: Any, sensor: str, message: str) -> None:
    write(tmp_path / "x.tif", pixels)
    bands = ("VV",) if sensor == "sentinel1_grd" else ("B02",)
    with pytest.raises(InputError, match=message):
        scenes_of((Source(sensor=sensor, href=str(tmp_path / "x.tif"), datetime=DAY, bands=bands),), tmp_path)


def test_each_band_of_a_file_has_its_own_calibration_and_all_must_be_told() -> None:
    bands = [{"name": "B02", "scale": 0.0001, "offset": -0.1}, {"name": "B11", "scale": 0.0002, "offset": 0.0}]
    pair = item()
    pair["assets"] = {"both": {**pair["assets"]["blue"], "bands": bands, "raster:bands": []}, "scl": pair["assets"]["scl"]}
    scene = scene_of_item(pair, SOURCE)
    assert scene.calibration == {"B02": [0.0001, -0.1], "B11": [0.0002, 0.0]}
    half = item()
    half["properties"] |= {"datetime": "2023-05-04T10:00:00Z", "s2:processing_baseline": None}
    half["assets"]["swir16"]["raster:bands"] = []
    with pytest.raises(InputError, match="processing baseline"):
        refuse_unknown_values(scene_of_item(half, SOURCE))


@pytest.mark.parametrize(
    "broken",
    [
        {"properties": {"datetime": "soon", "proj:code": "EPSG:32631"}},
        {"properties": {"datetime": "2021-01-01T00:00:00Z", "proj:code": "EPSG:999999"}},
        {"assets": {"blue": {"roles": ["data"]}}},
        {"assets": {"blue": {"href": "https://[::1/x.tif"}}},
        {"geometry": {"type": "x"}},
    ],
)
def test_an_unsound_item_is_one_line(broken: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"item S2_000"):
        scene_of_item({**item(), **broken}, SOURCE)


def test_an_api_may_not_lead_to_other_hosts(tmp_path: Path) -> None:
    with Canary() as canary, stac_api(ITEMS) as url:
        catalog = tmp_path / "landing.json"
        landing = requests.get(url, timeout=5).json()
        landing["links"] = [{**link, "href": canary.url} if link["rel"] == "search" else link for link in landing["links"]]
        catalog.write_text(json.dumps(landing))
        with serving(tmp_path) as server, pytest.raises(InputError, match=r"is not among access\.hosts|does not resolve"):
            scenes_of((Source(api=server.url("landing.json")),), Path("/nowhere"), Access())
        assert canary.connects == 0
