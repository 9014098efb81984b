"""Population: people per unit and census year, from a column, a table or a raster.
Parallel over units where a raster is summed. Run: ./spark-submit.sh population --place olinda"""

import logging
from collections.abc import Set
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import STORAGE, Place
from conf.settings import Settings
from conf.tables import POPULATION
from jobs.hierarchy import leaves
from jobs.job import Context, Tables, job
from udfs.population import check_raster, is_raster, raster_batches, read_population
from udfs.population_checks import count_notes, year_notes
from udfs.units import file_digest

LOG = logging.getLogger(__name__)


class PopulationSettings(Settings):
    """Where the counts lie; ids are those of the units."""

    path: str | None = Field(
        None, description="CSV, vector file or GeoTIFF; {storage} is the place's folder", json_schema_extra={"matters": False}
    )
    rasters: dict[int, str] = Field(
        {}, description="in place of path: year to GeoTIFF of people per pixel", json_schema_extra={"matters": False}
    )
    id: str = Field("unit_id", description="column of unit ids; a raster needs none")
    people: str = Field("people", description="column of residents; a raster needs none")
    year: int | str = Field("year", description="census year, or the column that holds it; a raster needs a number")
    source: str | None = Field(None, description="who counted, kept in the table")


def no_population(place: Place, settings: PopulationSettings) -> str | None:
    """Why the place does not run the job."""
    return None if settings.path or settings.rasters else "neither population.path nor population.rasters is declared"


def population_sources(place: Place, settings: PopulationSettings) -> Any:
    """Digests of the files after a full check of them. Raises InputError."""
    if settings.path and settings.rasters:
        raise InputError("population.path and population.rasters are both set; leave one out")
    if settings.path and STORAGE in settings.path and not place.located(settings.path).exists():
        return {"pending": True}
    if rasters := declared_rasters(place, settings):
        for path in rasters.values():
            check_raster(path)
        return {"sha256": {year: file_digest(path) for year, path in sorted(rasters.items())}}
    path = place.located(str(settings.path))
    sha256 = file_digest(path)
    read_population(path, settings.id, settings.people, settings.year)
    return {"sha256": sha256}


def declared_rasters(place: Place, settings: PopulationSettings) -> dict[int, Path]:
    """Year to raster, absolute: workers open it from other folders than the driver's. None where people are in a table."""
    rasters: dict[Any, str] = dict(settings.rasters)
    if settings.path and is_raster(place.located(settings.path)):
        if not isinstance(settings.year, int):
            raise InputError(f"setting population.year = {settings.year!r}: a raster has no columns; give the year as a number")
        rasters = {settings.year: settings.path}
    return {year: place.located(path) for year, path in rasters.items()}


@job(
    reads=("units",), writes="population", settings=PopulationSettings, parallel_over="units",
    after=("simulated_city",), absent=no_population, sources=population_sources, data_version=2,
)  # fmt: skip
def population(tables: Tables, settings: PopulationSettings, context: Context) -> DataFrame:
    """The counts as given, of units of any level; `unit_statistics` adds them up."""
    rasters, units = declared_rasters(context.place, settings), tables["units"]
    parent_of = {row["unit_id"]: row["parent_id"] for row in units.select("unit_id", "parent_id").collect()}
    if rasters:
        parts = [_raster(units, path, year, settings.source) for year, path in sorted(rasters.items())]
        counts = reduce(DataFrame.unionByName, parts).toPandas()
    else:
        counts = _table(parent_of.keys(), context.place.located(str(settings.path)), settings)
    counts = counts.sort_values(["unit_id", "year"], ignore_index=True)
    counts["note"] = count_notes(counts, parent_of)
    _say(counts, context)
    return context.spark.createDataFrame(counts[list(POPULATION.names)].astype(object).to_numpy().tolist(), POPULATION.ddl)


def _say(counts: pd.DataFrame, context: Context) -> None:
    context.figures["odd_counts"] = int(counts["note"].notna().sum())
    for note in year_notes(counts):
        LOG.warning("population: %s", note)
    if odd := context.figures["odd_counts"]:
        first = counts[counts["note"].notna()].iloc[0]
        LOG.warning("population: %d odd counts (see population.note); %s in %s: %s", odd, first["unit_id"], first["year"], first["note"])


def _table(known: Set[str], path: Path, settings: PopulationSettings) -> pd.DataFrame:
    counts = read_population(path, settings.id, settings.people, settings.year)
    if unknown := sorted(set(counts["unit_id"]) - known):
        raise InputError(f"{path.name}: unit {unknown[0]!r} is not among the units; set population.id to the column that holds their ids")
    return counts.assign(source=settings.source or path.name)


def _raster(units: DataFrame, path: Path, year: int, source: str | None) -> DataFrame:
    summed = (
        leaves(units).select("unit_id", "geometry").mapInPandas(partial(raster_batches, path=str(path)), "unit_id string, people double")
    )
    return summed.select("unit_id", F.lit(year).cast("int").alias("year"), "people", F.lit(source or path.name).alias("source"))
