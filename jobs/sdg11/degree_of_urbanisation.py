"""Degree of Urbanisation: which cells of 1 km2 are of centres, towns and villages, and what that makes of each unit.
Cells are classed on the driver, a country's at once; parallel over units. Run: ./spark-submit.sh degree_of_urbanisation --place mumbai

The cells lie as a GeoTIFF in the place's folder, degree_of_urbanisation/cells.tif."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from conf.tables import DEGREE_OF_URBANISATION
from jobs.hierarchy import leaf_ancestry, leaves
from jobs.job import Context, Tables, job
from udfs.degree_of_urbanisation import UNIT_CLASSES, unit_class
from udfs.population import MICRO
from udfs.settlement_cells import CODES, PEOPLE_DDL, classified, read_cells, unit_people_batches, write_cells
from udfs.units import file_digest

FILE = "degree_of_urbanisation/cells.tif"


class DegreeOfUrbanisationSettings(Settings):
    """Grids of equal area, 1 km2 a cell, such as GHSL's in Mollweide."""

    people: str | None = Field(
        None, description="GeoTIFF of people per cell; the units and 100 km around", json_schema_extra={"matters": False}
    )
    built: str | None = Field(None, description="GeoTIFF of the built share of each cell", json_schema_extra={"matters": False})
    land: str | None = Field(None, description="GeoTIFF of the share of permanent land; default: all", json_schema_extra={"matters": False})
    release: Literal["R2022", "R2023"] = Field("R2023", description="whose rules: GHSL Data Package 2022 or 2023")


def no_people(place: Place, settings: DegreeOfUrbanisationSettings) -> str | None:
    """Why the place does not run the job."""
    if not place.sections.get("units", {}).get("path"):
        return "no units.path is declared"
    return None if settings.people else "no degree_of_urbanisation.people is declared"


def cell_sources(place: Place, settings: DegreeOfUrbanisationSettings) -> Any:
    """Digests of the rasters after a full check of them. Raises InputError."""
    paths = _paths(place, settings)
    digests = {name: file_digest(path) for name, path in paths.items() if path}
    if (people := paths["people"]) is not None:
        read_cells(people, paths["built"], paths["land"])
    return digests


def _paths(place: Place, settings: DegreeOfUrbanisationSettings) -> dict[str, Path | None]:
    declared = {"people": settings.people, "built": settings.built, "land": settings.land}
    return {name: place.located(path) if path else None for name, path in declared.items()}


@job(
    reads=("units",), writes="degree_of_urbanisation", settings=DegreeOfUrbanisationSettings, parallel_over="units", absent=no_people,
    sources=cell_sources,
)  # fmt: skip
def degree_of_urbanisation(tables: Tables, settings: DegreeOfUrbanisationSettings, context: Context) -> DataFrame:
    """Where the people of each unit live, and the class that it has by that; parents are sums."""
    paths, file = _paths(context.place, settings), (context.storage / FILE).absolute()
    people = paths["people"]
    if people is None:
        raise InputError("setting degree_of_urbanisation.people is not set; the job is absent here")
    write_cells(classified(people, paths["built"], paths["land"], settings.release), people, file)
    shell = partial(unit_people_batches, people=str(people), cells=str(file))
    counted = leaves(tables["units"]).select("unit_id", "geometry").mapInPandas(shell, PEOPLE_DDL)
    parts = leaf_ancestry(tables["units"]).join(counted.withColumnRenamed("unit_id", "leaf_id"), "leaf_id", "left")
    sums = [
        (
            F.coalesce(F.sum(F.when(F.col("code") == code, F.col("micro_people")).cast("decimal(38,0)")), F.lit(0)).cast("double") / MICRO
        ).alias(f"people_{code}")
        for code in CODES
    ]
    return parts.groupBy("unit_id").agg(*sums).mapInPandas(partial(_classed, release=settings.release), DEGREE_OF_URBANISATION.ddl)


def _classed(frames: Any, release: str) -> Any:
    """Adds people, code, class and release."""
    for frame in frames:
        columns = [f"people_{code}" for code in CODES]
        codes = [unit_class(dict(zip(CODES, people, strict=True))) for people in frame[columns].itertuples(index=False)]
        found = frame.assign(
            people=frame[columns].sum(axis=1), code=pd.Series(codes, frame.index, "Int32"), release=release,
            settlement=[None if code is None else UNIT_CLASSES[code] for code in codes],
        )  # fmt: skip
        yield found[list(DEGREE_OF_URBANISATION.names)]
