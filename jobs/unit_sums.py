"""Sums of pixels over units: built-up, valid and total area, exact, added up the tree of units."""

from collections.abc import Sequence
from functools import partial, reduce

import shapely
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from jobs.arrow_batches import ARROW_BYTES, rows_per_batch
from jobs.hierarchy import leaves
from jobs.kept_rows import kept
from udfs.grid import Grid
from udfs.pixel_areas import MM2_PER_M2
from udfs.zonal import BORDERS_DDL, OUTLINES_DDL, SUMS_DDL, border_batches, outline_batches, sums_batches
from udfs.zones import Zone, zone_called, zone_grid, zones_of


def area_sums(built_up: DataFrame, units: DataFrame, epochs: Sequence[str], method: str) -> DataFrame:
    """Rows unit_id, epoch, built, valid, total (mm2, bigint) per tile, smallest unit and epoch, of one layer's rows, of all its grids."""
    sides = [row["tile_px"] for row in built_up.select("tile_px").distinct().collect()]
    if len(sides) != 1:
        found = f"tiles of sides {sorted(sides)}" if sides else "no row"
        raise ValueError(f"built_up holds {found} of the layer that feeds built_m2; run built_up, with --recompute if it has several")
    parts = [
        _sums_on(built_up.where(F.col("grid") == grid.name), units, grid, sides[0], strip, epochs, method)
        for grid, strip in _grids(built_up, units)
    ]
    return reduce(DataFrame.unionAll, parts)


def _sums_on(
    built_up: DataFrame, units: DataFrame, grid: Grid, tile_px: int, strip: Zone | None, epochs: Sequence[str], method: str
) -> DataFrame:
    per_batch = max(1, ARROW_BYTES // (tile_px**2 * len(epochs)))
    work = tiles_with_units(units, grid, tile_px, strip).join(_layers(built_up), on=["row", "col"], how="left")
    # Set by hand: adaptive planning sees few bytes and would leave most cores idle.
    spread = work.repartition(4 * units.sparkSession.sparkContext.defaultParallelism, "row", "col")
    with rows_per_batch(units.sparkSession, per_batch):
        return kept(spread.mapInArrow(partial(sums_batches, grid=grid, tile_px=tile_px, epochs=epochs, method=method), SUMS_DDL))


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
    """Rows row, col, units [unit_id, border]: the tiles that smallest units touch, also where no image lies, with their borders in
    that row of tiles.

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
    spans = outlines.select("unit_id", "outline", "top", "bottom")
    near = spans.mapInPandas(partial(border_batches, grid=grid, tile_px=tile_px), BORDERS_DDL)
    found = touching.select("row", "col", "unit_id").join(near, on=["unit_id", "row"], how="inner")
    return found.groupBy("row", "col").agg(F.collect_list(F.struct("unit_id", "border")).alias("units"))


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


def summed_up(sums: DataFrame, ancestry: DataFrame) -> DataFrame:
    """Areas in m2 of every unit and epoch, from sums of its smallest units."""
    exact = {name: F.sum(F.col(name).cast("decimal(20,0)")).alias(name) for name in ("built", "valid", "total")}
    leaf = sums.groupBy(F.col("unit_id").alias("leaf_id"), "epoch").agg(*exact.values())
    whole = leaf.join(ancestry, on="leaf_id", how="inner").groupBy("unit_id", "epoch").agg(*exact.values())
    return whole.select("unit_id", "epoch", *((F.col(name).cast("double") / MM2_PER_M2).alias(f"{name}_m2") for name in exact))
