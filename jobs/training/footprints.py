"""Footprints: buildings as Microsoft, Google, Overture, OpenStreetMap or a vector file know them, on the ground of the tiles.
Parallel over files. Run: ./spark-submit.sh footprints --place mumbai"""

from functools import reduce
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import FOOTPRINTS
from jobs.footprint_readers import FootprintSource, digests_of, read_source
from jobs.job import Context, Tables, job


class FootprintsSettings(Settings):
    """Which footprints are taken."""

    # Their content, not where they lie, decides rows; that is digested by `footprint_sources`.
    sources: tuple[FootprintSource, ...] = Field((), json_schema_extra={"matters": False}, description="where footprints come from")


def no_footprints(place: Place, settings: FootprintsSettings) -> str | None:
    """Why the place does not run the job."""
    return None if settings.sources else "no footprints.sources are declared"


def footprint_sources(place: Place, settings: FootprintsSettings) -> list[dict[str, Any]]:
    """What each source says, with the digests of its files; raises InputError where one is not there."""
    return [{**source.model_dump(mode="json", exclude={"path"}), "files": digests_of(source, place)} for source in settings.sources]


@job(
    reads=("tiles",), writes="footprints", settings=FootprintsSettings, parallel_over="files", in_flow=False,
    absent=no_footprints, sources=footprint_sources, data_version=2,
)  # fmt: skip
def footprints(tables: Tables, settings: FootprintsSettings, context: Context) -> DataFrame:
    """Every footprint that meets a tile, once, however many files hold it. Raises InputError where none does."""
    ground = tables["tiles"].select("tile_id", "geometry", "xmin", "ymin", "xmax", "ymax").dropDuplicates(["tile_id"]).persist()
    found = reduce(DataFrame.unionByName, [read_source(source, ground, context) for source in settings.sources]).persist()
    _note_refused(found, context)
    met = _on_ground(found.where("geometry IS NOT NULL"), ground).persist()
    if met.isEmpty():
        raise InputError("no footprint of footprints.sources meets a tile; check their paths and the place's area")
    return met.select(*FOOTPRINTS.names)


def _on_ground(found: DataFrame, ground: DataFrame) -> DataFrame:
    squares = ground.selectExpr("ST_GeomFromWKB(geometry) AS square")
    outlines = found.withColumn("outline", F.expr("ST_GeomFromWKB(geometry)"))
    pairs = squares.join(outlines, F.expr("ST_Intersects(square, outline)"), how="inner")
    return pairs.drop("square", "outline").dropDuplicates(["footprint_id"])


def _note_refused(found: DataFrame, context: Context) -> None:
    """What is no polygon is counted by source: it is ground whose buildings are missing."""
    for row in (
        found.groupBy("source").agg(F.count(F.lit(1)).alias("read"), F.count_if(F.col("geometry").isNull()).alias("refused")).collect()
    ):
        context.figures[f"read_{row['source']}"] = row["read"]
        context.figures[f"refused_{row['source']}"] = row["refused"]
