"""Indicators: SDG 11.3.1 of each unit and period, with both formulas, regimes and reasons. Parallel over units x periods.
Run: ./spark-submit.sh indicators --place mumbai"""

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import INDICATORS
from jobs.hierarchy import leaves
from jobs.job import Context, Tables, job
from jobs.series_maps import declared_source
from udfs.indicator_rows import PAIR_COLUMNS, Period, indicator_batches, periods_of
from udfs.lcrpgr import years_between
from udfs.null_reasons import Limits
from udfs.repeats import Scatter, comparable_dates, refusal, scatter
from udfs.share_rows import SHARE_COLUMNS, SURVEY_COLUMNS, share_batches, survey_batches
from udfs.uncertainty import Errors, most_cross_correlation

SUMS = {"built_m2": "built", "valid_m2": "valid", "total_m2": "total", "people": "people", "people_year": "people_year"}
REPEATS = "repeats"
BOUNDS = ("boundary", "basis")
"""Inside what a unit is summed, and whether what is built there or all land of its cities."""


class GrowthErrors(Settings):
    """Variance of a built-up area V: V patch_m2 + (V common_sd)^2."""

    patch_m2: float = Field(gt=0, description="as errors come in patches, m2")
    common_sd: float = Field(0.0, ge=0, lt=1, description="of all units alike, relative")


class IndicatorsSettings(Settings):
    """Which periods, when a value is null, and the errors behind lower and upper."""

    periods: Literal["consecutive", "whole", "consecutive+whole", "all"] = Field(
        "consecutive+whole", description="between neighbouring epochs, from the first to the last, both, or between any two"
    )
    min_valid_share: float = Field(0.5, ge=0, le=1, description="share of a unit with data below which there is no value")
    max_valid_gap: float = Field(0.05, ge=0, le=1, description="difference of that share between two epochs above which there is none")
    max_people_gap_years: float = Field(1.5, ge=0, description="years between census or survey and epoch above which there is no value")
    built_sd: float | None = Field(None, gt=0, lt=1, description="relative standard deviation of built-up area; null: no bounds")
    growth_errors: Literal["repeats"] | GrowthErrors | None = Field(
        None, description="of built-up area, what differs from date to date; repeats: from how the smallest units scatter about steady "
        "growth, over three epochs or more"
    )  # fmt: skip
    people_sd: float | None = Field(None, gt=0, lt=1, description="relative standard deviation of people; null: no bounds")
    built_correlation: float = Field(0.0, ge=0, lt=1, description="of the errors that built_sd tells at two epochs")
    people_correlation: float = Field(0.0, ge=0, lt=1, description="of the errors of people at two epochs")
    cross_correlation: float = Field(0.0, gt=-1, lt=1, description="of the errors of built-up area and of people at one epoch")
    draws: int = Field(2048, ge=100, le=1_000_000, description="of the Monte Carlo behind lower and upper, at least; doubled until settled")

    @model_validator(mode="after")
    def _correlations_fit(self) -> "IndicatorsSettings":
        of_built = {self.built_correlation, 0.0} if self.growth_errors else {self.built_correlation}
        most = min(most_cross_correlation(each, self.people_correlation) for each in of_built)
        if abs(self.cross_correlation) > most:
            raise ValueError(
                f"cross_correlation {self.cross_correlation} cannot be beside such correlations in time; {most:.3f} is the most"
            )
        return self


def repeats_source(place: Place, settings: IndicatorsSettings) -> None:
    """Raises InputError where `repeats` cannot be told: with too few epochs, or of series, in which errors stay from date to date."""
    if settings.growth_errors != REPEATS:
        return
    if len(place.epochs) < 3:
        raise refusal(f"{len(place.epochs)} epochs, 3 are needed")
    if declared_source(place) != "built_up":
        raise refusal("the dates of a series are not read apart")


@job(
    reads=("unit_statistics",), optional=("units", "extent_statistics", "unit_shares", "deprivation"), writes="indicators",
    settings=IndicatorsSettings, parallel_over="units x periods", data_version=3, sources=repeats_source,
)  # fmt: skip
def indicators(tables: Tables, settings: IndicatorsSettings, context: Context) -> DataFrame:
    """Pairs each unit's sums at the start and end of every period, in its own bounds and inside cities, and applies the formulas."""
    periods = periods_of([epoch.name for epoch in context.place.epochs], settings.periods)
    pairs = _pairs(_sums(tables), _period_rows(context.spark, context.place, periods))
    growth = _growth_errors(tables, settings, context)
    # Set by hand: adaptive planning sees few bytes and would leave all draws of the bounds to one core.
    spread = pairs.repartition(4 * context.spark.sparkContext.defaultParallelism, "unit_id")
    parts = [spread.mapInPandas(shell_of(settings, growth), INDICATORS.ddl), *_shares(pairs, tables, settings)]
    return reduce(DataFrame.unionByName, (part.select(*INDICATORS.names) for part in parts))


