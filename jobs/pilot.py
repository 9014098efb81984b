"""A pilot: a stratified share of the tiles, and from it the price of all and hints of how sure the map is."""

import math
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from jobs.arrow_batches import ROWS_WITH_RASTERS, rows_per_batch
from jobs.summary import STATUSES
from udfs.certainty import CERTAINTY_DDL, certainty_batches

STRATA = 4
"""Of each layer, by predicted work of a tile over all epochs: sea, edges, and ground that many images show cost differently."""
KEY = ("layer", "tile_id")


class Stratum(NamedTuple):
    """Tiles of a layer that cost about the same. Seconds are of one core, and sums over all epochs of a tile."""

    layer: str
    number: int
    tiles: int
    mapped: int
    mean: float
    variance: float

    @property
    def total(self) -> float:
        return self.tiles * self.mean

    @property
    def error(self) -> float:
        """Standard error of `total`, for tiles drawn without replacement. Source: Cochran 1977, Sampling Techniques, (5.7)."""
        if self.mapped < 2:
            return 0.0
        return self.tiles * math.sqrt(self.variance / self.mapped * (1 - self.mapped / self.tiles))


def share_of(text: str) -> float:
    """0-1 from `1%` or `0.01`; raises InputError."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise InputError(f"--pilot {text}: write a share of the tiles, e.g. 1% or 0.01")
    return share


def stratified(tiles: DataFrame) -> DataFrame:
    """Rows layer, tile_id, stratum, rank: tiles in strata of equal size by predicted work, in an order that is a hash of their ids."""
    work = tiles.groupBy(*KEY).agg(F.round(F.sum("predicted_seconds"), 6).alias("work"))
    by_work = Window.partitionBy("layer").orderBy("work", "tile_id")
    drawn = Window.partitionBy("layer", "stratum").orderBy(F.xxhash64("tile_id"), "tile_id")
    ranked = work.withColumn("stratum", F.ntile(STRATA).over(by_work)).withColumn("rank", F.row_number().over(drawn))
    return ranked.withColumn("size", F.count(F.lit(1)).over(Window.partitionBy("layer", "stratum"))).drop("work")


def is_drawn(share: float) -> Column:
    """Whether a row of `stratified` belongs to a pilot: at least two tiles a stratum, where there are two."""
    return F.col("rank") <= F.greatest(F.ceil(F.col("size") * share), F.least(F.lit(2), F.col("size")))


def pilot_lines(place: Place, tiles: DataFrame, built_up: DataFrame) -> list[str]:
    """What all tiles will cost by those that are mapped, and how sure the map of these is."""
    strata = _strata(tiles, built_up)
    return [line for layer in place.layers for line in _layer_lines(place, layer, strata, built_up.where(F.col("layer") == layer))]


def _strata(tiles: DataFrame, built_up: DataFrame) -> list[Stratum]:
    spent = built_up.groupBy(*KEY).agg(F.sum("seconds").alias("seconds"))
    joined = stratified(tiles).join(spent, on=list(KEY), how="left")
    rows = joined.groupBy("layer", "stratum").agg(
        F.count(F.lit(1)).alias("tiles"), F.count("seconds").alias("mapped"), F.coalesce(F.avg("seconds"), F.lit(0.0)).alias("mean"),
        F.coalesce(F.var_samp("seconds"), F.lit(0.0)).alias("variance"),
    )  # fmt: skip
    return [Stratum(*row) for row in rows.orderBy("layer", "stratum").collect()]


def _layer_lines(place: Place, layer: str, strata: list[Stratum], rows: DataFrame) -> list[str]:
    mine = [stratum for stratum in strata if stratum.layer == layer]
    tiles, mapped = sum(stratum.tiles for stratum in mine), sum(stratum.mapped for stratum in mine)
    if not mapped:
        return [f"pilot, {layer}: no tile is mapped yet"]
    total, error = sum(stratum.total for stratum in mine), math.sqrt(sum(stratum.error**2 for stratum in mine))
    hours, price = total / 3600, total / 3600 * place.price_per_cpu_hour
    return [
        f"pilot, {layer}: {mapped} of {tiles} tiles mapped, all epochs",
        f"  all of them: {hours:.3g} CPU hours (standard error {error / 3600:.2g}), {price:.4f} US$ at "
        f"{place.price_per_cpu_hour:g} US$ per CPU hour",
        *_certainty_lines(rows),
    ]


def _certainty_lines(rows: DataFrame) -> list[str]:
    """Hints, no accuracy: what share of the ground was seen, how much of it is near the threshold, what failed."""
    counts = {row["status"]: row["count"] for row in rows.groupBy("status").count().collect()}
    with rows_per_batch(rows.sparkSession, ROWS_WITH_RASTERS):
        pixels = rows.where(F.col("status") == "done").select("probability", "threshold", "tile_px")
        sums = (F.sum(name).alias(name) for name in ("valid", "built", "unsure"))
        found = pixels.mapInPandas(certainty_batches, CERTAINTY_DDL).agg(*sums).first()
    failed = rows.agg(F.sum(F.size("scenes_failed")).alias("failed"), F.sum(F.size("scenes_used")).alias("used")).first()
    lines = [f"  tiles: {', '.join(f'{counts.get(status, 0)} {status}' for status in STATUSES)}"]
    if found["valid"]:
        built, unsure = found["built"] / found["valid"], found["unsure"] / found["valid"]
        lines.append(f"  ground with data: {built:.2%} built-up, {unsure:.2%} within 0.1 of the threshold: unsure")
    return [*lines, f"  images: {failed['used'] or 0} used, {failed['failed'] or 0} failed, counted by tile"]
