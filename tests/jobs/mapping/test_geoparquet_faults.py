"""Faults of GeoParquet: files that we write pass an independent validator, which finds each fault; hostile ones are refused, or row by row.

The clauses of fault 47, and of fault 41 as far as it comes in by files, are listed in `test_building_faults.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extensions
import geopandas
import geoparquet_validator
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import CRS
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from conf.tables_buildings import BUILDINGS
from jobs.geoparquet import write_geoparquet
from tests.done_tiles import PLACE, filled
from tests.jobs.mapping.test_buildings_geoparquet import rows, write
from tests.jobs.training.test_footprints import houses, met, outlines, run

Geo = dict[str, Any]
BESIDES = {
    "a yard": shapely.box(32.55, 0.35, 32.56, 0.36) - shapely.box(32.552, 0.352, 32.557, 0.355),
    "two parts": shapely.MultiPolygon([shapely.box(32.51, 0.31, 32.52, 0.32), shapely.box(32.53, 0.31, 32.54, 0.33)]),
    "over 180 degrees": shapely.box(179.9999, 0.3, 180.0002, 0.3001),
}


def besides() -> tuple[dict[str, object], ...]:
    """Buildings of 2020 as in the table: one of several parts, as over a pole, and one whose longitudes go on beyond 180 degrees."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    return tuple(
        {**rows()[1], "building_id": name, "geometry": shape.wkb, **dict(zip(sides, shape.bounds, strict=True))}
        for name, shape in BESIDES.items()
    )


