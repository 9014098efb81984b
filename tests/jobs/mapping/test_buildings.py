"""Buildings: the same rows for any tiles and partitions, whole across seams, measured on the earth."""

import datetime as dt
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod, Transformer
from pyspark.sql import DataFrame, SparkSession
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from conf.place import Place
from jobs.connecting import components
from jobs.fine_layers import fine_layers
from jobs.job import Context
from jobs.mapping.buildings import BuildingsSettings, buildings
from udfs.grid import PixelBounds, Tile, tiles_over, utm_grid
from udfs.polygon_metrics import iou
from udfs.rasters import encode_raster

GRID = utm_grid(32.58, 0.35, 0.5)
TOP, LEFT = 19_922_944, 905_216
SCENE_SIDE = 1024


def place(resolution: float = 0.5) -> Place:
    epoch = {"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}
    layer = {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": resolution}
    return Place.model_validate({"name": "test", "epochs": [epoch], "layers": {"buildings_50cm": layer}})


def scene() -> np.ndarray:
    """Blocks of many sizes, some over seams; a ring around 256 px; noise; no data at one side."""
    random = np.random.default_rng(11)
    pixels = random.choice(np.array([0, 60, 130, 250], np.uint8), (SCENE_SIDE, SCENE_SIDE), p=[0.9, 0.05, 0.03, 0.02])
    for _ in range(150):
        (y, x), (height, width) = random.integers(0, 980, 2), random.integers(6, 60, 2)
        pixels[y : y + height, x : x + width] = random.integers(125, 250)
    pixels[250:520, 250:520] = 200
    pixels[256:512, 256:512] = 10
    pixels[:, 1000:] = 255
    return pixels


def built_up_rows(
    pixels: np.ndarray,
    tile_px: int,
    quarantined: frozenset[tuple[int, int]] = frozenset(),
    top: int = TOP,
    left: int = LEFT,
    depth: np.ndarray | None = None,
) -> pd.DataFrame:
    rows = []
    for tile in tiles_over(PixelBounds(top, left, top + pixels.shape[0], left + pixels.shape[1]), tile_px):
        part = tile_part(pixels, tile, top, left, 255)
        deep = None if depth is None else encode_raster(tile_part(depth, tile, top, left, 0))
        rows.append(built_up_row(tile, part, (tile.row, tile.col) in quarantined, deep))
    return pd.DataFrame(rows)


def tile_part(pixels: np.ndarray, tile: Tile, top: int, left: int, beyond: int) -> np.ndarray:
    bounds = tile.pixels
    part = np.full((tile.tile_px, tile.tile_px), beyond, np.uint8)
    found = pixels[bounds.top - top : bounds.bottom - top, bounds.left - left : bounds.right - left]
    part[: found.shape[0], : found.shape[1]] = found
    return part


def built_up_row(tile: Tile, part: np.ndarray, quarantined: bool, depth: bytes | None = None) -> dict[str, object]:
    date = dt.datetime(2020, 3, 1 + tile.col % 20)
    return {
        "layer": "buildings_50cm", "epoch": "2020", "grid": GRID.name, "crs": GRID.crs, "tile_px": tile.tile_px,
        "row": tile.row, "col": tile.col, "transform": list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6],
        "status": "quarantined" if quarantined else "done", "probability": None if quarantined else encode_raster(part),
        "depth": depth, "threshold": 125, "first_date": date, "last_date": date, "model_sha256": "ab",
    }  # fmt: skip


def run(spark: SparkSession, rows: pd.DataFrame, partitions: int = 2, **settings: float) -> pd.DataFrame:
    schema = (
        "layer string, epoch string, grid string, crs string, tile_px int, row int, col int, transform array<double>, status string, "
        "probability binary, depth binary, threshold int, first_date timestamp, last_date timestamp, model_sha256 string"
    )
    table = spark.createDataFrame(rows, schema).repartition(partitions)
    context = Context(spark, place(), "run", Path())
    found: DataFrame = buildings.run({"built_up": table}, BuildingsSettings(**settings), context)
    return found.toPandas().sort_values("building_id", ignore_index=True)


def fingerprint(rows: pd.DataFrame) -> bytes:
    return rows.drop(columns=["first_date", "last_date"]).to_csv().encode() + b"".join(bytes(shape) for shape in rows["geometry"])


def test_tiles_and_partitions_change_nothing(spark: SparkSession) -> None:
    pixels = scene()
    expected = run(spark, built_up_rows(pixels, 1024), 1)
    assert len(expected) > 60
    assert expected["building_id"].is_unique
    assert fingerprint(run(spark, built_up_rows(pixels, 256), 7)) == fingerprint(expected)
    assert fingerprint(run(spark, built_up_rows(pixels, 512), 1)) == fingerprint(expected)


def town() -> np.ndarray:
    """Houses at all angles, a pixel or two apart."""
    random, side = np.random.default_rng(21), 1024
    pixels = np.zeros((side, side), np.uint8)
    for row in range(0, side - 40, 34):
        for col in range(0, side - 40, 34):
            house = affinity.rotate(shapely.box(col + 3, row + 3, col + 37, row + 24), float(random.uniform(0, 180)))
            new = rasterize([house], pixels.shape) > 0
            beside = ndimage.binary_dilation(pixels > 0, np.ones((3, 3)))
            pixels[new & ~beside] = 200
    return pixels


def test_straight_walls_share_no_ground_within_cells_and_across_them(spark: SparkSession) -> None:
    """The corner of four cells lies in the middle of the town."""
    rows = built_up_rows(town(), 512, top=TOP - 512, left=LEFT - 512)
    found, raw = run(spark, rows), run(spark, rows, detail_m=0)
    assert found["building_id"].tolist() == raw["building_id"].tolist()
    assert set(raw["shape"]) == {"raw"} and (found["shape"] == "regularised").mean() > 0.8
    shapes, pixels = (shapely.transform(shapely.from_wkb(each["geometry"]), metres) for each in (found, raw))
    assert shapely.is_valid(shapes).all()
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    apart = one < other
    assert apart.sum() > 30
    assert shapely.area(shapely.intersection(shapes[one[apart]], shapes[other[apart]])).max() < 1e-3
    assert found["area_m2"].sum() == pytest.approx(raw["area_m2"].sum(), rel=0.01)
    assert found["vertices"].mean() < raw["vertices"].mean() / 4
    assert np.median(iou(shapes, pixels)) > 0.9
    assert fingerprint(run(spark, built_up_rows(town(), 256, top=TOP - 512, left=LEFT - 512), 5)) == fingerprint(found)


def metres(lonlat: np.ndarray) -> np.ndarray:
    return np.stack(Transformer.from_crs("EPSG:4326", GRID.crs, always_xy=True).transform(*lonlat.T), axis=1)


def rows_of_houses() -> tuple[np.ndarray, np.ndarray, int]:
    """Probability and depth of streets of houses, wall to wall, about the corner of four cells; and how many there are."""
    random, side = np.random.default_rng(8), 512
    pixels, depth, count = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8), 0
    for row in range(10, side - 40, 40):
        widths = random.integers(14, 40, 24)
        for left, width in zip(5 + np.cumsum(widths) - widths, widths, strict=True):
            alone = np.zeros(pixels.shape, bool)
            alone[row : row + int(random.integers(16, 28)), left : min(left + width, side - 5)] = True
            if alone.sum() > 200:
                count += 1
                pixels[alone] = random.integers(150, 250)
                depth = np.maximum(depth, np.minimum(25 * ndimage.distance_transform_edt(alone), 250).astype(np.uint8))
    return pixels, depth, count


