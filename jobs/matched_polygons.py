"""Polygons on the same ground: squares of it, pairs of found and known ones, each used once."""

from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from udfs.polygon_matching import FAULTS_DDL, FOUND, PAIRS_DDL, SQUARE_DEGREES, fault_frame, pair_frame

SQUARE = ("square_y", "square_x")


def on_squares(polygons: DataFrame) -> DataFrame:
    """Rows (kind, id, region, confidence, geometry, xmin, ymin, xmax, ymax) on every square that their box touches."""
    return polygons.withColumn("square_y", F.explode(_squares("ymin", "ymax"))).withColumn("square_x", F.explode(_squares("xmin", "xmax")))


def _squares(least: str, most: str) -> Column:
    return F.sequence(*(F.floor(F.col(name) / F.lit(SQUARE_DEGREES)) for name in (least, most)))


def pairs_of(squares: DataFrame, band_m: float) -> DataFrame:
    """Rows of PAIRS_DDL: of found and known polygons with an IoU of 0.5 or more, taken by falling IoU, each polygon used once (SpaceNet's
    rule). Where neither found nor known ones share ground, one round finds all."""
    left = squares.groupBy(*SQUARE).applyInPandas(partial(pair_frame, band_m=band_m), PAIRS_DDL).persist()
    taken = left.limit(0)
    while not left.isEmpty():
        best = _mutual(left)
        taken = taken.unionByName(best)
        left = left.join(best.select("found_id"), "found_id", "left_anti").join(best.select("known_id"), "known_id", "left_anti")
        left = left.select(*best.columns).localCheckpoint()
    return taken


def _mutual(pairs: DataFrame) -> DataFrame:
    """Pairs that are the best for both."""
    ranked = pairs.withColumn("of_found", _rank("found_id", "known_id")).withColumn("of_known", _rank("known_id", "found_id"))
    return ranked.where("of_found = 1 AND of_known = 1").select(*pairs.columns).localCheckpoint()


def _rank(of: str, other: str) -> Column:
    return F.row_number().over(Window.partitionBy(of).orderBy(F.desc("iou"), other))


def faults_of(squares: DataFrame) -> DataFrame:
    """By region: invalid found polygons, and pairs of them that share ground."""
    found = squares.where(F.col("kind") == FOUND).groupBy(*SQUARE).applyInPandas(fault_frame, FAULTS_DDL)
    return found.groupBy("region").agg(F.sum("invalid").alias("invalid"), F.sum("overlapping").alias("overlapping"))