@pytest.fixture(scope="module")
def files(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of the export, and one that is written alone."""
    folder = tmp_path_factory.mktemp("files")
    alone = folder / "alone.parquet"
    write_geoparquet(spark.createDataFrame(filled(BUILDINGS, [*rows(), *besides()]), BUILDINGS.ddl), alone, ("building_id",))
    return [alone, *write(spark, folder / "place", 2, besides(), file_mb=0.03)]


def geo_of(path: Path) -> Geo:
    return dict(json.loads(pq.read_metadata(path).metadata[b"geo"]))


def test_files_pass_the_validator_of_geoparquet(files: list[Path]) -> None:
    """Schema of 1.1 and of PROJJSON, types, axes, boxes, covering: none is passed over."""
    assert len(files) > 5
    asked = {
        "core": "geo-metadata wkb geometry-types crs-projjson axis-order bbox-extent bbox-crs",
        "covering": "bbox-paths bbox-column-type",
    }
    for path in files:
        report = geoparquet_validator.check(str(path))
        status = {outcome["id"]: outcome["status"] for outcome in report["outcomes"]}
        assert not geoparquet_validator.failed(report), [each for each in report["outcomes"] if each["status"] == "fail"]
        assert report["rules"].startswith("GeoParquet 1.1") and not report["sampled"]
        assert {status[f"/conf/{kind}/{name}"] for kind, names in asked.items() for name in names.split()} == {"pass"}


def test_their_crs_is_epsg_4326_in_the_order_longitude_latitude(files: list[Path]) -> None:
    for path in files:
        crs = CRS.from_json_dict(geo_of(path)["columns"]["geometry"]["crs"])
        assert crs.to_epsg() == 4326 and crs.equals(CRS.from_epsg(4326))
    frame = geopandas.read_parquet(files[0]).set_index("building_id").drop(list(BESIDES))
    assert frame.crs.to_epsg() == 4326
    assert frame.bounds["minx"].between(32.5, 32.6).all()
    assert frame.bounds["miny"].between(0.3, 0.4).all()


def covered(path: Path) -> bool:
    """Whether the box of each row, and that of the file, is that of its geometry, and the types told are those that are there."""
    told, table = geo_of(path)["columns"]["geometry"], pq.read_table(path, columns=["geometry", "bbox"])
    shapes = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    boxes = np.array([[box[side] for side in ("xmin", "ymin", "xmax", "ymax")] for box in table["bbox"].to_pylist()])
    types = {shape.geom_type for shape in shapes}
    return bool(
        (boxes == shapely.bounds(shapes)).all()
        and told["bbox"] == shapely.total_bounds(shapes).tolist()
        and types == set(told["geometry_types"])
    )


def test_boxes_cover_and_types_told_are_those_that_are_there(files: list[Path]) -> None:
    assert all(covered(path) for path in files)
    assert {frozenset(geo_of(path)["columns"]["geometry"]["geometry_types"]) for path in files} == {
        frozenset({"Polygon"}),
        frozenset({"Polygon", "MultiPolygon"}),
    }


def test_no_ground_is_lost_or_moved(files: list[Path], tmp_path: Path) -> None:
    """GeoPandas and DuckDB find each building where it was; the one over 180 degrees in two parts."""
    given = {str(row["building_id"]): shapely.from_wkb(row["geometry"]) for row in (*rows(), *besides())}
    con = duckdb.connect(config={"extension_directory": str(tmp_path)})
    duckdb_extensions.import_extension("spatial", con=con)
    con.load_extension("spatial")
    for read in (files[:1], files[1:]):
        listed = ", ".join(f"'{path}'" for path in read)
        by_duckdb = con.sql(f"SELECT building_id, ST_AsWKB(geometry) AS wkb FROM read_parquet([{listed}], union_by_name=true)").fetchall()
        by_geopandas = [each for path in read for each in geopandas.read_parquet(path)[["building_id", "geometry"]].itertuples(index=False)]
        for found in ({name: shapely.from_wkb(bytes(wkb)) for name, wkb in by_duckdb}, dict(by_geopandas)):
            assert found.keys() == given.keys()
            across = found["over 180 degrees"]
            assert across.equals_exact(
                shapely.MultiPolygon([shapely.box(179.9999, 0.3, 180, 0.3001), shapely.box(-180, 0.3, -179.9998, 0.3001)]),
                1e-9,
                normalize=True,
            )
            assert all(found[name].equals(shape) for name, shape in given.items() if name != "over 180 degrees")


def _swapped(table: pa.Table) -> pa.Table:
    shapes = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    turned = shapely.transform(shapes, lambda xy: xy[:, ::-1] * 5)
    return table.set_column(table.schema.get_field_index("geometry"), "geometry", pa.array(shapely.to_wkb(turned), pa.binary()))


def _told(**values: Any) -> Callable[[Geo], Any]:
    return lambda geo: geo["columns"]["geometry"].update(values)


FAULTS: dict[str, tuple[str, Callable[[Geo], Any], Callable[[pa.Table], pa.Table]]] = {
    "no geo key": ("core/geo-metadata", dict.clear, lambda table: table),
    "bad PROJJSON": ("core/crs-projjson", _told(crs={"type": "GeographicCRS"}), lambda table: table),
    "types not told": ("core/geometry-types", _told(geometry_types=["Point"]), lambda table: table),
    "box of the file": ("core/bbox-extent", _told(bbox=[32.5, 0.3, 32.51, 0.31]), lambda table: table),
    "axes": ("core/axis-order", _told(), _swapped),
    "no column of boxes": ("covering/bbox-paths", _told(), lambda table: table.drop_columns("bbox")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_validator_finds(files: list[Path], tmp_path: Path, fault: str) -> None:
    """Else it proved nothing."""
    name, change, changed = FAULTS[fault]
    table, geo = changed(pq.read_table(files[0])), geo_of(files[0])
    change(geo)
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(geo)} if geo else {}), tmp_path / "faulty.parquet")
    assert f"/conf/{name}" in geoparquet_validator.failed(geoparquet_validator.check(str(tmp_path / "faulty.parquet")))


def test_boxes_that_do_not_cover_are_found(files: list[Path], tmp_path: Path) -> None:
    table = pq.read_table(files[0])
    moved = [{**box, "xmax": box["xmax"] - 1e-5 * (number == 7)} for number, box in enumerate(table["bbox"].to_pylist())]
    pq.write_table(table.set_column(table.schema.get_field_index("bbox"), "bbox", pa.array(moved)), tmp_path / "faulty.parquet")
    assert not covered(tmp_path / "faulty.parquet")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return PLACE.model_copy(update={"warehouse": str(tmp_path / "warehouse")})


def boxes(shapes: list[Any]) -> list[dict[str, float | None] | None]:
    return [dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True)) for shape in shapes]


def source(path: Path, geometry: Any, **columns: Any) -> dict[str, Any]:
    """A table of OpenStreetMap's buildings without a key `geo`, and how a place declares it."""
    count = len(geometry)
    pq.write_table(pa.table({"geometry": geometry, "building": ["yes"] * count, **columns}), path)
    return {"kind": "osm", "path": str(path)}


OTHERS = [
    shapely.Point(32.605, 0.335),
    shapely.LineString([(32.6, 0.33), (32.61, 0.34)]),
    shapely.GeometryCollection(houses(1, 7)),
    shapely.Polygon(),
]


def test_mixed_types_and_rows_without_a_box_are_read_row_by_row(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    """What is no polygon is refused and counted; a row whose box is null, or one side of it, is not passed over."""
    shapes = houses(200, 5)
    told = boxes(shapes)
    told[:100:2] = [None] * 50
    told[1:100:2] = [{**box, "ymax": None} for box in told[1:100:2] if box]
    around = [{"xmin": 32.5, "ymin": 0.3, "xmax": 32.7, "ymax": 0.4}] * (len(OTHERS) + 2)
    wkb = [*shapely.to_wkb(shapes), *shapely.to_wkb(OTHERS), b"house", None]
    found, context = run(spark, place, source(tmp_path / "osm.parquet", pa.array(wkb, pa.binary()), bbox=[*told, *around]))
    assert outlines(found) == met(shapes) and context.figures["refused_osm"] == len(OTHERS) + 2


def test_a_column_bbox_of_another_kind_chooses_no_rows(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    shapes = houses(100, 6)
    found, _ = run(spark, place, source(tmp_path / "osm.parquet", shapely.to_wkb(shapes), bbox=[list(shape.bounds) for shape in shapes]))
    assert outlines(found) == met(shapes)


def test_boxes_that_lie_are_one_clear_error(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    """Rows may have been passed over unread by such boxes."""
    shapes = houses(100, 6)
    told = boxes([shapely.affinity.translate(shape, 0.001 * (number % 3 == 0)) for number, shape in enumerate(shapes)])
    with pytest.raises(PythonException, match=r"bbox \[.*\] does not cover its geometry, which reaches .*; drop column bbox"):
        run(spark, place, source(tmp_path / "some.parquet", shapely.to_wkb(shapes), bbox=told))
    turned = [{"xmin": box["ymin"], "ymin": box["xmin"], "xmax": box["ymax"], "ymax": box["xmax"]} for box in boxes(shapes) if box]
    with pytest.raises(InputError, match=r"no footprint of footprints\.sources meets a tile"):
        run(spark, place, source(tmp_path / "all.parquet", shapely.to_wkb(shapes), bbox=turned))


def test_geometry_that_is_no_wkb_is_one_clear_error(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    """GeoParquet 1.1 may also have lists of corners; and texts are none."""
    shapes = houses(3, 6)
    rings = [[[{"x": x, "y": y} for x, y in shape.exterior.coords]] for shape in shapes]
    for name, column in (("corners", rings), ("texts", [shape.wkt for shape in shapes])):
        with pytest.raises(InputError, match=r"column geometry of .*parquet is of type .*; WKB is expected"):
            run(spark, place, source(tmp_path / f"{name}.parquet", pa.array(column)))


def test_metres_are_refused(spark: SparkSession, tmp_path: Path, place: Place) -> None:
    frame = geopandas.GeoDataFrame({"building": ["yes"] * 9}, geometry=houses(9, 6), crs="EPSG:4326").to_crs("EPSG:3857")
    frame.to_parquet(tmp_path / "metres.parquet")
    with pytest.raises(InputError, match=r"no footprint of footprints\.sources meets a tile"):
        run(spark, place, {"kind": "osm", "path": str(tmp_path / "metres.parquet")})
