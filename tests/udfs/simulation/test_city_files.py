"""The files: a sound catalog, Microsoft's footprint format, the same bytes, nothing done twice."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import shapely

from udfs.simulation.footprints import noisy_footprints, quadkeys
from udfs.simulation.scene_files import AERIAL, CATALOG, VECTORS, YEAR, CityFiles, city_of, done, done_batches


def _files(folder: Path) -> CityFiles:
    return CityFiles(11, "coastal", 1280.0, 2020, 2021, 200.0, 0.5, str(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("city")
    files = _files(here)
    for kind, year in [*files.tasks(), (CATALOG, 2021)]:
        done(files, kind, year)
    return here


def test_catalog_names_files_that_are_what_it_says(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(folder)
    items = list(pystac.Catalog.from_file(str(moved / "imagery" / "catalog.json")).get_items())
    assert {item.properties["urbantrace:sensor"] for item in items} == {"sentinel2_l2a", "sentinel1_grd", "rgb"}
    for item in items:
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as image:
                assert list(image.descriptions) == [band["name"] for band in asset.extra_fields["bands"]]
                assert list(image.shape) == asset.extra_fields["proj:shape"]
                assert list(image.transform)[:6] == asset.extra_fields["proj:transform"]
                assert image.crs.to_string() == item.properties["proj:code"]
                assert image.block_shapes[0] == (256, 256) or max(image.shape) <= 512
                assert image.dtypes[0] == asset.extra_fields["bands"][0]["data_type"]


def test_items_are_valid_stac(folder: Path) -> None:
    for item in pystac.Catalog.from_file(str(folder / "imagery" / "catalog.json")).get_items():
        assert item.geometry is not None
        assert item.datetime is not None
        assert item.datetime.tzinfo is not None
        assert item.self_href.endswith(f"{item.id}/{item.id}.json")
        assert all(not link.get_href().startswith("/") for link in item.links if link.rel != "self")


def test_footprints_are_in_microsofts_format(folder: Path) -> None:
    links = pd.read_csv(folder / "footprints" / "dataset-links.csv", dtype=str)
    assert list(links.columns) == ["Location", "QuadKey", "Url", "Size"]
    assert links["QuadKey"].str.fullmatch("[0-3]{9}").all()
    lines = gzip.decompress((folder / "footprints" / links["Url"][0]).read_bytes()).decode().splitlines()
    feature = json.loads(lines[0])
    assert feature["type"] == "Feature"
    assert feature["properties"] == {"height": -1.0, "confidence": -1.0}
    assert feature["geometry"]["type"] == "Polygon"


def test_footprints_are_nearly_those_of_the_city(tmp_path: Path) -> None:
    city = city_of(_files(tmp_path))
    standing = city.footprints[(city.standing.built <= 2021) & (city.standing.gone > 2021)]
    noisy = noisy_footprints(city, 2021)
    assert 0.7 * len(standing) < len(noisy) < len(standing)
    assert 0.5 < shapely.union_all(noisy).intersection(shapely.union_all(standing)).area / shapely.area(standing).sum() < 0.97


def test_quadkey_of_the_published_example() -> None:
    # Tile (3, 5) at level 3 is 213 in Microsoft's description of the tile system; its middle:
    assert quadkeys(np.array([[-22.5, -55.0]]), 3)[0] == "213"


def test_same_bytes_and_nothing_done_twice(folder: Path, tmp_path: Path) -> None:
    first, again = _files(folder), _files(tmp_path)
    for kind, year in ((YEAR, 2021), (AERIAL, 2021), (VECTORS, 2021)):
        assert done(again, kind, year)["truth"] == done(first, kind, year)["truth"]
        for name in done(first, kind, year)["files"]:
            assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}
    done(again, YEAR, 2021)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}


def test_a_lost_file_and_another_seed_are_made_again(folder: Path, tmp_path: Path) -> None:
    files = _files(tmp_path)
    name = next(name for name in done(files, AERIAL, 2020)["files"])
    (tmp_path / name).write_bytes(b"cut")
    done(files, AERIAL, 2020)
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    done(files._replace(seed=12), AERIAL, 2020)
    assert (tmp_path / name).read_bytes() != (folder / name).read_bytes()


def test_batches_return_the_truth_of_years_only(folder: Path) -> None:
    tasks = pd.DataFrame([(AERIAL, 2021), (YEAR, 2020), (YEAR, 2021)], columns=["kind", "year"])
    (rows,) = done_batches(iter([tasks]), _files(folder))
    assert rows.groupby("year").size().to_dict() == {2020: 42, 2021: 42}
    assert (rows["built_m2"] <= rows["total_m2"]).all()
