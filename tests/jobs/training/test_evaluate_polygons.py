"""Buildings beside known ones, by Spark, against shapely one by one."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Transformer
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from shapely import affinity

from conf.errors import InputError
from conf.place import Epoch, Layer, Place
from jobs.job import Context
from jobs.training.evaluate_polygons import EvaluatePolygonsSettings, evaluate_polygons, polygon_sources
from udfs.grid import tiles_over, utm_grid
from udfs.rasters import encode_raster

EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
TO_DEGREES = Transformer.from_crs("EPSG:32636", "EPSG:4326", always_xy=True)
WEST, SOUTH = 231_500, 38_600  # a corner of four squares of 0.02 degrees lies in the middle
BUILDINGS = (
    "layer string, epoch string, building_id string, confidence double, geometry binary, xmin double, ymin double, xmax double, ymax double"
)
TRUTH = "building_id string, geometry binary, xmin double, ymin double, xmax double, ymax double, year_built int, year_gone int"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    layers = {"b": Layer(sensor="rgb", resolution=0.5), "coarse": Layer(sensor="sentinel2_l2a", resolution=10.0)}
    return Place(name="test", warehouse=str(tmp_path / "warehouse"), epochs=(EPOCH,), layers=layers)


def houses() -> tuple[list[Any], list[Any]]:
    """Known ones 60 m apart; found ones a little moved and turned, some missing, some invented, one in two parts, one doubled."""
    random = np.random.default_rng(6)
    known, found = [], []
    for row in range(12):
        for col in range(12):
            x, y = WEST + 60 * col, SOUTH + 60 * row
            yard = shapely.Polygon(shapely.box(x, y, x + 24, y + 18).exterior, [shapely.box(x + 8, y + 6, x + 15, y + 11).exterior])
            known.append(yard if random.random() < 0.2 else shapely.box(x, y, x + 24, y + 18))
            moved = affinity.rotate(affinity.translate(known[-1], *random.normal(0, 2, 2)), float(random.normal(0, 6)))
            if random.random() < 0.8:
                found.append(moved)
    found += [affinity.translate(known[3], 1, 1), shapely.box(WEST + 30, SOUTH + 30, WEST + 40, SOUTH + 40)]
    return known, found


def degrees(shape: Any) -> Any:
    return shapely.transform(shape, TO_DEGREES.transform, interleaved=False)


def tables(spark: SparkSession, known: list[Any], found: list[Any]) -> dict[str, DataFrame]:
    shapes = [degrees(shape) for shape in found]
    buildings = [("b", "2020", f"f{n:03}", 0.5 + n / 1000, bytearray(shapely.to_wkb(s)), *s.bounds) for n, s in enumerate(shapes)]
    shapes = [degrees(shape) for shape in known]
    truth = [(f"k{n:03}", bytearray(shapely.to_wkb(s)), *s.bounds, 2000, None) for n, s in enumerate(shapes)]
    gone = [(f"g{n:03}", *row[1:6], *years) for n, (row, years) in enumerate(zip(truth, [(2000, 2020), (2021, None)], strict=False))]
    return {
        "buildings": spark.createDataFrame(buildings, BUILDINGS), "truth_buildings": spark.createDataFrame(truth + gone, TRUTH),
        "built_up": mapped(spark, WEST + 900),
    }  # fmt: skip


def mapped(spark: SparkSession, east: float) -> DataFrame:
    """Tiles over all houses, without data from `east` on, UTM."""
    grid = utm_grid(*TO_DEGREES.transform(WEST, SOUTH), 0.5)
    bounds = grid.pixels_over(WEST - 100, SOUTH - 100, WEST + 900, SOUTH + 900)
    limit = int((east - grid.origin_x) / 0.5)
    rows = []
    for tile in tiles_over(bounds, 1024):
        raster = np.zeros((1024, 1024), np.uint8)
        raster[:, max(limit - tile.pixels.left, 0) :] = 255
        transform = list(grid.transform(tile.pixels.top, tile.pixels.left))[:6]
        rows.append(("b", "2020", "done", grid.name, grid.crs, 1024, tile.row, tile.col, transform, bytearray(encode_raster(raster))))
    schema = (
        "layer string, epoch string, status string, grid string, crs string, tile_px int, row int, col int, transform array<double>, "
        "probability binary"
    )
    return spark.createDataFrame(rows, schema)


def run(spark: SparkSession, place: Place, given: dict[str, DataFrame], **settings: Any) -> dict[str, dict[str, float]]:
    chosen = EvaluatePolygonsSettings(**{"known": "truth_buildings"} | settings)
    polygon_sources(place, chosen)
    evaluate_polygons.run(given, chosen, Context(spark, place, "run", place.folder))
    return json.loads((place.folder / "evaluation/polygons.json").read_text())["regions"]


def iou(one: Any, other: Any) -> float:
    return one.intersection(other).area / one.union(other).area


def greedy(known: list[Any], found: list[Any]) -> list[tuple[int, int]]:
    """The oracle: pairs by falling IoU, each used once."""
    all_pairs = sorted(((-iou(f, k), n, m) for n, f in enumerate(found) for m, k in enumerate(known) if f.intersects(k)))
    pairs: list[tuple[int, int]] = []
    for value, n, m in all_pairs:
        if -value >= 0.5 and n not in {a for a, _ in pairs} and m not in {b for _, b in pairs}:
            pairs.append((n, m))
    return pairs


def test_figures_by_kind_count_found_ones_with_the_nearest_true_one(spark: SparkSession, place: Place) -> None:
    known, found = houses()
    given = tables(spark, known, found)
    kinds = np.array(["informal", "house", "block"])[np.arange(len(known)) % 3]
    told = F.when(F.col("building_id").startswith("k"), F.element_at(F.array(*(F.lit(k) for k in kinds)), _number() + 1)).otherwise("gone")
    figures = run(spark, place, given | {"truth_buildings": given["truth_buildings"].withColumn("kind", told)}, kinds=True)
    nearest = np.array([np.argmin(shapely.distance(shape, np.array(known))) for shape in found])
    pairs = greedy(known, found)
    for kind in ("informal", "house", "block"):
        counted = figures[kind]
        assert (counted["known"], counted["found"]) == ((kinds == kind).sum(), (kinds[nearest] == kind).sum())
        assert counted["hits"] == sum(kinds[m] == kind for _, m in pairs)
    assert sum(figures[kind]["found"] for kind in kinds[:3]) == figures["all"]["found"] == len(found)


def _number() -> Column:
    return F.substring("building_id", 2, 3).cast("int")


def test_pairs_and_figures_are_those_of_a_plain_loop(spark: SparkSession, place: Place) -> None:
    known, found = houses()
    figures = run(spark, place, tables(spark, known, found))["all"]
    pairs = greedy(known, found)
    assert (figures["found"], figures["known"], figures["hits"]) == (len(found), len(known), len(pairs))
    assert len(pairs) < len(found) - 1
    assert figures["f1"] == pytest.approx(2 * len(pairs) / (len(found) + len(known)))
    assert figures["iou"] == pytest.approx(np.mean([iou(found[n], known[m]) for n, m in pairs]), rel=1e-4)
    vertices = [
        sum(len(r.coords) - 1 for r in (s.exterior, *s.interiors)) for s in (*[found[n] for n, _ in pairs], *[known[m] for _, m in pairs])
    ]
    assert figures["n_ratio"] == pytest.approx(sum(vertices[: len(pairs)]) / sum(vertices[len(pairs) :]))
    assert (
        figures["polis_published"]
        < figures["polis"]
        == pytest.approx(np.mean([(one_way(found[n], known[m]) + one_way(known[m], found[n])) / 2 for n, m in pairs]), rel=1e-3)
    )
    assert (figures["invalid"], figures["overlapping"]) == (0, overlaps(found))
    assert 0 < figures["boundary_ap"] < figures["ap"] < figures["ap50"]


def one_way(shape: Any, other: Any) -> float:
    return float(
        np.mean([other.boundary.distance(shapely.Point(p)) for ring in (shape.exterior, *shape.interiors) for p in ring.coords[:-1]])
    )


def overlaps(shapes: list[Any]) -> int:
    return sum(shapes[n].intersection(shapes[m]).area > 1e-3 for n in range(len(shapes)) for m in range(n))


def test_a_perfect_map_is_perfect_whatever_counts_as_small(spark: SparkSession, place: Place) -> None:
    sides = np.array([4, 6, 8, 10, 12] * 4)
    known = [shapely.box(WEST + 40 * n, SOUTH, WEST + 40 * n + side, SOUTH + side) for n, side in enumerate(sides)]
    invented = [shapely.box(WEST + 40 * n + 20, SOUTH, WEST + 40 * n + 20 + side, SOUTH + side) for n, side in ((0, 5), (1, 9))]
    for least, count, false in ((4.0, 20, 2), (50.0, 12, 1)):
        figures = run(spark, place, tables(spark, known, known + invented), min_area_m2=least)["all"]
        assert (figures["known"], figures["hits"], figures["found"]) == (count, count, count + false)


def test_known_buildings_are_of_one_source(spark: SparkSession, place: Place) -> None:
    known, found = houses()
    given = tables(spark, known, found)
    outlines = given["truth_buildings"].where(F.col("building_id").startswith("k")).withColumnRenamed("building_id", "footprint_id")
    both = outlines.withColumn("source", F.explode(F.array(F.lit("osm"), F.lit("microsoft")))).withColumn("confidence", F.lit(1.0))
    both = both.withColumn("footprint_id", F.concat("source", "footprint_id"))
    with_both = given | {"footprints": both}
    for source in (None, "google"):
        with pytest.raises(InputError, match=f"evaluate_polygons.source {source}: table footprints holds microsoft, osm"):
            run(spark, place, with_both, known="footprints", source=source)
    assert run(spark, place, with_both, known="footprints", source="osm") == run(spark, place, given)


def test_ground_units_and_bad_settings(spark: SparkSession, place: Place, tmp_path: Path) -> None:
    known, found = houses()
    west, east = (degrees(shapely.box(WEST - 20 + dx, SOUTH - 50, WEST + 350 + dx, SOUTH + 800)) for dx in (0, 370))
    file = tmp_path / "ground.geojson"
    file.write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(west))}],
            }
        )
    )
    units = [(name, 1, bytearray(shapely.to_wkb(shape))) for name, shape in (("west", west), ("east", east))]
    given = tables(spark, known, found) | {"units": spark.createDataFrame(units, "unit_id string, level int, geometry binary")}
    by_unit, in_west = run(spark, place, given, level=1), run(spark, place, given, ground=str(file))
    assert set(by_unit) == {"all", "west", "east"}
    assert by_unit["west"] == pytest.approx(in_west["all"])
    assert by_unit["west"]["known"] + by_unit["east"]["known"] == by_unit["all"]["known"] == len(known)
    half = run(spark, place, given | {"built_up": mapped(spark, WEST + 340)})["all"]
    assert (half["known"], half["found"]) == (by_unit["west"]["known"], by_unit["west"]["found"])
    for wrong, said in (
        ({"layer": "x"}, "not a layer"),
        ({"epoch": "1999"}, "not an epoch"),
        ({"kinds": True, "level": 1}, "only truth_buildings"),
        ({"ground": "none.geojson"}, "no file"),
    ):
        with pytest.raises(InputError, match=said):
            polygon_sources(place, EvaluatePolygonsSettings(**wrong))
    with pytest.raises(InputError, match="no table units"):
        run(spark, place, tables(spark, known, found), level=1)
    with pytest.raises(InputError, match="no table footprints"):
        evaluate_polygons.run(given, EvaluatePolygonsSettings(), Context(spark, place, "run", place.folder))