def _shares(pairs: DataFrame, tables: Tables, settings: IndicatorsSettings) -> Iterator[DataFrame]:
    """Indicators that are parts of a whole, of units in their own bounds at each epoch."""
    states = pairs.where("period_start = period_end AND boundary = 'unit' AND basis = 'built_up'")
    if "unit_shares" in tables:
        told = tables["unit_shares"].select(
            "unit_id", F.col("epoch").alias("period_end"), "what", "part_m2", "whole_m2", F.col("people").alias("part_people")
        )
        joined = states.join(told, ["unit_id", "period_end"], "inner").select(*SHARE_COLUMNS)
        yield joined.mapInPandas(partial(share_batches, limits=limits_of(settings)), INDICATORS.ddl)
    if "deprivation" in tables:
        surveys = tables["deprivation"].groupBy("unit_id").agg(F.collect_list(F.struct("year", "share", "standard_error")).alias("surveys"))
        joined = states.join(surveys, "unit_id", "left").select(*SURVEY_COLUMNS)
        yield joined.mapInPandas(partial(survey_batches, most_years=settings.max_people_gap_years), INDICATORS.ddl)


def _growth_errors(tables: Tables, settings: IndicatorsSettings, context: Context) -> Scatter | None:
    """As set, or as the smallest units tell."""
    if isinstance(settings.growth_errors, GrowthErrors):
        return Scatter(settings.growth_errors.patch_m2, settings.growth_errors.common_sd)
    if settings.growth_errors is None:
        return None
    dates = {epoch.name: _decimal_year(epoch.reference) for epoch in context.place.epochs}
    rows = tables["unit_statistics"].join(leaves(tables["units"]).select("unit_id"), "unit_id", "left_semi")
    rows = rows.where((F.col("valid_m2") > 0) & (F.col("valid_m2") >= F.lit(settings.min_valid_share) * F.col("total_m2")))
    shares = {"valid": F.col("valid_m2") / F.col("total_m2"), "built": F.col("built_m2") / F.col("valid_m2") * F.col("total_m2")}
    known = rows.withColumns(shares).select("unit_id", "epoch", *shares).toPandas().pivot(index="unit_id", columns="epoch")
    valid, built = (known[name].reindex(columns=list(dates)).to_numpy(np.float64) for name in shares)
    found = scatter(np.array(list(dates.values())), built, comparable_dates(valid, settings.max_valid_gap))
    context.figures.update(found._asdict())
    return found


def shell_of(settings: IndicatorsSettings, growth: Scatter | None) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """The batch function that the settings ask for; `growth`: their growth_errors as numbers."""
    errors = Errors(
        settings.built_sd, settings.people_sd, settings.built_correlation, settings.people_correlation, settings.draws,
        settings.cross_correlation, growth,
    )  # fmt: skip
    return partial(indicator_batches, limits=limits_of(settings), errors=errors)


def limits_of(settings: IndicatorsSettings) -> Limits:
    """When a value is null."""
    return Limits(settings.min_valid_share, settings.max_valid_gap, settings.max_people_gap_years)


def _sums(tables: Tables) -> DataFrame:
    """Rows of `unit_statistics` with `boundary` and `basis`; where there are cities, also of what lies inside them, of which a unit shows
    as much as of the rest of it."""
    whole = tables["unit_statistics"].select("unit_id", "epoch", *SUMS)
    parts = [whole.withColumns({"boundary": F.lit("unit"), "basis": F.lit("built_up")})]
    if "extent_statistics" in tables:
        inside = tables["extent_statistics"].join(whole.select("unit_id", "epoch", "valid_m2", "total_m2"), ["unit_id", "epoch"], "inner")
        parts.append(inside.withColumn("basis", F.lit("built_up")))
        moving = inside.where("boundary = 'moving'").withColumn("basis", F.lit("urban_extent"))
        parts.append(moving.withColumn("built_m2", F.col("extent_m2")))
    columns = ("unit_id", "epoch", *SUMS, *BOUNDS)
    return reduce(DataFrame.unionByName, (part.select(*columns) for part in parts))


def _period_rows(spark: SparkSession, place: Place, periods: list[Period]) -> DataFrame:
    """One row per period with its length and the reference dates as decimal years."""
    dates = {epoch.name: epoch.reference for epoch in place.epochs}
    rows = [
        (p.start, p.end, years_between(dates[p.start], dates[p.end]), _decimal_year(dates[p.start]), _decimal_year(dates[p.end]))
        for p in periods
    ]
    return spark.createDataFrame(rows, "period_start string, period_end string, years double, year_start double, year_end double")


def _decimal_year(day: dt.date) -> float:
    return day.year + years_between(dt.date(day.year, 1, 1), day)


def _pairs(statistics: DataFrame, periods: DataFrame) -> DataFrame:
    """PAIR_COLUMNS: the sums of a unit at both ends of each period."""
    joined = F.broadcast(periods)
    start = _sums_at(statistics, "start").join(joined, on="period_start", how="inner")
    return start.join(_sums_at(statistics, "end"), on=["unit_id", "period_end", *BOUNDS], how="inner").select(*PAIR_COLUMNS)


def _sums_at(statistics: DataFrame, end: str) -> DataFrame:
    sums = [F.col(column).alias(f"{name}_{end}") for column, name in SUMS.items()]
    return statistics.select("unit_id", *BOUNDS, F.col("epoch").alias(f"period_{end}"), *sums)
