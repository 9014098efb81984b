"""Job `built_up_cogs`: a folder that GIS programs open, equal to the table, made once and kept current."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from pyspark.sql import SparkSession
from pystac.validation import validate_dict
from rasterio.merge import merge

from conf.errors import InputError
from conf.place import Epoch, Place
from conf.tables import BUILT_UP, SCENES
from jobs.job import Context
from jobs.mapping.built_up_cogs import BuiltUpCogsSettings, built_up_cogs, export_sources
from tests.done_tiles import NORTH, PIXEL, PLACE, TILE, WEST, built_up_rows, filled, pixels, scene_rows
from udfs.rasters import decode_raster

Files = dict[str, bytes]
Run = Callable[..., tuple[Files, dict[str, float]]]


@pytest.fixture(scope="module")
def run(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Export rows into a folder; its files, and the run's figures."""

    def export(
        folder: Path, rows: list[dict[str, Any]] | None = None, partitions: int = 2, **settings: Any
    ) -> tuple[Files, dict[str, float]]:
        chosen = built_up_rows() if rows is None else rows
        tables = {
            "built_up": spark.createDataFrame(filled(BUILT_UP, chosen), BUILT_UP.ddl).repartition(partitions),
            "scenes": spark.createDataFrame(filled(SCENES, scene_rows()), SCENES.ddl),
        }
        context = Context(spark, PLACE, "run", tmp_path_factory.mktemp("place"))
        built_up_cogs.run(tables, BuiltUpCogsSettings(folder=str(folder), **settings), context)
        return contents(folder), context.figures

    return export


