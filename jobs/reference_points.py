"""Points of a reference sample: drawn from planned tiles, and what images and maps show at them. Parallel over tiles."""

import hashlib
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from jobs.job import Context, Tables
from jobs.planned_scenes import beside_neighbours, reading_of, scenes_named
from udfs.rasters import NO_DATA
from udfs.reference_sample import (
    COUNTS_DDL,
    MAP_DDL,
    PICKS_DDL,
    POINTS_DDL,
    Source,
    count_batches,
    map_batches,
    pick_batches,
    point_batches,
    shown_bands,
)
from udfs.strata import INDEX_BINS, STRATA, WET_BINS, Counts, Cuts, allocated, binned, cuts_of

TILE_AND_POINTS = "array<struct<point_id: int, row: int, col: int>>"


class Ground(NamedTuple):
    """Planned tiles of a layer and epoch, and how workers read them."""

    tiles: DataFrame
    source: Source


def ground_of(tables: Tables, layer: str, epoch: str, composite: str, looks: float, context: Context) -> Ground:
    planned = tables["tiles"].where((F.col("layer") == layer) & (F.col("epoch") == epoch))
    reading = reading_of(scenes_named(tables["scenes"], planned), context)
    return Ground(beside_neighbours(planned, context), Source(reading, composite, looks))


def counts_of(ground: Ground) -> dict[str, Counts]:
    """By index, pixels with data by its bins, as udfs.strata counts them; empty where there are none."""
    rows = ground.tiles.mapInPandas(partial(count_batches, source=ground.source), COUNTS_DDL)
    summed = rows.groupBy("name", "bin").agg(F.sum("pixels").alias("pixels")).toPandas()
    found: dict[str, Counts] = {}
    for name, part in summed.groupby("name"):
        found[str(name)] = np.zeros(INDEX_BINS * WET_BINS, np.int64)
        found[str(name)][part["bin"]] = part["pixels"]
    return found


def drawn_points(ground: Ground, cuts: Cuts, seed: int, points: int, least: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points [point_id, stratum, grid, row, col] and strata [stratum, pixels, area_m2, points]; ids tell no stratum."""
    shell = partial(pick_batches, source=ground.source, cuts=cuts, seed=seed, most=points)
    rows = ground.tiles.mapInPandas(shell, PICKS_DDL).persist()
    area = F.sum(F.col("area_mm2").cast("decimal(38,0)")).alias("area_mm2")
    sizes = {row["stratum"]: row for row in rows.groupBy("stratum").agg(F.sum("pixels").alias("pixels"), area).collect()}
    given = allocated({name: sizes[name]["pixels"] for name in STRATA if name in sizes}, points, least)
    each = rows.select("stratum", F.explode("picks").alias("pick"))
    first = {name: each.where(F.col("stratum") == name).orderBy("pick").limit(count).collect() for name, count in given.items()}
    rows.unpersist()
    picked = [(name, row["pick"]["grid"], row["pick"]["row"], row["pick"]["col"]) for name, found in first.items() for row in found]
    # Not by their keys: where few of many pixels are drawn the keys are smaller.
    picked.sort(key=lambda pick: hashlib.sha256(repr((seed, *pick[1:])).encode()).digest())
    found = pd.DataFrame(picked, columns=["stratum", "grid", "row", "col"])
    found.insert(0, "point_id", np.arange(1, len(found) + 1))
    strata = [(name, sizes[name]["pixels"], float(sizes[name]["area_mm2"]) / 1e6, count) for name, count in given.items()]
    return found, pd.DataFrame(strata, columns=["stratum", "pixels", "area_m2", "points"])


def composites_at(ground: Ground, points: pd.DataFrame, margin: int) -> pd.DataFrame:
    """Rows of POINTS_DDL by point_id: the pixels of the composite around points [point_id, grid, row, col]."""
    rows = _with_points(ground.tiles, points).mapInPandas(partial(point_batches, source=ground.source, margin=margin), POINTS_DDL)
    return rows.toPandas().sort_values("point_id", ignore_index=True)


def index_maps(ground: Ground, counts: dict[str, Counts], points: pd.DataFrame, sensor: str) -> dict[str, pd.Series]:
    """By `otsu_<index>`, whether Otsu's threshold of that index calls a point built-up, by point_id. Raises InputError for a point
    without data: the sample is of other images."""
    seen = composites_at(ground, points, 0)
    values = np.stack([np.frombuffer(each, np.float32) for each in seen["values"]], axis=1)
    bands = dict(zip(shown_bands(sensor), values, strict=True))
    lost = set(points["point_id"]) - set(seen["point_id"][np.isfinite(values).all(axis=0)])
    if lost:
        raise InputError(f"reference_sample: point {min(lost)} has no data, nor have {len(lost) - 1} more; use the images it was drawn on")
    return {
        f"otsu_{name}": pd.Series(binned(bands, name).built >= cuts_of(each).built, index=seen["point_id"]) for name, each in counts.items()
    }


def built_up_map(built_up: DataFrame, layer: str, epoch: str, points: pd.DataFrame) -> tuple[pd.Series, list[dict[str, Any]]]:
    """Whether the table calls points built-up, by point_id, without those where it has no data; and the models that made it."""
    done = built_up.where((F.col("layer") == layer) & (F.col("epoch") == epoch) & (F.col("status") == "done"))
    models = done.select("model_name", "model_version", "model_sha256", "threshold").distinct().orderBy("model_sha256").collect()
    return mapped_at(done, points), [row.asDict() for row in models]


def mapped_at(done: DataFrame, points: pd.DataFrame) -> pd.Series:
    """Whether maps of one layer and epoch call points built-up, by point_id, without those where they have no data."""
    rows = _with_points(done, points).select("tile_px", "threshold", "probability", "points").mapInPandas(map_batches, MAP_DDL)
    known = rows.where(F.col("probability") != NO_DATA).orderBy("point_id").toPandas().set_index("point_id")
    return known["probability"] >= known["threshold"]


def _with_points(tiles: DataFrame, points: pd.DataFrame) -> DataFrame:
    """Tiles that hold points, with their `points`."""
    listed: list[tuple[Any, ...]] = [(p["grid"], [(int(p["point_id"]), int(p["row"]), int(p["col"]))]) for p in points.to_dict("records")]
    each = tiles.sparkSession.createDataFrame(listed, f"grid string, points {TILE_AND_POINTS}")
    point = F.col("points")[0]
    side = F.col("tile_px")
    inside = (F.floor(point["row"] / side) == F.col("row")) & (F.floor(point["col"] / side) == F.col("col"))
    found = tiles.select("tile_id", "grid", "row", "col", "tile_px").join(F.broadcast(each), on="grid", how="inner").where(inside)
    lists = found.groupBy("tile_id").agg(F.array_sort(F.flatten(F.collect_list("points"))).alias("points"))
    return tiles.join(F.broadcast(lists), on="tile_id", how="inner")
