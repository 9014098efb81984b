"""The simulated city: images, catalog, units, people and label layers as files, and what is true of it as tables. Parallel over scenes.
Run: ./spark-submit.sh simulated_city --place simulated"""

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import TABLES
from jobs.job import Context, Tables, job
from udfs.simulation.looks import look_named
from udfs.simulation.scene_files import CATALOG, TRUTH_COLUMNS, CityFiles, done_batches, truth_batches

DONE = "unit_id string, year int, built_m2 double, footprint_m2 double, total_m2 double, people double"


class SimulatedCitySettings(Settings):
    """Which city. Its years are those of the epochs' reference dates."""

    seed: int = Field(20_260, ge=0, description="of everything random; networks train on other seeds")
    look: str = Field("default", description="a look of udfs/simulation/looks.py, or random-<n>; networks train on others than default")
    size_m: float = Field(12_800.0, ge=1280, le=25_600, multiple_of=20, description="side of the square, metres")
    rgb_m: float = Field(1050.0, ge=100, multiple_of=10, description="side of the aerial images, metres")
    rgb_gsd: float = Field(0.5, ge=0.1, le=1, description="pixel of the aerial images, metres; divides 10")


def not_declared(place: Place, settings: SimulatedCitySettings) -> str | None:
    """Why the place does not run the job."""
    return None if "simulated_city" in place.sections else "the place has no section simulated_city"


def city_sources(place: Place, settings: SimulatedCitySettings) -> Any:
    """The epochs that decide which years there are. Raises InputError on an unknown look or sizes that do not fit."""
    look_named(settings.look)
    if settings.rgb_m > settings.size_m:
        raise InputError(f"setting simulated_city.rgb_m = {settings.rgb_m}: larger than size_m = {settings.size_m}; make it smaller")
    if abs(10 / settings.rgb_gsd - round(10 / settings.rgb_gsd)) > 1e-9:
        raise InputError(f"setting simulated_city.rgb_gsd = {settings.rgb_gsd}: does not divide 10 m; use e.g. 0.5 or 0.25")
    return {"epochs": [[epoch.name, epoch.reference.year] for epoch in place.epochs]}


@job(
    writes=("truth_buildings", "truth_unit_statistics"), settings=SimulatedCitySettings, parallel_over="scenes",
    absent=not_declared, sources=city_sources,
)  # fmt: skip
def simulated_city(tables: Tables, settings: SimulatedCitySettings, context: Context) -> dict[str, DataFrame]:
    """Files first, each by one task and only if it is not there yet; the catalog when all images stand."""
    files = city_files(settings, context)
    truth = _done(files.tasks(), files, context)
    _done([(CATALOG, files.last_year)], files, context)
    buildings = TABLES["truth_buildings"]
    one = context.spark.range(1, numPartitions=1).mapInPandas(partial(truth_batches, files=files), buildings.ddl)
    return {"truth_buildings": one, "truth_unit_statistics": _by_epoch(truth, context)}


def city_files(settings: SimulatedCitySettings, context: Context) -> CityFiles:
    """The city of the settings and of the place's epochs, its files in the place's folder."""
    years = [epoch.reference.year for epoch in context.place.epochs]
    size = settings.seed, settings.look, settings.size_m, min(years), max(years), settings.rgb_m, settings.rgb_gsd
    return CityFiles(*size, str(Path(context.storage).absolute()))


def _done(tasks: list[tuple[str, int]], files: CityFiles, context: Context) -> list[Any]:
    """Rows of unit truth. Rows made by tasks are held until they are all there: a lost worker's are made again."""
    rows = context.spark.sparkContext.parallelize(tasks, len(tasks)).toDF("kind string, year int")
    return list(rows.mapInPandas(partial(done_batches, files=files), DONE).collect())


def _by_epoch(truth: list[Any], context: Context) -> DataFrame:
    epochs = [(epoch.name, epoch.reference.year) for epoch in context.place.epochs]
    table = TABLES["truth_unit_statistics"]
    measures = TRUTH_COLUMNS[2:]
    rows = [(row["unit_id"], name, *(float(row[m]) for m in measures)) for name, year in epochs for row in truth if row["year"] == year]
    return context.spark.createDataFrame(rows, table.ddl).select(*table.names)
