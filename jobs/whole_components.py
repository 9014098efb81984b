"""Pieces of tiles to components that are whole across tiles: which touch, which belong together, which may go on."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.connecting import FIELD, components
from jobs.kept_rows import kept
from udfs.merging import CELL_BITS, COLUMN_BITS, EAST, NORTH, SOUTH, WEST

NEIGHBOURS = ((-1, 0, SOUTH), (1, 0, NORTH), (0, -1, EAST), (0, 1, WEST))
"""Row and column steps from a tile, and the border by which the tile there touches it."""


def cell_of_component() -> Column:
    """As `cell_number`: the cell of a component's first pixel."""
    column = F.shiftright(F.col("component").bitwiseAND(2**COLUMN_BITS - 1), CELL_BITS)
    return F.shiftleft(F.shiftright("component", COLUMN_BITS + CELL_BITS), COLUMN_BITS - CELL_BITS).bitwiseOR(column)


def with_open_edges(pieces: DataFrame, done: DataFrame) -> DataFrame:
    """Adds `open_edge`: the piece touches a pixel without data, or a border behind which no tile has a result."""
    steps = F.array(*(F.struct(F.lit(r).alias("r"), F.lit(c).alias("c"), F.lit(bit).alias("bit")) for r, c, bit in NEIGHBOURS))
    around = done.select(*FIELD, "tile_px", "row", "col", F.explode(steps).alias("step"))
    beside = around.select(*FIELD, "tile_px", F.expr("row + step.r AS row"), F.expr("col + step.c AS col"), "step.bit")
    tile = [*FIELD, "tile_px", "row", "col"]
    closed_sides = beside.groupBy(*tile).agg(F.bit_or("bit").alias("closed_sides"))
    is_open = F.col("sides").bitwiseAND(F.bitwise_not(F.coalesce("closed_sides", F.lit(0)))) != 0
    return pieces.join(closed_sides, tile, "left").withColumn("open_edge", F.col("beside_blank") | is_open).drop("closed_sides")


def with_blank_beyond(pieces: DataFrame, blanks: DataFrame) -> DataFrame:
    """Sets `beside_blank` also where a pixel without data lies across the border; `blanks`: rows *FIELD, seam, crossings beside such."""
    crossings = pieces.where("sides > 0").select(*FIELD, "piece", F.explode("seams").alias("seam"))
    beside = crossings.join(blanks, [*FIELD, "seam"], "left_semi").select(*FIELD, "piece").distinct().withColumn("beyond", F.lit(True))
    return pieces.join(beside, [*FIELD, "piece"], "left").withColumn("beside_blank", F.coalesce("beyond", "beside_blank")).drop("beyond")


def touching(pieces: DataFrame) -> DataFrame:
    """Pairs (*FIELD, u > v) of pieces with pixels side by side across a border: equal keys of border pixels."""
    crossings = pieces.where("sides > 0").select(*FIELD, "piece", F.explode("seams").alias("seam"))
    ends = crossings.groupBy(*FIELD, "seam").agg(F.max("piece").alias("u"), F.min("piece").alias("v"))
    return ends.where("u > v").select(*FIELD, "u", "v").distinct()


def with_components(pieces: DataFrame, pairs: DataFrame, one_task_pairs: int) -> DataFrame:
    """Adds `component`: the least piece connected, or the piece itself."""
    found = components(kept(pairs), one_task_pairs)
    return pieces.join(found, [*FIELD, "piece"], "left").withColumn("component", F.coalesce("component", "piece"))
