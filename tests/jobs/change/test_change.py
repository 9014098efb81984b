"""Urban series, change events and change statistics by the jobs, on drawn maps of four epochs, against numpy, scipy and the maps' sums."""

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy import ndimage

from conf.errors import InputError
from conf.place import Place
from conf.tables import BUILT_UP, TABLES
from jobs.change.change_events import ChangeEventsSettings, change_events
from jobs.change.change_statistics import ChangeStatisticsSettings, change_statistics
from jobs.change.urban_series import UrbanSeriesSettings, planned_series, urban_series
from jobs.fingerprint import table_fingerprint
from jobs.job import Context
from jobs.runner import Runner, prepare
from jobs.sdg11.unit_statistics import UnitStatisticsSettings, unit_statistics
from jobs.warehouse import Warehouse
from models.series_states import BUILT_FROM
from tests.done_tiles import filled
from tests.jobs.sdg11.test_unit_statistics import GRID, IMAGE, lonlat, units_table
from udfs.grid import tile_id, tiles_over
from udfs.rasters import NO_DATA, decode_raster, encode_raster

LAYER = "built_up_10m"
YEARS = (2015, 2016, 2018, 2021)
IDENTITY = [column.name for column in TABLES["change_events"].identity if column.name != "geometry"]


def place(warehouse: Path | None = None) -> Place:
    epochs = [{"name": str(y), "start": f"{y}-01-01", "end": f"{y}-12-31", "reference": f"{y}-07-01"} for y in YEARS]
    layers = {LAYER: {"sensor": "sentinel2_l2a", "resolution": 10, "feeds": "built_m2"}}
    more = {} if warehouse is None else {"warehouse": str(warehouse)}
    return Place.model_validate({"name": "drawn", "epochs": epochs, "layers": layers, "sections": {"units": {"path": "u.geojson"}}, **more})


def maps() -> dict[str, np.ndarray]:
    """(1024, 2048) for each epoch: a town that grows and loses blocks, over seams of every tile size; noise; clouds that differ."""
    random = np.random.default_rng(9)
    shape = IMAGE.shape_yx
    town, result = np.zeros(shape, bool), {}
    for number, year in enumerate(YEARS):
        for _ in range(120):
            (y, x), (height, width) = random.integers(0, (1000, 2020)), random.integers(4, 90, 2)
            town[y : y + height, x : x + width] = random.random() < 0.7
        town[500:530, 200 + 300 * number : 900 + 300 * number] = True
        values = np.where(town, random.integers(140, 251, shape), random.integers(0, 110, shape)).astype(np.uint8)
        speckled = random.random(shape) < 0.01
        values[speckled] = random.integers(90, 160, speckled.sum())
        cloud = ndimage.gaussian_filter(random.standard_normal(shape), 30)
        values[cloud > 1.2 * cloud.std()] = NO_DATA
        result[str(year)] = values
    return result


MAPS = maps()


def built_up_rows(tile_px: int) -> list[dict[str, Any]]:
    rows = []
    for epoch, values in MAPS.items():
        for tile in tiles_over(IMAGE, tile_px):
            top, left = tile.pixels.top - IMAGE.top, tile.pixels.left - IMAGE.left
            outline = lonlat(shapely.box(tile.pixels.left, tile.pixels.top, tile.pixels.right, tile.pixels.bottom))
            rows.append({
                "layer": LAYER, "epoch": epoch, "tile_id": tile_id(GRID, tile), "grid": GRID.name, "crs": GRID.crs, "tile_px": tile_px,
                "row": tile.row, "col": tile.col, "transform": list(GRID.transform(tile.pixels.top, tile.pixels.left))[:6],
                "status": "done", "probability": encode_raster(values[top : top + tile_px, left : left + tile_px]), "threshold": 125,
                "valid_share": 1.0, "scenes_used": [f"scene {epoch}"], "model_sha256": "ab", "input_digest": epoch,
                "geometry": bytearray(outline.wkb), **dict(zip(("xmin", "ymin", "xmax", "ymax"), outline.bounds, strict=True)),
            })  # fmt: skip
    return rows


def built_up_table(spark: SparkSession, tile_px: int = 512) -> DataFrame:
    return spark.createDataFrame(filled(BUILT_UP, built_up_rows(tile_px)), BUILT_UP.ddl)


def series_table(spark: SparkSession, tile_px: int = 512, partitions: int = 2, **settings: Any) -> DataFrame:
    built_up = built_up_table(spark, tile_px).repartition(partitions)
    tiles = planned_series(lambda name: built_up, [LAYER], place()).selectExpr("*", "'' AS settings_digest")
    tables = {"planned": tiles, "built_up": built_up}
    return urban_series.run(tables, UrbanSeriesSettings(**settings), Context(spark, place(), "run", Path()))


