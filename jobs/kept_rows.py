"""Rows that several queries ask, kept without the plan that made them."""

from pyspark.sql import DataFrame


def kept(frame: DataFrame) -> DataFrame:
    """The rows, computed once and held until the job ends; lost ones are computed again.

    Later queries are planned as over a table. Over a frame that is only persisted Spark plans, compares and prints anew all that it was
    made from, for each query and each of its stages: in jobs of many small steps more work than the steps."""
    rows = frame.persist()
    rows.count()
    spark = frame.sparkSession
    return DataFrame(spark._jsparkSession.createDataFrame(rows._jdf.rdd(), rows._jdf.schema()), spark)
