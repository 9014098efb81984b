"""Tables of two drawn towns, made once."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from conf.tables import BUILT_UP
from jobs.job import Context
from jobs.sdg11.extent_statistics import ExtentStatisticsSettings, extent_statistics
from tests.done_tiles import filled
from tests.jobs.sdg11.test_extent_statistics import read_again, statistics
from tests.jobs.sdg11.test_unit_statistics import IMAGE, units_table
from tests.jobs.sdg11.test_urban_extent import MAPS, extents, place, rows_of


@pytest.fixture(scope="session")
def city_tables(spark: SparkSession) -> Any:
    made = {
        "built_up": spark.createDataFrame(filled(BUILT_UP, rows_of(512, IMAGE)), BUILT_UP.ddl).persist(),
        "units": units_table(spark).persist(), "urban_extent": read_again(extents(spark, 512, 2)),
        "unit_statistics": statistics(spark, MAPS),
    }  # fmt: skip
    found = extent_statistics.run(made, ExtentStatisticsSettings(), Context(spark, place(), "run", Path()))
    return {**made, "extent_statistics": read_again(found)}
