"""Job `coverage`: one GeoParquet file that other programs open, a row for every planned tile, and why it has no result."""

import json
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from pyspark.sql import SparkSession

from conf.tables import BUILT_UP, TILES
from jobs.job import Context
from jobs.mapping.coverage import CoverageSettings, coverage
from tests.done_tiles import PLACE, built_up_rows, filled, tile_id, tile_rows


def write(spark: SparkSession, folder: Path, planned: list[dict[str, Any]], found: list[dict[str, Any]], partitions: int = 1) -> Path:
    tables = {
        table.name: spark.createDataFrame(filled(table, rows), table.ddl).repartition(partitions)
        for table, rows in ((TILES, planned), (BUILT_UP, found))
    }
    context = Context(spark, PLACE, "run", folder)
    coverage.run(tables, CoverageSettings(), context)
    assert sum(context.figures.values()) == len(planned)
    assert [path.name for path in (folder / "coverage").iterdir()] == ["coverage.parquet"]
    return folder / "coverage" / "coverage.parquet"


@pytest.fixture(scope="module")
def path(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(spark, tmp_path_factory.mktemp("place"), tile_rows(), built_up_rows())


def test_geopandas_reads_every_planned_tile_where_it_lies(path: Path) -> None:
    frame = geopandas.read_parquet(path)
    assert frame.crs.to_epsg() == 4326
    expected = {(row["epoch"], row["tile_id"]): shapely.from_wkb(row["geometry"]) for row in tile_rows()}
    assert {(row.epoch, row.tile_id): row.geometry for row in frame.itertuples()} == expected
    east = max(expected.items(), key=lambda pair: pair[1].bounds[2])
    x, y = east[1].centroid.coords[0]
    assert set(geopandas.read_parquet(path, bbox=(x, y, x + 1e-5, y + 1e-5))["tile_id"]) == {east[0][1]}


def test_the_header_says_version_crs_and_covering(path: Path) -> None:
    header = json.loads(pq.ParquetFile(path).metadata.metadata[b"geo"])
    column = header["columns"]["geometry"]
    assert (header["version"], header["primary_column"], column["encoding"]) == ("1.1.0", "geometry", "WKB")
    assert (column["geometry_types"], column["crs"]["id"]) == (["Polygon"], {"authority": "EPSG", "code": 4326})
    assert column["covering"]["bbox"] == {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}
    bounds = shapely.total_bounds(shapely.from_wkb([row["geometry"] for row in tile_rows()]))
    assert column["bbox"] == pytest.approx(list(bounds), abs=0)


def test_duckdb_counts_what_the_table_holds(path: Path) -> None:
    counts = duckdb.sql(f"SELECT epoch, status, count(*) FROM '{path}' GROUP BY ALL").fetchall()
    table = pd.DataFrame(built_up_rows()).groupby(["epoch", "status"]).size()
    assert {(epoch, status): count for epoch, status, count in counts} == {**table.to_dict(), ("2021", "pending"): 1}
    boxes = duckdb.sql(f"SELECT tile_id, bbox.xmin, bbox.ymax FROM '{path}' WHERE epoch = '2018'").fetchall()
    assert {(row["tile_id"], row["xmin"], row["ymax"]) for row in tile_rows() if row["epoch"] == "2018"} == set(boxes)


def test_every_hole_has_its_reason_and_what_to_do(path: Path) -> None:
    rows = {row.tile_id: row for row in geopandas.read_parquet(path).query("epoch == '2021'").itertuples()}
    assert (rows[tile_id(0, 0)].kind, rows[tile_id(0, 0)].reason, rows[tile_id(0, 0)].next_step) == (None, None, None)
    broken = rows[tile_id(0, 1)]
    assert (broken.kind, broken.reason, broken.attempts) == ("not_a_tiff", "not_a_tiff: scene 2021_bad: no TIFF <b>", 3)
    assert "./spark-submit.sh retry" in broken.next_step and broken.run_id == "run-7"
    assert (rows[tile_id(1, 0)].kind, rows[tile_id(1, 0)].reason) == ("no_scene", "no scene in the epoch")
    assert (rows[tile_id(1, 1)].kind, rows[tile_id(1, 1)].reason) == ("no_clear_pixel", "no clear pixel: 2 scenes looked at")
    assert (rows[tile_id(2, 0)].status, rows[tile_id(2, 0)].reason) == ("pending", "not mapped yet")
    assert (broken.scenes_planned, broken.scenes_used, broken.scenes_failed) == (1, 0, 1)


def test_a_tile_that_scenes_hardly_reach_lies_outside(spark: SparkSession, tmp_path: Path) -> None:
    planned = tile_rows()
    for row in planned:
        row["scenes"] = [(name, 0.0049, "", None) for name, *_ in row["scenes"]]
    found = geopandas.read_parquet(write(spark, tmp_path, planned, built_up_rows())).set_index(["epoch", "tile_id"])
    assert found.loc[("2021", tile_id(1, 1)), "reason"] == "outside: the epoch's scenes cover less than 1 % of it"
    assert found.loc[("2021", tile_id(1, 0)), "kind"] == "no_scene"


def test_partitions_and_order_change_no_byte_and_a_new_file_replaces_the_old(spark: SparkSession, path: Path, tmp_path: Path) -> None:
    same = write(spark, tmp_path, tile_rows()[::-1], built_up_rows()[::-1], 5)
    assert same.read_bytes() == path.read_bytes()
    (same.parent / ".coverage.parquet.new").mkdir()  # what a killed run leaves
    fewer = write(spark, tmp_path, tile_rows()[:4], built_up_rows()[:4])
    assert len(geopandas.read_parquet(fewer)) == 4
