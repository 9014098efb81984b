"""Job `buildings_web`: what GDAL and the readers of PMTiles' makers find in the files, equal to the table, the same bytes for any
partitions."""

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from pmtiles.reader import MmapSource, Reader, all_tiles
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.settings import parse
from conf.tables import BUILT_UP, SCENES
from conf.tables_buildings import BUILDINGS
from jobs.job import Context
from jobs.mapping.buildings_web import FOLDER, BuildingsWebSettings, buildings_web
from tests.done_tiles import PLACE, filled

COUNT = 500
MAPS = ("a/2018", "a/2021", "b/2021")
ACROSS = "across"
ATTRIBUTIONS = {"a": "Drone by A, CC BY 4.0; Satellite by S", "b": "Satellite by S"}


def row(number: int, key: str, outline: Any, building_id: str) -> dict[str, Any]:
    layer, epoch = key.split("/")
    west, south, east, north = outline.bounds
    day = dt.datetime(int(epoch), 5, 1, 23, 30)
    return {
        "layer": layer, "epoch": epoch, "building_id": building_id, "geometry": outline.wkb, "xmin": west, "ymin": south, "xmax": east,
        "ymax": north, "area_m2": 20.0 + number / 7, "perimeter_m": 66.0, "orientation_deg": 5.0, "compactness": 0.7,
        "confidence": 0.4 + number / 1001, "vertices": 5, "shape": "raw" if number % 4 else "regularised", "open_edge": number % 9 == 0,
        "first_date": day, "last_date": day + dt.timedelta(days=number), "model_sha256": "ab" if number % 2 else "cd",
        "height_m": None if number % 5 else 3.0 + number / 13,
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Corners cut off one side; the first of each map has a yard, one of the last lies on both sides of 180 degrees."""
    random = np.random.default_rng(5)
    made = []
    for number in range(COUNT):
        x, y = random.uniform([32.5, 0.3], [32.53, 0.32])
        outline = shapely.Polygon([(x, y), (x + 2e-4, y), (x + 2e-4, y + 1e-4), (x + 1e-4, y + 3e-4), (x, y + 3e-4)])
        if number < len(MAPS):
            outline = outline.difference(shapely.box(x + 3e-5, y + 3e-5, x + 8e-5, y + 9e-5))
        made.append(row(number, MAPS[number % len(MAPS)], outline, f"{number:04d}"))
    return [*made, row(0, MAPS[-1], shapely.box(179.9999, 0.3, 180.0002, 0.3001), ACROSS)]


def whole(outline: bytes) -> Any:
    """On both sides of 180 degrees, if it lies there."""
    shape = shapely.from_wkb(outline)
    return (
        shape
        if shape.bounds[2] <= 180
        else shapely.MultiPolygon([shapely.box(179.9999, 0.3, 180, 0.3001), shapely.box(-180, 0.3, -179.9998, 0.3001)])
    )


def write(spark: SparkSession, folder: Path, partitions: int = 2, **settings: Any) -> tuple[dict[str, bytes], Context]:
    tiles = [{"layer": layer, "epoch": epoch, "tile_id": epoch, "status": "done", "scenes_used": used} for layer, epoch, used in (
        ("a", "2018", ["drone", "sat", "sat2"]), ("a", "2021", ["sat", "drone"]), ("b", "2021", ["sat"]))]  # fmt: skip
    tiles.append({"layer": "b", "epoch": "2021", "tile_id": "bad", "status": "quarantined", "scenes_used": ["drone"]})
    scenes = [
        {"scene_id": "drone", "attribution": "Drone by A, CC BY 4.0", "licence": "CC-BY-4.0"},
        *({"scene_id": name, "attribution": "Satellite by S", "licence": None} for name in ("sat", "sat2")),
    ]
    made = ((BUILDINGS, rows()), (BUILT_UP, tiles), (SCENES, scenes))
    tables = {table.name: spark.createDataFrame(filled(table, each), table.ddl).repartition(partitions) for table, each in made}
    context = Context(spark, PLACE, "run", folder)
    buildings_web.run(tables, BuildingsWebSettings(**settings), context)
    assert [path.name for path in folder.iterdir()] == [FOLDER]
    files = sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file())
    return {str(path.relative_to(folder / FOLDER)): path.read_bytes() for path in files}, context


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    files, context = write(spark, place, licence="ODbL-1.0")
    assert list(files) == [f"{key}/buildings.{kind}" for key in MAPS for kind in ("fgb", "pmtiles")]
    assert context.figures == {"files": 6, "buildings": COUNT + 1, "buildings_not_in_tiles": 0} and not context.notes
    return place / FOLDER


def expected(key: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows())
    return frame[frame["layer"] + "/" + frame["epoch"] == key].sort_values("building_id", ignore_index=True)


@pytest.mark.parametrize("key", MAPS)
def test_flatgeobuf_is_the_table(folder: Path, key: str) -> None:
    read = pyogrio.read_dataframe(folder / key / "buildings.fgb").sort_values("building_id", ignore_index=True)
    told = expected(key)
    assert read.crs.to_epsg() == 4326 and read["building_id"].tolist() == told["building_id"].tolist()
    assert shapely.equals(read.geometry.to_numpy(), [whole(outline) for outline in told["geometry"]]).all()
    for name in ("area_m2", "confidence", "shape", "open_edge", "vertices", "compactness"):
        assert read[name].tolist() == told[name].tolist()
    assert np.array_equal(read["height_m"], told["height_m"], equal_nan=True)
    assert read["last_date"].dt.tz_localize(None).tolist() == told["last_date"].tolist()
    assert pyogrio.read_info(folder / key / "buildings.fgb")["geometry_type"] == ("Unknown" if key == MAPS[-1] else "Polygon")


def test_flatgeobuf_gives_a_box_by_its_index(folder: Path) -> None:
    path = folder / MAPS[0] / "buildings.fgb"
    assert pyogrio.read_info(path)["capabilities"]["fast_spatial_filter"]
    read = pyogrio.read_dataframe(path, bbox=(32.5, 0.3, 32.51, 0.305))
    told = expected(MAPS[0])
    inside = told[(told["xmin"] <= 32.51) & (told["ymin"] <= 0.305)]
    assert sorted(read["building_id"]) == sorted(inside["building_id"]) and 5 < len(read) < len(told) / 4


@pytest.mark.parametrize("key", MAPS)
def test_tiles_of_each_level_show_every_building_where_it_is(folder: Path, key: str) -> None:
    told = expected(key).set_index("building_id")
    for zoom, metres in ((14, 1.2), (16, 0.3)):
        parts = pyogrio.read_dataframe(folder / key / "buildings.pmtiles", ZOOM_LEVEL=str(zoom))
        # Both sides of a tile's edge, rounded alike, so that no slit stays between them.
        joined = parts.set_geometry(shapely.set_precision(parts.to_crs(4326).geometry.to_numpy(), 1e-10)).dissolve("building_id")
        assert sorted(joined.index) == sorted(told.index)
        shapes = [whole(told.loc[name, "geometry"]) for name in joined.index]
        off = [shapely.hausdorff_distance(one, other) for one, other in zip(joined.geometry, shapes, strict=True)]
        assert max(off) < metres / 111_000
        for name, decimals in (("area_m2", 1), ("confidence", 2), ("height_m", 1)):
            assert np.allclose(joined[name], told.loc[joined.index, name].round(decimals), atol=1e-9, equal_nan=True)
        assert joined["open_edge"].tolist() == told.loc[joined.index, "open_edge"].tolist()


def test_tiles_are_a_sound_archive_of_few_tiles(folder: Path) -> None:
    """Of its own readers; a building over 180 degrees is not looked for around the world."""
    for key in MAPS:
        with (folder / key / "buildings.pmtiles").open("rb") as file:
            source = MmapSource(file)
            tiles = dict(all_tiles(source))
            header = Reader(source).header()
        assert (header["min_zoom"], header["max_zoom"], header["clustered"], header["addressed_tiles_count"]) == (14, 16, True, len(tiles))
        assert {zoom for zoom, _, _ in tiles} == {14, 15, 16} and len(tiles) < 100
        assert all(len(gzip.decompress(data)) > 0 for data in tiles.values())


@pytest.mark.parametrize("key", MAPS)
def test_files_say_whose_they_are(folder: Path, key: str) -> None:
    layer, epoch = key.split("/")
    with (folder / key / "buildings.pmtiles").open("rb") as file:
        tiled = Reader(MmapSource(file)).metadata()
    assert tiled["vector_layers"][0]["id"] == "buildings"
    for told in (tiled, pyogrio.read_info(folder / key / "buildings.fgb")["layer_metadata"]):
        assert (told["layer"], told["epoch"], told["licence"], told["place"]) == (layer, epoch, "ODbL-1.0", "made")
        assert told["attribution"] == ATTRIBUTIONS[layer] and told["model_sha256"] == "ab, cd"
        assert told.get("image_licences") == ("CC-BY-4.0" if layer == "a" else None)
        assert told["name"] == f"Made by hand: {layer}, {epoch}"


def test_partitions_change_no_byte(spark: SparkSession, tmp_path: Path, folder: Path) -> None:
    again, _ = write(spark, tmp_path, 7, licence="ODbL-1.0")
    for name, data in again.items():
        assert data == (folder / name).read_bytes(), name


def test_full_tiles_are_told_and_hold_the_largest(spark: SparkSession, tmp_path: Path) -> None:
    """Where files stand already, and a run that was cut off left its own."""
    left = tmp_path / ".buildings_web.new" / "whole" / "a" / "2018" / "tmp" / "buildings.fgb"
    for file in (left, tmp_path / FOLDER / "gone" / "2018" / "buildings.fgb"):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"half")
    files, context = write(spark, tmp_path, min_zoom=12, max_zoom=12, max_tile_kb=1)
    assert len(files) == 6
    hidden = context.figures["buildings_not_in_tiles"]
    assert 0 < hidden < COUNT and context.notes[0].startswith(f"{hidden:g} buildings are in buildings.fgb and not in buildings.pmtiles")
    shown = pyogrio.read_dataframe(tmp_path / FOLDER / MAPS[0] / "buildings.pmtiles")
    assert len(pyogrio.read_dataframe(tmp_path / FOLDER / MAPS[0] / "buildings.fgb")) == len(expected(MAPS[0])) > len(shown) > 0


def test_what_cannot_be_is_refused_and_nothing_is_written(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="min_zoom 15 is over max_zoom 14"):
        parse(BuildingsWebSettings, {"min_zoom": 15, "max_zoom": 14}, "buildings_web")
    empty = {table.name: spark.createDataFrame([], table.ddl) for table in (BUILDINGS, BUILT_UP, SCENES)}
    with pytest.raises(InputError, match="no row"):
        buildings_web.run(empty, BuildingsWebSettings(), Context(spark, PLACE, "run", tmp_path))
    assert not list(tmp_path.iterdir())
