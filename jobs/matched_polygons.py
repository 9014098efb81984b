"""Polygons on the same ground: squares of it, pairs of found and known ones, each used once."""

from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.table import BBOX
from udfs.neighbours import NEIGHBOURS_DDL, QUARTERS_DDL, REACH_M, nearest_quarter_frame, neighbour_frame
from udfs.polygon_matching import FAULTS_DDL, FOUND, PAIRS_DDL, POLAR_DEGREES, SQUARE_DEGREES, fault_frame, pair_frame

METRES_PER_DEGREE = 110_574.0
"""Of latitude, at least: at the equator."""
SQUARE = ("square_y", "square_x")


def on_squares(polygons: DataFrame, around_m: float = 0) -> DataFrame:
    """Rows, with a box (xmin, ymin, xmax, ymax), on every square that the box, or what lies `around_m` about it, touches. Beyond 85 degrees
    a row of squares is one, square_x 0."""
    up = F.lit(around_m / METRES_PER_DEGREE)
    farthest = F.least(F.greatest(F.abs("ymin"), F.abs("ymax")) + up, F.lit(POLAR_DEGREES + 1.0))
    rows = polygons.withColumn("square_y", F.explode(_squares("ymin", "ymax", up)))
    polar = F.abs(F.col("square_y") + 0.5) * SQUARE_DEGREES > POLAR_DEGREES
    along = _squares("xmin", "xmax", up / F.cos(F.radians(farthest)))
    return rows.withColumn("square_x", F.explode(F.when(polar, F.array(F.lit(0).cast("bigint"))).otherwise(along)))


def _squares(least: str, most: str, around: Column) -> Column:
    return F.sequence(*(F.floor(edge / F.lit(SQUARE_DEGREES)) for edge in (F.col(least) - around, F.col(most) + around)))


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


def with_neighbours(buildings: DataFrame) -> DataFrame:
    """Adds `neighbour_m`: metres from the next building of the same layer and epoch, null where none is within REACH_M."""
    name = ("layer", "epoch", "building_id")
    kept = buildings.persist()
    near = on_squares(kept.select(*name, "geometry", *BBOX), REACH_M).groupBy("layer", "epoch", *SQUARE)
    nearest = near.applyInPandas(neighbour_frame, NEIGHBOURS_DDL).groupBy(*name).agg(F.min("neighbour_m").alias("neighbour_m"))
    return kept.join(nearest, list(name), "left")


def with_quarters(polygons: DataFrame) -> DataFrame:
    """`quarter` also of found polygons (kind, id): that of the nearest known one within REACH_M, or null."""
    near = on_squares(polygons.select("kind", "id", "quarter", "geometry", *BBOX), REACH_M).groupBy(*SQUARE)
    nearest = near.applyInPandas(nearest_quarter_frame, QUARTERS_DDL).groupBy("id")
    told = nearest.agg(F.min_by("quarter", F.struct("distance_m", "quarter")).alias("told")).withColumn("kind", F.lit(FOUND))
    return polygons.join(told, ["kind", "id"], "left").withColumn("quarter", F.coalesce("quarter", "told")).drop("told")
