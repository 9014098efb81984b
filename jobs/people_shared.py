"""People of a part of each unit: those of its smallest units by the share of their built-up land that is in it, summed up the tree."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.kept_rows import kept
from udfs.population import MICRO


def with_people(
    parts: DataFrame, part_m2: str, whole_m2: str, statistics: DataFrame, ancestry: DataFrame, key: tuple[str, ...],
    *, of_nothing: Column,
) -> DataFrame:  # fmt: skip
    """Adds `people` and `people_year` to rows unit_id, epoch, *key with the columns `part_m2` and `whole_m2` of every unit of the tree: of
    another than a smallest unit the sum of its smallest ones, or by its own share where people are known of it alone.

    `of_nothing`: the share where `whole_m2` is 0; null: people are then not known, but of a unit where nobody lives."""
    units = statistics.select("unit_id", "epoch", F.col("people").alias("of_unit"), "people_year")
    joined = parts.join(units, ["unit_id", "epoch"], "inner")
    share = F.when(F.col(whole_m2) > 0, F.least(F.col(part_m2) / F.col(whole_m2), F.lit(1.0))).otherwise(of_nothing)
    people_there = F.when(F.col("of_unit") == 0, 0.0).otherwise(F.col("of_unit") * share)
    own = kept(joined.withColumn("micro", F.round(people_there * MICRO).cast("decimal(38,0)")))
    of_leaves = ancestry.join(own.withColumnRenamed("unit_id", "leaf_id"), "leaf_id", "inner").groupBy("unit_id", "epoch", *key)
    sums = of_leaves.agg(F.sum("micro").alias("summed"), (F.count("micro") == F.count("leaf_id")).alias("all_known"))
    people = F.coalesce(F.when(F.col("all_known"), F.col("summed")), F.col("micro")).cast("double") / MICRO
    return own.join(sums, ["unit_id", "epoch", *key], "left").withColumn("people", people).drop("micro", "of_unit", "summed", "all_known")
