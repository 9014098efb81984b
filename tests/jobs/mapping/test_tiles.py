"""The plan as a job: every tile of an area once, whatever the partitions; scenes from a table of items."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pytest
import shapely
import stac_geoparquet.arrow
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.access import Access
from conf.errors import InputError
from conf.place import Epoch, Layer, Place, Source
from conf.tables import SCENES, TILES
from jobs.job import Context
from jobs.mapping.scenes import ScenesSettings, scene_sources, scenes
from jobs.mapping.tiles import TilesSettings, area_sources, tiles
from jobs.table_checks import check_rows, check_schema
from tests.udfs.test_stac_sources import ITEMS
from udfs.stac_items import scene_of_item
from udfs.zones import split_at_antimeridian, tiles_in, zone_called

EPOCHS = tuple(
    Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1)) for year in (2021, 2022)
)


def place_at(folder: Path, **more: Any) -> Place:
    layer = Layer(sensor="sentinel2_l2a", model="models:/none@champion", resolution=10.0)
    access = Access(hosts=("images.example.org",))
    return Place(name="test", warehouse=str(folder), epochs=EPOCHS, layers={"a": layer}, access=access, **more)


def images(spark: SparkSession, *boxes: tuple[str, str, Any]) -> DataFrame:
    """Rows of `scenes`: id, day, footprint."""
    rows = []
    for name, day, shape in boxes:
        told = {
            "scene_id": name, "sensor": "sentinel2_l2a", "datetime": dt.datetime.fromisoformat(f"{day}T10:00:00+00:00"),
            "hrefs": {"B02": f"https://images.example.org/{name}.tif"}, "band_indexes": {"B02": 1}, "versions": {},
            "crs": "EPSG:32643", "transform": [10.0, 0.0, 0.0, 0.0, -10.0, 0.0], "width": 9, "height": 9,
            "geometry": bytearray(shapely.to_wkb(shape)), "content_digest": name * 3,
            **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, shapely.bounds(shape)), strict=True)),
        }  # fmt: skip
        rows.append(tuple(told.get(column) for column in SCENES.names))
    return spark.createDataFrame(rows, SCENES.ddl)


def planned(spark: SparkSession, place: Place, found: DataFrame, **settings: Any) -> list[Any]:
    plan = tiles.run({"scenes": found}, TilesSettings(**settings), Context(spark, place, "run", place.folder))
    check_schema(plan, TILES)
    rows = plan.persist()
    check_rows(rows, TILES)
    return sorted(rows.collect(), key=lambda row: (row["epoch"], row["tile_id"]))


WEST, EAST = shapely.box(71.0, 21.5, 71.99, 22.3), shapely.box(71.9, 21.5, 73.0, 22.3)
AREA = (71.97, 22.0, 72.04, 22.05)


@pytest.mark.parametrize("partitions", [1, 7])
def test_an_area_over_two_zones_is_planned_once_each_tile(spark: SparkSession, tmp_path: Path, partitions: int) -> None:
    """The same images twice and again overlapping; one zone would do for so small a place, so an area of 7 degrees has two."""
    found = images(spark, ("w1", "2021-02-03", WEST), ("w2", "2021-02-03", WEST), ("e1", "2021-08-03", EAST)).repartition(partitions)
    wide = shapely.to_geojson(shapely.union_all([shapely.box(*AREA), shapely.box(65.9, 22.0, 65.92, 22.01)]))
    path = tmp_path / "area.geojson"
    path.write_text(wide)
    rows = planned(spark, place_at(tmp_path), found, area={"path": str(path)})
    ids = [(row["epoch"], row["tile_id"]) for row in rows]
    assert len(set(ids)) == len(ids)
    expected = {
        (zone, int(row), int(col))
        for zone in ("utm41n", "utm42n", "utm43n")
        for row, col in tiles_in(zone_called(zone), shapely.from_geojson(wide), 10.0, 512)
    }
    assert {(row["grid"], row["row"], row["col"]) for row in rows if row["epoch"] == "2021"} == expected
    assert {row["epoch"] for row in rows} == {"2021", "2022"}
    near = [row for row in rows if row["epoch"] == "2021" and row["grid"] == "utm42n" and row["xmin"] > 71]
    assert near and {tuple(scene["scene_id"] for scene in row["scenes"]) for row in near} == {("e1", "w1", "w2")}
    assert all(not row["scenes"] for row in rows if row["epoch"] == "2022" or row["xmax"] < 66)


def test_a_small_place_on_a_zone_edge_has_one_grid_and_no_strip(spark: SparkSession, tmp_path: Path) -> None:
    found = images(spark, ("w", "2021-02-03", WEST), ("e", "2021-08-03", EAST))
    rows = planned(spark, place_at(tmp_path), found, area=list(AREA))
    assert {(row["grid"], row["strip"]) for row in rows} == {("utm43n", None)}


def test_fiji_is_planned_around_180_degrees(spark: SparkSession, tmp_path: Path) -> None:
    image = split_at_antimeridian(179.3, -17.5, -179.5, -16.5)
    rows = planned(spark, place_at(tmp_path), images(spark, ("f", "2021-02-03", image)), area=[179.9, -17.0, -179.92, -16.9])
    shapes = shapely.from_wkb([bytes(row["geometry"]) for row in rows])
    assert {row["grid"] for row in rows} == {"utm60s"}
    assert shapely.area(shapes).max() < 0.01
    assert all(bool(row["scenes"]) == (row["epoch"] == "2021") for row in rows)
    without = planned(spark, place_at(tmp_path), images(spark, ("f", "2021-02-03", image)))
    assert {row["tile_id"] for row in rows} < {row["tile_id"] for row in without}


def test_names_of_a_file_are_an_area(spark: SparkSession, tmp_path: Path) -> None:
    features = [
        {"type": "Feature", "properties": {"ward": name}, "geometry": shapely.geometry.mapping(shapely.box(west, 22.0, west + 0.01, 22.01))}
        for name, west in (("a", 72.5), ("b", 72.9))
    ]
    path = tmp_path / "wards.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = images(spark, ("e", "2021-08-03", EAST))
    one = planned(spark, place_at(tmp_path), found, area={"path": str(path), "column": "ward", "names": ["b"]})
    both = planned(spark, place_at(tmp_path), found, area={"path": str(path)})
    assert {row["tile_id"] for row in one} < {row["tile_id"] for row in both}
    assert min(row["xmin"] for row in one) > 72.8
    for wrong, said in (({"column": "ward", "names": ["c"]}, "no ward c"), ({"column": "x", "names": ["b"]}, "no column x")):
        with pytest.raises(InputError, match=said):
            area_sources(place_at(tmp_path), TilesSettings(area={"path": str(path), **wrong}))


def test_scenes_come_from_a_table_of_items_as_from_the_items(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    stac_geoparquet.arrow.to_parquet(stac_geoparquet.arrow.parse_stac_items_to_arrow(ITEMS), str(path))
    place = place_at(tmp_path)
    settings = ScenesSettings(sources=(Source(items=str(path), collections=("sentinel-2-l2a",)),))
    assert scene_sources(place, settings)["items"]
    found = scenes.run({}, settings, Context(spark, place, "run", place.folder))
    check_schema(found, SCENES)
    check_rows(found.persist(), SCENES)
    rows = {row["scene_id"]: row for row in found.collect()}
    assert set(rows) == {item["id"] for item in ITEMS}
    for item in ITEMS:
        expected, row = scene_of_item(item, Source(items=str(path))), rows[item["id"]]
        assert (row["hrefs"], row["crs"], tuple(row["transform"]), row["width"]) == (
            expected.hrefs, expected.crs, expected.transform, expected.width,
        )  # fmt: skip
        assert (row["nodata"], row["cloud"], row["baseline"], row["calibration"]) == (0.0, 0.075, "05.00", None)
        assert row["datetime"] == expected.datetime.replace(tzinfo=None)
    nearby = place.model_copy(update={"sections": {"tiles": {"area": [8.0, 35.5, 8.05, 35.6]}}})
    few = scenes.run({}, settings, Context(spark, nearby, "run", place.folder))
    assert sorted(row["scene_id"] for row in few.select("scene_id").collect()) == ["S2_004", "S2_005"]


def test_a_bad_item_among_many_is_counted_and_all_bad_ones_are_refused(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    table = pa.table(stac_geoparquet.arrow.parse_stac_items_to_arrow(ITEMS).read_all())
    broken = np.where(np.arange(len(ITEMS)) == 3, "nobody-knows", "sentinel-2-l2a")
    at = table.schema.get_field_index("collection")
    stac_geoparquet.arrow.to_parquet(table.set_column(at, "collection", pa.array(broken)), str(path))
    place = place_at(tmp_path)
    context = Context(spark, place, "run", place.folder)
    rows = scenes.run({}, ScenesSettings(sources=(Source(items=str(path)),)), context)
    assert rows.where(F.col("scene_id") == "S2_003").isEmpty() and rows.count() == len(ITEMS) - 1
    assert context.figures["items_refused"] == 1
    with pytest.raises(InputError, match=r"no item becomes a scene.*no known sensor"):
        scenes.run({}, ScenesSettings(sources=(Source(items=str(path), collections=("nobody-knows",)),)), context)


def test_a_native_grid_is_that_of_the_layers_own_sensor(spark: SparkSession, tmp_path: Path) -> None:
    """Radar pixels of 20 m, half a pixel beside."""
    own = images(spark, ("o", "2021-08-03", shapely.box(75.0, 0.45, 75.05, 0.5)))
    radar = images(spark, ("r", "2021-08-04", shapely.box(74.9, 0.4, 75.3, 0.6))).withColumn("sensor", F.lit("sentinel1_grd"))
    transforms = (10, 0, 500_000, 0, -10, 60_000), (20, 0, 500_005, 0, -20, 60_005)
    own, radar = (
        rows.withColumn("transform", F.array(*(F.lit(float(value)) for value in transform)))
        for rows, transform in zip((own, radar), transforms, strict=True)
    )
    place = place_at(tmp_path).model_copy(update={"grid": "native"})
    layer = Layer(sensor="sentinel2_l2a", beside="sentinel1_grd", resolution=10.0)
    both = planned(spark, place.model_copy(update={"layers": {"a": layer}}), own.union(radar))
    alone = planned(spark, place, own)
    assert {row["grid"] for row in both} == {row["grid"] for row in alone}
    assert {row["tile_id"] for row in alone} < {row["tile_id"] for row in both}, "ground of either is planned"
    named = {tuple(scene["scene_id"] for scene in row["scenes"]) for row in both if row["epoch"] == "2021"}
    assert {("r",), ("o", "r")} <= named


def test_an_area_holds_on_a_native_grid_too(spark: SparkSession, tmp_path: Path) -> None:
    found = images(spark, ("e", "2021-08-03", shapely.box(74.9, 0.4, 75.3, 0.6)))
    native = place_at(tmp_path).model_copy(update={"grid": "native"})
    grid = found.withColumn("transform", F.array(*(F.lit(float(v)) for v in (10, 0, 500_000, 0, -10, 60_000))))
    area = [75.01, 0.45, 75.05, 0.47]
    some, every = planned(spark, native, grid, area=area), planned(spark, native, grid)
    assert {row["tile_id"] for row in some} < {row["tile_id"] for row in every}
    shapes = shapely.from_wkb([bytes(row["geometry"]) for row in some])
    assert shapely.intersects(shapes, shapely.box(*area)).all() and len(some) == 2 * 4
    with pytest.raises(InputError, match="needs `grid: utm`"):
        planned(spark, native, grid, area="land")
