"""Agglomerations: of every city the people on its ground; the unit that is its core, and the units that lie in it for the most part: what
is called city, agglomeration and region. Parallel over tiles and units. Run: ./spark-submit.sh agglomerations --place mumbai"""

from functools import reduce
from typing import Literal

from pydantic import Field
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.settings import Settings
from conf.tables import AGGLOMERATIONS
from jobs.hierarchy import leaf_ancestry, leaves
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.series_maps import declared_source, fed_maps, no_sums, summed_source
from jobs.unit_sums import area_sums
from jobs.within_world import within_world
from udfs.pixel_areas import MM2_PER_M2
from udfs.population import MICRO

SEPARATOR = "|"
EXTENT = ("epoch", "extent_id")


class AgglomerationsSettings(Settings):
    """Which units are cities, and how much of a city units must hold."""

    city_level: int = Field(0, ge=0, description="level of the units that are cities; 0 is the coarsest")
    region_share: float = Field(
        0.5, gt=0, le=1, description="units of that level with this share of their built-up land in it are in its region"
    )
    min_held_share: float = Field(0.95, ge=0, le=1, description="of a city's built-up land that lies in units, below which people are null")
    method: Literal["exact", "fast"] = Field("exact", description="as unit_statistics.method")


@job(
    reads=("built_up", "units", "urban_extent", "unit_statistics"), optional=("urban_series",), writes="agglomerations",
    settings=AgglomerationsSettings, parallel_over="the grid's tiles that cities touch", absent=no_sums, sources=summed_source,
    in_flow=False,
)  # fmt: skip
def agglomerations(tables: Tables, settings: AgglomerationsSettings, context: Context) -> DataFrame:
    """A row for each city of each epoch; where a unit is its core, one for that unit and one for its region."""
    shared = kept(_shared(tables, settings, context))
    statistics = tables["unit_statistics"].select("unit_id", "epoch", "built_m2", "total_m2", "people", "people_year")
    ancestry = kept(leaf_ancestry(tables["units"]))
    level = tables["units"].where(F.col("level") == settings.city_level).select("unit_id", F.coalesce("name", "unit_id").alias("name"))
    of_level = _of_level(shared, ancestry, level, statistics)
    whole = _whole(tables["urban_extent"], shared, statistics, settings.min_held_share)
    core = kept(_core(of_level))
    names = core.select(*EXTENT, "name")
    extents = whole.join(names, list(EXTENT), "left").withColumn("level", F.lit("agglomeration"))
    in_region = of_level.where(F.col("share") >= settings.region_share).unionByName(core).dropDuplicates([*EXTENT, "unit_id"])
    region = in_region.drop("name").join(names, list(EXTENT), "inner")
    parts = [extents, _summed(core, "city"), _summed(region, "region")]
    return reduce(DataFrame.unionByName, (part.select(*AGGLOMERATIONS.names) for part in parts))


def _shared(tables: Tables, settings: AgglomerationsSettings, context: Context) -> DataFrame:
    """Rows epoch, extent_id, leaf_id, built (mm2): built-up land that a city and a smallest unit share."""
    maps = fed_maps(tables, declared_source(context.place), context.place)
    # All epochs at once: how much of each pixel lies inside is worked out once, and taking it at other epochs costs little.
    sums = area_sums(maps, kept(_pairs(tables)), [epoch.name for epoch in context.place.epochs], settings.method)
    key = F.split("unit_id", f"[{SEPARATOR}]", 3)
    own = sums.withColumns({"at": key[0], "extent_id": key[1], "leaf_id": key[2]}).where("at = epoch")
    return own.groupBy(*EXTENT, "leaf_id").agg(F.sum(F.col("built").cast("decimal(38,0)")).alias("built"))


def _pairs(tables: Tables) -> DataFrame:
    """The grounds that a city and a smallest unit share, as units are: unit_id (the epoch and both ids), parent_id, geometry, the bbox."""
    cities = within_world(tables["urban_extent"]).select(*EXTENT, F.expr("ST_GeomFromWKB(geometry)").alias("city"))
    units = leaves(tables["units"]).select("unit_id", F.expr("ST_GeomFromWKB(geometry)").alias("unit"))
    met = cities.join(units, F.expr("ST_Intersects(city, unit)"), "inner")
    shape = met.withColumn("shape", F.expr("ST_CollectionExtract(ST_Intersection(city, unit), 3)")).where("NOT ST_IsEmpty(shape)")
    bbox = {name: F.expr(f"ST_{name[0].upper()}{name[1:].capitalize()}(shape)") for name in ("xmin", "ymin", "xmax", "ymax")}
    named = {"unit_id": F.concat_ws(SEPARATOR, *EXTENT, "unit_id"), "parent_id": F.lit(None).cast("string")}
    return shape.withColumns(bbox | named | {"geometry": F.expr("ST_AsBinary(shape)")}).drop("city", "unit", "shape", *EXTENT)


