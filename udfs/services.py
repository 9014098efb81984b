"""Stops of public transport, open public spaces and streets: as declared, and the ground within reach of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from conf.errors import InputError
from udfs.areas import vector_frame
from udfs.earth import to_lonlat
from udfs.lonlat import within_world
from udfs.units import identifiers

STOP, OPEN_SPACE, STREET = "stop", "open_space", "street"
LOW, HIGH = "low", "high"
"""Capacity of a stop's vehicles: buses, trams; trains, metros, ferries."""
NEAR = {STOP: "near_stop", OPEN_SPACE: "near_open_space"}
"""What is told of the ground within reach of each kind."""
DIMENSIONS = {STOP: (0,), OPEN_SPACE: (2,), STREET: (1, 2)}
"""Of the parts of each kind: points, areas, lines or areas."""
SEGMENTS = 16
"""Of a quarter circle: its area is right to 0.2 %."""
SERVICES_DDL = (
    "kind string, service_id string, capacity string, geometry binary, xmin double, ymin double, xmax double, ymax double, reach binary"
)


class Source(NamedTuple):
    """A vector file of one kind. `column`: of a stop's capacity, or of a street's width, m; None: as given for all. `high`: values of the
    former that mean high capacity. `reach_m`: of high capacity, and of others. `width_m`: of streets that tell none."""

    kind: str
    path: Path
    column: str | None = None
    high: tuple[str, ...] = ()
    reach_m: tuple[float, float] = (0.0, 0.0)
    width_m: float | None = None


def read_services(source: Source) -> pd.DataFrame:
    """Rows kind, service_id, capacity, width_m, reach_m and geometry (WKB, EPSG:4326), in the file's order; empty shapes are left out.

    Raises InputError where the file, a column or a kind of shape is wrong."""
    what = f"services.{source.kind}s"
    frame = vector_frame(source.path, [source.column] if source.column else [], what)
    if source.column and source.column not in frame:
        raise InputError(f"{what}: {source.path.name} has no column {source.column}; name another, or leave it out")
    given = np.asarray(frame.geometry.to_numpy(), object)
    numbers = np.flatnonzero(~(shapely.is_missing(given) | shapely.is_empty(given)))
    if not len(numbers):
        raise InputError(f"{what}: {source.path.name} holds no shape; give a file with some, or leave the setting out")
    _check_shapes(given[numbers], numbers, source, what)
    shapes = np.array([_in_degrees(shape, frame.crs, what, source) for shape in given[numbers]], object)
    rows = pd.DataFrame({"kind": source.kind, "service_id": [f"{source.kind}-{number + 1}" for number in numbers]})
    column = frame[source.column].iloc[numbers].reset_index(drop=True) if source.column else None
    high = _is_high(source, column, len(rows), what)
    capacity = np.where(high, HIGH, LOW) if source.kind == STOP else None
    return rows.assign(capacity=capacity, width_m=_widths(source, column, shapes, what), reach_m=np.where(high, *source.reach_m),
                       geometry=shapely.to_wkb(shapes))  # fmt: skip


def _check_shapes(shapes: NDArray[Any], numbers: NDArray[np.int64], source: Source, what: str) -> None:
    parts, owner = shapely.get_parts(shapes, return_index=True)
    wrong = ~np.isin(shapely.get_dimensions(parts), DIMENSIONS[source.kind])
    if wrong.any():
        first = int(np.argmax(wrong))
        row = numbers[owner[first]] + 1
        raise InputError(f"{what}: row {row} of {source.path.name} is a {parts[first].geom_type}; remove or convert it")


def _in_degrees(shape: Any, crs: Any, what: str, source: Source) -> Any:
    """EPSG:4326, areas repaired, split at 180 degrees. Raises InputError where the numbers are no degrees."""
    flat = shapely.force_2d(shape)
    if not crs.is_geographic:
        to_degrees = to_lonlat(crs.to_wkt())
        flat = shapely.transform(flat, lambda xy: np.column_stack(to_degrees.transform(*xy.T.tolist())))
        first = shapely.get_coordinates(flat)[0, 0]
        flat = shapely.transform(flat, lambda xy: np.column_stack([_beside(xy[:, 0], first), xy[:, 1]]))
    xy = shapely.get_coordinates(flat)
    if not (np.isfinite(xy).all() and (np.abs(xy) <= (540, 90)).all()):
        raise InputError(f"{what}: {source.path.name} has coordinates that are no degrees; give it its CRS, e.g. with ogr2ogr -a_srs")
    if shapely.get_dimensions(flat) == 2:
        return within_world(shapely.make_valid(flat))
    return flat


