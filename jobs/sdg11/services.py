"""Services: stops of public transport, open public spaces and streets, with the ground within reach of them; for indicators 11.2.1 and
11.7.1. Parallel over shapes. Run: ./spark-submit.sh services --place kampala --set services.stops=stops.geojson"""

from typing import Any

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import SERVICES
from jobs.job import Context, Tables, job
from udfs.services import OPEN_SPACE, SERVICES_DDL, STOP, STREET, Source, read_services, service_frames
from udfs.units import file_digest

READ_DDL = "kind string, service_id string, capacity string, width_m double, reach_m double, geometry binary"


class ServicesSettings(Settings):
    """Vector files, in any CRS, and how far is near: in a straight line, as SDG 11.2.1 and 11.7.1 allow where streets are not routed."""

    stops: str | None = Field(None, description="vector file of points", json_schema_extra={"matters": False})
    stop_capacity: str | None = Field(None, description="column of what stops there")
    high_capacity: tuple[str, ...] = Field((), description="its values that mean trains, metros or ferries; others are low capacity")
    low_capacity_m: float = Field(500.0, gt=0, description="near a stop of low capacity")
    high_capacity_m: float = Field(1000.0, gt=0, description="near one of high capacity")
    open_spaces: str | None = Field(None, description="vector file of areas", json_schema_extra={"matters": False})
    open_space_m: float = Field(400.0, gt=0, description="near an open public space")
    streets: str | None = Field(None, description="vector file of lines or areas", json_schema_extra={"matters": False})
    street_width_column: str | None = Field(None, description="column of a street's width, m")
    street_width: float | None = Field(None, gt=0, description="of lines that tell no width, m")


def no_services(place: Place, settings: ServicesSettings) -> str | None:
    """Why the place does not run the job."""
    return None if _sources(place, settings) else "none of services.stops, open_spaces, streets is declared"


def services_sources(place: Place, settings: ServicesSettings) -> Any:
    """Kind to the digest of its file after a full check of it. Raises InputError."""
    if settings.high_capacity and not settings.stop_capacity:
        raise InputError("setting services.high_capacity needs services.stop_capacity, the column that holds such values")
    found = {}
    for source in _sources(place, settings):
        read_services(source)
        found[source.kind] = file_digest(source.path)
    return found


def _sources(place: Place, settings: ServicesSettings) -> list[Source]:
    stops = (settings.high_capacity_m, settings.low_capacity_m)
    given = [
        (settings.stops, STOP, {"column": settings.stop_capacity, "high": settings.high_capacity, "reach_m": stops}),
        (settings.open_spaces, OPEN_SPACE, {"reach_m": (settings.open_space_m, settings.open_space_m)}),
        (settings.streets, STREET, {"column": settings.street_width_column, "width_m": settings.street_width}),
    ]
    return [Source(kind, place.located(path), **more) for path, kind, more in given if path]


@job(
    writes="services", settings=ServicesSettings, parallel_over="shapes", absent=no_services,
    sources=services_sources,
)  # fmt: skip
def services(tables: Tables, settings: ServicesSettings, context: Context) -> DataFrame:
    """One row for each shape."""
    rows = pd.concat([read_services(source) for source in _sources(context.place, settings)], ignore_index=True)
    plain = context.spark.createDataFrame(rows.astype(object).to_numpy().tolist(), READ_DDL)
    spread = plain.repartition(4 * context.spark.sparkContext.defaultParallelism, "kind", "service_id")
    return spread.mapInPandas(service_frames, SERVICES_DDL).select(*SERVICES.names)
