"""Job `buildings_geoparquet`: files that GeoPandas and DuckDB open, every building once, neighbours together, for any partitions."""

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extensions
import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from overture.schema.buildings import Building
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.tables_buildings import BUILDINGS
from jobs.footprint_readers import FootprintSource
from jobs.job import Context
from jobs.mapping.buildings_geoparquet import FOLDER, OVERTURE_FOLDER, BuildingsGeoparquetSettings, buildings_geoparquet
from jobs.training.footprints import FootprintsSettings, footprints
from tests.done_tiles import PLACE, filled

COUNT = 600


def rows() -> list[dict[str, object]]:
    random = np.random.default_rng(6)
    day = dt.datetime(2020, 5, 1, 23, 30)
    made = []
    for number in range(COUNT):
        x, y = random.uniform([32.5, 0.3], [32.6, 0.4])
        outline = shapely.box(x, y, x + 1e-4, y + 2e-4)
        west, south, east, north = outline.bounds
        made.append(
            {
                "layer": "b", "epoch": "2020" if number % 3 else "2021", "building_id": f"{number:04d}", "geometry": outline.wkb,
                "xmin": west, "ymin": south, "xmax": east, "ymax": north, "area_m2": 240.0 + number, "perimeter_m": 66.0,
                "orientation_deg": 5.0, "compactness": 0.7, "confidence": 0.4 + number / 1000, "vertices": 4, "shape": "regularised",
                "open_edge": False, "first_date": day, "last_date": day + dt.timedelta(days=number % 9), "model_sha256": "ab",
                "height_m": (None, 0.0, 3.5 + number)[number % 3],
            }
        )  # fmt: skip
    return made


def write(spark: SparkSession, folder: Path, partitions: int = 1, more: tuple[dict[str, object], ...] = (), **settings: Any) -> list[Path]:
    table = spark.createDataFrame(filled(BUILDINGS, [*rows(), *more]), BUILDINGS.ddl).repartition(partitions)
    context = Context(spark, PLACE, "run", folder)
    buildings_geoparquet.run({"buildings": table}, BuildingsGeoparquetSettings(**settings), context)
    name = OVERTURE_FOLDER if settings.get("columns") == "overture" else FOLDER
    found = sorted((folder / name).rglob("*.parquet"))
    assert context.figures["files"] == len(found) and [path.name for path in folder.iterdir()] == [name]
    return found


