"""The area of a place: a box, units by name from a file, or what images cover; as a polygon in degrees."""

from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely

from conf.errors import InputError
from udfs.zones import split_at_antimeridian

WORLD_LAND = "land"
"""The word for the whole land surface of the earth."""


def box_area(west: float, south: float, east: float, north: float) -> Any:
    """A box of degrees; west > east leads over the antimeridian. Raises InputError."""
    return split_at_antimeridian(west, south, east, north)


def file_area(path: Path, column: str | None, names: tuple[str, ...]) -> Any:
    """The union of the polygons of a vector file, EPSG:4326, of those whose `column` is among `names` where they are given.

    Raises InputError where the file, the column or a name is not there.
    """
    if not path.is_file():
        raise InputError(f"tiles.area: no file {path}; correct its path")
    try:
        frame = pyogrio.read_dataframe(path, columns=[column] if column else [])
    except (ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"tiles.area: {path.name} is no vector file: {str(error).splitlines()[0][:160]}") from None
    if names:
        frame = frame[_named(frame, path, column, names)]
    if frame.crs is None:
        raise InputError(f"tiles.area: {path.name} has no CRS; give it one, e.g. with ogr2ogr -a_srs")
    shapes = frame.geometry.to_crs("EPSG:4326").to_numpy()
    area = shapely.union_all(shapely.make_valid(shapes[np.isin(shapely.get_dimensions(shapes), [2])]))
    if area.is_empty:
        raise InputError(f"tiles.area: {path.name} holds no polygon; give one with areas")
    return area


def _named(frame: Any, path: Path, column: str | None, names: tuple[str, ...]) -> Any:
    if column is None or column not in frame.columns:
        raise InputError(f"tiles.area: {path.name} has no column {column}; set area.column to the one that holds the names")
    values = frame[column].astype(str)
    missing = [name for name in names if name not in set(values)]
    if missing:
        known = ", ".join(sorted(set(values))[:10])
        raise InputError(f"tiles.area: {path.name} has no {column} {missing[0]}; it has {known}, ...")
    return values.isin(names)
