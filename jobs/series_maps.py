"""Series of maps: of which layers they are made, and the maps that they make in turn."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from jobs.fine_layers import fine_layers

GRID = ("grid", "crs", "tile_px", "row", "col", "transform", "strip")


def series_layers(place: Place) -> list[str]:
    """Those of `urban_series.layers`; where that is not set, those with pixels larger than 2 m."""
    declared = place.sections.get("urban_series", {}).get("layers")
    return sorted(declared) if declared is not None else sorted(set(place.layers) - set(fine_layers(place)))


def series_maps(series: DataFrame) -> DataFrame:
    """Rows layer, tile_id, the grid's columns, epoch, status, threshold, probability: one for each epoch of a row of `urban_series`, with
    what `built_up` has there."""
    rows = series.select("layer", "tile_id", *GRID, "status", "threshold", "series", F.posexplode("epochs").alias("number", "epoch"))
    probability = F.get("series", F.col("number"))
    status = F.when((F.col("status") == "done") & probability.isNull(), "nodata").otherwise(F.col("status"))
    return rows.withColumns({"probability": probability, "status": status}).drop("series", "number")
