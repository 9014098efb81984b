"""Buildings as GeoParquet 1.1 for GIS users: files of about one size, along a Hilbert curve, a folder for each layer and epoch.
Run: ./spark-submit.sh buildings_geoparquet --place kampala [--set buildings_geoparquet.columns=overture]
Parallel over files."""

from typing import Literal

from pydantic import Field
from pyspark.sql import functions as F

from conf.settings import Settings
from conf.tables import TABLES
from jobs.geoparquet import write_geoparquet_files
from jobs.hilbert_order import ORDER, with_hilbert
from jobs.job import Context, Tables, job
from jobs.overture import COLUMNS, PATH, as_overture
from udfs.hilbert import BUCKET_BITS, LEVEL, files_of_buckets

FOLDER, OVERTURE_FOLDER = "buildings_geoparquet", "buildings_overture"
GROUP = ("layer", "epoch")
BYTES_BESIDE_GEOMETRY = 120
"""Of a row in a file, about."""


class BuildingsGeoparquetSettings(Settings):
    """How large files are, and what is in them."""

    columns: Literal["own", "overture"] = Field(
        "own", description="own: those of table buildings; overture: those of Overture Maps' buildings, under buildings_overture"
    )
    licence: str | None = Field(None, pattern=r"^[\w.+-]+$", description="of the results, an SPDX name, for `sources` of overture")
    file_mb: float = Field(
        128.0, gt=0, description="size of a file before compression, about, MB; 1 of 4,096 parts of the curve stays whole"
    )


@job(
    reads=("buildings",), writes=(), settings=BuildingsGeoparquetSettings, parallel_over="files", in_flow=False,
)  # fmt: skip
def buildings_geoparquet(tables: Tables, settings: BuildingsGeoparquetSettings, context: Context) -> None:
    """Every building once, its columns and a bbox, under `buildings_geoparquet/<layer>/<epoch>/` of the place, or as Overture has it."""
    parts = {"group": F.concat_ws("/", *GROUP), "bucket": F.shiftright("hilbert", 2 * LEVEL - BUCKET_BITS)}
    placed = with_hilbert(tables["buildings"]).withColumns(parts).persist()
    size = F.sum(F.length("geometry") + BYTES_BESIDE_GEOMETRY).alias("bytes")
    sizes = placed.groupBy("group", "bucket").agg(size).toPandas()
    files = files_of_buckets(sizes, settings.file_mb * 1e6)
    told = F.broadcast(context.spark.createDataFrame(files[["group", "bucket", "file"]]))
    numbered = placed.join(told, ["group", "bucket"])
    if settings.columns == "overture":
        rows = as_overture(numbered, context.place.name, settings.licence)
        written = write_geoparquet_files(rows, context.storage / OVERTURE_FOLDER, COLUMNS, GROUP, ORDER, PATH)
    else:
        written = write_geoparquet_files(numbered, context.storage / FOLDER, TABLES["buildings"].names, GROUP, ORDER)
    context.figures["files"] = written
    placed.unpersist()
