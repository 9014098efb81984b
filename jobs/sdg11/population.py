"""Population: people per unit and census year, from a column, a table or a raster.
Parallel over units where a raster is summed. Run: ./spark-submit.sh population --place olinda"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import STORAGE, Place
from conf.settings import Settings
from jobs.hierarchy import leaves
from jobs.job import Context, Tables, job
from udfs.population import is_raster, raster_batches, read_population
from udfs.units import file_digest


class PopulationSettings(Settings):
    """Where the counts lie; ids are those of the units."""

    path: str | None = Field(
        None, description="CSV, vector file or GeoTIFF; {storage} is the place's folder", json_schema_extra={"matters": False}
    )
    id: str = Field("unit_id", description="column of unit ids; a raster needs none")
    people: str = Field("people", description="column of residents; a raster needs none")
    year: int | str = Field("year", description="census year, or the column that holds it; a raster needs a number")
    source: str | None = Field(None, description="who counted, kept in the table")


def no_population(place: Place, settings: PopulationSettings) -> str | None:
    """Why the place does not run the job."""
    return None if settings.path else "no population.path is declared"


def population_sources(place: Place, settings: PopulationSettings) -> Any:
    """Digest of the file after a full check of it. Raises InputError."""
    path = _file(place, settings)
    if path is None or (STORAGE in str(settings.path) and not path.exists()):
        return {"pending": True}
    sha256 = file_digest(path)
    if is_raster(path) and not isinstance(settings.year, int):
        raise InputError(f"setting population.year = {settings.year!r}: a raster has no columns; give the year as a number")
    if not is_raster(path):
        read_population(path, settings.id, settings.people, settings.year)
    return {"sha256": sha256}


def _file(place: Place, settings: PopulationSettings) -> Path | None:
    """Absolute: workers open a raster from other folders than the driver's."""
    return place.located(settings.path) if settings.path else None


@job(
    reads=("units",), writes="population", settings=PopulationSettings, parallel_over="units",
    after=("simulated_city",), absent=no_population, sources=population_sources,
)  # fmt: skip
def population(tables: Tables, settings: PopulationSettings, context: Context) -> DataFrame:
    """The counts as given, of units of any level; `unit_statistics` adds them up."""
    path = _file(context.place, settings)
    if path is None:
        raise ValueError("population.path is not set; the job is absent here")
    units = tables["units"]
    given = _raster(units, path, settings) if is_raster(path) else _table(units, path, settings, context)
    return given.withColumn("source", F.lit(settings.source or path.name)).select("unit_id", "year", "people", "source")


def _table(units: DataFrame, path: Path, settings: PopulationSettings, context: Context) -> DataFrame:
    counts = read_population(path, settings.id, settings.people, settings.year)
    given = context.spark.createDataFrame(counts.astype(object).to_numpy().tolist(), "unit_id string, year int, people double")
    unknown = given.join(units, on="unit_id", how="left_anti").agg(F.min("unit_id")).first()
    if unknown and unknown[0] is not None:
        raise InputError(f"{path.name}: unit {unknown[0]!r} is not among the units; set population.id to the column that holds their ids")
    return given


def _raster(units: DataFrame, path: Path, settings: PopulationSettings) -> DataFrame:
    summing = partial(raster_batches, path=str(path))
    summed = leaves(units).select("unit_id", "geometry").mapInPandas(summing, "unit_id string, people double")
    return summed.select("unit_id", F.lit(settings.year).cast("int").alias("year"), "people")
