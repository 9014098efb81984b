"""Unit statistics on an invented place: two 1024-pixel squares of a UTM grid, six slanted units, two epochs."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from pyproj import Transformer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.place import Epoch, Layer, Place
from conf.tables import POPULATION, UNITS
from jobs.job import Context
from jobs.sdg11.unit_statistics import UnitStatisticsSettings, unit_statistics
from jobs.unit_sums import tiles_with_units
from udfs.coverage import outlines_on_grid
from udfs.grid import BLOCK_PX, Grid, PixelBounds, tile_id, tiles_over
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import NO_DATA, encode_raster

GRID = Grid("utm43n", "EPSG:32643", 0.0, 10_000_000.0, 10.0, 10.0)
IMAGE = PixelBounds(786_432, 26_624, 787_456, 28_672)
"""Two tiles of 1024 side by side: the units reach beyond them on all sides but the north."""
THRESHOLD = 125
BUILDING_LAYER = "buildings_50cm"


def place() -> Place:
    epochs = [Epoch(name=str(y), start=dt.date(y, 1, 1), end=dt.date(y, 12, 31), reference=dt.date(y, 7, 1)) for y in (2015, 2018)]
    layers = {"built_up_10m": Layer(sensor="sentinel2_l1c", model="m", resolution=10, feeds="built_m2")}
    layers[BUILDING_LAYER] = Layer(sensor="rgb", model="m", resolution=0.5)
    return Place(name="invented", epochs=tuple(epochs), layers=layers, sections={"units": {"path": "units.geojson"}})


def probabilities() -> dict[str, np.ndarray]:
    """Per epoch (1024, 2048); a diagonal band has no data in 2015, growth is towards the lower left."""
    rng = np.random.default_rng(7)
    rows, cols = np.mgrid[0:1024, 0:2048]
    first = np.where(np.abs(rows - cols / 3) < 40, NO_DATA, rng.integers(0, 251, (1024, 2048))).astype(np.uint8)
    second = np.where(rows > cols, 250, rng.integers(0, 251, (1024, 2048))).astype(np.uint8)
    return {"2015": first, "2018": second}


def outlines() -> dict[str, shapely.Geometry]:
    """Units in the grid's pixels, turned by an odd angle; `far` touches no pixel of the image; `ring` has a hole."""
    ring = shapely.difference(shapely.box(300, 200, 900, 700), shapely.box(500, 350, 640, 600))
    plain = {
        "ring": ring, "hole": shapely.box(500, 350, 640, 600), "wide": shapely.box(900, 200, 2300, 700),
        "low": shapely.box(300, 700, 2300, 1300), "thin": shapely.box(100, 200, 101.3, 1200), "far": shapely.box(3000, 3000, 3350, 3200),
    }  # fmt: skip
    turn = Affine.translation(IMAGE.left, IMAGE.top) @ Affine.rotation(7.3)
    return {name: shapely.transform(shape, lambda xy: np.column_stack(turn @ tuple(xy.T))) for name, shape in plain.items()}


def lonlat(shape: shapely.Geometry) -> shapely.Geometry:
    to_degrees = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True).transform
    return shapely.transform(shape, lambda px: np.column_stack(to_degrees(*(GRID.transform(0, 0) @ tuple(px.T)))))


def units_table(spark: SparkSession) -> DataFrame:
    rows = []
    parents = {"ring": "west", "hole": "west", "thin": "west", "wide": "east", "low": "east", "far": "east"}
    shapes = {name: lonlat(shape) for name, shape in outlines().items()}
    shapes |= {top: shapely.union_all([shapes[n] for n, p in parents.items() if p == top]) for top in ("west", "east")}
    for name, shape in shapes.items():
        level = 1 if name in parents else 0
        rows.append((name, parents.get(name), level, name, bytearray(shape.wkb), *shape.bounds, 1.0, None))
    return spark.createDataFrame(rows, UNITS.ddl)


