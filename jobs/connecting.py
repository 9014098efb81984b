"""Connected components of a graph of pairs, as DataFrames: small graphs in one task, large ones by star contraction."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from udfs.merging import connected_frame

FIELD = ("layer", "epoch", "grid")
"""Pieces of different fields are never connected."""

COMPONENTS_DDL = "layer string, epoch string, grid string, piece bigint, component bigint"


def components(pairs: DataFrame, one_task_pairs: int) -> DataFrame:
    """Rows (*FIELD, piece, component = least piece connected) for pairs (*FIELD, u > v). Nothing is collected.

    Up to `one_task_pairs` pairs are solved in memory, one task per field. More are contracted (large star, small star:
    Kiveris et al. 2014, Connected components in MapReduce and beyond) until nothing changes, in O(log^2) rounds.
    """
    if pairs.count() <= one_task_pairs:
        return pairs.groupBy(*FIELD).applyInPandas(connected_frame, COMPONENTS_DDL)
    stars = _contracted(pairs)
    centres = stars.select(*FIELD, F.col("v").alias("piece"), F.col("v").alias("component")).distinct()
    return stars.select(*FIELD, F.col("u").alias("piece"), F.col("v").alias("component")).unionByName(centres)


def _contracted(pairs: DataFrame) -> DataFrame:
    before, state = None, _state(pairs)
    while state != before:
        pairs = _small_star(_large_star(pairs)).localCheckpoint()
        before, state = state, _state(pairs)
    return pairs


def _state(pairs: DataFrame) -> tuple[int, int]:
    """Number of pairs and a sum over their hashes: equal for equal sets."""
    hashed = F.xxhash64(*FIELD, "u", "v").cast("decimal(38,0)")
    row = pairs.agg(F.count("*").alias("pairs"), F.sum(hashed).alias("hashes")).head()
    return int(row["pairs"]), int(row["hashes"] or 0)


def _large_star(pairs: DataFrame) -> DataFrame:
    """Ties each larger neighbour of a node to the least of the node and its neighbours."""
    both = pairs.unionByName(pairs.select(*FIELD, F.col("v").alias("u"), F.col("u").alias("v")))
    least = both.groupBy(*FIELD, "u").agg(F.least(F.min("v"), F.col("u")).alias("least"))
    larger = both.where("v > u").join(least, [*FIELD, "u"], "inner")
    return larger.select(*FIELD, F.col("v").alias("u"), F.col("least").alias("v")).distinct()


def _small_star(pairs: DataFrame) -> DataFrame:
    """Ties a node and its smaller neighbours to the least of these."""
    least = pairs.groupBy(*FIELD, "u").agg(F.min("v").alias("least"))
    tied = pairs.join(least, [*FIELD, "u"], "inner").where("v > least").select(*FIELD, F.col("v").alias("u"), F.col("least").alias("v"))
    return tied.unionByName(least.select(*FIELD, "u", F.col("least").alias("v"))).distinct()
