"""What lies inside cities by the job, against `unit_statistics` of maps that scipy's classes cut; and its indicators."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from conf.tables import BUILT_UP, INDICATORS, POPULATION
from jobs.job import Context
from jobs.sdg11.indicators import IndicatorsSettings, indicators
from jobs.sdg11.unit_statistics import UnitStatisticsSettings, unit_statistics
from jobs.table_checks import check_rows, in_declared_order
from tests.done_tiles import filled
from tests.jobs.sdg11.test_unit_statistics import IMAGE, units_table
from tests.jobs.sdg11.test_urban_extent import CAPTURED, EPOCHS, FRINGE, MAPS, SUBURBAN, URBAN, place, rows_of, whole
from udfs.earth import to_lonlat
from udfs.extent_masks import mask_of
from udfs.rasters import NO_DATA, ONE

PEOPLE = {"ring": 900.0, "hole": 3.0, "thin": 10.0, "wide": 5000.0, "low": 7.0, "far": 1.0}


def read_again(frame: DataFrame) -> DataFrame:
    """As a table is: without what it was made from."""
    return frame.sparkSession.createDataFrame(frame.collect(), frame.schema)


def statistics(spark: SparkSession, maps: dict[str, NDArray[np.uint8]]) -> DataFrame:
    counts = [
        (unit, year, people * growth, "census", None) for unit, people in PEOPLE.items() for year, growth in ((2015, 1.0), (2020, 1.3))
    ]
    tables = {
        "built_up": spark.createDataFrame(filled(BUILT_UP, rows_of(512, IMAGE, maps)), BUILT_UP.ddl),
        "units": units_table(spark), "population": spark.createDataFrame(counts, POPULATION.ddl),
    }  # fmt: skip
    return read_again(unit_statistics.run(tables, UnitStatisticsSettings(), Context(spark, place(), "run", Path())))


def test_sums_inside_cities_are_those_of_maps_that_end_there(spark: SparkSession, city_tables: dict[str, Any]) -> None:
    cities = {epoch: np.isin(whole(values), (URBAN, SUBURBAN, FRINGE, CAPTURED)) for epoch, values in MAPS.items()}
    found = {(row["unit_id"], row["epoch"], row["boundary"]): row for row in city_tables["extent_statistics"].collect()}
    assert len(found) == 8 * len(EPOCHS) * 2
    for boundary, inside in (("fixed", dict.fromkeys(EPOCHS, cities[EPOCHS[0]])), ("moving", cities)):
        for column, chosen in (("built_m2", lambda values: values >= 125), ("extent_m2", lambda values: values >= 0)):
            cut = {e: np.where(v == NO_DATA, v, np.where(inside[e] & chosen(v), ONE, 0)).astype(np.uint8) for e, v in MAPS.items()}
            for row in statistics(spark, cut).collect():
                one = found[row["unit_id"], row["epoch"], boundary]
                assert one[column] == pytest.approx(row["built_m2"], abs=1e-5), (row["unit_id"], boundary, column)
    assert max(row["built_m2"] for row in found.values()) > 1e6


def test_people_inside_are_those_of_the_smallest_units_shared_by_what_is_built(city_tables: dict[str, Any]) -> None:
    """Of `far` nothing is seen: its people are not known, and its parent's are told by what is built in the whole of it."""
    units = city_tables["unit_statistics"].selectExpr("unit_id", "epoch", "people AS of_unit", "built_m2 AS whole_m2", "valid_m2")
    rows = city_tables["extent_statistics"].join(units, ["unit_id", "epoch"]).toPandas().set_index("unit_id")
    share = (rows["built_m2"] / rows["whole_m2"]).where(rows["whole_m2"] > 0, 0.0).clip(upper=1)
    told = (rows["of_unit"] * share).where(rows["valid_m2"] > 0)
    alone = ~rows.index.isin(["west"])
    assert rows["people"][alone].to_numpy() == pytest.approx(told[alone].to_numpy(), abs=1e-5, nan_ok=True)
    assert rows["people"]["far"].isna().all() and rows["people"]["east"].notna().all()
    key = ["epoch", "boundary"]
    summed = rows.loc[["ring", "hole", "thin"]].groupby(key)["people"].sum()
    assert rows.loc["west"].set_index(key)["people"].to_dict() == pytest.approx(summed.to_dict(), abs=1e-5)


def test_a_city_beside_a_tile_is_not_in_it() -> None:
    """What it shares with a tile's box is a line; a point, too."""
    transform = list(Affine(10.0, 0.0, 1_492_390.0, 0.0, -10.0, 6_894_700.0))[:6]
    row = SimpleNamespace(crs="EPSG:3857", transform=transform)
    to_degrees = to_lonlat("EPSG:3857")
    corners = [(1_492_390.0, 6_894_000.0), (1_492_390.0, 6_893_000.0), (1_492_890.0, 6_893_500.0)]
    line = shapely.LineString([to_degrees.transform(*corner) for corner in corners[:2]])
    city = shapely.Polygon([to_degrees.transform(*corner) for corner in corners])
    touched = shapely.GeometryCollection([line, shapely.Point(line.coords[0]), shapely.GeometryCollection([city])])
    assert not mask_of([shapely.to_wkb(line)], row, 256).any()
    assert np.array_equal(mask_of([shapely.to_wkb(touched)], row, 256), mask_of([shapely.to_wkb(city)], row, 256))
    assert mask_of([shapely.to_wkb(city)], row, 256).sum() == pytest.approx(50 * 100 / 2, rel=0.02)


def test_indicators_are_told_in_all_bounds(spark: SparkSession, city_tables: dict[str, Any]) -> None:
    rows = indicators.run(city_tables, IndicatorsSettings(), Context(spark, place(), "run", Path()))
    check_rows(in_declared_order(rows, INDICATORS), INDICATORS)
    told = rows.where("unit_id = 'west' AND indicator = '11.3.1-lcr' AND formula_id = 'un-2021'").toPandas()
    values = {(row.boundary, row.basis): row.value for row in told.itertuples()}
    assert set(values) == {("unit", "built_up"), ("fixed", "built_up"), ("moving", "built_up"), ("moving", "urban_extent")}
    sums = {(row["epoch"], row["boundary"]): row for row in city_tables["extent_statistics"].where("unit_id = 'west'").collect()}
    for (boundary, basis), value in values.items():
        if boundary != "unit":
            column = "built_m2" if basis == "built_up" else "extent_m2"
            first, last = (sums[epoch, boundary][column] for epoch in EPOCHS)
            assert value == pytest.approx((last - first) / first / 5, rel=1e-3), (boundary, basis)
    assert values["moving", "built_up"] > values["fixed", "built_up"]
