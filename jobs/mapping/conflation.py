"""Conflation: one map of buildings out of our own and published ones, each told with its source and with what others show there.
Parallel over squares of ground.
Run: ./spark-submit.sh conflation --place kampala --set 'conflation.prefer=[osm, urbantrace]'"""

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.table import BBOX
from conf.tables_buildings import CONFLATION, OTHERS
from jobs.fine_layers import chosen_epoch, chosen_layer, fine_layers
from jobs.hierarchy import smallest_units
from jobs.job import Context, Tables, job
from jobs.mapped_ground import mapped_ground, within
from jobs.matched_polygons import SQUARE, on_squares
from udfs.bridging import SAME_IOU
from udfs.conflation import LEFT_DDL, MEETINGS_DDL, left_frames, meeting_frame

OURS = "urbantrace"
"""Source of the buildings that the place maps itself."""
LEAST_LEFT = 0.5
"""Of a building: one of which less is left beside others is told by them."""
TOLD = ("id", "source", "confidence", "date", "licence", "attribution")


class ConflationSettings(Settings):
    """Whose outline stands where several show a building."""

    prefer: tuple[str, ...] = Field(
        ("osm", "overture", OURS, "google", "microsoft"),
        description=f"sources, the most trusted first; {OURS}: buildings mapped here; others follow by name",
    )
    layer: str | None = Field(None, description="of the buildings mapped here; default: the finest")
    epoch: str | None = Field(None, description="of the buildings mapped here; default: the last")


def _mapped_here(place: Place, settings: ConflationSettings) -> tuple[str, str] | None:
    """Layer and epoch, or None where the place maps no buildings. Raises InputError."""
    if not fine_layers(place) and not settings.layer:
        return None
    return chosen_layer(place, "conflation", settings.layer), chosen_epoch(place, "conflation.epoch", settings.epoch)


@job(
    reads=("footprints",), optional=("buildings", "built_up", "units"), writes="conflation", settings=ConflationSettings,
    parallel_over="squares of ground", in_flow=False, sources=_mapped_here,
)  # fmt: skip
def conflation(tables: Tables, settings: ConflationSettings, context: Context) -> DataFrame:
    """Every building once: what others show of it is in `others`, and no two share ground."""
    every = _every(tables, settings, context.place).persist()
    meetings = on_squares(every).groupBy(*SQUARE).applyInPandas(meeting_frame, MEETINGS_DDL).persist()
    dropped = _dropped(meetings.where("conflict").select("first_id", "second_id"))
    left = _left(every, meetings, dropped).persist()
    kept = left.where(F.col("left_share") >= LEAST_LEFT)
    gone = every.select("id", "source").join(kept.select("id"), "id", "left_anti").persist()
    rows = kept.join(every.select(*TOLD), "id").join(_others(meetings, kept, gone), "id", "left")
    rows = rows.withColumn("others", F.coalesce("others", F.array().cast(OTHERS)))
    rows = rows.withColumns({"agreement": _agreement(), "trimmed": F.col("left_share") < 1})
    return _placed(rows, tables, settings, context.place).withColumnRenamed("id", "feature_id").select(*CONFLATION.names)


def _every(tables: Tables, settings: ConflationSettings, place: Place) -> DataFrame:
    """All buildings of all sources, with `preference` and `size_m2`. Raises InputError where a preferred source is unknown."""
    published = tables["footprints"].withColumnsRenamed({"footprint_id": "id", "label_date": "date"})
    every = published.select(*TOLD, "geometry", *BBOX)
    ours = _mapped_here(place, settings)
    if ours and "buildings" in tables:
        own = tables["buildings"].where((F.col("layer") == ours[0]) & (F.col("epoch") == ours[1]))
        told = {"source": F.lit(OURS), "date": F.to_date("last_date"), "licence": F.lit(None), "attribution": F.lit(place.attribution)}
        every = every.unionByName(own.withColumnRenamed("building_id", "id").withColumns(told).select(*every.columns))
    order = F.array_position(F.array(*(F.lit(source) for source in _order(every, settings))), F.col("source"))
    return every.withColumns({"preference": order, "size_m2": F.expr("ST_AreaSpheroid(ST_GeomFromWKB(geometry))")})


