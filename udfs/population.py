"""People: census tables read and checked, rasters summed into units, values at an epoch's reference date."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from conf.errors import InputError
from udfs.coverage import Outlines, coverage, edges_of, outlines_on_grid
from udfs.grid import native_grid
from udfs.units import identifiers, read_attributes

MICRO = 1_000_000
"""People are added as whole millionths, so that the order of additions cannot matter."""


def is_raster(path: Path) -> bool:
    """Whether people are declared per pixel."""
    return path.suffix.lower() in (".tif", ".tiff")


def read_population(path: Path, id_column: str, people_column: str, year: int | str) -> pd.DataFrame:
    """Rows unit_id, year, people from a table or vector file; `year` is a number or a column.

    Raises InputError on missing columns, null or repeated keys, people that are missing or negative.
    """
    columns = [id_column, people_column, *([year] if isinstance(year, str) else [])]
    frame, _ = read_attributes(path, columns, geometry=False)
    years = pd.to_numeric(frame[year], errors="coerce") if isinstance(year, str) else pd.Series(year, frame.index)
    people = pd.to_numeric(frame[people_column], errors="coerce").astype(float)
    read = pd.DataFrame({"unit_id": identifiers(frame[id_column]), "year": years, "people": people})
    sound = {"unit_id": read["unit_id"].notna(), "year": read["year"] % 1 == 0, "people": read["people"].between(0, np.inf, "left")}
    for column, ok in sound.items():
        if not ok.all():
            row = int(np.flatnonzero(~ok)[0])
            raise InputError(f"{path.name}: row {row + 1} has no proper {column}: {frame.iloc[row].to_dict()}; correct or remove the row")
    repeated = read[read.duplicated(["unit_id", "year"])]
    if len(repeated):
        raise InputError(f"{path.name}: unit {repeated['unit_id'].iloc[0]!r} has two rows for {repeated['year'].iloc[0]}; keep one")
    return read.assign(year=read["year"].astype("int32")).sort_values(["unit_id", "year"], ignore_index=True)


def check_raster(path: Path) -> None:
    """Raises InputError where a file is no raster of numbers with a CRS, or its rows do not run from west to east."""
    try:
        with rasterio.open(path) as source:
            crs, (_, b, _, d, *_) = source.crs, source.transform
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}; give a GeoTIFF of people per pixel") from None
    if crs is None:
        raise InputError(f"{path.name} has no CRS; give the raster one, e.g. gdal_edit.py -a_srs EPSG:4326")
    if b or d:
        raise InputError(f"{path.name} is turned against its CRS; warp it, e.g. gdalwarp -r sum")


def people_in_outline(path: str, outline: Any) -> float:
    """Sum of a north-up raster of people per pixel over a unit (EPSG:4326), by exact pixel coverage; no data counts 0.
    The raster is as `check_raster` wants it."""
    with rasterio.open(path) as source:
        found = covered(source, outline)
        if found is None:
            return 0.0
        window, share = found
        people = source.read(1, window=window, masked=True).filled(0).astype(np.float64)
    return float((np.nan_to_num(people) * share).sum())


def covered(source: Any, outline: Any) -> tuple[Window, NDArray[np.float64]] | None:
    """The window of a north-up raster that an outline (EPSG:4326) spans, and the share of each pixel inside, 0-1; None beside it."""
    grid = native_grid(source.crs.to_wkt(), source.transform)
    projected = outlines_on_grid(np.array([outline], dtype=object), grid.crs)[0]
    top, left, bottom, right = grid.pixels_over(*shapely.bounds(projected))
    top, left, bottom, right = max(top, 0), max(left, 0), min(bottom, source.height), min(right, source.width)
    if top >= bottom or left >= right:
        return None
    a, _, x, _, e, y = grid.transform(top, left)[:6]
    edges, owner = edges_of([projected])
    outlines = Outlines((edges - np.array([x, y, x, y])) / np.array([a, e, a, e]), owner)
    return Window.from_slices((top, bottom), (left, right)), coverage(outlines, (bottom - top, right - left))


class People(NamedTuple):
    """People at a date and the census years they come from, e.g. `2011` or `2010-2020`."""

    people: float
    years: str


def people_at(counts: Mapping[int, float], date: dt.date) -> People | None:
    """P0 (P1/P0)^t between the two census years around a date; outside them, or with one only, the nearest year's.

    A census stands for 1 July of its year (the United Nations' mid-year convention). Where P0 or P1 is 0 the path is a
    straight line. No counts: None.
    """
    if not counts:
        return None
    before = max((year for year in counts if _midyear(year) <= date), default=None)
    after = min((year for year in counts if _midyear(year) >= date), default=None)
    if before is None or after is None or before == after:
        year = after if before is None else before
        return None if year is None else People(counts[year], str(year))
    share = (date - _midyear(before)).days / (_midyear(after) - _midyear(before)).days
    return People(_between(counts[before], counts[after], share), f"{before}-{after}")


def _midyear(year: int) -> dt.date:
    return dt.date(year, 7, 1)


def _between(start: float, end: float, share: float) -> float:
    if min(start, end) > 0:
        return float(start * (end / start) ** share)
    return start + (end - start) * share


PEOPLE_DDL = "unit_id string, epoch string, micro_people bigint, people_year string"


def people_batches(frames: Iterable[pd.DataFrame], dates: Mapping[str, dt.date]) -> Iterator[pd.DataFrame]:
    """Shell: units (unit_id, years, people as arrays) to rows unit_id, epoch, micro_people, people_year."""
    for frame in frames:
        rows = []
        for unit, years, people in zip(frame["unit_id"], frame["years"], frame["people"], strict=True):
            counts = dict(zip((int(year) for year in years), (float(p) for p in people), strict=True))
            found = {epoch: people_at(counts, date) for epoch, date in dates.items()}
            rows += [(unit, epoch, round(one.people * MICRO), one.years) for epoch, one in found.items() if one]
        yield pd.DataFrame(rows, columns=["unit_id", "epoch", "micro_people", "people_year"])


def raster_batches(frames: Iterable[pd.DataFrame], path: str) -> Iterator[pd.DataFrame]:
    """Shell: units (unit_id, geometry WKB EPSG:4326) to rows unit_id, people."""
    for frame in frames:
        shapes = shapely.from_wkb(frame["geometry"].to_numpy())
        yield pd.DataFrame({"unit_id": frame["unit_id"].to_numpy(), "people": [people_in_outline(path, shape) for shape in shapes]})
