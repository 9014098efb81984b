"""Parts of units by the job, against `unit_statistics` of maps that numpy cuts, shapely's areas, and the indicators of both."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from conf.tables import BUILT_UP, DEPRIVATION, INDICATORS, INFORMALITY, SERVICES, UNIT_SHARES
from conf.views import VIEWS
from jobs.job import Context
from jobs.sdg11.indicators import IndicatorsSettings, indicators
from jobs.sdg11.indicators_csv import IndicatorsCsvSettings, indicators_csv
from jobs.sdg11.unit_shares import UnitSharesSettings, unit_shares
from jobs.table_checks import check_rows, in_declared_order
from tests.done_tiles import filled
from tests.jobs.sdg11.test_extent_statistics import read_again, statistics
from tests.jobs.sdg11.test_unit_statistics import GRID, IMAGE, lonlat, outlines, units_table
from tests.jobs.sdg11.test_urban_extent import EPOCHS, MAPS, place, rows_of
from udfs.grid import Tile, tile_id
from udfs.portal_rows import SDMX
from udfs.rasters import NO_DATA, ONE
from udfs.services import around
from udfs.units import geodesic_area_m2

CELL_PX = 10
STOPS = [shapely.Point(IMAGE.left + x, IMAGE.top + y) for x, y in ((1023.5, 400.0), (300.2, 505.7), (1800.0, 1020.0))]
PARKS = [shapely.box(IMAGE.left + 980, IMAGE.top + 480, IMAGE.left + 1100, IMAGE.top + 560)]
STREETS = [shapely.box(IMAGE.left + 200, IMAGE.top + 520, IMAGE.left + 1500, IMAGE.top + 521)]


def cells() -> list[dict[str, Any]]:
    """One of three cells is informal, one of seven not known; they begin where no tile does."""
    random, found = np.random.default_rng(8), []
    for epoch in EPOCHS:
        for row in range(IMAGE.top // CELL_PX, IMAGE.bottom // CELL_PX + 1):
            for col in range(IMAGE.left // CELL_PX, IMAGE.right // CELL_PX + 1):
                told = None if random.random() < 1 / 7 else bool(random.random() < 1 / 3)
                name = tile_id(GRID, Tile(row, col, CELL_PX))
                found.append({"epoch": epoch, "cell_id": name, "grid": GRID.name, "cell_px": CELL_PX, "row": row, "col": col,
                              "informal": told, "score": None if told is None else 0.5, "built_m2": 1.0})  # fmt: skip
    return found


def on_earth(shape: Any) -> Any:
    """As `lonlat`, which knows no single points."""
    if shape.geom_type != "Point":
        return lonlat(shape)
    return shapely.Point(lonlat(shapely.LineString([(shape.x, shape.y), (shape.x + 1, shape.y)])).coords[0])


def services() -> list[dict[str, Any]]:
    made = []
    for kind, shapes, metres in (("stop", STOPS, 500.0), ("open_space", PARKS, 400.0), ("street", STREETS, None)):
        for number, shape in enumerate(map(on_earth, shapes)):
            reach = None if metres is None else bytearray(around(shape, metres).wkb)
            made.append({"kind": kind, "service_id": f"{kind}-{number}", "geometry": bytearray(shape.wkb), "reach": reach})
    return made


@pytest.fixture(scope="module")
def tables(spark: SparkSession) -> Any:
    made = {
        "built_up": spark.createDataFrame(filled(BUILT_UP, rows_of(512, IMAGE)), BUILT_UP.ddl).persist(),
        "units": units_table(spark).persist(), "unit_statistics": statistics(spark, MAPS),
        "informality": spark.createDataFrame(filled(INFORMALITY, cells()), INFORMALITY.ddl),
        "services": spark.createDataFrame(filled(SERVICES, services()), SERVICES.ddl),
    }  # fmt: skip
    found = unit_shares.run(made, UnitSharesSettings(), Context(spark, place(), "run", Path()))
    check_rows(in_declared_order(found, UNIT_SHARES), UNIT_SHARES)
    yield {**made, "unit_shares": read_again(found)}
    spark.catalog.clearCache()


def cell_masks(epoch: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    informal, known = (np.zeros(IMAGE.shape_yx, bool) for _ in range(2))
    y, x = np.indices(IMAGE.shape_yx)
    told = {(cell["row"], cell["col"]): cell["informal"] for cell in cells() if cell["epoch"] == epoch}
    rows, cols = (y + IMAGE.top) // CELL_PX, (x + IMAGE.left) // CELL_PX
    top, left = IMAGE.top // CELL_PX, IMAGE.left // CELL_PX
    table = np.zeros((rows.max() - top + 1, cols.max() - left + 1))
    for (row, col), value in told.items():
        if row - top < table.shape[0] and col - left < table.shape[1]:
            table[row - top, col - left] = 2 if value is None else value
    picked = table[rows - top, cols - left]
    informal, known = picked == 1, picked != 2
    return informal, known


def near(points: list[Any], pixels: float) -> NDArray[np.bool_]:
    """Pixels whose centres lie within reach of points, on the plane: a UTM metre here is 0.3 % off one on the ground."""
    y, x = np.indices(IMAGE.shape_yx) + 0.5
    return np.any([np.hypot(y + IMAGE.top - point.y, x + IMAGE.left - point.x) <= pixels for point in points], axis=0)


def cut(spark: SparkSession, masks: dict[str, NDArray[np.bool_]]) -> dict[tuple[str, str], float]:
    """Of maps that are built only inside masks, `built_m2` of each unit and epoch."""
    maps = {e: np.where(v == NO_DATA, v, np.where(masks[e] & (v >= 125), ONE, 0)).astype(np.uint8) for e, v in MAPS.items()}
    return {(row["unit_id"], row["epoch"]): row["built_m2"] for row in statistics(spark, maps).collect()}


def told(tables: dict[str, Any], what: str) -> dict[tuple[str, str], Any]:
    return {(row["unit_id"], row["epoch"]): row for row in tables["unit_shares"].where(f"what = '{what}'").collect()}


def test_land_in_informal_cells_is_that_of_maps_cut_by_them(spark: SparkSession, tables: dict[str, Any]) -> None:
    masks = {epoch: cell_masks(epoch) for epoch in EPOCHS}
    found = told(tables, "informal")
    assert len(found) == 8 * len(EPOCHS)
    for number, column in enumerate(("part_m2", "whole_m2")):
        expected = cut(spark, {epoch: pair[number] for epoch, pair in masks.items()})
        for key, row in found.items():
            assert row[column] == pytest.approx(expected[key], abs=1e-5), (key, column)
    assert max(row["part_m2"] for row in found.values()) > 1e6


def test_land_and_people_near_stops(spark: SparkSession, tables: dict[str, Any]) -> None:
    masks = dict.fromkeys(EPOCHS, near(STOPS, 50.0))
    expected, found = cut(spark, masks), told(tables, "near_stop")
    units = {(row["unit_id"], row["epoch"]): row for row in tables["unit_statistics"].collect()}
    assert sum(row["part_m2"] for row in found.values()) == pytest.approx(sum(expected.values()), rel=0.01)
    for unit in ("ring", "wide", "low"):
        row, whole = found[unit, "2020"], units[unit, "2020"]
        assert row["whole_m2"] == whole["built_m2"]
        assert row["people"] == pytest.approx(whole["people"] * row["part_m2"] / whole["built_m2"], abs=1e-5)


def test_public_space_counts_once_what_parks_and_streets_share(tables: dict[str, Any]) -> None:
    spaces = shapely.union_all([lonlat(shape) for shape in (*PARKS, *STREETS)])
    found, total = told(tables, "public_space"), 0.0
    for unit, shape in outlines().items():
        expected = float(geodesic_area_m2(np.array([shapely.intersection(spaces, lonlat(shape))], object))[0])
        assert found[unit, "2015"]["part_m2"] == pytest.approx(expected, rel=1e-6, abs=1e-3), unit
        total += expected
    assert found["west", "2020"]["part_m2"] + found["east", "2020"]["part_m2"] == pytest.approx(total, rel=1e-6)


def surveys(spark: SparkSession) -> DataFrame:
    rows = [{"unit_id": unit, "year": year, "share": share, "standard_error": error}
            for unit, year, share, error in (("ring", 2014, 0.4, 0.05), ("ring", 2016, 0.5, 0.05), ("wide", 2019, 0.02, None))]  # fmt: skip
    return spark.createDataFrame(filled(DEPRIVATION, rows), DEPRIVATION.ddl)


@pytest.fixture(scope="module")
def told_indicators(spark: SparkSession, tables: dict[str, Any]) -> DataFrame:
    made = {"unit_statistics": tables["unit_statistics"], "unit_shares": tables["unit_shares"], "deprivation": surveys(spark)}
    rows = indicators.run(made, IndicatorsSettings(min_valid_share=0.01), Context(spark, place(), "run", Path()))
    assert check_rows(in_declared_order(rows, INDICATORS), INDICATORS)
    return read_again(rows)


def test_indicators_of_parts_and_of_surveys(tables: dict[str, Any], told_indicators: DataFrame) -> None:
    rows = told_indicators
    found = {
        (row["unit_id"], row["period_end"], row["indicator"], row["formula_id"]): row
        for row in rows.where("period_start = period_end").collect()
    }
    informal, stop, space = (told(tables, what)["ring", "2020"] for what in ("informal", "near_stop", "public_space"))
    people = next(row["people"] for row in tables["unit_statistics"].collect() if (row["unit_id"], row["epoch"]) == ("ring", "2020"))
    assert found["ring", "2020", "11.1.1-proxy", "informal-share"]["value"] == pytest.approx(informal["part_m2"] / informal["whole_m2"])
    assert found["ring", "2020", "11.2.1", "near-stop"]["value"] == pytest.approx(stop["people"] / people)
    assert found["ring", "2020", "11.7.1", "open-space-share"]["value"] == pytest.approx(space["part_m2"] / space["whole_m2"])
    assert found["far", "2020", "11.1.1-proxy", "informal-share"]["reason"] == "no data at 2020"
    survey = {key[:2]: row for key, row in found.items() if key[2] == "11.1.1"}
    first = survey["ring", "2015"]  # of two as near the earlier
    assert first["value"] == 0.4 and first["lower"] == pytest.approx(0.4 - 1.96 * 0.05, abs=1e-5)
    assert survey["wide", "2020"]["value"] == 0.02 and survey["wide", "2020"]["upper"] is None
    assert survey["ring", "2020"]["reason"] == "the survey nearest to 2020 is of 2016, too far from its date"
    assert survey["low", "2015"]["reason"] == "no household of the unit answered"


SHOWN = (
    ("inadequate_housing", "looks_informal", "informal-share"),
    ("public_transport", "people_near_stop", "near-stop"),
    ("open_public_space", "open_space_share", "open-space-share"),
)
"""Views, a column of each, and whose values stand there."""


def test_views_show_the_same_values(spark: SparkSession, told_indicators: DataFrame) -> None:
    told_indicators.createOrReplaceTempView("indicators")
    for view, column, formula in SHOWN:
        found = {(row["unit_id"], row["epoch"]): row[column] for row in spark.sql(VIEWS[view].select).collect()}
        rows = told_indicators.where(f"formula_id = '{formula}'").collect()
        assert rows and found == {(row["unit_id"], row["period_end"]): row["value"] for row in rows}, view


def test_portals_get_the_same_values(spark: SparkSession, tables: dict[str, Any], told_indicators: DataFrame, tmp_path: Path) -> None:
    read = {"indicators": told_indicators, "units": tables["units"]}
    indicators_csv.run(read, IndicatorsCsvSettings(), Context(spark, place(), "run", tmp_path))
    folder = tmp_path / "indicators_csv"
    assert sorted(path.name for path in folder.iterdir()) == [*(f"indicator_11-{n}.csv" for n in ("1-1", "2-1", "3-1", "7-1")), "sdmx.csv"]
    stops = pd.read_csv(folder / "indicator_11-2-1.csv", dtype={"GeoCode": str})
    value = told_indicators.where("formula_id = 'near-stop' AND unit_id = 'ring' AND period_end = '2020'").collect()[0]["value"]
    assert list(stops.columns[[0, -1]]) == ["Year", "Value"]
    assert stops.set_index(["GeoCode", "Year"])["Value"]["ring", 2020] == pytest.approx(100 * value)
    every = pd.read_csv(folder / "sdmx.csv", dtype=str)
    assert len(every) == told_indicators.count() and not every.duplicated(list(SDMX[1:8])).any()
    assert every[every["OBS_STATUS"] == "M"]["COMMENT_OBS"].notna().all() and set(every["OBS_STATUS"]) == {"A", "M"}