def _order(every: DataFrame, settings: ConflationSettings) -> list[str]:
    """Sources that are there, the most trusted first. Raises InputError where one is asked for that no table has."""
    there = sorted(row["source"] for row in every.select("source").distinct().collect())
    known = {*there, *ConflationSettings().prefer}
    if unknown := [name for name in settings.prefer if name not in known]:
        raise InputError(f"conflation.prefer {unknown[0]}: no building has that source; use some of {', '.join(there)}")
    return [*(name for name in settings.prefer if name in there), *(name for name in there if name not in settings.prefer)]


def _dropped(conflicts: DataFrame) -> DataFrame:
    """Rows `id` of what gives way, from the first on: one stands if none that stands before it is in conflict with it. Each round settles
    all that nothing unsettled stands before."""
    left, dropped = conflicts.localCheckpoint(), conflicts.select(F.col("first_id").alias("id")).limit(0)
    while not left.isEmpty():
        standing = left.select("first_id").join(left.select(F.col("second_id").alias("first_id")), "first_id", "left_anti").distinct()
        falling = left.join(standing, "first_id", "left_semi").select(F.col("second_id").alias("id")).distinct().localCheckpoint()
        dropped = dropped.unionByName(falling)
        for name in ("first_id", "second_id"):
            left = left.join(falling.withColumnRenamed("id", name), name, "left_anti")
        left = left.select(*conflicts.columns).localCheckpoint()
    return dropped.localCheckpoint()


def _left(every: DataFrame, meetings: DataFrame, dropped: DataFrame) -> DataFrame:
    """Rows of LEFT_DDL of what was not dropped: each cut by the outlines of those that stand before it."""
    standing = every.join(dropped, "id", "left_anti").select("id", "geometry")
    first = meetings.join(standing.withColumnsRenamed({"id": "first_id", "geometry": "cut"}), "first_id")
    cuts = first.groupBy(F.col("second_id").alias("id")).agg(F.collect_set("cut").alias("cuts"))
    return standing.join(cuts, "id", "left").mapInPandas(left_frames, LEFT_DDL)


def _others(meetings: DataFrame, kept: DataFrame, gone: DataFrame) -> DataFrame:
    """Rows id, others: of each kept one those of gone ones that it is in conflict with, or that nothing else tells."""
    shared = ("overlap_m2", "iou", "conflict")
    names = {"first_id": "id", "second_id": "other"}
    turned = {"first_id": "other", "second_id": "id"}
    both = meetings.withColumnsRenamed(names).unionByName(meetings.withColumnsRenamed(turned)).select("id", "other", *shared)
    pairs = both.join(kept.select("id"), "id", "left_semi").join(gone.withColumnRenamed("id", "other"), "other")
    alone = ~F.max("conflict").over(Window.partitionBy("other"))
    told = pairs.withColumn("alone", alone).where("conflict OR alone")
    one = F.struct("source", F.col("other").alias("feature_id"), "iou", "overlap_m2")
    return told.groupBy("id").agg(F.sort_array(F.collect_list(one)).alias("others"))


def _agreement() -> Column:
    """By the others of other sources."""
    best = F.expr("array_max(transform(filter(others, o -> o.source != source), o -> o.iou))")
    return F.when(best >= SAME_IOU, "agreed").when(best.isNotNull(), "overlapped").otherwise("alone")


def _placed(rows: DataFrame, tables: Tables, settings: ConflationSettings, place: Place) -> DataFrame:
    """Adds `mapped` and `unit_id`, by a point inside."""
    pointed = rows.withColumn("shape", F.expr("ST_PointOnSurface(ST_GeomFromWKB(geometry))")).persist()
    mapped, unit = F.lit(None).cast("boolean"), F.lit(None).cast("string")
    ours = _mapped_here(place, settings)
    if ours and "built_up" in tables:
        done = tables["built_up"].where((F.col("layer") == ours[0]) & (F.col("epoch") == ours[1]) & (F.col("status") == "done"))
        seen = within(pointed.select("id", "shape"), mapped_ground(done)).select("id").distinct()
        pointed, mapped = pointed.join(seen.withColumn("seen", F.lit(True)), "id", "left"), F.col("seen").isNotNull()
    if "units" in tables:
        owned = within(pointed.select("id", "shape"), smallest_units(tables["units"])).groupBy("id").agg(F.min("unit_id").alias("unit_id"))
        pointed, unit = pointed.join(owned, "id", "left"), F.col("unit_id")
    return pointed.withColumns({"mapped": mapped, "unit_id": unit})
