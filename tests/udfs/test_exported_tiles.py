"""Tiles as files with their items: valid STAC, nothing written twice, damage mended, foreign files left alone."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import shapely
from pystac.validation import validate_dict

from conf.errors import InputError
from tests.done_tiles import done, pixels, scene_rows, tile_id, transform
from udfs.exported_tiles import Export, check_folder, claim_folder, epoch_frame, export_batches, remove_left
from udfs.stac_export import Credit, LayerSummary, collection, epoch_catalog, item, root_catalog

TILES = ((0, 0), (0, 1), (1, 0))


def export_to(folder: Path, **changes: Any) -> Export:
    credits = {row["scene_id"]: Credit(row["licence"], row["attribution"]) for row in scene_rows()}
    return Export(str(folder), "made", credits, False, 256)._replace(**changes)


def written(export: Export, *tiles: tuple[int, int], **changes: Any) -> list[int]:
    frame = pd.DataFrame([{**done("2018", *tile), **changes} for tile in tiles or TILES])
    return list(next(export_batches([frame], export))["written"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_item_says_what_and_whose_its_file_is(tmp_path: Path) -> None:
    assert written(export_to(tmp_path)) == [1, 1, 1]
    folder = tmp_path / "a" / "2018"
    item = pystac.Item.from_file(str(folder / f"{tile_id(0, 1)}.json"))
    path = folder / f"{tile_id(0, 1)}_probability.tif"
    outline = shapely.geometry.shape(item.geometry)
    assert outline.exterior.is_ccw and outline.equals(shapely.from_wkb(done("2018", 0, 1)["geometry"]))
    facts = item.assets["probability"].extra_fields
    assert facts["file:size"] == path.stat().st_size
    assert facts["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["bands"][0]["raster:scale"], facts["bands"][0]["nodata"]) == (0.004, 255)
    assert (item.common_metadata.start_datetime, item.common_metadata.end_datetime) == (
        dt.datetime(2018, 3, 2, 8, 30, tzinfo=dt.UTC), dt.datetime(2018, 9, 2, 8, 30, tzinfo=dt.UTC)
    )  # fmt: skip
    assert (item.properties["proj:code"], item.properties["proj:transform"]) == ("EPSG:32736", list(transform(0, 1))[:6])
    assert item.properties["urbantrace:scenes"][0] == {"id": "2018_x", "licence": "CC-BY-4.0", "attribution": "Mapper é"}
    with rasterio.open(path) as image:
        assert np.array_equal(image.read(1), pixels("2018", 0, 1))
        assert image.bounds == rasterio.transform.array_bounds(256, 256, transform(0, 1))
        tags = image.tags()
    assert (tags["MODEL_SHA256"], tags["RUN_ID"], tags["THRESHOLD"], tags["SCENES"]) == ("ab" * 32, "run-7", "0.4", "2018_x,2018_y")
    assert (tags["LICENCES"], tags["ATTRIBUTION"]) == ("CC-BY-4.0; Copernicus terms", "Mapper é; ESA")


def test_every_document_is_valid_by_the_core_schemas() -> None:
    export, row = export_to(Path("unused")), next(pd.DataFrame([done("2018", 0, 0)]).itertuples())
    summary = LayerSummary(
        "a",
        ("2018",),
        (32.0, -1.0, 33.0, 0.0),
        dt.datetime(2018, 3, 2),
        dt.datetime(2018, 9, 2),
        ("ab",),
        tuple(export.credits.values())[:2],
    )
    documents = [
        item(row, "made", export.credits, []), collection("made", summary, "other"), epoch_catalog("made", "a", "2018", ["t"]),
        root_catalog("made", "Made", ["a"]),
    ]  # fmt: skip
    for document in documents:
        core = {**document, **({"stac_extensions": []} if "stac_extensions" in document else {})}
        assert validate_dict(json.loads(json.dumps(core)))
        assert all(link["href"].startswith(".") for link in document["links"])
    with pytest.raises(pystac.errors.STACValidationError):
        validate_dict({**documents[1], "license": "CC BY 4.0"})


def test_a_second_export_leaves_whole_files_and_mends_damaged_ones(tmp_path: Path) -> None:
    export = export_to(tmp_path)
    written(export)
    before = contents(tmp_path)
    assert written(export) == [0, 0, 0]
    cog, item = tmp_path / "a" / "2018" / f"{tile_id(0, 0)}_probability.tif", tmp_path / "a" / "2018" / f"{tile_id(0, 1)}.json"
    cog.write_bytes(cog.read_bytes()[:-20])
    item.write_text("{half")
    (tmp_path / "a" / "2018" / f"{tile_id(1, 0)}_probability.tif").unlink()
    written(export)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change", [{"run_id": "run-8"}, {"threshold": 101}, {"model_sha256": "cd" * 32}, {"probability": done("2018", 1, 1)["probability"]}]
)
def test_a_changed_row_is_written_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    export = export_to(tmp_path)
    written(export)
    assert written(export, (0, 0), **change) == [1]
    assert written(export, (0, 0), **change) == [0]
    assert written(export) == [1, 0, 0]


def test_the_binary_map_comes_and_goes_with_its_setting(tmp_path: Path) -> None:
    both = export_to(tmp_path, binary=True)
    written(both)
    path = tmp_path / "a" / "2018" / f"{tile_id(1, 0)}_built.tif"
    with rasterio.open(path) as image:
        values = pixels("2018", 1, 0)
        assert np.array_equal(image.read(1), np.where(values == 255, 255, values >= 100))
    frame = pd.DataFrame([done("2018", *tile) for tile in TILES])
    assert epoch_frame(frame, both)["removed"].tolist() == [0]
    alone = export_to(tmp_path)
    assert written(alone) == [1, 1, 1]
    assert epoch_frame(frame, alone)["removed"].tolist() == [3]
    assert not path.exists()
    assert set(json.loads(path.with_name(f"{tile_id(1, 0)}.json").read_text())["assets"]) == {"probability"}


def test_what_is_no_longer_there_is_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    export = export_to(tmp_path)
    written(export)
    folder = tmp_path / "a" / "2018"
    half = folder / f".123.{tile_id(0, 0)}_probability.tif"
    half.write_bytes(b"half")
    foreign = [folder / "notes.json", folder / "mine.tif", tmp_path / "b" / "readme.txt"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    found = epoch_frame(pd.DataFrame([done("2018", 0, 0), done("2018", 1, 0)]), export)
    assert found[["layer", "epoch", "tiles", "removed"]].values.tolist() == [["a", "2018", 2, 3]]
    assert not half.exists() and not (folder / f"{tile_id(0, 1)}_probability.tif").exists()
    assert [link["href"] for link in json.loads((folder / "catalog.json").read_text())["links"] if link["rel"] == "item"] == [
        f"./{tile_id(row, 0)}.json" for row in (0, 1)
    ]
    assert remove_left(tmp_path, {"a": ("2018",)}) == 0
    assert remove_left(tmp_path, {}) == 5
    assert sorted(contents(tmp_path)) == sorted(str(path.relative_to(tmp_path)) for path in foreign)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    check_folder(tmp_path / "new", "made")
    check_folder(tmp_path, "made")
    (tmp_path / "thesis.tif").write_bytes(b"years of work")
    with pytest.raises(InputError, match=r"built_up_cogs.folder = .* holds other things"):
        check_folder(tmp_path, "made")
    with pytest.raises(InputError, match="other things"):
        check_folder(tmp_path / "thesis.tif", "made")
    claim_folder(tmp_path / "ours", "made", "Made")
    check_folder(tmp_path / "ours", "made")
    with pytest.raises(InputError, match="exports of another"):
        check_folder(tmp_path / "ours", "another")
