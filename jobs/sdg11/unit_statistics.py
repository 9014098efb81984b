"""Unit statistics: built-up, valid and total area, buildings and people of every unit in every epoch; parents are exact sums.
Parallel over the grid's tiles that units touch. Run: ./spark-submit.sh unit_statistics --place mumbai"""

from functools import partial, reduce
from typing import Literal

import shapely
from pydantic import Field
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import UNIT_STATISTICS
from jobs.arrow_batches import rows_per_batch
from jobs.hierarchy import leaf_ancestry, leaves, smallest_units
from jobs.job import Context, Tables, job
from jobs.mapped_ground import mapped_ground, within
from udfs.grid import Grid
from udfs.pixel_areas import MM2_PER_M2
from udfs.population import MICRO, PEOPLE_DDL, people_batches
from udfs.zonal import OUTLINES_DDL, SUMS_DDL, outline_batches, sums_batches
from udfs.zones import Zone, zone_called, zone_grid, zones_of

ARROW_BYTES = 64_000_000
"""Raster bytes that one Arrow batch may carry to a worker; one uint8 pixel of one epoch is at most one byte."""


class UnitStatisticsSettings(Settings):
    """What is summed, and how finely."""

    source: Literal["built_up"] = Field("built_up", description="table whose pixels are summed")
    method: Literal["exact", "fast"] = Field("exact", description="pixels shared by exact area, or given whole to the unit at their centre")
    buildings_layer: str | None = Field(None, description="layer whose buildings are counted; default: the first that has any")


def no_fed_layer(place: Place, settings: UnitStatisticsSettings) -> str | None:
    """Why the place does not run the job."""
    if not place.sections.get("units", {}).get("path"):
        return "no units.path is declared"
    return None if place.fed_layer else "no layer feeds built_m2"


@job(
    reads=("built_up", "units"), optional=("population", "buildings"), writes="unit_statistics",
    settings=UnitStatisticsSettings, parallel_over="the grid's tiles that units touch", absent=no_fed_layer,
)  # fmt: skip
def unit_statistics(tables: Tables, settings: UnitStatisticsSettings, context: Context) -> DataFrame:
    """Sums pixels over the smallest units, then adds up the tree."""
    units, built_up = tables["units"], tables["built_up"]
    ancestry = leaf_ancestry(units).persist()
    areas = _summed_up(area_sums(built_up.where(F.col("layer") == context.place.fed_layer), units, settings.method, context), ancestry)
    people = _people(tables, ancestry, context)
    buildings = _buildings(tables, settings, ancestry)
    joined = areas.join(people, on=["unit_id", "epoch"], how="left").join(buildings, on=["unit_id", "epoch"], how="left")
    return joined.select(*UNIT_STATISTICS.names)


def area_sums(built_up: DataFrame, units: DataFrame, method: str, context: Context) -> DataFrame:
    """Rows unit_id, epoch, built, valid, total (mm2, bigint) per tile and smallest unit, of one layer's rows, of all its grids."""
    sides = [row["tile_px"] for row in built_up.select("tile_px").distinct().collect()]
    if len(sides) != 1:
        found = f"tiles of sides {sorted(sides)}" if sides else "no row"
        raise ValueError(f"built_up holds {found} of the layer that feeds built_m2; run built_up, with --recompute if it has several")
    parts = [
        _sums_on(built_up.where(F.col("grid") == grid.name), units, grid, sides[0], strip, method, context)
        for grid, strip in _grids(built_up, units)
    ]
    return reduce(DataFrame.unionAll, parts)


