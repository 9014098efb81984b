"""What became of every planned tile, and why: rows for the coverage file and the report."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

KEY = ("layer", "epoch", "tile_id")
PLACED = ("grid", "crs", "tile_px", "row", "col", "transform", "geometry", "xmin", "ymin", "xmax", "ymax")
NEXT_STEP = {
    "pending": "run ./spark-submit.sh flow",
    "no_scene": "add scenes dated within the epoch, or widen the epoch",
    "outside": "add scenes that cover the tile",
    "no_clear_pixel": "add scenes of clearer days, or widen the epoch",
}
"""Of kinds that are not failures."""
RETRY = "mend what the message names, then run ./spark-submit.sh retry"
SEEN = 0.005
"""Share of a tile from which a scene counts as covering any of it: 1 %, rounded."""


def coverage_rows(tiles: DataFrame, built_up: DataFrame) -> DataFrame:
    """A row for each planned tile: where it lies, `status` (as in built_up, or `pending` where it has no row yet), `kind` (error
    class, or a key of NEXT_STEP; null for a done tile), `reason`, `next_step`, valid share, counts of scenes, attempts, run id."""
    reached = F.exists("scenes", lambda scene: scene["covers"] >= SEEN)
    plan = tiles.select(*KEY, *PLACED, F.size("scenes").alias("scenes_planned"), reached.alias("reached"))
    counts = [F.size(name).alias(name) for name in ("scenes_used", "scenes_failed")]
    found = built_up.select(*KEY, "status", "error_class", "message", "valid_share", *counts, "attempts", "run_id")
    rows = plan.join(found, on=list(KEY), how="left").withColumn("status", F.coalesce("status", F.lit("pending")))
    described = rows.withColumn("kind", _kind()).withColumns({"reason": _reason(), "next_step": _next_step()})
    return described.drop("error_class", "message", "reached")


def _kind() -> Column:
    return (
        F.when(F.col("status") == "quarantined", F.col("error_class"))
        .when(F.col("status") == "pending", F.lit("pending"))
        .when((F.col("status") == "nodata") & (F.col("scenes_planned") == 0), F.lit("no_scene"))
        .when((F.col("status") == "nodata") & ~F.col("reached"), F.lit("outside"))
        .when(F.col("status") == "nodata", F.lit("no_clear_pixel"))
    )


def _reason() -> Column:
    scenes = F.when(F.col("scenes_planned") == 1, F.lit("1 scene")).otherwise(F.format_string("%d scenes", "scenes_planned"))
    return (
        F.when(F.col("status") == "quarantined", F.concat_ws(": ", "error_class", "message"))
        .when(F.col("kind") == "pending", F.lit("not mapped yet"))
        .when(F.col("kind") == "no_scene", F.lit("no scene in the epoch"))
        .when(F.col("kind") == "outside", F.lit("outside: the epoch's scenes cover less than 1 % of it"))
        .when(F.col("kind") == "no_clear_pixel", F.concat(F.lit("no clear pixel: "), scenes, F.lit(" looked at")))
    )


def _next_step() -> Column:
    known = F.create_map(*(F.lit(part) for pair in sorted(NEXT_STEP.items()) for part in pair))
    return F.when(F.col("status") == "quarantined", F.lit(RETRY)).when(F.col("kind").isNotNull(), known[F.col("kind")])
