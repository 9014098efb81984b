"""Grids of people to the Degree of Urbanisation of cells and units: rasters read and checked, cells summed over outlines."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray

from conf.errors import InputError
from udfs.degree_of_urbanisation import (
    CENTRE,
    DENSE,
    LOW,
    RULES,
    SEMI_DENSE,
    SUBURBAN,
    UNKNOWN,
    VERY_LOW,
    VILLAGE,
    WATER,
    Cells,
    classes_of,
)
from udfs.earth import pixel_area_m2
from udfs.grid import native_grid
from udfs.population import MICRO, covered

CODES = (CENTRE, DENSE, SEMI_DENSE, SUBURBAN, VILLAGE, LOW, VERY_LOW, WATER)
MOST_CELLS = 100_000_000
"""Of a grid: classes of so many take 10 GB."""
ABOVE = 1.01
"""Up to which a largest share is one of 0-1, by rounding or resampling; 100 of it: percent."""
KM2_WITHIN = 0.02
"""How far a cell's area may be from 1 km2."""
PEOPLE_DDL = "unit_id string, code int, micro_people bigint"


def read_cells(people: Path, built: Path | None, land: Path | None) -> Cells:
    """The whole of the rasters: people per cell, no data = not known; built share and share of permanent land, both of the cell, 0-1 or
    percent, no data = not built, and land. Raises InputError unless all have one north-up grid, of cells of 1 km2 on the ground."""
    counts, like = _read(people)
    _check_grid(people, like)
    unknown = counts.filled(np.nan)
    unknown[unknown < 0] = np.nan
    land_share, built_share = (_share(path, like, default) for path, default in ((land, 1.0), (built, 0.0)))
    return Cells(unknown, land_share, np.asarray((built_share / np.where(land_share > 0, land_share, 1)).clip(0, 1)))


def _read(path: Path) -> tuple[Any, tuple[Any, ...]]:
    """Values, masked, and shape, transform and CRS."""
    try:
        with rasterio.open(path) as file:
            if file.width * file.height > MOST_CELLS:
                raise InputError(
                    f"{path.name} has {file.width * file.height:,} cells; cut it to the country and 100 km around, at most {MOST_CELLS:,}"
                )
            return file.read(1, masked=True).astype(np.float64), (file.shape, file.transform, file.crs)
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{path.name} is no readable raster: {error}; give a GeoTIFF") from None


def _check_grid(path: Path, like: tuple[Any, ...]) -> None:
    (height, width), transform, crs = like
    if crs is None:
        raise InputError(f"{path.name} has no CRS; give the raster one, e.g. gdal_edit.py -a_srs ESRI:54009")
    native_grid(crs.to_wkt(), transform)
    try:
        area = pixel_area_m2(crs.to_wkt(), tuple(transform @ transform.translation(width // 2, height // 2))[:6], 1)
    except ValueError as error:
        raise InputError(f"{path.name}: {error}") from None
    if abs(area / 1e6 - 1) > KM2_WITHIN:
        raise InputError(f"{path.name}: a cell has {area:,.0f} m2, 1 km2 is needed; resample people by sum to 1 km Mollweide (ESRI:54009)")


def _share(path: Path | None, like: tuple[Any, ...], default: float) -> NDArray[np.float64]:
    if path is None:
        return np.full(like[0], default)
    values, of_file = _read(path)
    if of_file != like:
        raise InputError(f"{path.name} has another grid than the people; resample it to theirs")
    share = values.filled(default)
    if share.max() > 100 * ABOVE:
        raise InputError(f"{path.name} holds {share.max():g}, a share 0-1 or percent is needed; divide m2 by the cell's area, 1e6")
    return np.asarray((share / 100 if share.max() > ABOVE else share).clip(0, 1))


def write_cells(codes: NDArray[np.uint8], people: Path, path: Path) -> None:
    """Codes as a GeoTIFF on the people's grid."""
    with rasterio.open(people) as file:
        profile = {"crs": file.crs, "transform": file.transform, "height": file.height, "width": file.width}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", nodata=UNKNOWN, compress="deflate", **profile) as file:
        file.write(codes, 1)


def classified(people: Path, built: Path | None, land: Path | None, release: str) -> NDArray[np.uint8]:
    """Codes of the rasters' cells by the rules of a release."""
    return classes_of(read_cells(people, built, land), RULES[release])


def unit_people_batches(frames: Iterable[pd.DataFrame], people: str, cells: str) -> Iterator[pd.DataFrame]:
    """Shell: units (unit_id, geometry WKB EPSG:4326) to rows of PEOPLE_DDL: people by code, cells shared by exact area."""
    for frame in frames:
        rows = [
            (unit, code, round(found * MICRO))
            for unit, shape in zip(frame["unit_id"], shapely.from_wkb(frame["geometry"].to_numpy()), strict=True)
            for code, found in people_by_code(people, cells, shape).items()
        ]
        yield pd.DataFrame(rows, columns=["unit_id", "code", "micro_people"])


def people_by_code(people: str, cells: str, outline: Any) -> dict[int, float]:
    """People of an outline (EPSG:4326) by the code of the cells that they live in."""
    with rasterio.open(people) as counted, rasterio.open(cells) as classed:
        found = covered(counted, outline)
        if found is None:
            return {}
        window, share = found
        counts = counted.read(1, window=window, masked=True).filled(0).astype(np.float64)
        codes = classed.read(1, window=window)
    inside = np.nan_to_num(counts).clip(0, None) * share
    return {code: float(inside[codes == code].sum()) for code in CODES if (codes == code).any()}
