"""Buildings: polygons of layers of 2 m or finer, whole across tiles. Parallel over tiles, then over cells of 4,096 pixels.

Each tile is traced into pieces once. Pieces on both sides of a border are found by equal keys of border pixels; connected
ones are united exactly, then split into buildings where the network tells depth, sieved, straightened and measured as wholes: no cutting
into tiles changes a row. Straight walls of two buildings may meet: one gives way, in its own cell and, for those that reach into others,
across cells.
Run: ./spark-submit.sh buildings --place kampala
"""

from functools import partial
from pathlib import Path

from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType

from conf.place import Place
from conf.settings import Settings
from conf.tables import TABLES
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.connecting import FIELD
from jobs.fine_layers import fine_layers
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.matched_polygons import with_neighbours
from jobs.whole_components import cell_of_component, touching, with_components, with_open_edges
from udfs.footprints import FOOTPRINTS_DDL, footprint_frames
from udfs.heights import height_frames, heights_digest
from udfs.image_files import located
from udfs.merging import PIECES_DDL, piece_frames
from udfs.overlaps import CUTS_DDL, cut_frame
from udfs.polygons import PLANAR_DDL, Outline, planar_frame

_TOLD = ("first_date", "last_date", "model_sha256")


class BuildingsSettings(Settings):
    """Which footprints are kept, how they are outlined, and how the work is done."""

    min_area_m2: float = Field(4.0, ge=0, description="smaller footprints are noise, m2 of pixels; also of what a component is split into")
    detail_m: float = Field(
        1.2, ge=0, description="walls are straight but for details of this depth and width, m, at least 2.4 pixels; 0: outlines of pixels"
    )
    tolerance_m: float = Field(
        3.0, ge=0, description="an outline that straight walls would move further, m, and by more than 2 pixels, stays raw"
    )
    heights: str | None = Field(
        None, description="local raster of heights above ground, m, that buildings are told by; {storage} is the place's folder",
        json_schema_extra={"matters": False},
    )  # fmt: skip
    one_task_pairs: int = Field(
        500_000, ge=0, description="graphs of more touching pieces are solved by Spark rounds", json_schema_extra={"matters": False}
    )


def _no_fine_layer(place: Place, settings: BuildingsSettings) -> str | None:
    return None if fine_layers(place) else "no layer has pixels of 2 m or finer"


def _heights_path(place: Place, settings: BuildingsSettings) -> str | None:
    return located(settings.heights, place.folder) if settings.heights else None


def heights_source(place: Place, settings: BuildingsSettings) -> str | None:
    """Digest of the raster of heights. Raises InputError."""
    path = _heights_path(place, settings)
    return heights_digest(Path(path)) if path else None


@job(
    reads=("built_up",), writes="buildings", settings=BuildingsSettings, parallel_over="tiles", absent=_no_fine_layer, data_version=6,
    sources=heights_source,
)  # fmt: skip
def buildings(tables: Tables, settings: BuildingsSettings, context: Context) -> DataFrame:
    """Footprints of every building, of components of built pixels, of at least `min_area_m2`; none of them share ground."""
    built_up = tables["built_up"].where(F.col("layer").isin(fine_layers(context.place)))
    done = built_up.where("status = 'done'")
    pieces = _pieces(done, settings, context.spark)
    inside = pieces.where("sides = 0").withColumn("open_edge", F.col("beside_blank")).withColumn("component", F.col("piece"))
    at_borders = with_open_edges(pieces.where("sides > 0"), done)
    whole = inside.unionByName(with_components(at_borders, touching(pieces), settings.one_task_pairs))
    outline = Outline(settings.min_area_m2, settings.detail_m, settings.tolerance_m)
    groups = whole.withColumn("cell", cell_of_component()).groupBy(*FIELD, "cell")
    planar = groups.applyInPandas(partial(planar_frame, outline=outline), PLANAR_DDL)
    footprints = _apart(planar, bool(settings.detail_m)).mapInPandas(footprint_frames, FOOTPRINTS_DDL)
    return _with_heights(with_neighbours(footprints), _heights_path(context.place, settings)).select(*TABLES["buildings"].names)


def _with_heights(footprints: DataFrame, path: str | None) -> DataFrame:
    """Adds `height_m`."""
    if path is None:
        return footprints.withColumn("height_m", F.lit(None).cast("double"))
    schema = StructType([*footprints.schema.fields, StructField("height_m", DoubleType())])
    return footprints.mapInPandas(partial(height_frames, path=path), schema)


def _apart(planar: DataFrame, regular: bool) -> DataFrame:
    """Adds `cuts`: polygons of other cells that a polygon gives way to, or null. Raw ones share no ground."""
    if not regular:
        return planar.withColumn("cuts", F.lit(None).cast("array<binary>"))
    homed = kept(planar.withColumn("home", F.col("cell")))
    beyond = homed.withColumn("cell", F.explode("beyond"))
    meeting = beyond.unionByName(homed.join(beyond.select(*FIELD, "cell").distinct(), [*FIELD, "cell"], "left_semi"))
    columns = (*FIELD, "cell", "home", "component", "pixels", "shape", "planar")
    found = meeting.select(*columns).groupBy(*FIELD, "cell").applyInPandas(cut_frame, CUTS_DDL)
    cuts = found.groupBy(*FIELD, "component").agg(F.collect_set("cut").alias("cuts"))
    return homed.join(cuts, [*FIELD, "component"], "left")


def _pieces(done: DataFrame, settings: BuildingsSettings, spark: SparkSession) -> DataFrame:
    """Pieces of all tiles: traced once, kept, since the graph and the footprints both read them."""
    columns = (*FIELD, "crs", "tile_px", "row", "col", "transform", "probability", "depth", "threshold", *_TOLD)
    shell = partial(piece_frames, min_area_m2=settings.min_area_m2)
    with rows_per_batch(spark, ROWS_WITH_RASTERS):
        return kept(done.select(*columns).mapInPandas(shell, PIECES_DDL))
