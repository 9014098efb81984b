"""Change statistics: what became built-up in each unit from one epoch to the next, and what ceased to be; parents are exact sums.
Parallel over the grid's tiles that units touch. Run: ./spark-submit.sh change_statistics --place mumbai"""

from functools import partial
from itertools import pairwise
from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.place import Place
from conf.settings import Settings
from conf.tables import CHANGE_STATISTICS
from jobs.arrow_batches import rows_per_batch
from jobs.hierarchy import leaf_ancestry
from jobs.job import Context, Tables, job
from jobs.kept_rows import kept
from jobs.series_maps import series_layers
from jobs.unit_sums import area_sums, summed_up
from models.series_states import YEAR_DAYS
from udfs.change_events import CHANGES_DDL, LOST, NEW, SEPARATOR, change_frames

ROWS_AT_ONCE = 4


class ChangeStatisticsSettings(Settings):
    """How finely is summed."""

    method: Literal["exact", "fast"] = Field("exact", description="as unit_statistics.method")


def no_units(place: Place, settings: ChangeStatisticsSettings) -> str | None:
    """Why the place does not run the job."""
    if not place.sections.get("units", {}).get("path"):
        return "no units.path is declared"
    return None if place.fed_layer in series_layers(place) else "no layer with series feeds built_m2"


@job(
    reads=("urban_series", "units"), writes="change_statistics", settings=ChangeStatisticsSettings,
    parallel_over="the grid's tiles that units touch", absent=no_units,
)  # fmt: skip
def change_statistics(tables: Tables, settings: ChangeStatisticsSettings, context: Context) -> DataFrame:
    """New and lost built-up of every unit from each epoch to the next, and from the first to the last: of ground that both show."""
    dates = {epoch.name: epoch.reference for epoch in context.place.epochs}
    pairs = _pairs(list(dates))
    names = [SEPARATOR.join((kind, *pair)) for pair in pairs for kind in (NEW, LOST)]
    series = tables["urban_series"].where(F.col("layer") == context.place.fed_layer)
    with rows_per_batch(context.spark, ROWS_AT_ONCE):
        changes = kept(series.mapInPandas(partial(change_frames, pairs=pairs), CHANGES_DDL))
    sums = summed_up(area_sums(changes, tables["units"], names, settings.method), kept(leaf_ancestry(tables["units"])))
    years = [(*pair, (dates[pair[1]] - dates[pair[0]]).days / YEAR_DAYS) for pair in pairs]
    return _by_pair(sums, context.spark.createDataFrame(years, "from_epoch string, to_epoch string, years double"))


def _pairs(epochs: list[str]) -> list[tuple[str, str]]:
    """Neighbours, and the first and last."""
    return [*pairwise(epochs), *([(epochs[0], epochs[-1])] if len(epochs) > 2 else [])]


def _by_pair(sums: DataFrame, years: DataFrame) -> DataFrame:
    """From rows for each unit and name of change to rows of the table."""
    parts = F.split("epoch", f"[{SEPARATOR}]")
    named = sums.withColumns({"kind": parts[0], "from_epoch": parts[1], "to_epoch": parts[2]})
    new, lost = (named.where(F.col("kind") == kind) for kind in (NEW, LOST))
    key = ["unit_id", "from_epoch", "to_epoch"]
    both = new.withColumnRenamed("built_m2", "new_m2").join(lost.select(*key, F.col("built_m2").alias("lost_m2")), key, "inner")
    rates = {f"{name}_per_year": F.col(name) / F.col("years") for name in ("new_m2", "lost_m2")}
    return both.join(F.broadcast(years), key[1:], "inner").withColumns(rates).select(*CHANGE_STATISTICS.names)
