"""Job `bridge`: what became of each building, by hand, by shapely, and the same for any partitions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Transformer
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs.job import Context
from jobs.mapping.bridge import BridgeSettings, bridge, bridge_sources

EPOCHS = [
    {"name": str(year), "start": f"{year}-01-01", "end": f"{year}-12-31", "reference": f"{year}-07-01"} for year in (2017, 2020, 2022)
]
LAYER = {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": 0.5}
PLACE = Place.model_validate({"name": "test", "epochs": EPOCHS, "layers": {"b": LAYER}})
DDL = "layer string, epoch string, building_id string, geometry binary, xmin double, ymin double, xmax double, ymax double"
TO_LONLAT = Transformer.from_crs("EPSG:32636", "EPSG:4326", always_xy=True)
EAST, NORTH = 453_000.0, 38_000.0
BEFORE = {
    "stays": (0, 0, 20, 10), "moves": (50, 0, 62, 12), "grows": (100, 0, 110, 10), "is cut": (150, 0, 190, 10), "left": (200, 0, 220, 10),
    "right": (221, 0, 240, 10), "goes": (300, 0, 310, 10), "one": (350, 0, 370, 10), "two": (371, 0, 391, 10), "beside": (400, 0, 410, 10),
}  # fmt: skip
AFTER = {
    "stayed": (0.5, 0, 20, 10), "moved": (54, 2, 66, 14), "grown": (100, 0, 130, 10), "cut 1": (150, 0, 169, 10),
    "cut 2": (171, 0, 190, 10),
    "both": (200, 0, 240, 10), "three": (350, 0, 379, 10), "four": (380, 0, 391, 10), "new": (500, 0, 510, 10),
    "touches": (409, 0, 420, 10),
}  # fmt: skip
BECAME = {
    ("stays", "stayed"): "same", ("moves", "moved"): "moved", ("grows", "grown"): "changed", ("is cut", "cut 1"): "split",
    ("is cut", "cut 2"): "split", ("left", "both"): "merged", ("right", "both"): "merged", ("goes", None): "gone", (None, "new"): "new",
    ("one", "three"): "regrouped", ("two", "three"): "regrouped", ("two", "four"): "regrouped", ("beside", None): "gone",
    (None, "touches"): "new",
}  # fmt: skip


def rows(boxes: dict[str, tuple[float, ...]], epoch: str) -> list[tuple[object, ...]]:
    made = []
    for name, (left, bottom, right, top) in boxes.items():
        plane = shapely.box(EAST + left, NORTH + bottom, EAST + right, NORTH + top)
        outline = shapely.transform(plane, TO_LONLAT.transform, interleaved=False)
        made.append(("b", epoch, name, outline.wkb, *outline.bounds))
    return made


def run(spark: SparkSession, buildings: list[tuple[object, ...]], partitions: int = 1, **settings: str) -> pd.DataFrame:
    table = spark.createDataFrame(buildings, DDL).repartition(partitions)
    return bridge.run({"buildings": table}, BridgeSettings(**settings), Context(spark, PLACE, "run", Path())).toPandas()


def kinds(found: pd.DataFrame) -> dict[tuple[str | None, str | None], str]:
    assert not found.duplicated(["from_id", "to_id"]).any()
    return {(row.from_id, row.to_id): row.kind for row in found.itertuples()}


def test_each_building_became_what_it_did(spark: SparkSession) -> None:
    buildings = rows(BEFORE, "2017") + rows({"other": (0, 0, 20, 10)}, "2020") + rows(AFTER, "2022")
    found = run(spark, buildings)
    assert kinds(found) == BECAME
    assert set(found["layer"] + found["from_epoch"] + found["to_epoch"]) == {"b20172022"}
    assert kinds(run(spark, buildings, 5)) == BECAME


def test_shared_ground_and_shifts_are_those_of_the_plane(spark: SparkSession) -> None:
    found = run(spark, rows(BEFORE, "2017") + rows(AFTER, "2022")).set_index(["from_id", "to_id"])
    pairs = [pair for pair in BECAME if None not in pair]
    scale = 0.9996**2  # of the grid's areas near its middle meridian
    for before, after in pairs:
        one, other = shapely.box(*BEFORE[before]), shapely.box(*AFTER[after])
        row = found.loc[(before, after)]
        assert row["overlap_m2"] * scale == pytest.approx(shapely.area(one & other), rel=2e-3)
        assert row["iou"] == pytest.approx(shapely.area(one & other) / shapely.area(one | other), rel=2e-3)
        assert row["shift_m"] == pytest.approx(shapely.distance(one.centroid, other.centroid), rel=2e-3, abs=1e-6)


def test_a_square_of_ground_between_two_counts_a_pair_once(spark: SparkSession) -> None:
    """Many buildings over a border of squares, 0.02 degrees apart, each of which stays."""
    lines = np.arange(40) * 0.001 + 32.58
    boxes = [shapely.box(x, 0.339, x + 0.0008, 0.341) for x in lines]
    buildings = [("b", epoch, f"{number}", box.wkb, *box.bounds) for epoch in ("2017", "2022") for number, box in enumerate(boxes)]
    found = run(spark, buildings)
    assert kinds(found) == {(f"{number}", f"{number}"): "same" for number in range(40)}
    assert found["iou"].between(1 - 1e-9, 1).all()


def test_a_release_beside_the_one_before(spark: SparkSession, tmp_path: Path) -> None:
    path = tmp_path / "buildings"
    spark.createDataFrame(rows(BEFORE, "2022"), DDL).write.format("delta").save(str(path))
    settings = {"before": str(path)}
    assert bridge_sources(PLACE, BridgeSettings(**settings))[:3] == ["b", "2022", "2022"]
    assert kinds(run(spark, rows(AFTER, "2022"), **settings)) == BECAME
    with pytest.raises(InputError, match="none of layer b, epoch 2020, but of b 2022; set"):
        run(spark, rows(AFTER, "2022"), **settings, from_epoch="2020")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"before": "/nowhere"}, "no Delta table"),
        ({"layer": "c"}, "bridge.layer c"),
        ({"to_epoch": "1999"}, "bridge.to_epoch 1999"),
        ({"from_epoch": "2022"}, "bridge.from_epoch 2022"),
        ({"from_epoch": "2022", "to_epoch": "2017"}, "bridge.from_epoch 2022"),
    ],
)
def test_what_cannot_be_linked_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bridge_sources(PLACE, BridgeSettings(**settings))
