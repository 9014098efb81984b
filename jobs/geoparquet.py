"""Tables as GeoParquet 1.1, for GIS users: Sedona writes it, a task for each file."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pyproj import CRS
from pyspark.sql import DataFrame, DataFrameWriter
from pyspark.sql import functions as F

from conf.table import BBOX
from jobs.within_world import within_world
from udfs.files import replace_folder

ROW_GROUP_BYTES = 2**21
"""Before compression, some ten thousand buildings: a reader that wants a hundredth of a million of them takes four groups of a hundred."""


def write_geoparquet(frame: DataFrame, path: Path, order: tuple[str, ...]) -> None:
    """One file, old or new, never half: `geometry` (WKB, EPSG:4326) and its four bbox columns become geometry and covering.

    The rows lie in the order of `order`, which must be total: the same rows give the same bytes. One task sorts them, on disk
    where they do not fit memory.
    """
    fresh = path.with_name(f".{path.name}.new")
    _writer(_shaped(frame).repartition(1).sortWithinPartitions(*order)).save(str(fresh.absolute()))
    (part,) = fresh.glob("part-*.parquet")
    part.replace(path)
    shutil.rmtree(fresh)


def write_geoparquet_files(
    frame: DataFrame, folder: Path, columns: Sequence[str], group: Sequence[str], order: Sequence[str], inside: str = ""
) -> int:
    """Those `columns` in files `<group>/…/<inside>/00000.parquet` of the number in column `file`, sorted by `order`; how many files. The
    folder is there as it was, or whole, but for the moment between two renamings."""
    fresh = folder.with_name(f".{folder.name}.new")
    keys = {f"by_{name}": F.col(name) for name in (*group, "file")}
    sorted_rows = frame.withColumns(keys).repartition(*keys).sortWithinPartitions(*keys, *order).select(*columns, *keys)
    _writer(_shaped(sorted_rows)).partitionBy(*keys).save(str(fresh.absolute()))
    parts = sorted(fresh.rglob("part-*.parquet"))
    for part in parts:
        *names, number = (each.partition("=")[2] for each in part.parent.relative_to(fresh).parts)
        target = fresh.joinpath("whole", *names, inside, f"{int(number):05d}.parquet")
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    replace_folder(folder, fresh)
    return len(parts)


def _shaped(frame: DataFrame) -> DataFrame:
    """With `bbox`, null where there is no geometry, for both must be optional, or neither."""
    shaped = within_world(frame).withColumn("geometry", F.expr("ST_GeomFromWKB(geometry)"))
    bbox = F.when(F.col("geometry").isNotNull(), F.struct("xmin", "xmax", "ymin", "ymax"))
    return shaped.withColumn("bbox", bbox).drop(*BBOX)


def _writer(frame: DataFrame) -> DataFrameWriter:
    """Sedona writes no CRS by default, which means "unknown", and no covering."""
    options = {"version": "1.1.0", "crs": CRS.from_epsg(4326).to_json(), "covering.geometry": "bbox"}
    writer = frame.write.format("geoparquet").mode("overwrite").option("parquet.block.size", ROW_GROUP_BYTES)
    return writer.options(**{f"geoparquet.{name}": value for name, value in options.items()})