def contents(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    _, figures = run(folder)
    assert figures == {"tiles_exported": 5, "tiles_written": 5, "files_removed": 0}
    return folder


def items(folder: Path) -> list[pystac.Item]:
    return sorted(pystac.Catalog.from_file(str(folder / "catalog.json")).get_items(recursive=True), key=lambda item: item.id)


def test_the_catalog_leads_to_every_done_tile_and_its_pixels(exported: Path) -> None:
    done = {(row["epoch"], row["tile_id"]): row for row in built_up_rows() if row["status"] == "done"}
    found = {(item.properties["urbantrace:epoch"], item.properties["urbantrace:tile_id"]): item for item in items(exported)}
    assert set(found) == set(done)
    for key, item in found.items():
        row = done[key]
        with rasterio.open(item.assets["probability"].get_absolute_href()) as image:
            assert np.array_equal(image.read(1), decode_raster(row["probability"], (TILE, TILE)))
            assert (image.crs, list(image.transform)[:6], image.nodata) == (row["crs"], row["transform"], 255)
            assert image.overviews(1) and image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert item.bbox == [row[name] for name in ("xmin", "ymin", "xmax", "ymax")]
        assert item.properties["urbantrace:valid_share"] == row["valid_share"]


def test_its_tiles_laid_side_by_side_are_the_whole(exported: Path) -> None:
    of_2018 = [item.assets["probability"].get_absolute_href() for item in items(exported) if item.properties["urbantrace:epoch"] == "2018"]
    whole, transform = merge(sorted(of_2018, reverse=True))
    assert (transform.c, transform.f, transform.a) == (WEST, NORTH, PIXEL)
    assert np.array_equal(whole[0], np.block([[pixels("2018", row, col) for col in (0, 1)] for row in (0, 1)]))


def test_catalogs_are_valid_linked_both_ways_and_can_be_moved(exported: Path) -> None:
    root = pystac.Catalog.from_file(str(exported / "catalog.json"))
    (layer,) = root.get_children()
    assert isinstance(layer, pystac.Collection)
    assert [child.title for child in layer.get_children()] == ["2018", "2021"]
    assert layer.extent.spatial.bboxes[0] == [
        ends([row[name] for row in built_up_rows() if row["status"] == "done"])
        for ends, name in ((min, "xmin"), (min, "ymin"), (max, "xmax"), (max, "ymax"))
    ]  # fmt: skip
    assert [moment.isoformat()[:10] for moment in layer.extent.temporal.intervals[0]] == ["2018-03-02", "2021-09-01"]
    assert {source["attribution"] for source in layer.extra_fields["urbantrace:sources"]} == {"Mapper é", "ESA"}
    assert all(item.get_collection() and item.get_collection().id == layer.id for item in items(exported))
    documents = [json.loads(path.read_text()) for path in exported.rglob("*.json")]
    assert len(documents) == 1 + 1 + 2 + 5
    for document in documents:
        assert validate_dict({**document, **({"stac_extensions": []} if "stac_extensions" in document else {})})
        hrefs = [link["href"] for link in document["links"]] + [asset["href"] for asset in document.get("assets", {}).values()]
        assert hrefs and all(href.startswith(("./", "../")) for href in hrefs)


def test_the_same_table_gives_the_same_bytes_and_again_writes_nothing(run: Run, exported: Path, tmp_path: Path) -> None:
    first = contents(exported)
    assert run(tmp_path / "other", list(reversed(built_up_rows())), 5)[0] == first
    times = {path: path.stat().st_mtime_ns for path in exported.rglob("*.tif")}
    files, figures = run(exported)
    assert (files, figures["tiles_written"]) == (first, 0)
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*.tif")} == times


def test_a_killed_export_goes_on(run: Run, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("jobs.mapping.built_up_cogs.layer_summaries", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert list(pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_children()) == []
    export_sources(PLACE, BuiltUpCogsSettings(folder=str(tmp_path)))
    next(tmp_path.rglob("*.tif")).unlink()
    files, figures = run(tmp_path)
    assert figures["tiles_written"] == 0, "the item of the lost file is the same"
    assert files == contents(exported)


def test_tiles_epochs_and_layers_that_are_gone_are_removed(run: Run, tmp_path: Path) -> None:
    run(tmp_path, binary=True)
    (tmp_path / "note.txt").write_text("mine")
    files, figures = run(tmp_path, built_up_rows()[:3], binary=True)
    assert figures["files_removed"] == 3 + 4
    assert {name.split("/")[1] for name in files if name.startswith("a/")} == {"2018", "collection.json"}
    assert len([name for name in files if name.endswith("_built.tif")]) == 3
    files, figures = run(tmp_path, [])
    assert set(files) == {"catalog.json", "note.txt"}


def test_a_folder_that_cannot_be_written_fails_the_job_and_nothing_is_linked(run: Run, tmp_path: Path) -> None:
    blocked = tmp_path / "a" / "2018"
    blocked.parent.mkdir()
    blocked.write_text("a file where a folder must be")
    with pytest.raises(Exception, match=r"(?s)2018"):
        run(tmp_path)
    assert list(pystac.Catalog.from_file(str(tmp_path / "catalog.json")).get_children()) == []


def test_names_that_leave_the_folder_and_folders_of_others_are_refused(tmp_path: Path) -> None:
    epoch = Epoch(name="..", start="2020-01-01", end="2020-12-31", reference="2020-06-01")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"epoch '\.\.' cannot name a folder"):
        export_sources(PLACE.model_copy(update={"epochs": (epoch,)}), BuiltUpCogsSettings())
    layers = {"../x": PLACE.layers["a"]}
    with pytest.raises(InputError, match=r"layer '\.\./x'"):
        export_sources(PLACE.model_copy(update={"layers": layers}), BuiltUpCogsSettings())
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="other things"):
        export_sources(PLACE, BuiltUpCogsSettings(folder=str(tmp_path)))
    inside: Place = PLACE.model_copy(update={"warehouse": str(tmp_path / "w")})
    assert export_sources(inside, BuiltUpCogsSettings())["folder"] == str(tmp_path / "w" / "made" / "exports" / "built_up")
