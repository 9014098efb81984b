"""Unit statistics: built-up, valid and total area, buildings and people of every unit in every epoch; parents are exact sums.
Parallel over the grid's tiles that units touch. Run: ./spark-submit.sh unit_statistics --place mumbai"""

from functools import partial
from typing import Literal

from pydantic import Field
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import UNIT_STATISTICS
from jobs.hierarchy import leaf_ancestry, smallest_units
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.mapped_ground import mapped_ground, within
from jobs.series_maps import MapSource, check_source, fed_maps, no_sums
from jobs.unit_sums import area_sums, summed_up
from udfs.population import MICRO, PEOPLE_DDL, people_batches


class UnitStatisticsSettings(Settings):
    """What is summed, and how finely."""

    source: MapSource = Field("built_up", description="table whose pixels are summed: of maps, or of their series")
    method: Literal["exact", "fast"] = Field("exact", description="pixels shared by exact area, or given whole to the unit at their centre")
    buildings_layer: str | None = Field(None, description="layer whose buildings are counted; default: the first that has any")


def maps_source(place: Place, settings: UnitStatisticsSettings) -> None:
    """Raises InputError as `check_source`."""
    check_source(place, settings.source)


@job(
    reads=("built_up", "units"), optional=("population", "buildings", "urban_series"), writes="unit_statistics",
    settings=UnitStatisticsSettings, parallel_over="the grid's tiles that units touch", absent=no_sums, sources=maps_source,
)  # fmt: skip
def unit_statistics(tables: Tables, settings: UnitStatisticsSettings, context: Context) -> DataFrame:
    """Sums pixels over the smallest units, then adds up the tree."""
    units, maps = tables["units"], fed_maps(tables, settings.source, context.place)
    ancestry = kept(leaf_ancestry(units))
    epochs = [epoch.name for epoch in context.place.epochs]
    areas = summed_up(area_sums(maps, units, epochs, settings.method), ancestry)
    people = _people(tables, ancestry, context)
    buildings = _buildings(tables, settings, ancestry)
    joined = areas.join(people, on=["unit_id", "epoch"], how="left").join(buildings, on=["unit_id", "epoch"], how="left")
    return joined.select(*UNIT_STATISTICS.names)


def _people(tables: Tables, ancestry: DataFrame, context: Context) -> DataFrame:
    """Rows unit_id, epoch, people, people_year: sums of smallest units where all are known, else the unit's own count."""
    if "population" not in tables:
        return context.spark.createDataFrame([], "unit_id string, epoch string, people double, people_year string")
    counts = tables["population"].groupBy("unit_id").agg(F.collect_list(F.struct("year", "people")).alias("counts"))
    counts = counts.select("unit_id", F.col("counts.year").alias("years"), F.col("counts.people").alias("people"))
    dates = {epoch.name: epoch.reference for epoch in context.place.epochs}
    own = kept(counts.mapInPandas(partial(people_batches, dates=dates), PEOPLE_DDL))
    sizes = ancestry.groupBy("unit_id").agg(F.count("leaf_id").alias("leaves"))
    parts = ancestry.join(own.withColumnRenamed("unit_id", "leaf_id"), on="leaf_id", how="inner").groupBy("unit_id", "epoch")
    sums = parts.agg(
        F.sum(F.col("micro_people").cast("decimal(20,0)")).alias("micro"),
        F.count("leaf_id").alias("found"),
        F.concat_ws(", ", F.sort_array(F.collect_set("people_year"))).alias("people_year"),
    )
    whole = sums.join(sizes, on="unit_id", how="inner").where(F.col("found") == F.col("leaves"))
    whole = whole.select("unit_id", "epoch", _from_micro("micro"), "people_year")
    alone = own.select("unit_id", "epoch", _from_micro("micro_people"), "people_year")
    return whole.unionByName(alone.join(whole, on=["unit_id", "epoch"], how="left_anti"))


def _from_micro(name: str) -> Column:
    return (F.col(name).cast("double") / MICRO).alias("people")


def _buildings(tables: Tables, settings: UnitStatisticsSettings, ancestry: DataFrame) -> DataFrame:
    """Rows unit_id, epoch, buildings, only where the layer has data in the unit."""
    built_up = tables["built_up"]
    if "buildings" not in tables:
        return built_up.sparkSession.createDataFrame([], "unit_id string, epoch string, buildings bigint")
    layer = settings.buildings_layer or _first_layer(tables["buildings"])
    smallest = smallest_units(tables["units"])
    seen = within(mapped_ground(built_up.where((F.col("layer") == layer) & (F.col("status") == "done"))), smallest)
    seen = seen.select("unit_id", "epoch").distinct()
    counted = counted_buildings(tables["buildings"].where(F.col("layer") == layer), smallest)
    per_leaf = seen.join(counted, on=["unit_id", "epoch"], how="left").fillna(0, ["buildings"]).withColumnRenamed("unit_id", "leaf_id")
    return per_leaf.join(ancestry, on="leaf_id", how="inner").groupBy("unit_id", "epoch").agg(F.sum("buildings").alias("buildings"))


def counted_buildings(buildings: DataFrame, smallest: DataFrame) -> DataFrame:
    """Rows unit_id, epoch, buildings of the `smallest_units` that have any, for buildings of one layer: each counts once, where a point on
    its surface lies; one on the line between two units in the first by id."""
    points = buildings.select("epoch", "building_id", F.expr("ST_PointOnSurface(ST_GeomFromWKB(geometry))").alias("shape"))
    owned = within(points, smallest).groupBy("epoch", "building_id").agg(F.min("unit_id").alias("unit_id"))
    return owned.groupBy("unit_id", "epoch").agg(F.count("building_id").alias("buildings"))


def _first_layer(buildings: DataFrame) -> str | None:
    found = buildings.agg(F.min("layer")).first()
    return found[0] if found else None
