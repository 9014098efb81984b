"""The ground of benchmark `join`, and that all programs count the same buildings in its units."""

from functools import partial
from pathlib import Path

import pytest
import shapely
from pyspark.sql import SparkSession

from benchmarks.join import agree, by_duckdb, by_geopandas, by_job, by_sedonadb, irregular_units, written


def test_units_fill_their_ground_without_overlap() -> None:
    units = irregular_units(60)
    assert len(units) == 60 and shapely.is_valid(units).all()
    whole = shapely.union_all(units)
    assert shapely.area(units).sum() == pytest.approx(whole.area, rel=1e-9) == pytest.approx(0.98**2, rel=0.01)
    rectangles = shapely.area(shapely.minimum_rotated_rectangle(units))
    assert (shapely.area(units) / rectangles).max() < 0.95
    assert shapely.get_num_coordinates(units).min() > 1000


def test_all_programs_count_the_same_buildings(spark: SparkSession, tmp_path: Path) -> None:
    files = written(spark, tmp_path, 3_000, 25)
    ours = by_job(spark, files)
    assert len(ours) == 25 and 0.94 < sum(ours.values()) / 3_000 < 0.98
    for other in (by_geopandas, by_duckdb, by_sedonadb):
        agree(ours, other(files)())


def test_one_building_elsewhere_is_told() -> None:
    compare = partial(agree, {"a": 3, "b": 1})
    compare({"b": 1, "a": 3})
    with pytest.raises(ValueError, match="2 units differ, unit b: 1 and None"):
        compare({"a": 3, "c": 1})
