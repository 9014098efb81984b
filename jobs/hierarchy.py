"""Units above units: which smallest units each unit is made of."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def leaves(units: DataFrame) -> DataFrame:
    """The units that are nobody's parent."""
    parents = units.select(F.col("parent_id").alias("unit_id")).where(F.col("unit_id").isNotNull()).distinct()
    return units.join(parents, on="unit_id", how="left_anti")


def smallest_units(units: DataFrame) -> DataFrame:
    """Rows unit_id, shape (Sedona geometry, EPSG:4326) of the units that are nobody's parent, persisted."""
    return leaves(units).select("unit_id", F.expr("ST_GeomFromWKB(geometry)").alias("shape")).persist()


def leaf_ancestry(units: DataFrame) -> DataFrame:
    """Rows leaf_id, unit_id: every unit beside each smallest unit it is made of, itself if it is one."""
    top = int((units.agg(F.max("level")).first() or [0])[0] or 0)
    parent_of = units.select(F.col("unit_id").alias("child_id"), "parent_id")
    step = leaves(units).select(F.col("unit_id").alias("leaf_id"), "unit_id")
    ancestry = step
    for _ in range(top):
        above = step.join(parent_of, on=F.col("unit_id") == F.col("child_id"), how="inner")
        step = above.where(F.col("parent_id").isNotNull()).select("leaf_id", F.col("parent_id").alias("unit_id"))
        ancestry = ancestry.unionByName(step)
    return ancestry
