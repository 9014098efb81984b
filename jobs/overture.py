"""Buildings as rows of Overture Maps' theme buildings, type building: what its schema asks for and the table tells, nothing else."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.table import BBOX
from jobs.within_world import within_world

COLUMNS = ("id", "geometry", *BBOX, "version", "sources", "height")
PATH = "theme=buildings/type=building"
"""Of the files: readers that know such folders add both as columns, as in Overture's own files."""
DATASET = "UrbanTrace"


def as_overture(buildings: DataFrame, place: str, licence: str | None) -> DataFrame:
    """Adds COLUMNS; geometry and bbox lie within 180 degrees. `licence`: of the outlines, None where it is not told.

    `version` is 1: another outline is another id. `update_time` is the latest image's, in UTC; `record_id` finds the row; `height` is the
    median inside, null where it is not over 0, which the schema does not allow.
    """
    source = {
        "property": F.lit(""), "dataset": F.lit(DATASET), "license": F.lit(licence).cast("string"),
        "record_id": F.concat_ws("/", F.lit(place), "layer", "epoch", "building_id"),
        "update_time": F.date_format("last_date", "yyyy-MM-dd'T'HH:mm:ss'Z'"), "confidence": F.col("confidence"),
        "provider": F.lit("urbantrace"), "resource": F.lit("buildings"),
    }  # fmt: skip
    sources = F.array(F.struct(*(value.alias(name) for name, value in source.items())))
    height = F.when(F.col("height_m") > 0, F.col("height_m"))
    added = {"id": F.col("building_id"), "version": F.lit(1), "sources": sources, "height": height}
    return within_world(buildings).withColumns(added)
