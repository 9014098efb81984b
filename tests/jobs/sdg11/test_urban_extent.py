"""Urban extents by the job on a drawn town, against scipy on the whole array, for any cut of the work."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from scipy import ndimage

from conf.place import Place
from conf.tables import BUILT_UP, TABLES
from jobs.job import Context
from jobs.sdg11.urban_extent import UrbanExtentSettings, urban_extent
from jobs.table_checks import check_rows, in_declared_order
from tests.done_tiles import filled
from tests.jobs.sdg11.test_unit_statistics import GRID, IMAGE, lonlat
from udfs.grid import PixelBounds, tile_id, tiles_over
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import NO_DATA, encode_raster

LAYER, EPOCHS = "built_up_10m", ("2015", "2020")
IDENTITY = [column.name for column in TABLES["urban_extent"].identity if column.name != "geometry"]
OPEN, URBAN, SUBURBAN, RURAL, FRINGE, CAPTURED = range(6)


def place() -> Place:
    epochs = [{"name": y, "start": f"{y}-01-01", "end": f"{y}-12-31", "reference": f"{y}-07-01"} for y in EPOCHS]
    layers = {LAYER: {"sensor": "sentinel2_l2a", "resolution": 10, "feeds": "built_m2"}}
    return Place.model_validate({"name": "drawn", "epochs": epochs, "layers": layers})


def drawn(epoch: str, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Probabilities of two towns that nearly meet, with a park, a lake too large to be captured, open land that winds from one square to
    the next inside a town, villages, and a corner without data."""
    random = np.random.default_rng(5)
    y, x = np.indices(shape)
    towns = np.hypot(y - 480, x - 700) < (380 if epoch == "2015" else 430)
    towns |= (np.abs(y - 620) < 230) & (np.abs(x - 1500) < 300)
    built = towns & (random.random(shape) < np.where(x < 1500, 0.75, 0.42))
    built |= random.random(shape) < 0.01
    built[300:380, 600:680] = False  # 64 ha with a fringe of 10 pixels inside
    built[430:640, 700:900] = False  # 420 ha
    built[440:470, 980:1120] = False
    built[470:520, 1000:1030] = False
    values = np.where(built, random.integers(140, 251, shape), random.integers(0, 110, shape)).astype(np.uint8)
    values[:180, 1300:] = NO_DATA
    values[680:740, 984:1024] = 0  # ends, at the border of two squares, where nothing is known
    values[670:750, 1024:1064] = NO_DATA
    return values


MAPS = {epoch: drawn(epoch, IMAGE.shape_yx) for epoch in EPOCHS}


def rows_of(tile_px: int, bounds: PixelBounds, maps: dict[str, NDArray[np.uint8]] = MAPS) -> list[dict[str, Any]]:
    rows = []
    for epoch, values in maps.items():
        for tile in tiles_over(bounds, tile_px):
            top, left = tile.pixels.top - IMAGE.top, tile.pixels.left - IMAGE.left
            outline = lonlat(shapely.box(tile.pixels.left, tile.pixels.top, tile.pixels.right, tile.pixels.bottom))
            rows.append({
                "layer": LAYER, "epoch": epoch, "tile_id": tile_id(GRID, tile), "grid": GRID.name, "crs": GRID.crs, "tile_px": tile_px,
                "row": tile.row, "col": tile.col, "transform": list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6],
                "status": "done", "probability": encode_raster(values[top : top + tile_px, left : left + tile_px]), "threshold": 125,
                "valid_share": 1.0, "scenes_used": ["scene"], "model_sha256": "ab", "input_digest": epoch,
                "geometry": bytearray(outline.wkb), **dict(zip(("xmin", "ymin", "xmax", "ymax"), outline.bounds, strict=True)),
            })  # fmt: skip
    return rows


def extents(spark: SparkSession, tile_px: int, partitions: int, bounds: PixelBounds = IMAGE, **settings: Any) -> DataFrame:
    built_up = spark.createDataFrame(filled(BUILT_UP, rows_of(tile_px, bounds)), BUILT_UP.ddl).repartition(partitions)
    context = Context(spark, place(), "run", Path())
    return urban_extent.run({"built_up": built_up}, UrbanExtentSettings(**settings), context)