def _whole(extents: DataFrame, shared: DataFrame, statistics: DataFrame, min_held: float) -> DataFrame:
    """Of each city: its area, what is built, and the people of its smallest units by the share of their built-up land in it."""
    leaf = statistics.withColumnRenamed("unit_id", "leaf_id").withColumnRenamed("built_m2", "leaf_m2")
    held = shared.join(leaf, ["leaf_id", "epoch"], "inner").where("built > 0")
    micro = F.round(F.col("people") * F.least(_m2("built") / F.col("leaf_m2"), F.lit(1.0)) * MICRO).cast("decimal(38,0)")
    known = F.when(F.count("leaf_id") == F.count("micro"), F.sum("micro").cast("double") / MICRO)
    sums = held.withColumn("micro", micro).groupBy(*EXTENT).agg(
        known.alias("people"), _years("people_year"), F.sum("built").alias("held"), F.count("leaf_id").alias("units")
    )  # fmt: skip
    built = F.col("urban_m2") + F.col("suburban_m2")
    told = extents.select(*EXTENT, "area_m2", built.alias("built_m2")).join(sums, list(EXTENT), "left")
    share = F.least(F.coalesce(_m2("held"), F.lit(0.0)) / F.col("built_m2"), F.lit(1.0))
    enough = {name: F.when(share >= min_held, F.col(name)) for name in ("people", "people_year")}
    return told.withColumns({"held_share": share, "unit_id": F.lit(None).cast("string"), "units": F.coalesce("units", F.lit(0)), **enough})


def _of_level(shared: DataFrame, ancestry: DataFrame, level: DataFrame, statistics: DataFrame) -> DataFrame:
    """Rows epoch, extent_id, of the units of one level that it touches: built (mm2, in it), share (of the unit's own built-up land) and the
    unit's sums."""
    above = ancestry.join(level, "unit_id", "inner")
    inside = shared.join(above, "leaf_id", "inner").groupBy(*EXTENT, "unit_id", "name").agg(F.sum("built").alias("built"))
    sums = inside.where("built > 0").join(statistics, ["unit_id", "epoch"], "inner")
    return sums.withColumn("share", F.least(_m2("built") / F.col("built_m2"), F.lit(1.0)))


def _core(of_level: DataFrame) -> DataFrame:
    """The unit that holds most of a city's built-up land, where no other city holds more of the unit's."""
    keys = {"of_extent": EXTENT, "of_unit": ("epoch", "unit_id")}
    order = (F.desc("built"), "extent_id", "unit_id")
    ranked = of_level.withColumns({name: F.row_number().over(Window.partitionBy(*key).orderBy(*order)) for name, key in keys.items()})
    return ranked.where("of_extent = 1 AND of_unit = 1").drop("of_extent", "of_unit")


def _summed(units: DataFrame, level: str) -> DataFrame:
    """Whole units together: of areas and people sums in whole mm2 and millionths."""
    total, built, people = (
        F.sum(F.round(F.col(name) * MICRO).cast("decimal(38,0)")).cast("double") / MICRO for name in ("total_m2", "built_m2", "people")
    )
    known = F.when(F.count("people") == F.count("unit_id"), people)
    sums = units.groupBy(*EXTENT, "name").agg(
        total.alias("area_m2"), built.alias("built_m2"), known.alias("people"), _years("people_year"), F.count("unit_id").alias("units"),
        F.min("unit_id").alias("unit_id"),
    )  # fmt: skip
    alone = F.when(F.lit(level == "city"), F.col("unit_id"))
    return sums.withColumns({"level": F.lit(level), "held_share": F.lit(1.0), "unit_id": alone})


def _m2(name: str) -> Column:
    return F.col(name).cast("double") / MM2_PER_M2


def _years(name: str) -> Column:
    """All of them; null where there is none."""
    return F.when(F.count(name) > 0, F.concat_ws(", ", F.sort_array(F.collect_set(name)))).alias(name)