def test_houses_wall_to_wall_come_apart_the_same_for_any_tiles(spark: SparkSession) -> None:
    pixels, depth, count = rows_of_houses()
    corner = {"top": 19_922_944 - 256, "left": 905_216 - 256}  # of four cells, in the middle
    whole = run(spark, built_up_rows(pixels, 256, depth=depth, **corner), 1)
    assert len(whole) == count > 150 and whole["building_id"].is_unique
    planar = shapely.from_wkb(whole["geometry"].to_numpy())
    one, other = shapely.STRtree(planar).query(planar)
    assert shapely.area(shapely.intersection(planar[one], planar[other]))[one < other].max() < 2e-15  # square degrees, 0.2 cm2
    assert fingerprint(run(spark, built_up_rows(pixels, 128, depth=depth, **corner), 5)) == fingerprint(whole)
    together = run(spark, built_up_rows(pixels, 256, **corner))
    assert len(together) < count / 10


def test_area_confidence_and_bounds_of_one_building(spark: SparkSession) -> None:
    pixels = np.zeros((1024, 1024), np.uint8)
    pixels[500:530, 490:513] = 125
    pixels[500, 490] = 250
    pixels[10:12, 10:13] = 250
    found = run(spark, built_up_rows(pixels, 256))
    assert found["vertices"].tolist() == [4]
    assert found["confidence"].tolist() == [(690 * 125 + 125) / (690 * 250)]
    polygon = shapely.from_wkb(found["geometry"][0])
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(polygon)
    assert found["area_m2"][0] == area == pytest.approx(690 * 0.25, rel=1e-3)
    assert polygon.bounds == tuple(found.loc[0, ["xmin", "ymin", "xmax", "ymax"]])
    assert len(run(spark, built_up_rows(pixels, 256), min_area_m2=1)) == 2


