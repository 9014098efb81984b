"""Series of maps: of which layers they are made, the maps that they make in turn, and which of both are summed."""

from typing import Any, Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from jobs.fine_layers import fine_layers
from jobs.job import Tables

MapSource = Literal["built_up", "urban_series"]
"""Table whose pixels are summed: of maps, or of their series."""

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


def no_sums(place: Place, settings: Any) -> str | None:
    """Why the place does not sum maps over units."""
    if not place.sections.get("units", {}).get("path"):
        return "no units.path is declared"
    return None if place.fed_layer else "no layer feeds built_m2"


def check_source(place: Place, source: MapSource) -> None:
    """Raises InputError where the place makes no series of the layer whose pixels are to be summed."""
    if source == "urban_series" and (len(place.epochs) < 2 or place.fed_layer not in series_layers(place)):
        raise InputError(
            "setting unit_statistics.source = 'urban_series': the place makes no series of that layer; see urban_series.layers"
        )


def declared_source(place: Place) -> MapSource:
    """Setting unit_statistics.source, which other sums of the same pixels follow. Raises InputError as `check_source`."""
    source: MapSource = place.sections.get("unit_statistics", {}).get("source", "built_up")
    check_source(place, source)
    return source


def summed_source(place: Place, settings: Any) -> str:
    """As a job's `sources`: the table whose pixels it sums or asks; raises InputError as `declared_source`."""
    return declared_source(place)


def fed_maps(tables: Tables, source: MapSource, place: Place) -> DataFrame:
    """Rows of `built_up`, or of the same columns that are summed, of the layer that feeds built_m2."""
    if source == "built_up":
        return tables["built_up"].where(F.col("layer") == place.fed_layer)
    if "urban_series" not in tables:
        raise InputError("setting unit_statistics.source = 'urban_series': the place has no such table yet; run urban_series first")
    return series_maps(tables["urban_series"].where(F.col("layer") == place.fed_layer))
