"""Unit shares: of every unit the built-up land and people in quarters that look informal, near stops and near open public space, and its
public space. Parallel over the grid's tiles that units touch. Run: ./spark-submit.sh unit_shares --place mumbai"""

from functools import partial, reduce
from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import UNIT_SHARES
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.hierarchy import leaf_ancestry, smallest_units
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.people_shared import with_people
from jobs.sdg11.informality import InformalitySettings, cannot_tell
from jobs.sdg11.services import ServicesSettings, no_services
from jobs.series_maps import declared_source, fed_maps, no_sums, summed_source
from jobs.unit_sums import area_sums, summed_up
from udfs.extent_masks import MAPS_DDL, SEPARATOR
from udfs.pixel_areas import MM2_PER_M2
from udfs.services import NEAR
from udfs.share_maps import INFORMAL, PART, PUBLIC_DDL, PUBLIC_SPACE, WHOLE, public_frame, share_map_frames, share_name

_TILE = ("grid", "tile_px", "row", "col")
_MAP = (*_TILE, "crs", "transform", "strip", "epoch", "status", "threshold", "probability")
SQUARE_DEGREES = 0.02
"""Side of the squares in which public spaces are joined: some thousands of them at the most."""


class UnitSharesSettings(Settings):
    """How finely is summed."""

    method: Literal["exact", "fast"] = Field("exact", description="as unit_statistics.method")


def nothing_to_tell(place: Place, settings: UnitSharesSettings) -> str | None:
    """Why the place does not run the job."""
    informal = cannot_tell(place, place.section(InformalitySettings, "informality"))
    near = no_services(place, place.section(ServicesSettings, "services"))
    return no_sums(place, settings) or (f"neither informality ({informal}) nor services ({near})" if informal and near else None)


@job(
    reads=("built_up", "units", "unit_statistics"), optional=("informality", "services", "urban_series"), writes="unit_shares",
    settings=UnitSharesSettings, parallel_over="the grid's tiles that units touch", absent=nothing_to_tell, sources=summed_source,
)  # fmt: skip
def unit_shares(tables: Tables, settings: UnitSharesSettings, context: Context) -> DataFrame:
    """A row for every unit and epoch, and for each thing that the place's tables can tell."""
    ancestry = kept(leaf_ancestry(tables["units"]))
    parts = [_of_maps(tables, settings, context, ancestry), _public_space(tables, ancestry)]
    return reduce(DataFrame.unionByName, (part.select(*UNIT_SHARES.names) for part in parts if part is not None))


def _of_maps(tables: Tables, settings: UnitSharesSettings, context: Context, ancestry: DataFrame) -> DataFrame:
    maps = fed_maps(tables, declared_source(context.place), context.place).select(*_MAP)
    near, informal = _near(tables), "informality" in tables
    if not near and not informal:
        return context.spark.createDataFrame([], UNIT_SHARES.ddl.replace(" NOT NULL", ""))
    listed = _with_reaches(_with_cells(maps, tables), tables, context.place)
    with rows_per_batch(context.spark, ROWS_WITH_RASTERS):
        cut = kept(listed.mapInPandas(partial(share_map_frames, near=near, informal=informal), MAPS_DDL))
    told = (*near, *([INFORMAL] if informal else []))
    names = [share_name(what, side, epoch.name) for what in told for side in (PART, WHOLE) for epoch in context.place.epochs]
    sums = summed_up(area_sums(cut, tables["units"], names, settings.method), ancestry)
    return with_people(_by_what(sums), "part_m2", "whole_m2", tables["unit_statistics"], ancestry, ("what",), of_nothing=F.lit(None))


def _near(tables: Tables) -> tuple[str, ...]:
    """What is told of reaches, of kinds that the place has."""
    if "services" not in tables:
        return ()
    kinds = {row["kind"] for row in tables["services"].select("kind").distinct().collect()}
    return tuple(what for kind, what in NEAR.items() if kind in kinds)


def _with_cells(maps: DataFrame, tables: Tables) -> DataFrame:
    """Adds `cells`: those of a map's epoch that its tile meets."""
    if "informality" not in tables:
        return maps.withColumn("cells", F.lit(None).cast("array<struct<row:int,col:int,cell_px:int,informal:boolean>>"))
    side = F.lit(maps.agg(F.max("tile_px")).first()[0] or 1)
    cells = tables["informality"].select("epoch", "grid", F.struct("row", "col", "cell_px", "informal").alias("cell"))
    met = {name: F.floor(F.col(f"cell.{name}") * F.col("cell.cell_px") / side).cast("int") for name in ("row", "col")}
    last = {name: F.floor(((F.col(f"cell.{name}") + 1) * F.col("cell.cell_px") - 1) / side).cast("int") for name in ("row", "col")}
    spread = cells.withColumn("row", F.explode(F.sequence(met["row"], last["row"])))
    spread = spread.withColumn("col", F.explode(F.sequence(met["col"], last["col"])))
    key = ["epoch", "grid", "row", "col"]
    return maps.join(spread.groupBy(*key).agg(F.collect_list("cell").alias("cells")), key, "left")