def test_what_lies_beside_ground_without_result_has_an_open_edge(spark: SparkSession) -> None:
    pixels = np.zeros((512, 512), np.uint8)
    before_quarantine, at_the_end, before_no_data = np.s_[100:120, 240:256], np.s_[300:321, 0:20], np.s_[400:422, 100:120]
    for building in (before_quarantine, at_the_end, before_no_data, np.s_[200:220, 100:120], np.s_[246:256, 20:60]):
        pixels[building] = 200
    pixels[421:430, 110:130] = 255
    found = run(spark, built_up_rows(pixels, 256, frozenset([(TOP // 256, LEFT // 256 + 1)])), detail_m=0)
    open_m2 = sorted(np.count_nonzero(pixels[building] == 200) / 4 for building in (before_quarantine, at_the_end, before_no_data))
    assert sorted(found.loc[found["open_edge"], "area_m2"]) == pytest.approx(open_m2, rel=1e-3)
    assert len(found) == 5


def test_star_contraction_finds_the_components_of_a_long_chain(spark: SparkSession) -> None:
    order = np.random.default_rng(5).permutation(20).tolist()
    chain = [("a", "e", "g", max(pair), min(pair)) for pair in pairwise(order[:14])]
    other = [("a", "e", "g", max(pair), min(pair)) for pair in pairwise(order[14:])]
    pairs = spark.createDataFrame(chain + other, "layer string, epoch string, grid string, u bigint, v bigint")
    for one_task_pairs in (0, 1000):
        found = {row["piece"]: row["component"] for row in components(pairs, one_task_pairs).collect()}
        assert found == {node: min(order[:14] if node in order[:14] else order[14:]) for node in order}


def test_no_built_pixel_is_no_building(spark: SparkSession) -> None:
    assert run(spark, built_up_rows(np.zeros((256, 256), np.uint8), 256)).empty


@pytest.mark.parametrize(("resolution", "fine"), [(0.5, True), (2.0, True), (2.5, False), (0.000_01, True), (0.0003, False)])
def test_only_layers_of_two_metres_or_finer(resolution: float, fine: bool) -> None:
    assert bool(fine_layers(place(resolution))) == fine
    assert (buildings.absent(place(resolution), BuildingsSettings()) is None) == fine
