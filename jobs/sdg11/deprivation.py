"""Deprivation: of surveyed households the share of people who lack water, sanitation, space, durable walls or secure tenure, per unit and
year: SDG 11.1.1. One read on the driver. Run: ./spark-submit.sh deprivation --place kampala --set deprivation.path=households.csv ..."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pyspark.sql import DataFrame

from conf.errors import InputError
from conf.place import STORAGE, Place
from conf.settings import Settings
from conf.tables import DEPRIVATION
from jobs.job import Context, Tables, job
from udfs.survey import DEPRIVATIONS, SurveyColumns, deprivation_rows, read_survey
from udfs.units import file_digest


class DeprivationSettings(Settings):
    """A table with a row for each household, and its columns. What a household lacks is 1 there, else 0; empty: not answered."""

    path: str | None = Field(None, description="CSV or vector file; {storage} is the place's folder", json_schema_extra={"matters": False})
    id: str = Field("unit_id", description="column of unit ids, of any level")
    year: int | str = Field("year", description="year of the survey, or the column that holds it")
    weight: str | None = Field(None, description="column of the household's weight; null: all count alike")
    people: str | None = Field(None, description="column of its members; null: households are counted, not people")
    water: str | None = Field(None, description="column: it lacks improved water")
    sanitation: str | None = Field(None, description="column: it lacks improved sanitation")
    space: str | None = Field(None, description="column: more than three people share a room")
    durability: str | None = Field(None, description="column: the dwelling is not durable, or its ground is hazardous")
    tenure: str | None = Field(None, description="column: tenure is not secure")
    design_effect: float = Field(
        1.0, ge=1, le=20, description="variance of the survey's design over that of as many households drawn alone"
    )
    source: str | None = Field(None, description="who asked, kept in the table")

    @property
    def lacks(self) -> dict[str, str]:
        """Deprivation to the column that tells of it, of those that were asked."""
        return {name: getattr(self, name) for name in DEPRIVATIONS if getattr(self, name)}

    @property
    def columns(self) -> SurveyColumns:
        return SurveyColumns(self.id, self.year, self.weight, self.people, self.lacks)


def no_survey(place: Place, settings: DeprivationSettings) -> str | None:
    """Why the place does not run the job."""
    return None if settings.path else "no deprivation.path is declared"


def survey_sources(place: Place, settings: DeprivationSettings) -> Any:
    """Digest of the file after a full check of it. Raises InputError."""
    if not settings.lacks:
        raise InputError(f"section deprivation names no column of {', '.join(DEPRIVATIONS)}; name those that the survey asked")
    path = place.located(str(settings.path))
    if STORAGE in str(settings.path) and not path.exists():
        return {"pending": True}
    read_survey(path, settings.columns)
    return {"sha256": file_digest(path)}


@job(
    reads=("units",), writes="deprivation", settings=DeprivationSettings, parallel_over="nothing", after=("simulated_city",),
    absent=no_survey, sources=survey_sources,
)  # fmt: skip
def deprivation(tables: Tables, settings: DeprivationSettings, context: Context) -> DataFrame:
    """One row for each unit with a surveyed household in it, and year."""
    path = Path(context.place.located(str(settings.path)))
    households = read_survey(path, settings.columns)
    parents = {row["unit_id"]: row["parent_id"] for row in tables["units"].select("unit_id", "parent_id").collect()}
    if unknown := sorted(set(households["unit_id"]) - set(parents)):
        raise InputError(f"{path.name}: unit {unknown[0]!r} is not among the units; set deprivation.id to the column that holds their ids")
    context.figures["unanswered"] = float(households["deprived"].isna().sum())
    rows = deprivation_rows(households, parents, settings.design_effect).astype(object)
    rows = rows.where(rows.notna(), None).assign(asked=", ".join(settings.lacks), source=settings.source or path.name)
    return context.spark.createDataFrame(rows[list(DEPRIVATION.names)].to_numpy().tolist(), DEPRIVATION.ddl.replace(" NOT NULL", ""))
