"""Units: administrative units with ids, parents and geodesic areas, from any vector file. One small read on the driver.
Run: ./spark-submit.sh units --place mumbai"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import shapely
from pydantic import Field
from pyspark.sql import DataFrame

from conf.errors import InputError
from conf.place import STORAGE, Place
from conf.settings import Settings
from conf.tables import UNITS
from jobs.job import Context, Tables, job
from udfs.rest_units import with_rests
from udfs.unit_layouts import LayoutName, read_layout
from udfs.units import Columns, coverage_faults, file_digest, geodesic_area_m2, overlaps, read_units


class UnitsSettings(Settings):
    """Where the units lie and which attributes mean what."""

    path: str | None = Field(None, description="vector file; {storage} is the place's folder", json_schema_extra={"matters": False})
    more: tuple[str, ...] = Field((), description="further files of the layout", json_schema_extra={"matters": False})
    layout: Literal["columns", LayoutName] = Field(
        "columns", description="columns: those named below; or a publisher's own, whose levels are nested by where units lie"
    )
    levels: tuple[str, ...] = Field((), description="of the layout, that are taken; none: those there are")
    id: str = Field("unit_id", description="column of unique ids")
    name: str | None = Field(None, description="column of names")
    parent: str | None = Field(
        None, description="column of parent ids; parents that are no rows are dissolved from their children, of the others what no child "
        "holds becomes a unit of its own"
    )  # fmt: skip
    parent_name: str | None = Field(None, description="column of the names of dissolved parents")
    crs: str | None = Field(None, description="overrides the file's CRS, e.g. EPSG:4674")
    encoding: str | None = Field(None, description="of a shapefile that declares none")

    @property
    def columns(self) -> Columns:
        return Columns(self.id, self.name, self.parent, self.parent_name)


def no_units(place: Place, settings: UnitsSettings) -> str | None:
    """Why the place does not run the job."""
    return None if settings.path else "no units.path is declared"


def units_sources(place: Place, settings: UnitsSettings) -> Any:
    """Digest and bounds (degrees) of the file after a full check of it. Raises InputError."""
    files = _files(place, settings)
    if not settings.path or (STORAGE in settings.path and not files[0].exists()):
        return {"pending": True}
    if settings.layout == "columns" and (settings.more or settings.levels):
        raise InputError("units.more and units.levels are of a layout; set units.layout, or leave them out")
    shapes = declared_units(place, settings)["geometry"].to_numpy()
    digests = [file_digest(each) for each in files]
    return {"sha256": digests[0] if len(digests) == 1 else digests, "bounds": [float(edge) for edge in shapely.total_bounds(shapes)]}


def declared_units(place: Place, settings: UnitsSettings) -> pd.DataFrame:
    """All units as the settings name them, with those that parents need to be whole. Raises InputError."""
    files = _files(place, settings)
    if settings.layout == "columns":
        found = read_units(files[0], settings.columns, settings.crs, settings.encoding)
    else:
        found = read_layout(files, settings.layout, settings.levels, settings.crs, settings.encoding)
    return with_rests(found, " and ".join(path.name for path in files)).sort_values(["level", "unit_id"], ignore_index=True)


def _files(place: Place, settings: UnitsSettings) -> list[Path]:
    return [place.located(str(path)) for path in (settings.path, *settings.more)]


@job(
    writes="units", settings=UnitsSettings, parallel_over="nothing", after=("simulated_city",), absent=no_units, sources=units_sources,
    data_version=2,
)  # fmt: skip
def units(tables: Tables, settings: UnitsSettings, context: Context) -> DataFrame:
    """Reads, repairs and measures the units; overlaps are noted and counted, never cut away."""
    if settings.path is None:
        raise ValueError("units.path is not set; the job is absent here")
    frame = declared_units(context.place, settings)
    shapes = frame["geometry"].to_numpy()
    leaf = np.flatnonzero(~frame["unit_id"].isin(frame["parent_id"]))
    context.figures["overlap_share"], context.figures["gap_share"] = coverage_faults(shapes[leaf])
    frame["note"] = _with_overlaps(frame, leaf)
    bounds = shapely.bounds(shapes)
    frame = frame.assign(**{name: bounds[:, k] for k, name in enumerate(("xmin", "ymin", "xmax", "ymax"))})
    frame = frame.assign(area_m2=geodesic_area_m2(shapes), geometry=shapely.to_wkb(shapes), level=frame["level"].astype("int32"))
    rows = frame[list(UNITS.names)].astype(object).to_numpy().tolist()
    return context.spark.createDataFrame(rows, UNITS.ddl)


def _with_overlaps(frame: pd.DataFrame, leaf: Any) -> list[str | None]:
    notes: list[list[str]] = [[note] if note else [] for note in frame["note"]]
    ids = frame["unit_id"].to_numpy()
    for first, second, share in overlaps(frame["geometry"].to_numpy()[leaf]):
        for one, other in ((leaf[first], leaf[second]), (leaf[second], leaf[first])):
            notes[one].append(f"overlaps {ids[other]} by {share:.2g} of the smaller")
    return ["; ".join(parts) or None for parts in notes]
