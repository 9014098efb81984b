"""Country sheet: two printable pages on SDG 11.3.1 of a unit, as HTML that loads nothing and, if asked for, PDF. Run by name, not in the
flow; parallel over a unit's tiles. Run: ./spark-submit.sh country_sheet --place mumbai --set country_sheet.pdf=true"""

from typing import Annotated, Any
from urllib.parse import quote

import pandas as pd
from pydantic import Field
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.settings import Settings
from jobs.job import Context, Tables, job
from jobs.series_maps import declared_source, fed_maps
from jobs.sheet_frames import adjusted_of, epoch_images, last_runs, sheet_unit, used_models, used_scenes
from jobs.unadapted import unadapted_notes
from jobs.unit_maps import Box, tiles_near, unit_shares
from udfs.files import write_bytes
from udfs.lcrpgr import years_between
from udfs.report_pictures import Drawn
from udfs.sheet_figures import chart_picture, map_picture
from udfs.sheet_method import method, owner_text
from udfs.sheet_page import SheetLimits, sheet
from udfs.sheet_pdf import check_pdf, pdf_of
from udfs.sheet_unit import SheetUnit

FOLDER = "country_sheet"
MAKERS = ("built_up", "units", "population", "unit_statistics", "adjusted_areas", "indicators")
"""Jobs that a sheet's numbers come from, beside the one that makes series."""


class CountrySheetSettings(Settings):
    """Of which units, and how much of each: more rows would not fit on two pages."""

    unit: Annotated[str, Field(coerce_numbers_to_str=True)] | None = Field(
        None, description="unit_id; null: every unit of the coarsest level"
    )
    pdf: bool = Field(False, description="also a PDF of each; needs the extra urbantrace[pdf]")
    most_units: int = Field(100, ge=1, description="sheets, the first by id; the run says how many it leaves out")
    most_parts: int = Field(10, ge=0, le=12, description="units in the table of a unit's parts, those with most built-up land")
    most_periods: int = Field(6, ge=1, le=8, description="periods in its table, the longest and the latest")
    most_epochs: int = Field(8, ge=2, le=10, description="epochs in the table of sums and images, the first and the last")
    map_px: int = Field(900, ge=100, le=4000, description="longest side of the map, pixels")


def pdf_wanted(place: Place, settings: CountrySheetSettings) -> Any:
    """Raises InputError where PDF is asked for and cannot be written."""
    if settings.pdf:
        check_pdf()


@job(
    reads=("scenes", "tiles", "built_up", "units", "unit_statistics", "indicators"),
    optional=("urban_series", "adjusted_areas", "population", "runs"), writes=(), settings=CountrySheetSettings,
    parallel_over="a unit's tiles", in_flow=False, sources=pdf_wanted,
)  # fmt: skip
def country_sheet(tables: Tables, settings: CountrySheetSettings, context: Context) -> None:
    """One unit at a time; each file is old or new, never half."""
    folder = context.storage / FOLDER
    for unit in _chosen(tables["units"], settings, context):
        text = _sheet(tables, settings, context.place, unit)
        name = quote(unit["unit_id"], safe="")
        write_bytes(folder / f"{name}.html", text.encode())
        if settings.pdf:
            write_bytes(folder / f"{name}.pdf", pdf_of(text))


def _chosen(units: DataFrame, settings: CountrySheetSettings, context: Context) -> list[dict[str, Any]]:
    if settings.unit is not None:
        found = units.where(F.col("unit_id") == settings.unit).collect()
        if not found:
            known = '; ./spark-submit.sh sql "SELECT unit_id, name FROM units" lists them'
            raise InputError(f"setting country_sheet.unit = {settings.unit!r}: no such unit{known}")
        return [_plain(row) for row in found]
    coarsest = units.where(F.col("level") == units.agg(F.min("level")).collect()[0][0])
    chosen, total = coarsest.orderBy("unit_id").limit(settings.most_units).collect(), coarsest.count()
    context.figures["sheets"] = float(len(chosen))
    if len(chosen) < total:
        context.say_once(f"country_sheet.most_units: {len(chosen)} of {total} units of the coarsest level have a sheet")
    return [_plain(row) for row in chosen]


def _plain(row: Row) -> dict[str, Any]:
    return {**row.asDict(), "geometry": bytes(row.geometry)}


def _box(unit: dict[str, Any]) -> Box:
    return unit["xmin"], unit["ymin"], unit["xmax"], unit["ymax"]


def _sheet(tables: Tables, settings: CountrySheetSettings, place: Place, unit: dict[str, Any]) -> str:
    maps = tables["built_up"].where(F.col("layer") == place.fed_layer)
    near = tiles_near(maps, tables["tiles"], _box(unit), [epoch.name for epoch in place.epochs]).where("status = 'done'")
    told = sheet_unit(tables, place, unit, epoch_images(near, tables["scenes"]))
    adjusted = adjusted_of(tables, unit["unit_id"])
    pictures = [*_map(tables, settings, place, told), _chart(place, told, adjusted)]
    limits = SheetLimits(settings.most_parts, settings.most_periods, settings.most_epochs)
    return sheet(told, place.title or place.name, pictures, _method(tables, place, told, near, adjusted), limits)


def _map(tables: Tables, settings: CountrySheetSettings, place: Place, told: SheetUnit) -> list[Drawn]:
    """None where no tile of either epoch has data."""
    epochs = list(dict.fromkeys(told.period or told.sums.index[-1:]))
    unit, layer = told.unit, str(place.fed_layer)
    near = tiles_near(fed_maps(tables, declared_source(place), place), tables["tiles"], _box(unit), epochs)
    found = unit_shares(near, layer, unit["geometry"], settings.map_px)
    if found is None:
        return []
    shares = {epoch: found[1][epoch] for epoch in epochs if epoch in found[1]}
    return [map_picture(found[0], shares, told, settings.most_parts, place.attribution)]


def _chart(place: Place, told: SheetUnit, adjusted: pd.DataFrame) -> Drawn:
    reference = {epoch.name: epoch.reference for epoch in place.epochs}
    start = told.period.start if told.period else told.sums.index[-1]
    years = {name: years_between(reference[start], day) for name, day in reference.items()}
    dates = {name: day.year + (day.timetuple().tm_yday - 1) / 366 for name, day in reference.items()}
    return chart_picture(told, adjusted, start, years, dates)


def _method(tables: Tables, place: Place, told: SheetUnit, near: DataFrame, adjusted: pd.DataFrame) -> list[str]:
    layer = place.layers[str(place.fed_layer)]
    pixel = f"{layer.resolution:g} {'m' if place.grid == 'utm' else 'units of the grid'}"
    images = used_scenes(near, tables["scenes"])
    models = used_models(near)
    sources = tables["population"].select("source").distinct().collect() if "population" in tables else []
    owners = images.select("licence", "attribution").distinct().orderBy("attribution", "licence").toPandas()
    source = declared_source(place)
    runs = last_runs(tables["runs"], tuple(dict.fromkeys((*MAKERS, source)))) if "runs" in tables else pd.DataFrame()
    texts = method(told, models, pixel, source, runs, adjusted, [row.source for row in sources if row.source])
    return [*texts, *unadapted_notes(models, images), *owner_text(owners, place.attribution)]