def _with_reaches(listed: DataFrame, tables: Tables, place: Place) -> DataFrame:
    """Adds `reaches`: what of the ground within reach of services lies in a map's tile."""
    if "services" not in tables:
        return listed.withColumn("reaches", F.lit(None).cast("array<struct<what:string,geometry:binary>>"))
    tiles = tables["built_up"].where(F.col("layer") == place.fed_layer).groupBy(*_TILE)
    boxes = tiles.agg(F.expr("ST_Envelope(ST_GeomFromWKB(any_value(geometry)))").alias("shape"))
    named = F.create_map(*(F.lit(text) for pair in NEAR.items() for text in pair))[F.col("kind")].alias("what")
    reaches = tables["services"].where("reach IS NOT NULL").select(named, F.expr("ST_GeomFromWKB(reach)").alias("shape"))
    pairs = boxes.alias("t").join(reaches.alias("r"), F.expr("ST_Intersects(r.shape, t.shape)"), "inner")
    parts = pairs.select(*_TILE, "what", F.expr("ST_AsBinary(ST_Intersection(r.shape, t.shape))").alias("geometry"))
    return listed.join(parts.groupBy(*_TILE).agg(F.collect_list(F.struct("what", "geometry")).alias("reaches")), [*_TILE], "left")


def _by_what(sums: DataFrame) -> DataFrame:
    """Rows unit_id, epoch, what, part_m2, whole_m2 from those of each map."""
    names = F.split("epoch", f"[{SEPARATOR}]")
    named = sums.withColumns({"what": names[0], "side": names[1], "epoch": names[2]})
    sides = {side: F.max(F.when(F.col("side") == side, F.col("built_m2"))).alias(f"{side}_m2") for side in (PART, WHOLE)}
    return named.groupBy("unit_id", "epoch", "what").agg(*sides.values())


def _public_space(tables: Tables, ancestry: DataFrame) -> DataFrame | None:
    """The land of open spaces and streets in every unit, beside what is built there in each epoch; None where none is declared."""
    if "services" not in tables:
        return None
    spaces = tables["services"].where("kind != 'stop'").select(F.expr("ST_GeomFromWKB(geometry)").alias("space"))
    if spaces.isEmpty():
        return None
    pairs = spaces.join(smallest_units(tables["units"]), F.expr("ST_Intersects(shape, space)"), "inner")
    pieces = pairs.select("unit_id", F.explode(F.expr("ST_Dump(ST_Intersection(shape, space))")).alias("piece"))
    ends = {end: f"floor(ST_{end}(piece) / {SQUARE_DEGREES}D)" for end in ("XMin", "XMax", "YMin", "YMax")}
    steps = {axis: f"sequence({ends[axis + 'Min']}, {ends[axis + 'Max']})" for axis in "XY"}
    spread = pieces.withColumn("x", F.explode(F.expr(steps["X"]))).withColumn("y", F.explode(F.expr(steps["Y"])))
    edges = ", ".join(f"{axis} * {SQUARE_DEGREES}D" for axis in ("x", "y", "(x + 1)", "(y + 1)"))
    part = F.expr(f"ST_AsBinary(ST_Intersection(piece, ST_PolygonFromEnvelope({edges})))").alias("piece")
    squares = spread.select("unit_id", "x", "y", part)
    areas = squares.groupBy("unit_id", "x", "y").applyInPandas(public_frame, PUBLIC_DDL)
    leaf = areas.groupBy(F.col("unit_id").alias("leaf_id")).agg(F.sum(F.col("area_mm2").cast("decimal(20,0)")).alias("mm2"))
    whole = ancestry.join(leaf, "leaf_id", "left").groupBy("unit_id").agg(F.coalesce(F.sum("mm2"), F.lit(0)).alias("mm2"))
    built = tables["unit_statistics"].select("unit_id", "epoch", F.col("built_m2").alias("whole_m2"))
    told = {"what": F.lit(PUBLIC_SPACE), "part_m2": F.col("mm2").cast("double") / MM2_PER_M2,
            "people": F.lit(None).cast("double"), "people_year": F.lit(None).cast("string")}  # fmt: skip
    return built.join(whole, "unit_id", "inner").withColumns(told)
