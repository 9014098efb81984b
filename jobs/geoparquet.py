"""Tables as GeoParquet 1.1, for GIS users: Sedona writes it, one task at a time in one file."""

import shutil
from pathlib import Path

from pyproj import CRS
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BBOX = ("xmin", "ymin", "xmax", "ymax")


def write_geoparquet(frame: DataFrame, path: Path, order: tuple[str, ...]) -> None:
    """One file, old or new, never half: `geometry` (WKB, EPSG:4326) and its four bbox columns become geometry and covering.

    The rows lie in the order of `order`, which must be total: the same rows give the same bytes. One task sorts them, on disk
    where they do not fit memory.
    """
    fresh = path.with_name(f".{path.name}.new")
    shaped = frame.withColumns({"bbox": F.struct(*BBOX), "geometry": F.expr("ST_GeomFromWKB(geometry)")}).drop(*BBOX)
    writer = shaped.repartition(1).sortWithinPartitions(*order).write.format("geoparquet").mode("overwrite")
    # Sedona writes no CRS by default, which means "unknown", and no covering.
    options = {"version": "1.1.0", "crs": CRS.from_epsg(4326).to_json(), "covering.geometry": "bbox"}
    for name, value in options.items():
        writer = writer.option(f"geoparquet.{name}", value)
    writer.save(str(fresh.absolute()))
    (part,) = fresh.glob("part-*.parquet")
    part.replace(path)
    shutil.rmtree(fresh)
