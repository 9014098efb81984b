"""Buildings: polygons of layers of 2 m or finer, whole across tiles. Parallel over tiles, then over cells of 4,096 pixels.

Each tile is traced into pieces once. Pieces on both sides of a border are found by equal keys of border pixels; connected
ones are united exactly, then measured and sieved as wholes: no cutting into tiles changes a row.
Run: ./spark-submit.sh buildings --place kampala
"""

from functools import partial

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import TABLES
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.connecting import FIELD, components
from jobs.job import Context, Tables, job
from udfs.earth import ground_resolution_m
from udfs.merging import EAST, NORTH, PIECES_DDL, SOUTH, WEST, piece_frames
from udfs.polygons import FOOTPRINTS_DDL, footprint_frame

FINEST_NEEDED_M = 2.0

CELL_BITS = 12
"""Whole components are finished by cells of 2^12 pixels that hold their first pixel: bounded groups, the same for any tiles."""

NEIGHBOURS = ((-1, 0, SOUTH), (1, 0, NORTH), (0, -1, EAST), (0, 1, WEST))
"""Row and column steps from a tile, and the border by which the tile there touches it."""


class BuildingsSettings(Settings):
    """Which footprints are kept, and how the work is done."""

    min_area_m2: float = Field(4.0, ge=0, description="smaller footprints are noise, m2")
    one_task_pairs: int = Field(
        500_000, ge=0, description="graphs of more touching pieces are solved by Spark rounds", json_schema_extra={"matters": False}
    )


def fine_layers(place: Place) -> list[str]:
    """Layers with pixels of 2 m or finer, by name."""
    return sorted(name for name, layer in place.layers.items() if ground_resolution_m(layer.resolution) <= FINEST_NEEDED_M)


def _no_fine_layer(place: Place, settings: BuildingsSettings) -> str | None:
    return None if fine_layers(place) else "no layer has pixels of 2 m or finer"


@job(
    reads=("built_up",), writes="buildings", settings=BuildingsSettings, parallel_over="tiles", absent=_no_fine_layer,
)  # fmt: skip
def buildings(tables: Tables, settings: BuildingsSettings, context: Context) -> DataFrame:
    """Footprints of every component of built pixels of at least `min_area_m2`."""
    built_up = tables["built_up"].where(F.col("layer").isin(fine_layers(context.place)))
    pieces = _pieces(built_up.where("status = 'done'"), settings, context.spark)
    inside = pieces.where("sides = 0").withColumn("open_edge", F.lit(False)).withColumn("component", F.col("piece"))
    at_borders = _with_open_edges(pieces.where("sides > 0"), built_up.where("status = 'quarantined'"))
    whole = inside.unionByName(_with_components(at_borders, _touching(pieces), settings))
    cell = (F.shiftright("component", 32 + CELL_BITS), F.shiftright(F.col("component").bitwiseAND(0xFFFFFFFF), CELL_BITS))
    groups = whole.withColumn("cell_y", cell[0]).withColumn("cell_x", cell[1]).groupBy(*FIELD, "cell_y", "cell_x")
    footprints = groups.applyInPandas(partial(footprint_frame, min_area_m2=settings.min_area_m2), FOOTPRINTS_DDL)
    return footprints.select(*(name for name in TABLES["buildings"].names if name in footprints.columns))


def _pieces(done: DataFrame, settings: BuildingsSettings, spark: SparkSession) -> DataFrame:
    """Pieces of all tiles: traced once, kept, since the graph and the footprints both read them."""
    columns = (*FIELD, "crs", "tile_px", "row", "col", "transform", "probability", "threshold", "first_date", "last_date", "model_sha256")
    shell = partial(piece_frames, min_area_m2=settings.min_area_m2)
    with rows_per_batch(spark, ROWS_WITH_RASTERS):
        pieces = done.select(*columns).mapInPandas(shell, PIECES_DDL).persist()
        pieces.count()
    return pieces


def _with_open_edges(pieces: DataFrame, quarantined: DataFrame) -> DataFrame:
    """Adds `open_edge`: the piece touches a border behind which a tile is quarantined."""
    steps = F.array(*(F.struct(F.lit(r).alias("r"), F.lit(c).alias("c"), F.lit(bit).alias("bit")) for r, c, bit in NEIGHBOURS))
    around = quarantined.select(*FIELD, "tile_px", "row", "col", F.explode(steps).alias("step"))
    beside = around.select(*FIELD, "tile_px", F.expr("row + step.r AS row"), F.expr("col + step.c AS col"), "step.bit")
    tile = [*FIELD, "tile_px", "row", "col"]
    open_sides = beside.groupBy(*tile).agg(F.bit_or("bit").alias("open_sides"))
    is_open = F.col("sides").bitwiseAND(F.coalesce("open_sides", F.lit(0))) != 0
    return pieces.join(open_sides, tile, "left").withColumn("open_edge", is_open).drop("open_sides")


def _touching(pieces: DataFrame) -> DataFrame:
    """Pairs (*FIELD, u > v) of pieces with pixels side by side across a border: equal keys of border pixels."""
    crossings = pieces.where("sides > 0").select(*FIELD, "piece", F.explode("seams").alias("seam"))
    ends = crossings.groupBy(*FIELD, "seam").agg(F.max("piece").alias("u"), F.min("piece").alias("v"))
    return ends.where("u > v").select(*FIELD, "u", "v").distinct()


def _with_components(pieces: DataFrame, pairs: DataFrame, settings: BuildingsSettings) -> DataFrame:
    """Adds `component`: the least piece connected, or the piece itself."""
    kept = pairs.persist()
    found = components(kept, settings.one_task_pairs)
    return pieces.join(found, [*FIELD, "piece"], "left").withColumn("component", F.coalesce("component", "piece"))
