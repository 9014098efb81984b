"""Change events: ground that appeared or vanished between two epochs, whole across tiles. Parallel over tiles, then over cells of 4,096
pixels. Run: ./spark-submit.sh change_events --place pucallpa

Pixels side by side of one kind and interval are one event: from the last date that shows the one state to the first that shows the
other."""

from functools import partial

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.settings import Settings
from conf.tables import TABLES
from jobs.arrow_batches import rows_per_batch
from jobs.connecting import FIELD
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.whole_components import cell_of_component, touching, with_components, with_open_edges
from udfs.change_events import SEPARATOR, TURNS_DDL, turn_frames
from udfs.footprints import FOOTPRINTS_DDL, footprint_frames
from udfs.merging import PIECES_DDL, piece_frames
from udfs.polygons import PLANAR_DDL, Outline, planar_frame

ROWS_AT_ONCE = 4
"""Of series at once to a worker: a tile of 1,024 pixels and 68 epochs has up to 70 MB."""
_SERIES = ("layer", "grid", "crs", "tile_px", "row", "col", "transform", "epochs", "dates", "series")


class ChangeEventsSettings(Settings):
    """Which events are kept."""

    min_area_m2: float = Field(0.0, ge=0, description="smaller ones are left out")
    one_task_pairs: int = Field(
        500_000, ge=0, description="graphs of more touching pieces are solved by Spark rounds", json_schema_extra={"matters": False}
    )


@job(reads=("urban_series",), writes="change_events", settings=ChangeEventsSettings, parallel_over="tiles")
def change_events(tables: Tables, settings: ChangeEventsSettings, context: Context) -> DataFrame:
    """One row for each place that turns from one state to the other, in outlines of pixels."""
    series = tables["urban_series"].where("status = 'done'")
    pieces = _pieces(series, settings)
    tiles = series.select("layer", "grid", "tile_px", "row", "col").crossJoin(F.broadcast(pieces.select("epoch").distinct()))
    whole = kept(with_components(with_open_edges(pieces, tiles), touching(pieces), settings.one_task_pairs))
    groups = whole.withColumn("cell", cell_of_component()).groupBy(*FIELD, "cell")
    outline = Outline(settings.min_area_m2, detail_m=0, tolerance_m=0)
    planar = kept(groups.applyInPandas(partial(planar_frame, outline=outline), PLANAR_DDL))
    uncut = planar.withColumn("cuts", F.lit(None).cast("array<binary>"))
    outlines = uncut.mapInPandas(footprint_frames, FOOTPRINTS_DDL).withColumnRenamed("building_id", "event_id").drop("model_sha256")
    told = _told(planar, whole, tables["urban_series"])
    return _described(outlines.join(told, ["layer", "event_id"], "inner")).select(*TABLES["change_events"].names)


def _pieces(series: DataFrame, settings: ChangeEventsSettings) -> DataFrame:
    """Pieces of all tiles, in the place of an epoch the name of the turn."""
    with rows_per_batch(series.sparkSession, ROWS_AT_ONCE):
        turns = series.select(*_SERIES).mapInPandas(turn_frames, TURNS_DDL)
        return kept(turns.mapInPandas(partial(piece_frames, min_area_m2=settings.min_area_m2), PIECES_DDL))


def _told(planar: DataFrame, whole: DataFrame, series: DataFrame) -> DataFrame:
    """Rows layer, event_id, scenes_used, model_sha256: of the tiles that an event lies in."""
    named = planar.select(*FIELD, "component", F.col("building_id").alias("event_id"))
    tiles = whole.select(*FIELD, "component", "tile_px", "row", "col").distinct().join(named, [*FIELD, "component"], "inner")
    made = series.select("layer", "grid", "tile_px", "row", "col", "scenes_used", "model_sha256")
    lists = tiles.join(made, ["layer", "grid", "tile_px", "row", "col"], "inner").groupBy("layer", "event_id")
    return lists.agg(
        *(F.sort_array(F.array_distinct(F.flatten(F.collect_list(name)))).alias(name) for name in ("scenes_used", "model_sha256"))
    )


def _described(events: DataFrame) -> DataFrame:
    """Adds kind, epochs and dates, told by the turn's name and the pieces' dates."""
    parts = F.split("epoch", f"[{SEPARATOR}]")
    names = {name: parts[number] for number, name in enumerate(("kind", "from_epoch", "to_epoch"))}
    return events.withColumns(names).withColumns({"from_date": F.to_date("first_date"), "to_date": F.to_date("last_date")})
