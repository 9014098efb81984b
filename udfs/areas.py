"""The area of a place: a box, units by name from a file, or what images cover; as a polygon in degrees."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyproj import Transformer

from conf.errors import InputError
from udfs.lonlat import within_world
from udfs.units import refuse_xml
from udfs.zones import split_at_antimeridian

VECTOR_FILES = (".geojson", ".json", ".gpkg", ".shp", ".fgb", ".parquet")
"""No format that points to other files."""
WORLD_LAND = "land"
"""The word for the whole land surface of the earth."""


def box_area(west: float, south: float, east: float, north: float) -> Any:
    """A box of degrees; west > east leads over the antimeridian. Raises InputError."""
    return split_at_antimeridian(west, south, east, north)


def file_area(path: Path, column: str | None, names: tuple[str, ...]) -> Any:
    """The union of the polygons of a vector file, EPSG:4326, of those whose `column` is among `names` where they are given.

    Raises InputError where the file, the column or a name is not there.
    """
    frame = vector_frame(path, [column] if column else [], "tiles.area")
    return _in_degrees(frame[_named(frame, path, column, names)] if names else frame, path)


def named_areas(path: Path, column: str, what: str) -> dict[str, Any]:
    """Name in `column` to the union of its polygons, EPSG:4326, by name. Raises InputError; `what` names the setting."""
    frame = vector_frame(path, [column], what)
    if column not in frame:
        raise InputError(f"{what}: {path.name} has no column {column}; name the one that holds the names")
    return {str(name): _in_degrees(rows, path) for name, rows in sorted(frame.dropna(subset=[column]).groupby(column))}


def vector_frame(path: Path, columns: list[str] | None, what: str) -> Any:
    """A vector file with these of its columns, None: all, as a GeoDataFrame with a CRS. Raises InputError; `what` names the setting."""
    if path.suffix.lower() not in VECTOR_FILES:
        raise InputError(f"{what}: {path.name} is none of {', '.join(VECTOR_FILES)}; convert it, e.g. with ogr2ogr")
    if not path.is_file():
        raise InputError(f"{what}: no file {path}; correct its path")
    refuse_xml(path, f"{what}: ")
    try:
        frame = pyogrio.read_dataframe(path, columns=columns)
    except (ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{what}: {path.name} is no vector file: {str(error).splitlines()[0][:160]}") from None
    if getattr(frame, "geometry", None) is None or not hasattr(frame, "crs"):
        raise InputError(f"{what}: {path.name} has no geometry; give a vector file")
    if frame.crs is None:
        raise InputError(f"{what}: {path.name} has no CRS; give it one, e.g. with ogr2ogr -a_srs")
    return frame


def _in_degrees(frame: Any, path: Path) -> Any:
    """The union of the polygons, EPSG:4326, split at 180 degrees. Raises InputError."""
    shapes = shapely.make_valid(frame.geometry.to_numpy())
    if not frame.crs.is_geographic:
        to_degrees = Transformer.from_crs(frame.crs, "EPSG:4326", always_xy=True)
        shapes = shapely.transform(shapes, lambda xy: _unwrapped(np.column_stack(to_degrees.transform(xy[:, 0], xy[:, 1]))))
    area = within_world(shapely.get_parts(shapes))
    if area.is_empty:
        raise InputError(f"{path.name} holds no polygon; give a file with areas")
    return area


def _unwrapped(lonlat: Any) -> Any:
    """Longitudes within 180 degrees of the first, so that a shape over 180 degrees stays in one piece."""
    first = lonlat[0, 0] if len(lonlat) else 0.0
    lonlat[:, 0] = first + (lonlat[:, 0] - first + 180) % 360 - 180
    return lonlat


def _named(frame: Any, path: Path, column: str | None, names: tuple[str, ...]) -> Any:
    if column is None or column not in frame.columns:
        raise InputError(f"tiles.area: {path.name} has no column {column}; set area.column to the one that holds the names")
    values = frame[column].astype(str)
    missing = [name for name in names if name not in set(values)]
    if missing:
        known = ", ".join(sorted(set(values))[:10])
        raise InputError(f"tiles.area: {path.name} has no {column} {missing[0]}; it has {known}, ...")
    return values.isin(names)
