"""Where finished tiles have data: tiles themselves overhang the images."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.kept_rows import kept
from udfs.valid_ground import GROUND_DDL, ground_batches


def mapped_ground(done: DataFrame) -> DataFrame:
    """Rows epoch, shape (Sedona geometry, EPSG:4326) of finished rows of `built_up`: of each block the box of its pixels with data."""
    columns = done.select("epoch", "grid", "crs", "tile_px", "row", "col", "transform", "probability")
    with rows_per_batch(done.sparkSession, ROWS_WITH_RASTERS):
        boxes = kept(columns.mapInPandas(ground_batches, GROUND_DDL))
    return boxes.select("epoch", F.expr("ST_GeomFromWKB(ground)").alias("shape"))


def within(things: DataFrame, areas: DataFrame) -> DataFrame:
    """Rows of both, without `shape`, for each pair whose shapes meet."""
    return things.alias("t").join(areas.alias("a"), on=F.expr("ST_Intersects(a.shape, t.shape)"), how="inner").drop("shape")