@pytest.fixture(scope="module")
def paths(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write(spark, tmp_path_factory.mktemp("place"), file_mb=0.02)


def test_every_building_lies_in_one_file_of_its_epoch(paths: list[Path]) -> None:
    frames = {path: geopandas.read_parquet(path) for path in paths}
    for path, frame in frames.items():
        assert frame.crs.to_epsg() == 4326 and set(frame["epoch"]) == {path.parent.name}
    together = pd.concat(frames.values()).sort_values("building_id", ignore_index=True)
    expected = pd.DataFrame(rows())
    assert together["building_id"].tolist() == expected["building_id"].tolist()
    assert shapely.equals_exact(together.geometry.to_numpy(), shapely.from_wkb(expected["geometry"])).all()
    assert together["area_m2"].tolist() == expected["area_m2"].tolist()


def test_files_are_of_about_one_size_and_cover_little_ground(paths: list[Path]) -> None:
    sizes = [pq.ParquetFile(path).metadata.num_rows for path in paths if path.parent.name == "2020"]
    assert len(sizes) > 3 and max(sizes) <= 0.02e6 / 200 * 1.2
    boxes = [shapely.box(*json.loads(pq.ParquetFile(path).metadata.metadata[b"geo"])["columns"]["geometry"]["bbox"]) for path in paths]
    share = [shapely.area(box) / 0.01 for box, path in zip(boxes, paths, strict=True) if path.parent.name == "2020"]
    assert sum(share) < 2  # in any order but a curve's, each would cover nearly all of it


def test_duckdb_reads_only_what_a_box_touches(paths: list[Path]) -> None:
    folder = paths[0].parents[2]
    query = f"FROM '{folder}/b/2020/*.parquet' WHERE bbox.xmin < 32.52 AND bbox.ymin < 0.32"
    found = {row[0] for row in duckdb.sql(f"SELECT building_id {query}").fetchall()}
    assert found == {row["building_id"] for row in rows() if row["epoch"] == "2020" and row["xmin"] < 32.52 and row["ymin"] < 0.32}


def test_duckdb_spatial_finds_every_geometry_in_its_bbox(paths: list[Path], tmp_path: Path) -> None:
    con = duckdb.connect(config={"extension_directory": str(tmp_path)})
    duckdb_extensions.import_extension("spatial", con=con)
    con.load_extension("spatial")
    inside = " AND ".join(f"bbox.{side.lower()} = ST_{side}(geometry)" for side in ("XMin", "YMin", "XMax", "YMax"))
    figures = f"count(*), bool_and(ST_IsValid(geometry)), bool_and({inside}), sum(ST_Area(geometry)), any_value(typeof(geometry))"
    count, valid, covered, area, kind = con.sql(f"SELECT {figures} FROM '{paths[0].parents[2]}/**/*.parquet'").fetchall()[0]
    assert (count, valid, covered) == (COUNT, True, True) and kind.startswith("GEOMETRY")
    assert area == pytest.approx(shapely.area(shapely.from_wkb(pd.DataFrame(rows())["geometry"])).sum())


def test_partitions_change_no_byte_of_a_row(spark: SparkSession, tmp_path: Path, paths: list[Path]) -> None:
    again = write(spark, tmp_path, 7, file_mb=0.02)
    assert [path.relative_to(tmp_path / FOLDER) for path in again] == [path.relative_to(paths[0].parents[2]) for path in paths]
    digests = [hashlib.sha256(pq.read_table(path).to_pandas().to_csv().encode()).hexdigest() for path in (*again, *paths)]
    assert digests[: len(again)] == digests[len(again) :]


@pytest.fixture(scope="module")
def overture(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One building more, over 180 degrees."""
    outline = shapely.box(179.9999, 0.3, 180.0002, 0.3001)
    west, south, east, north = outline.bounds
    across = {**rows()[1], "building_id": "across", "geometry": outline.wkb, "xmin": west, "ymin": south, "xmax": east, "ymax": north}
    folder = tmp_path_factory.mktemp("overture")
    return write(spark, folder, 3, (across,), columns="overture", licence="CC-BY-4.0", file_mb=0.02)


def test_overtures_own_schema_takes_every_building(overture: list[Path]) -> None:
    expected = {str(row["building_id"]): row for row in rows()}
    for path in overture:
        assert path.parts[-5:-1] == ("b", path.parts[-4], "theme=buildings", "type=building") and path.parts[-4] in ("2020", "2021")
        table = pq.read_table(path, partitioning=None)
        assert table.schema.names == ["id", "geometry", "version", "sources", "height", "bbox"]
        for row in table.to_pylist():
            box = [row["bbox"][side] for side in ("xmin", "ymin", "xmax", "ymax")]
            shape = shapely.from_wkb(row.pop("geometry"))
            read = Building.model_validate(
                {**row, "bbox": box, "geometry": shape.__geo_interface__, "theme": "buildings", "type": "building"}
            )
            (source,) = read.sources
            assert tuple(box) == shape.bounds and source.license == "CC-BY-4.0"
            told = expected.get(row["id"])
            if told is None:
                assert row["id"] == "across" and box[::2] == [-180, 180] and shape.area == pytest.approx(3e-8)
            else:
                assert source.record_id == f"made/b/{told['epoch']}/{row['id']}" and source.confidence == told["confidence"]
                assert source.update_time.replace(tzinfo=None) == told["last_date"] and source.update_time.utcoffset() == dt.timedelta(0)
                assert read.height == (told["height_m"] or None)
                expected.pop(row["id"])
    assert not expected


def test_overtures_files_are_geoparquet_with_theme_and_type(overture: list[Path]) -> None:
    folder = overture[0].parents[4]
    frame = pd.concat(geopandas.read_parquet(path, bbox=(32.5, 0.3, 32.52, 0.32)) for path in overture)
    inside = {row["building_id"] for row in rows() if row["xmin"] <= 32.52 and row["ymin"] <= 0.32}
    assert frame.crs.to_epsg() == 4326 and set(frame["id"]) == inside | {"across"}  # whose box is as wide as the world
    query = f"SELECT theme, type, count(*), min(typeof(bbox)) FROM read_parquet('{folder}/b/2020/**/*.parquet', hive_partitioning=true)"
    ((theme, kind, count, box),) = duckdb.sql(f"{query} GROUP BY ALL").fetchall()
    assert (theme, kind, count) == ("buildings", "building", sum(row["epoch"] == "2020" for row in rows()) + 1)
    assert box == "STRUCT(xmin DOUBLE, xmax DOUBLE, ymin DOUBLE, ymax DOUBLE)"


def test_overtures_files_are_footprints_with_confidence_and_day(spark: SparkSession, tmp_path: Path, overture: list[Path]) -> None:
    square = shapely.box(32.5, 0.3, 32.55, 0.35)
    tiles = spark.createDataFrame(
        [("t", bytearray(square.wkb), *square.bounds)],
        "tile_id string, geometry binary, xmin double, ymin double, xmax double, ymax double",
    )
    source = FootprintSource(kind="overture", path=str(overture[0].parents[4] / "b" / "2021"), least_confidence=0.7)
    context = Context(spark, PLACE, "run", tmp_path)
    read = footprints.run({"tiles": tiles}, FootprintsSettings(sources=(source,)), context).toPandas()
    met = [
        row
        for row in rows()
        if row["epoch"] == "2021" and row["confidence"] >= 0.7 and shapely.from_wkb(row["geometry"]).intersects(square)
    ]
    given = {shapely.normalize(shapely.from_wkb(row["geometry"])).wkb: (row["confidence"], row["last_date"].date()) for row in met}
    assert {bytes(row.geometry): (row.confidence, row.label_date) for row in read.itertuples()} == given
    assert len(given) > 10 and context.figures["refused_overture"] == 0


def test_no_building_is_nothing_to_export(spark: SparkSession, tmp_path: Path) -> None:
    empty = spark.createDataFrame([], BUILDINGS.ddl)
    with pytest.raises(InputError, match="no row"):
        buildings_geoparquet.run({"buildings": empty}, BuildingsGeoparquetSettings(), Context(spark, PLACE, "run", tmp_path))
    older = empty.drop("compactness", "perimeter_m")
    with pytest.raises(InputError, match="lacks compactness, perimeter_m; run buildings"):
        buildings_geoparquet.run({"buildings": older}, BuildingsGeoparquetSettings(), Context(spark, PLACE, "run", tmp_path))
    assert not list(tmp_path.iterdir())
