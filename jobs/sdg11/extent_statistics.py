"""Extent statistics: of every unit what is built inside cities, their land and people, in the cities of the first epoch and in those of
each epoch. Parallel over the grid's tiles that units touch. Run: ./spark-submit.sh extent_statistics --place mumbai"""

from functools import partial
from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import EXTENT_STATISTICS
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.hierarchy import leaf_ancestry
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.people_shared import with_people
from jobs.series_maps import declared_source, fed_maps, no_sums, summed_source
from jobs.unit_sums import area_sums, summed_up
from jobs.within_world import within_world
from udfs.extent_masks import BUILT, EXTENT, FIXED, MAPS_DDL, MOVING, SEPARATOR, extent_map_frames, map_name

_TILE = ("grid", "tile_px", "row", "col")
_MAP = (*_TILE, "crs", "transform", "strip", "epoch", "status", "threshold", "probability")


class ExtentStatisticsSettings(Settings):
    """How finely is summed."""

    method: Literal["exact", "fast"] = Field("exact", description="as unit_statistics.method")


@job(
    reads=("built_up", "units", "urban_extent", "unit_statistics"), optional=("urban_series",), writes="extent_statistics",
    settings=ExtentStatisticsSettings, parallel_over="the grid's tiles that units touch", absent=no_sums, sources=summed_source,
)  # fmt: skip
def extent_statistics(tables: Tables, settings: ExtentStatisticsSettings, context: Context) -> DataFrame:
    """Sums of the smallest units, added up the tree; a row for every unit, epoch and boundary."""
    epochs = [epoch.name for epoch in context.place.epochs]
    names = [map_name(boundary, what, epoch) for boundary in (FIXED, MOVING) for what in (BUILT, EXTENT) for epoch in epochs]
    maps = fed_maps(tables, declared_source(context.place), context.place).select(*_MAP)
    listed = maps.join(_cut_extents(tables, context.place), [*_TILE], "left")
    with rows_per_batch(context.spark, ROWS_WITH_RASTERS):
        cut = kept(listed.mapInPandas(partial(extent_map_frames, first=epochs[0]), MAPS_DDL))
    ancestry = kept(leaf_ancestry(tables["units"]))
    sums = summed_up(area_sums(cut, tables["units"], names, settings.method), ancestry)
    whole = tables["unit_statistics"]
    shown = whole.select("unit_id", "epoch", F.col("built_m2").alias("whole_m2"), "valid_m2")
    inside = _by_boundary(sums).join(shown, ["unit_id", "epoch"], "inner")
    nobody = F.when(F.col("valid_m2") > 0, 0.0)  # where nothing is built; where nothing is seen people are not known
    return with_people(inside, "built_m2", "whole_m2", whole, ancestry, ("boundary",), of_nothing=nobody).select(*EXTENT_STATISTICS.names)


def _cut_extents(tables: Tables, place: Place) -> DataFrame:
    """Rows of _TILE and `extents` (epoch, WKB): of the cities that a tile's box touches, of any epoch, what lies in it."""
    mapped = tables["built_up"].where(F.col("layer") == place.fed_layer)
    tiles = mapped.groupBy(*_TILE).agg(F.expr("ST_Envelope(ST_GeomFromWKB(any_value(geometry)))").alias("shape"))
    cities = within_world(tables["urban_extent"]).select("epoch", F.expr("ST_GeomFromWKB(geometry)").alias("shape"))
    pairs = tiles.alias("t").join(cities.alias("e"), F.expr("ST_Intersects(e.shape, t.shape)"), "inner")
    parts = pairs.select(*_TILE, "epoch", F.expr("ST_AsBinary(ST_Intersection(e.shape, t.shape))").alias("geometry"))
    return parts.groupBy(*_TILE).agg(F.collect_list(F.struct("epoch", "geometry")).alias("extents"))


def _by_boundary(sums: DataFrame) -> DataFrame:
    """Rows unit_id, epoch, boundary, built_m2, extent_m2 from those of each map."""
    parts = F.split("epoch", f"[{SEPARATOR}]")
    named = sums.withColumns({"boundary": parts[0], "what": parts[1], "epoch": parts[2]})
    of_what = {what: F.max(F.when(F.col("what") == what, F.col("built_m2"))).alias(f"{what}_m2") for what in (BUILT, EXTENT)}
    return named.groupBy("unit_id", "epoch", "boundary").agg(*of_what.values())