def whole(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Classes of the whole array by scipy."""
    known, built = values != NO_DATA, (values >= 125) & (values != NO_DATA)
    y, x = np.ogrid[-56:57, -56:57]
    walk = (y**2 + x**2 <= 1e4 / np.pi).astype(np.float64)
    share = ndimage_share(built, known, walk)
    classes = np.where(built, np.where(share > 0.5, URBAN, np.where(share >= 0.25, SUBURBAN, RURAL)), OPEN)
    towns = (classes == URBAN) | (classes == SUBURBAN)
    classes[(classes == OPEN) & (ndimage.distance_transform_edt(~towns) <= 10)] = FRINGE
    classes[~known] = 255
    labels, count = ndimage.label((classes == OPEN) | (classes == RURAL))
    areas = areas_mm2()
    outside = set(np.unique(labels[ndimage.binary_dilation(~known) | border(labels.shape)]).tolist())
    for label in range(1, count + 1):
        inside = labels == label
        if label not in outside and areas[inside & (classes == OPEN)].sum() <= 200 * 10**10:
            classes[inside & (classes == OPEN)] = CAPTURED
    return without_orphans(classes.astype(np.uint8))


def without_orphans(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What hangs together with no town is of no city."""
    labels, _ = ndimage.label(np.isin(classes, (URBAN, SUBURBAN, FRINGE, CAPTURED)))
    with_town = np.unique(labels[(classes == URBAN) | (classes == SUBURBAN)])
    return np.where((labels > 0) & ~np.isin(labels, with_town), OPEN, classes).astype(np.uint8)


def ndimage_share(built: NDArray[np.bool_], known: NDArray[np.bool_], walk: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve

    counts = [np.rint(fftconvolve(one.astype(np.float64), walk, mode="same")) for one in (built, known)]
    return np.asarray(counts[0] / np.maximum(counts[1], 1))


def border(shape: tuple[int, int]) -> NDArray[np.bool_]:
    edge = np.ones(shape, bool)
    edge[1:-1, 1:-1] = False
    return edge


def areas_mm2() -> NDArray[np.int64]:
    tiles = tiles_over(IMAGE, 256)
    areas = np.empty(IMAGE.shape_yx, np.int64)
    for tile in tiles:
        top, left = tile.pixels.top - IMAGE.top, tile.pixels.left - IMAGE.left
        areas[top : top + 256, left : left + 256] = block_areas_mm2(GRID, tile.row, tile.col)
    return areas


def told(frame: DataFrame) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in frame.select(*IDENTITY).collect())


@pytest.fixture(scope="module")
def found(spark: SparkSession) -> Any:
    yield extents(spark, 512, 2).persist()
    spark.catalog.clearCache()


def test_classes_sum_to_those_of_the_whole_array(found: DataFrame) -> None:
    areas = areas_mm2()
    check_rows(in_declared_order(found, TABLES["urban_extent"]), TABLES["urban_extent"])
    rows = found.toPandas()
    for epoch in EPOCHS:
        classes = whole(MAPS[epoch])
        assert {OPEN, URBAN, SUBURBAN, RURAL, FRINGE, CAPTURED} <= set(classes.ravel().tolist())
        of_epoch = rows[rows["epoch"] == epoch]
        for name, one in (("urban", URBAN), ("suburban", SUBURBAN), ("fringe", FRINGE), ("captured", CAPTURED)):
            assert of_epoch[f"{name}_m2"].sum() == pytest.approx(areas[classes == one].sum() / 1e6, rel=1e-12), (epoch, name)
        labels, count = ndimage.label(np.isin(classes, (URBAN, SUBURBAN, FRINGE, CAPTURED)))
        assert len(of_epoch) == count
        sizes = sorted(areas[labels == label].sum() / 1e6 for label in range(1, count + 1))
        assert sorted(of_epoch["area_m2"]) == pytest.approx(sizes, rel=2e-6)


def test_areas_of_classes_are_that_of_the_outline(found: DataFrame) -> None:
    rows = found.toPandas()
    parts = rows[["urban_m2", "suburban_m2", "fringe_m2", "captured_m2"]].sum(axis=1)
    assert rows["area_m2"].to_numpy() == pytest.approx(parts.to_numpy(), rel=2e-6)
    assert shapely.is_valid(shapely.from_wkb(rows["geometry"])).all()


@pytest.mark.parametrize(("tile_px", "partitions"), [(256, 7), (1024, 1)])
def test_any_cut_gives_the_same_cities(spark: SparkSession, found: DataFrame, tile_px: int, partitions: int) -> None:
    assert told(extents(spark, tile_px, partitions)) == told(found)


def test_a_city_is_the_same_whatever_else_is_studied(spark: SparkSession, found: DataFrame) -> None:
    """A study area that ends 5 km further west: the town that lies wholly in both has the same outline."""
    west = PixelBounds(IMAGE.top, IMAGE.left, IMAGE.bottom, IMAGE.right - 512)
    fewer = {row[IDENTITY.index("extent_id")] for row in told(extents(spark, 512, 2, west))}
    kept = found.toPandas()
    edge = lonlat(shapely.box(west.right - 70, west.top, IMAGE.right, IMAGE.bottom))
    inside = kept[~shapely.intersects(shapely.from_wkb(kept["geometry"]), edge)]
    assert len(inside) > 0 and set(inside["extent_id"]) <= fewer
