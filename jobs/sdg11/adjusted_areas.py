"""Adjusted areas: built-up area of every unit, set right by an answered reference sample, with its confidence interval.
Parallel over tiles that hold points. Run: ./spark-submit.sh adjusted_areas --place mumbai --set
  'adjusted_areas.samples=[{epoch: "2018", folder: conf/reference/mumbai, answers: [pass_1.csv]}]'"""

from functools import partial, reduce
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import ADJUSTED_AREAS
from jobs.answered_samples import AnsweredSample, answered_sample
from jobs.job import Context, Tables, job
from jobs.reference_points import mapped_at
from jobs.series_maps import declared_source, fed_maps, no_sums
from udfs.accuracy import beside_map, sample_of
from udfs.adjusted_areas import ADJUSTED_DDL, adjusted_batches, rates_of

SUMS = ("unit_id", "epoch", "built_m2", "valid_m2")


class SampleOfEpoch(Settings):
    """A sample that `reference_sample` drew, and the files of its answers."""

    epoch: str = Field(description="of the place")
    folder: str = Field(description="of points.csv and strata.csv; {storage} is the place's folder")
    answers: tuple[str, ...] = Field(min_length=1, max_length=2, description="files of the folder, one a pass")
    resolved: str | None = Field(None, description="file of the folder: answers that settle what two passes disagree on")


class AdjustedAreasSettings(Settings):
    """Which samples say how right the maps are."""

    samples: tuple[SampleOfEpoch, ...] = Field((), description="one an epoch, of the layer that feeds built_m2")


def no_samples(place: Place, settings: AdjustedAreasSettings) -> str | None:
    """Why the place does not run the job."""
    return no_sums(place, settings) or (None if settings.samples else "no adjusted_areas.samples are declared")


def samples_answered(place: Place, settings: AdjustedAreasSettings) -> Any:
    """What was answered. Raises InputError where an epoch is unknown or comes twice, or a sample or its answers do not fit."""
    named = [sample.epoch for sample in settings.samples]
    for epoch in named:
        if named.count(epoch) > 1 or epoch not in {each.name for each in place.epochs}:
            raise InputError(f"adjusted_areas.samples: epoch {epoch} is not one of the place's, or comes twice; give one sample an epoch")
    read = [_answered(place, sample) for sample in settings.samples]
    return [[each.interpreted.built.to_json(), each.points.to_json(), each.strata.to_json()] for each in read]


def _answered(place: Place, sample: SampleOfEpoch) -> AnsweredSample:
    return answered_sample(place.located(sample.folder), place.fed_layer, sample.epoch, sample.answers, sample.resolved)


@job(
    reads=("built_up", "unit_statistics"), optional=("urban_series",), writes="adjusted_areas", settings=AdjustedAreasSettings,
    parallel_over="tiles that hold points", absent=no_samples, sources=samples_answered,
)  # fmt: skip
def adjusted_areas(tables: Tables, settings: AdjustedAreasSettings, context: Context) -> DataFrame:
    """The map at the points gives its shares of right and missed ground; these hold for every unit's two parts."""
    maps = fed_maps(tables, declared_source(context.place), context.place).where("status = 'done'")
    return reduce(DataFrame.unionByName, (_of_epoch(maps, tables["unit_statistics"], sample, context) for sample in settings.samples))


def _of_epoch(maps: DataFrame, statistics: DataFrame, sample: SampleOfEpoch, context: Context) -> DataFrame:
    answered = _answered(context.place, sample)
    mapped = mapped_at(maps.where(F.col("epoch") == sample.epoch), answered.points)
    told = beside_map(answered.points, answered.interpreted, mapped).dropna()
    rates = rates_of(sample_of(told, answered.strata))
    context.figures |= {f"{name}_{sample.epoch}": value for name, value in rates._asdict().items() if name in ("users", "omitted")}
    rows = statistics.where(F.col("epoch") == sample.epoch).select(*SUMS)
    named = {"points": F.lit(len(told)), "sample": F.lit(context.place.located(sample.folder).name)}
    return rows.mapInPandas(partial(adjusted_batches, rates=rates), ADJUSTED_DDL).withColumns(named).select(*ADJUSTED_AREAS.names)
