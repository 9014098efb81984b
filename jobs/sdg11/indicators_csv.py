"""Indicators as CSV for national SDG portals: Open SDG's layout, a file for each indicator, and SDMX's, one file. Run by name, not in the
flow: ./spark-submit.sh indicators_csv --place mumbai"""

from pathlib import Path

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.settings import Settings
from jobs.job import Context, Tables, job
from udfs.portal_rows import open_sdg_rows, portal_file, sdmx_rows, without_formulas

FOLDER, SDMX_FILE = "indicators_csv", "sdmx.csv"


class IndicatorsCsvSettings(Settings):
    """Of which units."""

    most_level: int | None = Field(None, ge=0, description="units of this level and coarser ones; null: all")


@job(
    reads=("indicators", "units"), writes=(), settings=IndicatorsCsvSettings, parallel_over="indicators", in_flow=False,
)  # fmt: skip
def indicators_csv(tables: Tables, settings: IndicatorsCsvSettings, context: Context) -> None:
    """Writes the folder anew; rows of one indicator are held at a time."""
    units = tables["units"].select("unit_id", "name", "level")
    chosen = units if settings.most_level is None else units.where(F.col("level") <= settings.most_level)
    rows = tables["indicators"].join(chosen.drop("level"), "unit_id", "inner")
    years = {epoch.name: epoch.reference.year for epoch in context.place.epochs}
    folder = context.storage / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    headline = headline_unit(units)
    found = sorted(row[0] for row in rows.select("indicator").distinct().collect())
    sheets: dict[str, list[pd.DataFrame]] = {}
    for number, indicator in enumerate(found):
        told = rows.where(F.col("indicator") == indicator).toPandas()
        _write(sdmx_rows(told, years), folder / SDMX_FILE, first=number == 0)
        sheets.setdefault(portal_file(indicator), []).append(open_sdg_rows(told, years, headline))
    for name, parts in sheets.items():
        _write(pd.concat(parts, ignore_index=True), folder / name, first=True)
    context.figures["indicators"] = float(len(found))


def headline_unit(units: DataFrame) -> str | None:
    """The unit that all others are parts of, where there is one."""
    top = [row["unit_id"] for row in units.where("level = 0").select("unit_id").limit(2).collect()]
    return top[0] if len(top) == 1 else None


def _write(rows: pd.DataFrame, path: Path, first: bool) -> None:
    without_formulas(rows).to_csv(path, mode="w" if first else "a", header=first, index=False, lineterminator="\n")
