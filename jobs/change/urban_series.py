"""Urban series: the maps of all epochs, made one series of states that never contradicts itself. Parallel over tiles.
Run: ./spark-submit.sh urban_series --place pucallpa"""

from collections.abc import Callable, Collection
from functools import partial
from itertools import pairwise
from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings, digest
from conf.tables import URBAN_SERIES
from jobs.arrow_batches import ARROW_BYTES, rows_per_batch
from jobs.job import Context, Tables, job
from jobs.planned_scenes import PARTITIONS_PER_CORE
from jobs.series_maps import series_layers
from udfs.change_integration import Rule
from udfs.urban_series import Steadiness, series_batches

DATA_VERSION = 1
MOST_EPOCHS = 254
"""Their numbers fit a byte beside `none` and `never seen`."""
FILLED_BY_RUNNER = ("input_digest", "run_id")
SECONDS_PER_PIXEL = 2e-7
"""Of one core, for a date."""
_PLACED = ("grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry", "xmin", "ymin", "xmax", "ymax")
_MAP = ("epoch", "status", "probability", "threshold", "scenes_used", "model_sha256", "error_class", "message")


class UrbanSeriesSettings(Settings):
    """What is held of the ground before it is seen."""

    layers: tuple[str, ...] | None = Field(
        None, min_length=1, description="default: those with pixels larger than 2 m; of finer ones, bridge tells",
        json_schema_extra={"matters": False},
    )  # fmt: skip
    change_per_year: float = Field(0.02, gt=0, lt=1, description="how often a pixel is thought to turn, per year and either way")
    weight: float = Field(
        0.25, ge=0, description="of that, beside what maps show: more makes steadier series; maps err alike, so their differences tell much"
    )
    rule: Literal["free", "monotone"] = Field("free", description="monotone: what is built stays built")
    least_dates: int = Field(1, ge=1, le=12, description="dates that a state must last, but at both ends of the series")


def no_series(place: Place, settings: UrbanSeriesSettings) -> str | None:
    """Why the place does not run the job."""
    if len(place.epochs) < 2:
        return "it has one epoch, which makes no series"
    return None if series_layers(place) else "all its layers have pixels of 2 m or finer; see urban_series.layers"


def series_sources(place: Place, settings: UrbanSeriesSettings) -> None:
    """Raises InputError where the declared layers or dates make no series."""
    if unknown := sorted(set(settings.layers or ()) - set(place.layers)):
        raise InputError(f"setting urban_series.layers: no layer {', '.join(unknown)}; use some of {', '.join(place.layers)}")
    if len(place.epochs) > MOST_EPOCHS:
        raise InputError(f"{len(place.epochs)} epochs: series have at most {MOST_EPOCHS}; declare fewer, or another place for the rest")
    for before, after in pairwise(place.epochs):
        if before.reference == after.reference:
            raise InputError(f"epochs {before.name} and {after.name}: both have reference {after.reference}; give one another date")


def layer_digests(place: Place, settings: UrbanSeriesSettings) -> dict[str, str]:
    """Layer to the digest of all that decides its rows but the maps."""
    decided = {"data_version": DATA_VERSION, "settings": settings.digested(), "epochs": _dates(place)}
    return dict.fromkeys(series_layers(place), digest(decided))


def _dates(place: Place) -> dict[str, str]:
    return {epoch.name: epoch.reference.isoformat() for epoch in place.epochs}


def planned_series(read: Callable[[str], DataFrame], layers: Collection[str]) -> DataFrame:
    """A row for each tile that has maps, of all its epochs; `scenes_digest` is over what they were made from and what became of them."""
    maps = read("built_up").where(F.col("layer").isin(list(layers)))
    states = F.sort_array(F.collect_list(F.struct("epoch", "input_digest", "status", "attempts")))
    work = F.count(F.lit(1)) * F.first("tile_px") ** 2 * F.lit(SECONDS_PER_PIXEL)
    return maps.groupBy("layer", "tile_id").agg(
        *(F.first(name).alias(name) for name in _PLACED),
        F.sha2(F.to_json(states), 256).alias("scenes_digest"),
        work.alias("predicted_seconds"),
    )


@job(
    reads=("built_up",), writes="urban_series", settings=UrbanSeriesSettings, parallel_over="tiles", data_version=DATA_VERSION,
    tilewise=True, planned=planned_series, layer_digests=layer_digests, absent=no_series, sources=series_sources,
)  # fmt: skip
def urban_series(tables: Tables, settings: UrbanSeriesSettings, context: Context) -> DataFrame:
    """A row for every tile of the batch: its states at each epoch, and when it is first and last built."""
    tiles, held = (
        tables["tiles"],
        Steadiness(settings.change_per_year, settings.weight, Rule(settings.rule == "monotone", settings.least_dates)),
    )
    batch = tables["built_up"].join(F.broadcast(tiles.select("layer", "tile_id")), ["layer", "tile_id"], "left_semi")
    maps = batch.groupBy("layer", "tile_id").agg(F.collect_list(F.struct(*_MAP)).alias("maps"))
    work = tiles.join(maps, ["layer", "tile_id"], "inner")
    parts = PARTITIONS_PER_CORE * context.spark.sparkContext.defaultParallelism
    dates = {epoch.name: epoch.reference for epoch in context.place.epochs}
    per_batch = max(1, ARROW_BYTES // (_largest(tiles) ** 2 * len(dates)))
    with rows_per_batch(context.spark, per_batch):
        found = work.repartition(parts, "layer", "tile_id").mapInPandas(partial(series_batches, dates=dates, held=held), _ddl()).persist()
        found.count()
    return found


def _largest(tiles: DataFrame) -> int:
    return int(tiles.agg(F.max("tile_px")).first()[0])


def _ddl() -> str:
    return ", ".join(f"{column.name} {column.type}" for column in URBAN_SERIES.columns if column.name not in FILLED_BY_RUNNER)
