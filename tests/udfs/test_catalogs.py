"""Static STAC catalogs: bands by asset key or by listed name, the rest from the item; links off the disk are refused."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import shapely

from conf.errors import InputError
from conf.place import Source
from conf.sensors import SENSORS
from tests.images_on_disk import tilted, write
from udfs.catalogs import scenes_of

SQUARE = shapely.box(-34.9, -9.05, -34.85, -9.0)


PROPERTIES: dict[str, Any] = {
    "eo:cloud_cover": 12.5, "s2:processing_baseline": "05.10", "urbantrace:sensor": "sentinel2_l2a", "license": "CC0-1.0",
}  # fmt: skip
TAKEN = dt.datetime(2021, 3, 4, 8, 2, tzinfo=dt.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "S2_x").mkdir()
    write(tmp_path / "S2_x" / "fine.tif", np.stack([tilted(130, 140), tilted(130, 140, 1)]))
    write(tmp_path / "S2_x" / "classes.tif", np.full((65, 70), 4, np.uint8), pixel=20.0)
    item = pystac.Item("S2_x", shapely.geometry.mapping(SQUARE), list(SQUARE.bounds), TAKEN, PROPERTIES)
    item.add_asset("fine", pystac.Asset("./fine.tif", extra_fields={"bands": [{"name": "B02"}, {"name": "B08"}]}))
    item.add_asset("SCL", pystac.Asset("./classes.tif"))
    catalog = pystac.Catalog("test", "test")
    catalog.add_item(item)
    catalog.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    return tmp_path


def test_item_becomes_a_scene(folder: Path) -> None:
    (scene,) = scenes_of((Source(stac="{storage}/catalog.json"),), folder)
    assert scene.band_indexes == {"B02": 1, "B08": 2, "SCL": 1}
    assert {Path(path).name for path in scene.files} == {"fine.tif", "classes.tif"}
    assert (scene.cloud, scene.baseline, scene.width, scene.height, scene.licence) == (0.125, "05.10", 140, 130, "CC0-1.0")
    assert scene.datetime == TAKEN


def test_footprint_is_the_rasters_and_only_a_broken_scenes_the_catalogs(folder: Path) -> None:
    sources = (Source(stac=str(folder / "catalog.json")), Source(sensor="rgb", href=str(folder / "other.tif"), datetime=TAKEN.date()))
    write(folder / "other.tif", np.full((3, 130, 140), 9, np.uint8))
    sound, whole = scenes_of(sources, folder)
    assert whole.footprint == sound.footprint != shapely.to_wkb(SQUARE)
    (folder / "S2_x" / "fine.tif").write_bytes(b"<html>busy</html>")
    broken = scenes_of(sources, folder)[0]
    assert shapely.equals(shapely.from_wkb(broken.footprint), SQUARE)


def test_remote_links_and_broken_catalogs_are_refused(folder: Path) -> None:
    path = folder / "catalog.json"
    path.write_text(path.read_text().replace("./S2_x/S2_x.json", "http://127.0.0.1:9/item.json"))
    with pytest.raises(InputError, match=r"not among access\.hosts"):
        scenes_of((Source(stac=str(path)),), folder)
    path.write_text("{")
    with pytest.raises(InputError, match="no sound STAC"):
        scenes_of((Source(stac=str(path)),), folder)


@pytest.mark.parametrize("href", ["day_{band}.tif", "{date}_{band}.tif"])
def test_the_mask_beside_the_bands_is_taken_unless_bands_are_named(tmp_path: Path, href: str) -> None:
    start = href.split("_", maxsplit=1)[0].replace("{date}", "20200301")
    for band in (*SENSORS["sentinel2_l2a"].band_names, "SCL"):
        write(tmp_path / f"{start}_{band}.tif", tilted(130, 140) if band != "SCL" else np.full((130, 140), 4, np.uint8))
    source = Source(sensor="sentinel2_l2a", href=str(tmp_path / href), datetime=dt.date(2020, 3, 1))
    (scene,) = scenes_of((source,), tmp_path)
    assert Path(scene.hrefs["SCL"]).name == f"{start}_SCL.tif"
    (named,) = scenes_of((source.model_copy(update={"bands": ("B02", "B03")}),), tmp_path)
    assert set(named.hrefs) == {"B02", "B03"}


def test_unknown_sensor_names_the_known(folder: Path) -> None:
    with pytest.raises(InputError, match="landsat7_dn"):
        scenes_of((Source(sensor="spot", href="a.tif", datetime=dt.date(2020, 1, 1)),), folder)


def save_with(folder: Path, **assets: pystac.Asset) -> Path:
    """The catalog with more assets, before those it has."""
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    item = next(catalog.get_items())
    item.assets = {**assets, **item.assets}
    for asset in item.assets.values():
        asset.set_owner(item)
    catalog.save(pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def listing(*names: str) -> dict[str, Any]:
    return {"eo:bands": [{"name": name} for name in names]}


def test_pictures_to_look_at_give_no_band(folder: Path) -> None:
    write(folder / "S2_x" / "own.tif", tilted(130, 140, 2))
    path = save_with(
        folder,
        visual=pystac.Asset("./visual.tif", roles=["data"], extra_fields=listing("B02", "B8A")),
        overview=pystac.Asset("./overview.tif", roles=["overview"], extra_fields=listing("B12", "B02")),
        thumbnail=pystac.Asset("https://127.0.0.1:9/small.jpg", roles=["thumbnail"], extra_fields=listing("B04")),
        B02=pystac.Asset("./own.tif"),
    )
    write(folder / "S2_x" / "visual.tif", np.stack([tilted(130, 140, 3), tilted(130, 140, 4)]))
    (scene,) = scenes_of((Source(stac=str(path)),), folder)
    assert {band: Path(href).name for band, href in scene.hrefs.items()} == {
        "B02": "own.tif", "B8A": "visual.tif", "B08": "fine.tif", "SCL": "classes.tif",
    }  # fmt: skip
    assert scene.band_indexes == {"B02": 1, "B8A": 2, "B08": 2, "SCL": 1}


def test_a_band_that_lies_elsewhere_is_refused(folder: Path) -> None:
    path = save_with(folder, B03=pystac.Asset("https://127.0.0.1:9/B03.tif"))
    with pytest.raises(InputError, match=r"not among access\.hosts"):
        scenes_of((Source(stac=str(path)),), folder)
