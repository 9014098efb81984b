"""Planned tiles become labelled ground: every one has a row, labels lie on the image, splits share nothing."""

import datetime as dt
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from scipy import ndimage

from conf.errors import InputError
from conf.place import Epoch, Layer, Place, Source
from conf.tables import TRAINING_TILES
from jobs.footprint_readers import FootprintSource
from jobs.job import Context
from jobs.leaks import LeakError, check_leaks
from jobs.mapping.scenes import ScenesSettings, scenes
from jobs.mapping.tiles import TilesSettings, tiles
from jobs.table_checks import check_rows, check_schema
from jobs.training.footprints import FootprintsSettings, footprints
from jobs.training.training_tiles import TrainingTilesSettings, training_sources, training_tiles
from tests.images_on_disk import ORIGIN, flip_block, write
from udfs.labels import rasterised
from udfs.training_tiles import Buildings, Labelling, labelled

EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
SIDE, PIXEL, CRS = 1280, 2.0, "EPSG:32725"
MOVED = (-2.0, 1.0)
"""Footprints lie so many pixels down and right of the houses in the image: two north, one east."""


@pytest.fixture(scope="module")
def houses() -> NDArray[np.object_]:
    """In pixels of the image; none in its south-west."""
    random = np.random.default_rng(11)
    corners = random.uniform(0, SIDE, (2500, 2))
    sizes = random.uniform(4, 14, (2500, 2))
    shapes = [shapely.box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    turned = [shapely.affinity.rotate(shape, angle) for shape, angle in zip(shapes, random.uniform(0, 90, 2500), strict=True)]
    return np.array([shape for shape in turned if not (shape.bounds[0] < 520 and shape.bounds[3] > 760)], object)


@pytest.fixture(scope="module")
def place(houses: NDArray[np.object_], tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("ground")
    random = np.random.default_rng(5)
    built = rasterised(houses, (SIDE, SIDE), "fraction") / 250
    ground = ndimage.gaussian_filter(random.normal(size=(3, SIDE, SIDE)), (0, 6, 6)) * 150 + 100
    image = ground + built * np.array([70, -40, 15])[:, None, None] + random.normal(scale=4, size=ground.shape)
    write(folder / "image.tif", image.clip(1, 255).astype(np.uint8), pixel=PIXEL, crs=CRS)
    to_crs = Affine(PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1]) @ Affine.translation(MOVED[1], MOVED[0])
    outlines = [shapely.affinity.affine_transform(house, [to_crs.a, 0, 0, to_crs.e, to_crs.c, to_crs.f]) for house in houses]
    geopandas.GeoDataFrame(geometry=outlines, crs=CRS).to_file(folder / "houses.gpkg")
    layer = Layer(sensor="rgb", resolution=PIXEL)
    source = {"sensor": "rgb", "href": str(folder / "image.tif"), "datetime": "2020-05-04"}
    sections = {"scenes": {"sources": [source]}}
    return Place(name="test", warehouse=str(folder), grid="native", epochs=(EPOCH,), layers={"a": layer}, sections=sections)


def tables_of(spark: SparkSession, place: Place) -> dict[str, DataFrame]:
    context = Context(spark, place, "run", place.folder)
    found = scenes.run({}, ScenesSettings(sources=tuple(Source(**each) for each in place.sections["scenes"]["sources"])), context)
    plan = tiles.run({"scenes": found}, TilesSettings(tile_px=256), context).persist()
    source = FootprintSource(kind="vector", path=str(Path(place.warehouse) / "houses.gpkg"), date=dt.date(2019, 5, 5))
    known = footprints.run({"tiles": plan}, FootprintsSettings(sources=(source,)), context)
    return {"scenes": found.persist(), "tiles": plan, "footprints": known.persist()}


def made(spark: SparkSession, place: Place, tables: dict[str, DataFrame], **settings: Any) -> pd.DataFrame:
    values = {"block_km": 0.9, "gap_m": 20.0, "choose": 0.3, "judge": 0.2, "seed": 1, **settings}
    wanted = TrainingTilesSettings(**values)
    training_sources(place, wanted)
    rows = training_tiles.run(tables, wanted, Context(spark, place, "run", place.folder))
    check_schema(rows, TRAINING_TILES)
    check_rows(rows, TRAINING_TILES)
    return rows.toPandas().sort_values("tile_id", ignore_index=True)


def arrays(row: Any) -> tuple[Any, Any, Any]:
    shape = (int(row.height), int(row.width))
    values = np.frombuffer(row["values"], np.float16).reshape(int(row.bands), *shape)
    return values, np.frombuffer(row.labels, np.uint8).reshape(shape), np.frombuffer(row.weights, np.uint8).reshape(shape)


@pytest.fixture(scope="module")
def tables(spark: SparkSession, place: Place) -> dict[str, DataFrame]:
    return tables_of(spark, place)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, place: Place, tables: dict[str, DataFrame]) -> pd.DataFrame:
    return made(spark, place, tables)