def _sums_on(
    built_up: DataFrame, units: DataFrame, grid: Grid, tile_px: int, strip: Zone | None, method: str, context: Context
) -> DataFrame:
    epochs = [epoch.name for epoch in context.place.epochs]
    per_batch = max(1, ARROW_BYTES // (tile_px**2 * len(epochs)))
    work = tiles_with_units(units, grid, tile_px, strip).join(_layers(built_up), on=["row", "col"], how="left")
    # Set by hand: adaptive planning sees few bytes and would leave most cores idle.
    spread = work.repartition(4 * context.spark.sparkContext.defaultParallelism, "row", "col")
    with rows_per_batch(context.spark, per_batch):
        sums = spread.mapInArrow(partial(sums_batches, grid=grid, tile_px=tile_px, epochs=epochs, method=method), SUMS_DDL).persist()
        sums.count()
    return sums


def _grids(built_up: DataFrame, units: DataFrame) -> list[tuple[Grid, Zone | None]]:
    """The layer's grids, each from its tile nearest to the origin (there the arithmetic is exact); of a place that is cut by zones
    every zone that its units meet, with the zone, also where no image lies."""
    nearest = Window.partitionBy("grid").orderBy(F.abs("row") + F.abs("col"), "row", "col")
    columns = ("grid", "crs", "transform", "tile_px", "row", "col", "strip")
    rows = built_up.select(*columns).withColumn("rank", F.row_number().over(nearest)).where("rank = 1").orderBy("grid").collect()
    if len(rows) == 1 and built_up.where(F.col("strip").isNotNull()).isEmpty():
        return [(_grid(rows[0]), None)]
    boxes = [shapely.box(*row) for row in units.select("xmin", "ymin", "xmax", "ymax").distinct().collect()]
    resolution = float(rows[0]["transform"][0])
    zones = {zone.name: zone for zone in zones_of(shapely.union_all(boxes))} | {row["grid"]: zone_called(row["grid"]) for row in rows}
    return [(zone_grid(zone, resolution), zone) for _, zone in sorted(zones.items())]


def _grid(nearest: Row) -> Grid:
    a, _, x, _, e, y = nearest["transform"]
    px = nearest["tile_px"]
    return Grid(nearest["grid"], nearest["crs"], x - nearest["col"] * px * a, y - nearest["row"] * px * e, a, -e)


def tiles_with_units(units: DataFrame, grid: Grid, tile_px: int, strip: Zone | None = None) -> DataFrame:
    """Rows row, col, units [unit_id, outline]: the tiles that smallest units touch, also where no image lies.

    Joined by Sedona on the grid's own coordinates, where tiles are true rectangles.
    """
    shapes = (
        leaves(units)
        .select("unit_id", "geometry")
        .mapInPandas(partial(outline_batches, grid=grid, tile_px=tile_px, strip=strip), OUTLINES_DDL)
    )
    outlines = shapes.withColumn("shape", F.expr("ST_GeomFromWKB(outline)")).persist()
    spanned = outlines.select(F.explode(F.expr("sequence(top, bottom - 1)")).alias("row"), "left", "right")
    spanned = spanned.select("row", F.explode(F.expr("sequence(left, right - 1)")).alias("col")).distinct()
    squares = spanned.withColumn("square", _square(grid, tile_px))
    touching = squares.alias("t").join(outlines.alias("u"), on=F.expr("ST_Intersects(u.shape, t.square)"), how="inner")
    return touching.groupBy("row", "col").agg(F.collect_list(F.struct("unit_id", "outline")).alias("units"))


def _square(grid: Grid, tile_px: int) -> Column:
    def edge(origin: float, step: float, tile: str) -> Column:
        return F.lit(origin) + F.expr(tile) * F.lit(tile_px * step)

    west, east = (edge(grid.origin_x, grid.pixel_width, tile) for tile in ("col", "col + 1"))
    south, north = (edge(grid.origin_y, -grid.pixel_height, tile) for tile in ("row + 1", "row"))
    return F.call_function("ST_PolygonFromEnvelope", west, south, east, north)


def _layers(built_up: DataFrame) -> DataFrame:
    """Rows row, col, layers [epoch, threshold, probability] of the tiles that have pixels."""
    done = built_up.where(F.col("status") == "done")
    return done.groupBy("row", "col").agg(F.collect_list(F.struct("epoch", "threshold", "probability")).alias("layers"))


def _summed_up(sums: DataFrame, ancestry: DataFrame) -> DataFrame:
    """Areas in m2 of every unit and epoch, from sums of its smallest units."""
    exact = {name: F.sum(F.col(name).cast("decimal(20,0)")).alias(name) for name in ("built", "valid", "total")}
    leaf = sums.groupBy(F.col("unit_id").alias("leaf_id"), "epoch").agg(*exact.values())
    whole = leaf.join(ancestry, on="leaf_id", how="inner").groupBy("unit_id", "epoch").agg(*exact.values())
    return whole.select("unit_id", "epoch", *((F.col(name).cast("double") / MM2_PER_M2).alias(f"{name}_m2") for name in exact))


def _people(tables: Tables, ancestry: DataFrame, context: Context) -> DataFrame:
    """Rows unit_id, epoch, people, people_year: sums of smallest units where all are known, else the unit's own count."""
    if "population" not in tables:
        return context.spark.createDataFrame([], "unit_id string, epoch string, people double, people_year string")
    counts = tables["population"].groupBy("unit_id").agg(F.collect_list(F.struct("year", "people")).alias("counts"))
    counts = counts.select("unit_id", F.col("counts.year").alias("years"), F.col("counts.people").alias("people"))
    dates = {epoch.name: epoch.reference for epoch in context.place.epochs}
    own = counts.mapInPandas(partial(people_batches, dates=dates), PEOPLE_DDL).persist()
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
