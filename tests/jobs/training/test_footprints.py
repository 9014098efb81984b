"""Footprints of all publishers on the ground of the tiles, each once."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyspark.sql import DataFrame, SparkSession

from conf.errors import InputError
from conf.place import Epoch, Layer, Place
from conf.tables import FOOTPRINTS
from jobs.footprint_readers import FootprintSource
from jobs.job import Context
from jobs.table_checks import check_rows, check_schema
from jobs.training.footprints import FootprintsSettings, footprint_sources, footprints
from tests.udfs.test_footprint_files import feature, write_lines

SQUARES = [shapely.box(32.60, 0.33, 32.61, 0.34), shapely.box(32.61, 0.33, 32.62, 0.34)]
EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    layer = Layer(sensor="sentinel2_l2a", resolution=10.0)
    return Place(name="test", warehouse=str(tmp_path / "warehouse"), epochs=(EPOCH,), layers={"a": layer})


def tiles_of(spark: SparkSession, squares: list[Any]) -> DataFrame:
    """Two epochs of each square, as in `tiles`."""
    rows = [(f"t{n}", epoch, bytearray(shapely.to_wkb(square)), *square.bounds) for n, square in enumerate(squares) for epoch in "ab"]
    return spark.createDataFrame(rows, "tile_id string, epoch string, geometry binary, xmin double, ymin double, xmax double, ymax double")


def houses(count: int, seed: int) -> list[Any]:
    """Small quadrilaterals in and around the squares; none the same."""
    random = np.random.default_rng(seed)
    corners = np.round(random.uniform((32.595, 0.325), (32.625, 0.345), (count, 2)), 7)
    return [shapely.Polygon([(x, y), (x + 1e-4, y), (x + 1.3e-4, y + 2e-4), (x, y + 1e-4)]) for x, y in corners]


def run(spark: SparkSession, place: Place, *sources: dict[str, Any], squares: list[Any] = SQUARES) -> tuple[pd.DataFrame, Context]:
    settings = FootprintsSettings(sources=tuple(FootprintSource(**source) for source in sources))
    footprint_sources(place, settings)
    context = Context(spark, place, "run", place.folder)
    found = footprints.run({"tiles": tiles_of(spark, squares)}, settings, context)
    check_schema(found, FOOTPRINTS)
    check_rows(found, FOOTPRINTS)
    return found.toPandas().sort_values("footprint_id", ignore_index=True), context


def met(shapes: list[Any], squares: list[Any] = SQUARES) -> list[bytes]:
    """The oracle: outlines that meet a square."""
    return sorted(shapely.to_wkb(shapely.normalize([shape for shape in shapes if any(shape.intersects(one) for one in squares)])).tolist())


def outlines(rows: pd.DataFrame) -> list[bytes]:
    return sorted(bytes(one) for one in rows["geometry"])


def test_microsofts_index_leads_to_the_files_of_the_tiles_and_each_building_comes_once(
    spark: SparkSession, tmp_path: Path, place: Place
) -> None:
    """Some buildings are in both files; a file far away is listed and is not there to be read."""
    shapes = houses(800, 1)
    write_lines(tmp_path / "one.csv.gz", [feature(shape, 0.9) for shape in shapes[:500]] + [feature(shapely.Point(32.6, 0.33))])
    write_lines(tmp_path / "two.csv.gz", [feature(shape) for shape in shapes[400:]])
    index = tmp_path / "dataset-links.csv"
    listed = (("Uganda", "122323332", "one.csv.gz"), ("Uganda", "122323332", "two.csv.gz"), ("Peru", "210000000", "gone.csv.gz"))
    lines = ["Location,QuadKey,Url,Size,UploadDate", *(f"{country},{key},{name},1MB,2022-05-06" for country, key, name in listed)]
    index.write_text("\n".join(lines))
    rows, context = run(spark, place, {"kind": "microsoft", "path": str(index), "licence": "ODbL-1.0", "attribution": "Microsoft"})
    assert outlines(rows) == met(shapes)
    assert set(rows["label_date"]) == {dt.date(2022, 5, 6)} and set(rows["licence"]) == {"ODbL-1.0"}
    assert (context.figures["read_microsoft"], context.figures["refused_microsoft"]) == (901, 1)
    with pytest.raises(InputError, match=r"no file of .* lies on a tile"):
        run(spark, place, {"kind": "microsoft", "path": str(index), "locations": ["Peru"]})


def test_googles_files_above_a_confidence(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    texts, sure = [shape.wkt for shape in houses(300, 2)], np.random.default_rng(3).uniform(0.6, 1, 300)
    shapes = shapely.from_wkt(texts)  # which have fewer digits
    frame = pd.DataFrame({"confidence": sure, "geometry": texts})
    for number in range(3):
        frame[number::3].to_csv(tmp_path / f"{number}_buildings.csv.gz", index=False)
    source = {"kind": "google", "path": str(tmp_path / "*_buildings.csv.gz"), "least_confidence": 0.75, "date": "2023-05-30"}
    rows, _ = run(spark, place, source)
    assert outlines(rows) == met([shape for shape, share in zip(shapes, sure, strict=True) if share >= 0.75])
    assert set(rows["label_date"]) == {dt.date(2023, 5, 30)}


def test_overture_and_osm_tables(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    shapes = houses(400, 4)
    boxes = [dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True)) for shape in shapes]
    wkb = [shapely.to_wkb(shape) for shape in shapes]
    told = [[{"dataset": "x", "update_time": "2021-03-04T05:06:07.000Z", "confidence": None if n % 2 else 0.8}] for n in range(400)]
    kind = pa.list_(pa.struct([("dataset", pa.string()), ("update_time", pa.string()), ("confidence", pa.float64())]))
    (tmp_path / "overture").mkdir()
    for part in (slice(0, 150), slice(150, 400)):
        table = pa.table(
            {"id": [str(n) for n in range(400)][part], "geometry": wkb[part], "bbox": boxes[part], "sources": pa.array(told[part], kind)}
        )
        pq.write_table(table, tmp_path / "overture" / f"{part.start}.parquet")
    rows, _ = run(spark, place, {"kind": "overture", "path": str(tmp_path / "overture")})
    assert outlines(rows) == met(shapes)
    assert set(rows["label_date"]) == {dt.date(2021, 3, 4)} and set(rows["confidence"].dropna()) == {0.8}
    tags = pa.array([[("building", "yes")], [("building", "no")], [("highway", "path")], None] * 100, pa.map_(pa.string(), pa.string()))
    pq.write_table(pa.table({"geometry": wkb, "tags": tags}), tmp_path / "osm.parquet")
    rows, _ = run(spark, place, {"kind": "osm", "path": str(tmp_path / "osm.parquet")})
    assert outlines(rows) == met(shapes[::4])
    pq.write_table(pa.table({"geometry": wkb}), tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="neither column tags nor column building"):
        run(spark, place, {"kind": "osm", "path": str(tmp_path / "bare.parquet")})


def test_what_is_not_there_is_refused_before_anything_is_read(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    with pytest.raises(InputError, match=r"no file .*gone\.geojson"):
        run(spark, place, {"kind": "vector", "path": str(tmp_path / "gone.geojson")})
    with pytest.raises(ValueError, match="locations is for kind microsoft"):
        FootprintSource(kind="google", path="a.csv", locations=("Peru",))
    far = tmp_path / "far.geojson"
    far.write_text(json.dumps({"type": "FeatureCollection", "features": [json.loads(feature(shapely.box(10, 10, 10.1, 10.1)))]}))
    with pytest.raises(InputError, match=r"no footprint of footprints\.sources meets a tile"):
        run(spark, place, {"kind": "vector", "path": str(far)})


def test_microsofts_buildings_of_kampala(spark: SparkSession, real_data: Path, place: Place) -> None:
    path = real_data / "kampala" / "ms_buildings.geojson"
    rows, _ = run(spark, place, {"kind": "vector", "path": str(path)})
    given = geopandas.read_file(path)
    expected = geopandas.sjoin(given, geopandas.GeoDataFrame(geometry=SQUARES, crs=given.crs)).index.nunique()
    assert len(rows) == expected > 1000
    assert set(rows["source"]) == {"ms_buildings"}
