"""Buildings as GeoParquet 1.1 for GIS users: files of about one size, along a Hilbert curve, a folder for each layer and epoch.
Run: ./spark-submit.sh buildings_geoparquet --place kampala
Parallel over files."""

import numpy as np
import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.settings import Settings
from conf.table import BBOX
from conf.tables import TABLES
from jobs.geoparquet import write_geoparquet_files
from jobs.job import Context, Tables, job
from udfs.hilbert import BUCKET_BITS, LEVEL, files_of_buckets, hilbert_numbers

FOLDER = "buildings_geoparquet"
GROUP = ("layer", "epoch")
ORDER = ("hilbert", "building_id")
BYTES_BESIDE_GEOMETRY = 120
"""Of a row in a file, about."""


class BuildingsGeoparquetSettings(Settings):
    """How large files are."""

    file_mb: float = Field(
        128.0, gt=0, description="size of a file before compression, about, MB; 1 of 4,096 parts of the curve stays whole"
    )


@job(
    reads=("buildings",), writes=(), settings=BuildingsGeoparquetSettings, parallel_over="files", in_flow=False,
)  # fmt: skip
def buildings_geoparquet(tables: Tables, settings: BuildingsGeoparquetSettings, context: Context) -> None:
    """Every building once, its columns and a bbox, under `buildings_geoparquet/<layer>/<epoch>/` of the place."""
    parts = {"group": F.concat_ws("/", *GROUP), "bucket": F.shiftright("hilbert", 2 * LEVEL - BUCKET_BITS)}
    placed = _placed(tables["buildings"]).withColumns(parts).persist()
    size = F.sum(F.length("geometry") + BYTES_BESIDE_GEOMETRY).alias("bytes")
    sizes = placed.groupBy("group", "bucket").agg(size).toPandas()
    files = files_of_buckets(sizes, settings.file_mb * 1e6)
    told = F.broadcast(context.spark.createDataFrame(files[["group", "bucket", "file"]]))
    numbered = placed.join(told, ["group", "bucket"])
    columns = TABLES["buildings"].names
    context.figures["files"] = write_geoparquet_files(numbered, context.storage / FOLDER, columns, GROUP, ORDER)
    placed.unpersist()


def _placed(buildings: DataFrame) -> DataFrame:
    """With `hilbert`, in the box of all buildings. Raises InputError where there is none, or the table is of an older version."""
    if lacking := sorted(set(TABLES["buildings"].names) - set(buildings.columns)):
        raise InputError(f"table buildings was made by an older version and lacks {', '.join(lacking)}; run buildings --recompute first")
    west, south, east, north = buildings.agg(F.min("xmin"), F.min("ymin"), F.max("xmax"), F.max("ymax")).first()
    if west is None:
        raise InputError("table buildings has no row, so there is nothing to export; run buildings first")

    def numbers(xmin: pd.Series, ymin: pd.Series, xmax: pd.Series, ymax: pd.Series) -> pd.Series:
        return pd.Series(hilbert_numbers(np.stack([xmin, ymin, xmax, ymax], axis=1), (west, south, east, north)))

    return buildings.withColumn("hilbert", F.pandas_udf(numbers, "bigint")(*BBOX))
