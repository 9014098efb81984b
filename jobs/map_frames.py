"""What a map needs from the tables, brought to the driver at the map's resolution: its size bounds the memory."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from udfs.map_pixels import MAP_PIXELS_DDL, MapGrid, map_grid, map_pixel_batches
from udfs.report_coverage import STATES

UNIT_ORDER = ("unit_id", "period_start", "period_end", "epoch", "indicator", "formula_id")


def grid_of(built_up: DataFrame, layer: str, most_px: int) -> MapGrid | None:
    """The picture over the done tiles of a layer; of several grids the one with most tiles. None without a done tile."""
    done = _done(built_up, layer).withColumn("a", F.col("transform")[0]).withColumn("e", -F.col("transform")[4])
    west, north = F.col("transform")[2], F.col("transform")[5]
    row = (
        done.groupBy("grid", "crs", "a", "e")
        .agg(
            F.count(F.lit(1)).alias("tiles"),
            F.min(west).alias("west"),
            F.max(west + F.col("tile_px") * F.col("a")).alias("east"),
            F.min(north - F.col("tile_px") * F.col("e")).alias("south"),
            F.max(north).alias("north"),
        )
        .orderBy(F.desc("tiles"), "grid")
        .first()
    )
    return map_grid(row.crs, (row.west, row.south, row.east, row.north), (row.a, row.e), most_px) if row else None


def states_of(rows: DataFrame, layer: str, most_px: int) -> tuple[MapGrid, pd.DataFrame] | None:
    """The picture over all planned tiles of a layer, a pixel a tile or, above `most_px` a side, a square of tiles; and its cells:
    epoch, y, x, state (an index of STATES, the worst of the cell). `rows` as `coverage_rows` gives them. Of several grids the one
    with most tiles; None without a tile."""
    mine = rows.where(F.col("layer") == layer).withColumn("a", F.col("transform")[0]).withColumn("e", -F.col("transform")[4])
    ends = [
        F.count(F.lit(1)).alias("tiles"), F.min("row").alias("top"), F.max("row").alias("bottom"), F.min("col").alias("left"),
        F.max("col").alias("right"), F.min(F.col("transform")[2]).alias("west"), F.max(F.col("transform")[5]).alias("north"),
    ]  # fmt: skip
    found = mine.groupBy("grid", "crs", "tile_px", "a", "e").agg(*ends).orderBy(F.desc("tiles"), "grid").first()
    if found is None:
        return None
    tall, wide = found.bottom - found.top + 1, found.right - found.left + 1
    step = -(-max(tall, wide) // most_px)
    grid = MapGrid(
        found.crs, found.west, found.north, found.a * found.tile_px * step, found.e * found.tile_px * step,
        -(-wide // step), -(-tall // step), step,
    )  # fmt: skip
    place = {"y": F.floor((F.col("row") - found.top) / step), "x": F.floor((F.col("col") - found.left) / step)}
    state = F.array_position(F.array(*map(F.lit, STATES)), F.col("status")) - 1
    cells = mine.where(F.col("grid") == found.grid).withColumns(place).groupBy("epoch", "y", "x").agg(F.max(state).alias("state"))
    return grid, cells.toPandas()


def map_pixels(built_up: DataFrame, layer: str, grid: MapGrid) -> pd.DataFrame:
    """Rows of MAP_PIXELS_DDL of every epoch. Tiles of another zone are left out."""
    columns = ("epoch", "tile_px", "transform", "threshold", "probability")
    rows = _done(built_up, layer).where(F.col("crs") == grid.crs).select(*columns)
    return rows.mapInPandas(partial(map_pixel_batches, grid=grid), MAP_PIXELS_DDL).toPandas()


def scenes_of(scenes: DataFrame, built_up: DataFrame, layer: str, epoch: str) -> list[dict[str, Any]]:
    """Rows of `scenes` that tiles of a layer and epoch come from."""
    used = _done(built_up, layer).where(F.col("epoch") == epoch).select(F.explode("scenes_used").alias("scene_id")).distinct()
    columns = ("scene_id", "sensor", "hrefs", "band_indexes", "nodata", "cloud")
    return [row.asDict() for row in scenes.join(used, on="scene_id", how="left_semi").select(*columns).orderBy("scene_id").collect()]


def rows_of_units(table: DataFrame, ids: Iterable[str]) -> pd.DataFrame:
    """Rows of these units, by unit and period or epoch."""
    wanted = table.sparkSession.createDataFrame([(unit,) for unit in ids], "unit_id string")
    rows = table.join(F.broadcast(wanted), on="unit_id", how="left_semi").toPandas()
    return rows.sort_values([name for name in UNIT_ORDER if name in rows], ignore_index=True)


def building_counts(buildings: DataFrame) -> dict[tuple[str, str], int]:
    """Buildings of each layer and epoch that has any."""
    return {(row["layer"], row["epoch"]): row["count"] for row in buildings.groupBy("layer", "epoch").count().collect()}


def polygons_of(buildings: DataFrame, layer: str, epoch: str, most: int) -> list[bytes]:
    """WKB of up to `most` buildings, chosen by id."""
    rows = buildings.where((F.col("layer") == layer) & (F.col("epoch") == epoch))
    return [bytes(row.geometry) for row in rows.orderBy("building_id").limit(most).select("geometry").collect()]


def _done(built_up: DataFrame, layer: str) -> DataFrame:
    return built_up.where((F.col("layer") == layer) & (F.col("status") == "done"))