def values_of(series: DataFrame) -> np.ndarray:
    """(4, 1024, 2048)."""
    values = np.full((len(YEARS), *IMAGE.shape_yx), 7, np.uint8)
    for row in series.collect():
        side = row["tile_px"]
        top, left = row["row"] * side - IMAGE.top, row["col"] * side - IMAGE.left
        for number, one in enumerate(row["series"]):
            values[number, top : top + side, left : left + side] = decode_raster(one, (side, side))
    return values


@pytest.fixture(scope="module")
def series(spark: SparkSession) -> Iterator[DataFrame]:
    """What jobs keep lies in the session until a runner or this lets it go."""
    yield series_table(spark).persist()
    spark.catalog.clearCache()


@pytest.fixture(scope="module")
def values(series: DataFrame) -> np.ndarray:
    return values_of(series)


def events_of(spark: SparkSession, series: DataFrame, **settings: Any) -> DataFrame:
    return change_events.run({"urban_series": series}, ChangeEventsSettings(**settings), Context(spark, place(), "run", Path()))


@pytest.fixture(scope="module")
def events(spark: SparkSession, series: DataFrame) -> DataFrame:
    return events_of(spark, series).persist()


def test_series_smooth_what_is_doubtful_and_keep_what_is_steady(values: np.ndarray) -> None:
    stacked = np.stack(list(MAPS.values()))
    clear = (stacked != NO_DATA).all(0)
    steady = clear & ((stacked >= 140).all(0) | (stacked < 90).all(0))
    assert steady.sum() > 1e5
    assert ((values[:, steady] >= BUILT_FROM) == (stacked[:, steady] >= 125)).all()
    flicker = lambda maps: int((np.abs(np.diff((maps[:, clear] >= 125).astype(int), axis=0)).sum(0) > 1).sum())  # noqa: E731
    assert flicker(values) < flicker(stacked) / 2
    assert ((values != NO_DATA)[stacked != NO_DATA]).all()


def expected_events(values: np.ndarray) -> dict[tuple[str, str, str], list[int]]:
    """Kind, epochs → sizes of the 4-connected components, pixels; turn by turn, as the definition reads."""
    sizes: dict[tuple[str, str, str], list[int]] = {}
    built, known = (values >= BUILT_FROM) & (values != NO_DATA), values != NO_DATA
    for before, after in itertools.combinations(range(len(YEARS)), 2):
        between = ~known[before + 1 : after].any(0)
        turned = known[before] & known[after] & between & (built[before] != built[after])
        earlier = built[: before + 1].any(0)
        kinds = {
            "appeared": turned & built[after] & ~earlier,
            "vanished": turned & built[before],
            "rebuilt": turned & built[after] & earlier,
        }
        for kind, mask in kinds.items():
            labels, count = ndimage.label(mask)
            if count:
                sizes[kind, str(YEARS[before]), str(YEARS[after])] = sorted(np.bincount(labels.ravel())[1:].tolist())
    return sizes


def test_events_are_the_components_of_every_turn(events: DataFrame, values: np.ndarray) -> None:
    expected = expected_events(values)
    assert {key[0] for key in expected} == {"appeared", "vanished", "rebuilt"}
    found = events.select("kind", "from_epoch", "to_epoch", "area_m2").toPandas()
    for key, group in found.groupby(["kind", "from_epoch", "to_epoch"]):
        assert np.allclose(sorted(group["area_m2"] / 100), expected[key], rtol=2e-3), key
    assert len(found) == sum(map(len, expected.values()))
    assert set(found.groupby(["kind", "from_epoch", "to_epoch"]).groups) == set(expected)


def test_events_tell_their_dates_images_and_model(events: DataFrame) -> None:
    for row in events.limit(300).collect():
        assert (row["from_date"], row["to_date"]) == (dt.date(int(row["from_epoch"]), 7, 1), dt.date(int(row["to_epoch"]), 7, 1))
        assert {f"scene {row['from_epoch']}", f"scene {row['to_epoch']}"} <= set(row["scenes_used"])
        assert row["model_sha256"] == ["ab"] and 0.5 <= row["confidence"] <= 1
        assert shapely.is_valid(shapely.from_wkb(bytes(row["geometry"])))
    assert events.where("open_edge").count() > 10 and events.where("not open_edge").count() > 10


def test_any_tiles_and_partitions_give_the_same_series_and_events(spark: SparkSession, events: DataFrame, values: np.ndarray) -> None:
    expected = table_fingerprint(events, TABLES["change_events"])
    for tile_px, partitions in ((256, 5), (1024, 1)):
        other = series_table(spark, tile_px, partitions).persist()
        assert np.array_equal(values_of(other), values)
        assert table_fingerprint(events_of(spark, other), TABLES["change_events"]) == expected
        other.unpersist()


def test_small_events_are_left_out_where_asked_for(spark: SparkSession, series: DataFrame, events: DataFrame) -> None:
    large = events_of(spark, series, min_area_m2=5000).select("event_id").toPandas()["event_id"]
    every = events.select("event_id", "area_m2").toPandas()
    assert sorted(large) == sorted(every["event_id"][every["area_m2"] >= 5000])