def built_up_table(spark: SparkSession, tile_px: int) -> DataFrame:
    rows = []
    for epoch, values in probabilities().items():
        for tile in tiles_over(IMAGE, tile_px):
            top, left = tile.pixels.top - IMAGE.top, tile.pixels.left - IMAGE.left
            part = values[top : top + tile_px, left : left + tile_px]
            transform = list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6]
            outline = bytearray(lonlat(shapely.box(tile.pixels.left, tile.pixels.top, tile.pixels.right, tile.pixels.bottom)).wkb)
            shared = (GRID.name, GRID.crs, tile_px, tile.row, tile.col, transform)
            rows.append(("built_up_10m", epoch, tile_id(GRID, tile), *shared, "done", bytearray(encode_raster(part)), THRESHOLD, outline))
    rows += _building_tiles(tile_px)
    columns = "layer string, epoch string, tile_id string, grid string, crs string, tile_px int, row int, col int, transform array<double>"
    frame = spark.createDataFrame(rows, f"{columns}, status string, probability binary, threshold int, geometry binary")
    return frame.withColumn("strip", F.lit(None).cast("string"))


def _building_tiles(tile_px: int) -> list[tuple[Any, ...]]:
    """The buildings' own layer: 2018, an image that ends within its last tile, left of where unit `wide` begins."""
    seen = np.full((1024, 1024), NO_DATA, np.uint8)
    seen[:, :600] = 0
    rows = []
    for tile in tiles_over(PixelBounds(IMAGE.top, IMAGE.left, IMAGE.bottom, IMAGE.left + 1024), tile_px):
        top, left = tile.pixels.top - IMAGE.top, tile.pixels.left - IMAGE.left
        part = seen[top : top + tile_px, left : left + tile_px]
        transform = list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6]
        outline = bytearray(lonlat(shapely.box(tile.pixels.left, tile.pixels.top, tile.pixels.right, tile.pixels.bottom)).wkb)
        shared = (GRID.name, GRID.crs, tile_px, tile.row, tile.col, transform)
        rows.append((BUILDING_LAYER, "2018", f"b {tile}", *shared, "done", bytearray(encode_raster(part)), THRESHOLD, outline))
    return rows


def buildings_table(spark: SparkSession) -> DataFrame:
    squares = {"in ring": (400, 300), "in hole": (570, 450), "in low": (400, 800), "outside": (50, 60)}
    turn = Affine.translation(IMAGE.left, IMAGE.top) @ Affine.rotation(7.3)
    shapes = {name: lonlat(shapely.box(*(turn @ at), *(v + 2 for v in turn @ at))) for name, at in squares.items()}
    rows = [(BUILDING_LAYER, "2018", name, bytearray(shape.wkb)) for name, shape in shapes.items()]
    return spark.createDataFrame(rows, "layer string, epoch string, building_id string, geometry binary")


def population_table(spark: SparkSession) -> DataFrame:
    people = {"ring": 1000.0, "hole": 0.0, "thin": 10.0, "wide": 5000.0, "low": 7.0}
    rows = [(unit, year, count * growth, "census", None) for unit, count in people.items() for year, growth in ((2014, 1.0), (2018, 1.21))]
    return spark.createDataFrame(rows, POPULATION.ddl)


def statistics(spark: SparkSession, tmp_path: Path, tile_px: int = 1024, partitions: int = 2, **settings: Any) -> list[dict[str, Any]]:
    tables = {
        "built_up": built_up_table(spark, tile_px).repartition(partitions),
        "units": units_table(spark).repartition(partitions),
        "population": population_table(spark).repartition(partitions),
        "buildings": buildings_table(spark).repartition(partitions),
    }
    result = unit_statistics.run(tables, UnitStatisticsSettings(**settings), Context(spark, place(), "run", tmp_path))
    return sorted((row.asDict() for row in result.collect()), key=lambda row: (row["epoch"], row["unit_id"]))


@pytest.fixture(scope="module")
def exact(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return statistics(spark, tmp_path_factory.mktemp("exact"))


def expected_areas(epoch: str) -> dict[str, tuple[float, float, float]]:
    """exactextract over one array of the whole ground, weighted with pixel areas, m2."""
    ground = PixelBounds(IMAGE.top, IMAGE.left - 512, IMAGE.top + 4096, IMAGE.left + 4096)
    blocks = tiles_over(ground, BLOCK_PX)
    areas = np.zeros(ground.shape_yx)
    for block in blocks:
        top, left = block.pixels.top - ground.top, block.pixels.left - ground.left
        areas[top : top + BLOCK_PX, left : left + BLOCK_PX] = block_areas_mm2(GRID, block.row, block.col) / 1e6
    probability = np.full(ground.shape_yx, NO_DATA, np.uint8)
    probability[:1024, 512 : 512 + 2048] = probabilities()[epoch]
    valid = probability != NO_DATA
    layers = [areas * valid * (probability >= THRESHOLD), areas * valid, areas]
    transform = GRID.transform(ground.top, ground.left)
    west, north = transform @ (0, 0)
    east, south = transform @ ground.shape_yx[::-1]
    shapes = outlines_on_grid(np.array([lonlat(shape) for shape in outlines().values()]), GRID.crs)
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shape)} for shape in shapes]
    sums = [exact_extract(NumPyRasterSource(layer, west, south, east, north), features, ["sum"]) for layer in layers]
    values = [[feature["properties"]["sum"] for feature in layer] for layer in sums]
    return dict(zip(outlines(), zip(*values, strict=True), strict=True))


