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
from udfs.conflation import LEAST_LEFT, LEFT_DDL, MEETINGS_DDL, left_frames, meeting_frame

OURS = "urbantrace"
"""Source of the buildings that the place maps itself."""
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
    parallel_over="squares of ground", in_flow=False, sources=_mapped_here, data_version=2,
)  # fmt: skip
def conflation(tables: Tables, settings: ConflationSettings, context: Context) -> DataFrame:
    """Every building once: what others show of it is in `others`, and no two share ground. Raises InputError."""
    every = _every(tables, settings, context).persist()
    meetings = on_squares(every).groupBy(*SQUARE).applyInPandas(meeting_frame, MEETINGS_DDL).persist()
    fallen = _fallen(every, meetings)
    standing = every.join(fallen, "id", "left_anti")
    kept = _left(standing, meetings, standing)
    rows = kept.join(every.select(*TOLD), "id").join(_others(every, meetings, fallen), "id", "left")
    rows = rows.withColumn("others", F.coalesce("others", F.array().cast(OTHERS)))
    rows = rows.withColumns({"agreement": _agreement(), "trimmed": F.col("left_share") < 1})
    return _placed(rows, tables, settings, context.place).withColumnRenamed("id", "feature_id").select(*CONFLATION.names)


def _every(tables: Tables, settings: ConflationSettings, context: Context) -> DataFrame:
    """All buildings of all sources, with `preference` and `size_m2`. Raises InputError where a preferred source is unknown, or the place's
    own buildings are not there."""
    published = tables["footprints"].withColumnsRenamed({"footprint_id": "id", "label_date": "date"})
    every = published.select(*TOLD, "geometry", *BBOX)
    if (own := _own(tables, settings, context)) is not None:
        every = every.unionByName(own.select(*every.columns))
    order = F.array_position(F.array(*(F.lit(source) for source in _order(every, settings))), F.col("source"))
    return every.withColumns({"preference": order, "size_m2": F.expr("ST_AreaSpheroid(ST_GeomFromWKB(geometry))")})


def _own(tables: Tables, settings: ConflationSettings, context: Context) -> DataFrame | None:
    """The buildings mapped here, or None where the place maps none; a note where it has none. Raises InputError."""
    place = context.place
    if (ours := _mapped_here(place, settings)) is None:
        return None
    layer, epoch = ours
    if "buildings" not in tables:
        raise InputError(f"place {place.name} maps buildings, layer {layer}, and has no table buildings yet; run buildings first")
    own = tables["buildings"].where((F.col("layer") == layer) & (F.col("epoch") == epoch))
    if own.isEmpty():
        context.say_once(
            f"table buildings has no row of layer {layer}, epoch {epoch}: published ones stand alone; run buildings, or set "
            "conflation.layer or conflation.epoch to mapped ones"
        )
    told = {"source": F.lit(OURS), "date": F.to_date("last_date"), "licence": F.lit(None), "attribution": F.lit(place.attribution)}
    return own.withColumnRenamed("building_id", "id").withColumns(told)


def _order(every: DataFrame, settings: ConflationSettings) -> list[str]:
    """Sources that are there, the most trusted first. Raises InputError where one is asked for that no table has."""
    there = sorted(row["source"] for row in every.select("source").distinct().collect())
    known = {*there, *ConflationSettings().prefer}
    if unknown := [name for name in settings.prefer if name not in known]:
        raise InputError(f"conflation.prefer {unknown[0]}: no building has that source; use some of {', '.join(there)}")
    return [*(name for name in settings.prefer if name in there), *(name for name in there if name not in settings.prefer)]


def _fallen(every: DataFrame, meetings: DataFrame) -> DataFrame:
    """Rows `id` of what falls, from the first on: by one that stands and is in conflict with it, or as all that stand before it leave less
    than LEAST_LEFT. Each round settles at least all that nothing unsettled stands before, so the order alone decides."""
    pairs, fallen = meetings.select("first_id", "second_id", "share", "conflict").localCheckpoint(), every.select("id").limit(0)
    while not pairs.isEmpty():
        settled = _settled(pairs).localCheckpoint()
        unsure = pairs.join(settled.where("NOT falls AND ready").where(F.col("covered") > 1 - LEAST_LEFT), "second_id", "left_semi")
        wanted = every.join(unsure.select(F.col("second_id").alias("id")), "id", "left_semi")
        covered = _left(wanted, unsure, every).where(F.col("left_share") < LEAST_LEFT).select("id")
        falling = settled.where("falls").select(F.col("second_id").alias("id")).unionByName(covered).localCheckpoint()
        fallen = fallen.unionByName(falling)
        pairs = pairs.join(settled, "second_id", "left_anti").join(falling.withColumnRenamed("id", "first_id"), "first_id", "left_anti")
        pairs = pairs.select("first_id", "second_id", "share", "conflict").localCheckpoint()
    return fallen.localCheckpoint()


def _settled(pairs: DataFrame) -> DataFrame:
    """Of what others stand before: what `falls` by a conflict, what is `ready`, as all before it stand, and what stands whichever do."""
    second = pairs.select(F.col("second_id").alias("first_id"))
    stands = pairs.select("first_id").distinct().join(second, "first_id", "left_anti").withColumn("stands", F.lit(True))
    each = pairs.join(stands, "first_id", "left").groupBy("second_id")
    told = each.agg(
        F.max(F.col("conflict") & F.col("stands").isNotNull()).alias("falls"),
        F.max("conflict").alias("doubtful"),
        F.min(F.col("stands").isNotNull()).alias("ready"),
        # At most, and no sum: the last digit of one depends on the order of rows.
        (F.count(F.lit(1)) * F.max("share")).alias("covered"),
    )
    return told.where(F.col("falls") | (~F.col("doubtful") & (F.col("ready") | (F.col("covered") <= 1 - LEAST_LEFT))))


def _left(polygons: DataFrame, pairs: DataFrame, standing: DataFrame) -> DataFrame:
    """Rows of LEFT_DDL: polygons cut by the outlines of those that stand before them."""
    cuts = pairs.join(standing.select(F.col("id").alias("first_id"), F.col("geometry").alias("cut")), "first_id")
    cuts = cuts.groupBy(F.col("second_id").alias("id")).agg(F.collect_set("cut").alias("cuts"))
    return polygons.select("id", "geometry").join(cuts, "id", "left").mapInPandas(left_frames, LEFT_DDL)


def _others(every: DataFrame, meetings: DataFrame, fallen: DataFrame) -> DataFrame:
    """Rows id, others: of each that stands those of fallen ones that share LEAST_SHARE of the smaller with it, or that nothing else tells,
    and those that gave it as much of their ground."""
    shared = ("overlap_m2", "iou", "told")
    before = meetings.select(F.col("first_id").alias("id"), F.col("second_id").alias("other"), *shared, F.lit(True).alias("before"))
    after = meetings.select(F.col("second_id").alias("id"), F.col("first_id").alias("other"), *shared, F.lit(False).alias("before"))
    fell = fallen.select(F.col("id").alias("other"), F.lit(True).alias("fell"))
    pairs = before.unionByName(after).join(fallen, "id", "left_anti").join(fell, "other", "left")
    alone = F.col("fell").isNotNull() & ~F.max("told").over(Window.partitionBy("other"))
    left_out = F.col("told") & (F.col("fell").isNotNull() | F.col("before"))
    told = pairs.withColumn("alone", alone).where(F.col("alone") | left_out)
    told = told.join(every.select(F.col("id").alias("other"), "source"), "other")
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