def test_new_less_lost_is_the_difference_of_the_maps(spark: SparkSession, series: DataFrame) -> None:
    """Of every unit that is known at both ends, to the square millimetre."""
    units, context = units_table(spark), Context(spark, place(), "run", Path())
    told = {"urban_series": series, "units": units, "built_up": built_up_table(spark)}
    changes = change_statistics.run(told, ChangeStatisticsSettings(), context).toPandas()
    pairs = [("2015", "2016"), ("2016", "2018"), ("2018", "2021"), ("2015", "2021")]
    assert len(changes) == 8 * len(pairs) and set(zip(changes["from_epoch"], changes["to_epoch"], strict=True)) == set(pairs)
    assert np.allclose(changes["new_m2_per_year"] * changes["years"], changes["new_m2"])
    whole = series_where_known(series)
    changes = change_statistics.run({**told, "urban_series": whole}, ChangeStatisticsSettings(), context).toPandas()
    settings = UnitStatisticsSettings(source="urban_series")
    sums = unit_statistics.run({**told, "urban_series": whole}, settings, context).toPandas().set_index(["unit_id", "epoch"])
    assert (changes["new_m2"] > 0).any() and (changes["lost_m2"] > 0).any()
    for row in changes.itertuples():
        grown = sums.loc[(row.unit_id, row.to_epoch), "built_m2"] - sums.loc[(row.unit_id, row.from_epoch), "built_m2"]
        assert row.new_m2 - row.lost_m2 == pytest.approx(grown, abs=0.01)


def series_where_known(series: DataFrame) -> DataFrame:
    """The same, without what is not known at every date."""
    rows = [row.asDict() for row in series.collect()]
    for row in rows:
        side = row["tile_px"]
        values = np.stack([decode_raster(one, (side, side)) for one in row["series"]])
        values[:, (values == NO_DATA).any(0)] = NO_DATA
        row["series"] = [bytearray(encode_raster(one)) for one in values]
    return series.sparkSession.createDataFrame(rows, series.schema)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"sections": {"urban_series": {"layers": ["built_up"]}}}, "no layer built_up; use some of built_up_10m"),
        ({"sections": {"urban_series": {"layers": []}}}, "urban_series.layers"),
        ({"epochs": (place().epochs[0], place().epochs[0].model_copy(update={"name": "again"}))}, "epochs 2015 and again: both have"),
        ({"sections": {"unit_statistics": {"source": "urban_series"}}, "epochs": place().epochs[:1]}, "makes no series of that layer"),
    ],
)
def test_what_makes_no_series_is_refused_before_anything_is_written(change: dict[str, Any], text: str) -> None:
    changed = place().model_copy(update=change)
    with pytest.raises(InputError, match=text):
        for job in (urban_series, unit_statistics):
            prepare(job, changed)


def test_a_tile_that_waits_has_no_sums(spark: SparkSession, series: DataFrame) -> None:
    """Units have their area all the same."""
    waiting = series.withColumn("status", F.lit("quarantined")).withColumn("series", F.lit(None).cast("array<binary>"))
    told = {"urban_series": waiting, "units": units_table(spark), "built_up": built_up_table(spark)}
    context = Context(spark, place(), "run", Path())
    changes = change_statistics.run(told, ChangeStatisticsSettings(), context).toPandas()
    sums = unit_statistics.run(told, UnitStatisticsSettings(source="urban_series"), context).toPandas()
    for rows in (changes, sums):
        assert (rows["valid_m2"] == 0).all() and (rows["total_m2"] > 0).all()


def test_only_tiles_with_another_map_are_integrated_again(spark: SparkSession, tmp_path: Path) -> None:
    where, rows = place(tmp_path), built_up_rows(1024)
    warehouse = Warehouse(spark, where.folder)

    def run(rows: list[dict[str, Any]]) -> dict[str, Any]:
        warehouse.overwrite(BUILT_UP, spark.createDataFrame(filled(BUILT_UP, rows), BUILT_UP.ddl), {"input_digest": "", "run_id": ""})
        Runner(spark, where, {"urban_series": urban_series}).run([prepare(urban_series, where)])
        return {row["tile_id"]: row for row in warehouse.read("urban_series").collect()}

    first, west = run(rows), rows[0]["tile_id"]
    assert len(first) == 2
    assert run(rows) == first
    failed = {"status": "quarantined", "probability": None, "error_class": "network", "message": "no answer"}
    again = run([{**rows[0], **failed}, *rows[1:]])
    assert {tile for tile in first if again[tile]["run_id"] != first[tile]["run_id"]} == {west}
    assert (again[west]["status"], again[west]["message"]) == ("quarantined", "epoch 2015: no answer")
    assert {row["status"] for row in again.values()} == {"done", "quarantined"}
