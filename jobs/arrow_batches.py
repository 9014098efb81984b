"""How many rows go to a Python worker at once: few where rows carry rasters."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession

ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
ARROW_BYTES = 64_000_000
"""Raster bytes that one Arrow batch may carry to a worker; one uint8 pixel of one epoch is at most one byte."""
ROWS_WITH_RASTERS = 64
"""Of finished tiles at once: 64 MiB even where no pixel compresses and a tile has 1024 x 1024."""


@contextmanager
def rows_per_batch(spark: SparkSession, rows: int) -> Iterator[None]:
    """Plans that are made and run inside send `rows` rows at a time."""
    usual = spark.conf.get(ROWS)
    spark.conf.set(ROWS, str(rows))
    try:
        yield
    finally:
        spark.conf.set(ROWS, str(usual))