def test_labels_are_moved_onto_the_image_and_tiles_without_footprints_are_dropped(rows: pd.DataFrame, houses: NDArray[np.object_]) -> None:
    assert len(rows) == 25
    used = rows[rows["split"] != "dropped"]
    assert set(used["split"]) == {"train", "choose", "judge"} and len(used) >= 8
    np.testing.assert_allclose(used["shift_down"], -MOVED[0], atol=0.35)
    np.testing.assert_allclose(used["shift_right"], -MOVED[1], atol=0.35)
    whole = rasterised(houses, (SIDE, SIDE), "fraction").astype(int)
    for _, row in used.iterrows():
        values, labels, weights = arrays(row)
        top, left = (256 * int(part[1:]) for part in row.tile_id.split("_")[-2:])
        assert np.abs(labels - whole[top : top + 256, left : left + 256]).mean() < 4
        assert values.shape == (3, 256, 256) and set(np.unique(weights)) <= {8, 10}  # a year after the labels
        assert row.label_date == dt.date(2019, 5, 5) and row.image_date == dt.date(2020, 5, 4)
    empty = rows[rows["footprints"] == 0]
    assert len(empty) >= 2 and set(empty["split"]) == {"dropped"}
    assert all("0 footprints, 1 wanted" in reason or "m of ground of split" in reason for reason in empty["reason"])


def test_partitions_do_not_show(spark: SparkSession, place: Place, tables: dict[str, DataFrame], rows: pd.DataFrame) -> None:
    parted = {**tables, "footprints": tables["footprints"].repartition(7), "tiles": tables["tiles"].repartition(5)}
    pd.testing.assert_frame_equal(made(spark, place, parted), rows)


def test_labels_too_far_off_and_images_that_cannot_be_read_are_reasons(
    spark: SparkSession, place: Place, tables: dict[str, DataFrame], rows: pd.DataFrame
) -> None:
    near = made(spark, place, tables, most_shift_px=1)
    far = near["reason"].fillna("").str.contains("labels lie 1 pixels or more beside the image")
    assert far.sum() >= 8 and set(near["split"]) == {"dropped"}
    image = Path(place.warehouse) / "image.tif"
    sound = image.read_bytes()
    try:
        flip_block(image, 6, 2)  # in the fourth tile of the second row
        broken = made(spark, place, tables_of(spark, place))
    finally:
        image.write_bytes(sound)
    lost = broken["split"] != rows["split"]
    assert lost.sum() == 1 and broken.loc[lost, "reason"].iloc[0].startswith("scene image: image.tif")


def test_sealed_ground_is_built_up_where_it_is_told_and_else_unsure_beside_roofs() -> None:
    values = np.random.default_rng(2).normal(size=(2, 24, 31)).astype(np.float32)
    buildings = Buildings(np.array([shapely.box(4, 6, 9, 8)], object), np.array([np.nan], np.float32), [])
    known, sealed = np.ones((24, 31), bool), np.zeros((24, 31), np.float32)
    sealed[12, :5] = 0.6
    roofs, told, untold = (labelled(values, known, buildings, None, Labelling({}), *more) for more in ((), (sealed, 0), (None, 3)))
    assert roofs.labels is not None and told.labels is not None and untold.labels is not None and untold.weights is not None
    np.testing.assert_array_equal(told.labels, np.where(sealed > 0, 150, roofs.labels))
    np.testing.assert_array_equal(untold.labels, roofs.labels)
    assert known.all() and (untold.weights[6:8, 4:9] == 10).all() and untold.weights[7, 9] == 0 and untold.weights[7, 12] == 10


def test_declarations_that_do_not_suit_are_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a layer that feeds built_m2"):
        training_sources(place, TrainingTilesSettings(sealed_path="sealed.tif"))
    with pytest.raises(InputError, match="no band B99"):
        training_sources(place, TrainingTilesSettings(bands=("B99",)))
    with pytest.raises(InputError, match="no region asia"):
        training_sources(place, TrainingTilesSettings(judge_regions=("asia",)))
    path = tmp_path / "regions.geojson"
    geopandas.GeoDataFrame({"name": ["africa"]}, geometry=[shapely.box(0, 0, 9, 9)], crs="EPSG:4326").to_file(path)
    with pytest.raises(InputError, match="no region asia; there are: africa"):
        training_sources(place, TrainingTilesSettings(judge_regions=("asia",), regions={"path": str(path), "column": "name"}))


def leaky(spark: SparkSession, *rows: tuple[str, str, int | None, float]) -> DataFrame:
    """Rows of tile_id, split, hash and the west edge of a square of 0.01 degrees at 60 N."""
    full = [
        ("a", "2020", name, split, number, bytearray(shapely.to_wkb(shapely.box(x, 60, x + 0.01, 60.01))))
        for name, split, number, x in rows
    ]
    return spark.createDataFrame(full, "layer string, epoch string, tile_id string, split string, hash bigint, geometry binary")


def test_leaks_of_ground_and_of_images_fail(spark: SparkSession) -> None:
    """0.018 degrees of longitude at 60 N are 1,003 m."""
    check_leaks(
        leaky(spark, ("t1", "train", 5, 0.0), ("t2", "judge", -5, 0.0282), ("t3", "train", 5, 0.5), ("t4", "dropped", 5, 0.011)), 1000, 3
    )
    with pytest.raises(LeakError, match=r"t1 \(train\) and t2 \(judge\) lie within 1000 m"):
        check_leaks(leaky(spark, ("t1", "train", None, 0.0), ("t2", "judge", None, 0.0279)), 1000, 3)
    bits = 0x7123_4567_89AB_CDEF
    for flipped, leaks in ((0, True), (1 << 62, True), (0b1011 << 20, True), (1 << 2 | 1 << 20 | 1 << 36, True), (0b11011 << 30, False)):
        frame = leaky(spark, ("t1", "train", bits, 0.0), ("t2", "choose", bits ^ flipped, 5.0))
        if leaks:
            with pytest.raises(LeakError, match="show the same image"):
                check_leaks(frame, 1000, 3)
        else:
            check_leaks(frame, 1000, 3)