def _is_high(source: Source, column: Any, count: int, what: str) -> NDArray[np.bool_]:
    """Stops of high capacity."""
    if source.kind != STOP or column is None:
        return np.zeros(count, bool)
    values = identifiers(column)
    if unknown := sorted(set(source.high) - set(values.dropna())):
        known = ", ".join(sorted(set(values.dropna()))[:10])
        raise InputError(f"setting services.high_capacity: no stop has {source.column} = {unknown[0]!r}; {source.path.name} has {known}")
    return values.isin(source.high).to_numpy(bool)


def _widths(source: Source, column: Any, shapes: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Of lines, m; 0 of what is no line."""
    lines = shapely.get_dimensions(shapes) == 1
    if source.kind != STREET:
        return np.zeros(len(shapes))
    given = pd.Series(np.nan, range(len(shapes))) if column is None else column
    told = pd.to_numeric(given, errors="coerce")
    if (wrong := given.notna() & ~(told > 0)).any():
        value = f"{source.column} = {given[wrong].iloc[0]!r}"
        raise InputError(f"{what}: {source.path.name} has {value}, no width in metres; correct or empty it")
    widths = told.fillna(np.nan if source.width_m is None else source.width_m).to_numpy(np.float64)
    if not (widths[lines] > 0).all():
        raise InputError(f"{what}: a line of {source.path.name} tells no width in metres; set services.street_width")
    return np.where(lines, widths, 0.0)


def service_frames(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Shell: rows of `read_services` to rows of SERVICES_DDL: streets as areas, stops and open spaces with what is within reach."""
    for frame in frames:
        pairs = [_with_reach(*row) for row in frame[["kind", "geometry", "width_m", "reach_m"]].itertuples(index=False)]
        own = np.array([shape for shape, _ in pairs], object)
        boxes = dict(zip(("xmin", "ymin", "xmax", "ymax"), shapely.bounds(own).reshape(-1, 4).T, strict=True))
        reach = pd.Series([None if one is None else shapely.to_wkb(one) for _, one in pairs], frame.index, dtype=object)
        yield frame[["kind", "service_id", "capacity"]].assign(geometry=shapely.to_wkb(own), **boxes, reach=reach)


def _with_reach(kind: str, geometry: bytes, width_m: float, reach_m: float) -> tuple[Any, Any]:
    shape = shapely.from_wkb(geometry)
    if kind == STREET:
        return (around(shape, width_m / 2, flat=True) if width_m else shape), None
    return shape, around(shape, reach_m)


def around(shape: Any, metres: float, flat: bool = False) -> Any:
    """The ground within so many metres of a shape, EPSG:4326, split at 180 degrees; `flat`: lines end where they end.

    Each part is measured on the azimuthal equidistant plane about its middle: from a point exact, beside one of 20 km right to 1e-6."""
    return within_world(np.array([_around(part, metres, flat) for part in shapely.get_parts(shape)], object))


def _around(part: Any, metres: float, flat: bool) -> Any:
    west, south, east, north = shapely.bounds(part)
    middle = float(west + east) / 2, float(south + north) / 2
    plane = CRS.from_proj4(f"+proj=aeqd +lon_0={middle[0]!r} +lat_0={middle[1]!r} +datum=WGS84")
    to_plane = Transformer.from_crs("EPSG:4326", plane, always_xy=True)
    # As lists: of an array of one point pyproj warns.
    on_plane = shapely.transform(part, lambda xy: np.column_stack(to_plane.transform(*xy.T.tolist())))
    grown = shapely.buffer(on_plane, metres, quad_segs=SEGMENTS, cap_style="flat" if flat else "round")
    back = shapely.transform(grown, lambda x, y: to_plane.transform(x, y, direction="INVERSE"), interleaved=False)
    return shapely.transform(back, lambda xy: np.column_stack([_beside(xy[:, 0], middle[0]), xy[:, 1]]))


def _beside(longitude: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    return np.asarray(middle + (longitude - middle + 180) % 360 - 180)