def test_areas_equal_exactextract_weighted_with_pixel_areas(exact: list[dict[str, Any]]) -> None:
    for epoch in ("2015", "2018"):
        for unit, expected in expected_areas(epoch).items():
            row = next(row for row in exact if (row["unit_id"], row["epoch"]) == (unit, epoch))
            assert (row["built_m2"], row["valid_m2"], row["total_m2"]) == pytest.approx(expected, rel=1e-6, abs=0.01)


def test_every_unit_and_epoch_has_a_row_also_where_nothing_is_valid(exact: list[dict[str, Any]]) -> None:
    assert len(exact) == 2 * 8
    far = [row for row in exact if row["unit_id"] == "far"]
    assert [(row["built_m2"], row["valid_m2"]) for row in far] == [(0.0, 0.0)] * 2
    assert far[0]["total_m2"] == far[1]["total_m2"] == pytest.approx(350 * 200 * 100, rel=2e-3)


def test_parents_are_exact_sums(exact: list[dict[str, Any]]) -> None:
    for epoch in ("2015", "2018"):
        value = {row["unit_id"]: row for row in exact if row["epoch"] == epoch}
        for column in ("built_m2", "valid_m2", "total_m2"):
            children = sum(round(value[unit][column] * 1e6) for unit in ("ring", "hole", "thin"))
            assert round(value["west"][column] * 1e6) == children


def test_people_are_of_the_reference_date_and_known_only_where_all_parts_are(exact: list[dict[str, Any]]) -> None:
    value = {(row["unit_id"], row["epoch"]): (row["people"], row["people_year"]) for row in exact}
    days = (dt.date(2015, 7, 1) - dt.date(2014, 7, 1)).days / (dt.date(2018, 7, 1) - dt.date(2014, 7, 1)).days
    assert value["ring", "2015"] == (pytest.approx(1000 * 1.21**days, abs=1e-6), "2014-2018")
    assert value["ring", "2018"] == (1210.0, "2018")
    assert value["west", "2018"] == (1222.1, "2018")
    assert value["far", "2018"] == value["east", "2018"] == (None, None)


def test_buildings_are_counted_where_their_layer_was_mapped(exact: list[dict[str, Any]]) -> None:
    counts = {row["unit_id"]: row["buildings"] for row in exact if row["epoch"] == "2018"}
    assert counts == {"ring": 1, "hole": 1, "thin": 0, "low": 1, "wide": None, "far": None, "west": 2, "east": 1}
    assert {row["buildings"] for row in exact if row["epoch"] == "2015"} == {None}


@pytest.mark.parametrize(("tile_px", "partitions"), [(256, 7), (512, 1)])
def test_bytes_do_not_depend_on_tiles_or_partitions(
    spark: SparkSession, tmp_path: Path, exact: list[dict[str, Any]], tile_px: int, partitions: int
) -> None:
    assert statistics(spark, tmp_path, tile_px, partitions) == exact


def test_fast_method_is_near_the_exact_one(spark: SparkSession, tmp_path: Path, exact: list[dict[str, Any]]) -> None:
    fast = statistics(spark, tmp_path, method="fast")
    assert sum(row["built_m2"] for row in fast) == pytest.approx(sum(row["built_m2"] for row in exact), rel=5e-4)
    assert fast != exact


def test_tiles_and_units_meet_in_a_spatial_join(spark: SparkSession) -> None:
    frame = tiles_with_units(units_table(spark), GRID, 1024)
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert "RangeJoin" in plan or "BroadcastIndexJoin" in plan
    assert "NestedLoop" not in plan and "CartesianProduct" not in plan
