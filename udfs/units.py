"""Administrative units from a file: ids, parents, repaired outlines, geodesic areas."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from conf.errors import InputError
from udfs.geoparquet_attributes import read_geoparquet
from udfs.pixel_areas import band_m2

POLYGONAL = (3, 6)
"""shapely's type ids of Polygon and MultiPolygon."""

GEOPARQUET = (".parquet", ".geoparquet")

OVERLAP_SHARE = 1e-6
"""Overlaps of less than this share of the smaller unit are digitising noise and not noted."""

PIECE_BYTES = 1 << 20

AREAS_AT_ONCE = 1_000
"""Polygons whose edges are taken together, some 200 bytes each."""

GAUSS_POINTS, GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(3)


class Columns(NamedTuple):
    """Which attributes of the file hold what; `parent_name` names parents that are no rows themselves."""

    unit_id: str
    name: str | None
    parent: str | None
    parent_name: str | None


def file_digest(path: Path) -> str:
    """sha256 over a vector file and what lies beside it (a shapefile's .dbf, .shx, .prj). Raises InputError if missing."""
    if not path.is_file():
        raise InputError(f"{path} is missing; set the section's path to the file")
    beside = sorted(p for p in path.parent.glob(f"{path.stem}.*") if p.suffix.lower() in (".shp", ".dbf", ".shx", ".prj", ".cpg"))
    content = hashlib.sha256()
    for part in beside if path.suffix.lower() == ".shp" else [path]:
        content.update(part.suffix.encode())
        with part.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                content.update(piece)
    return content.hexdigest()


def read_attributes(path: Path, columns: Sequence[str], geometry: bool, encoding: str | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Named attributes of a vector file or CSV, with `geometry` (WKB) if asked for, and pyogrio's metadata.

    Raises InputError on a missing or unreadable file, a missing column, no rows.
    """
    file_digest(path)
    refuse_xml(path)
    if path.suffix.lower() in GEOPARQUET:
        table, found = read_geoparquet(path, columns, geometry)
        return _with_rows(table, path), {"crs": found}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Non closed ring")  # refused by `repaired`
            meta, _, wkb, values = pyogrio.raw.read(path, read_geometry=geometry, encoding=encoding)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read: {reason}; give GeoJSON, GeoPackage, GeoParquet, shapefile or CSV") from None
    fields = [str(field) for field in meta["fields"]]
    for column in columns:
        if column not in fields:
            raise InputError(f"{path.name} has no column {column!r}; it has: {', '.join(fields)}")
    frame = pd.DataFrame({column: values[fields.index(column)] for column in columns})
    if geometry:
        frame["geometry"] = wkb
    return _with_rows(frame, path), meta


def refuse_xml(path: Path, declared: str = "") -> None:
    """Raises InputError for a file that may name others for GDAL to open, whatever its own name says: VRT and services are XML.

    `declared`: what the message begins with.
    """
    with path.open("rb") as file:
        if file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise InputError(f"{declared}{path.name} cannot be read: XML may lead to other files; convert it to GeoJSON, e.g. with ogr2ogr")


def _with_rows(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if frame.empty:
        raise InputError(f"{path.name} has no rows; give a file with at least one")
    return frame


def identifiers(values: pd.Series) -> pd.Series:
    """Ids as text, nulls kept; 28801.0 becomes '28801', as such columns are whole numbers stored as floats."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    text = values.astype("string").str.strip()
    return text.mask(text == "").astype(object).where(text.notna() & (text != ""), None)


def read_units(path: Path, columns: Columns, crs: str | None = None, encoding: str | None = None) -> pd.DataFrame:
    """Units as rows unit_id, parent_id, level, name, geometry (shapely, EPSG:4326), note.

    Parents that are no rows are made by dissolving their children. `crs` overrides the file's. Raises InputError on
    ids that are missing, null or repeated, no or wrong CRS, geometries that are not polygons, unknown or circular parents.
    """
    names = [name for name in columns if name]
    frame, meta = read_attributes(path, list(dict.fromkeys(names)), geometry=True, encoding=encoding)
    units = pd.DataFrame({"unit_id": unique_ids(frame[columns.unit_id], path.name, columns.unit_id)})
    units["name"] = text_of(frame[columns.name]) if columns.name else None
    units["parent_id"] = identifiers(frame[columns.parent]) if columns.parent else None
    units["parent_name"] = text_of(frame[columns.parent_name]) if columns.parent_name else None
    shapes = located(shapes_of(frame["geometry"]), crs or meta["crs"], path.name)
    units["geometry"], units["note"] = repaired(shapes, units["unit_id"], path.name)
    units = _with_parents(units, path.name)
    units["level"] = levels_of(dict(zip(units["unit_id"], units["parent_id"], strict=True)), path.name)
    return units.sort_values(["level", "unit_id"], ignore_index=True)[["unit_id", "parent_id", "level", "name", "geometry", "note"]]


def shapes_of(wkb: pd.Series) -> Any:
    """Geometries; None where a ring does not close."""
    with np.errstate(invalid="ignore"):  # `located` refuses what is no number
        return shapely.from_wkb(wkb.to_numpy(), on_invalid="ignore")


def text_of(values: pd.Series) -> pd.Series:
    """Nulls kept."""
    return values.astype(object).where(values.notna(), None).map(lambda value: None if value is None else str(value))


def unique_ids(values: pd.Series, title: str, column: str) -> pd.Series:
    """As text. Raises InputError where one is null or comes twice."""
    ids = identifiers(values)
    if ids.isna().any():
        raise InputError(f"{title}: {int(ids.isna().sum())} of {len(ids)} rows have no {column}; name a column that is never empty")
    repeated = ids[ids.duplicated()]
    if len(repeated):
        raise InputError(f"{title}: {column} {repeated.iloc[0]!r} occurs more than once; name a column of unique ids")
    return ids


def located(shapes: Any, crs: str | None, name: str) -> Any:
    """Polygons in EPSG:4326, 2D; a bare or empty geometry is refused by `repaired`."""
    if not crs:
        raise InputError(f"{name} has no CRS; set the section's crs, e.g. EPSG:4326")
    try:
        source = CRS.from_user_input(crs)
    except CRSError:
        raise InputError(f"{name}: CRS {crs[:60]!r} is unknown; set the section's crs, e.g. EPSG:4326") from None
    if not (source.is_geographic or source.is_projected):
        raise InputError(f"{name}: CRS {crs[:60]!r} says not where on earth; set the section's crs to the true one, e.g. EPSG:4326")
    shapes = shapely.force_2d(shapes)
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        raise InputError(f"{name} has coordinates that are no numbers; correct its outlines")
    if source != CRS.from_epsg(4326):
        transformer = Transformer.from_crs(source, "EPSG:4326", always_xy=True)
        shapes = shapely.transform(shapes, transformer.transform, interleaved=False)
    west, south, east, north = shapely.total_bounds(shapes)
    empty = np.isnan(west)
    if not (empty or (-180 <= west <= east <= 180 and -90 <= south <= north <= 90)):
        raise InputError(f"{name}: {west:g}..{east:g}, {south:g}..{north:g} are not degrees; set the section's crs to the true one")
    return shapes


def repaired(shapes: Any, ids: pd.Series, name: str) -> tuple[list[Any], list[str | None]]:
    """Valid polygons and what was done to each. Raises InputError where nothing polygonal is left."""
    notes: list[str | None] = [None] * len(shapes)
    shapes = np.array(shapes, dtype=object)
    for index in np.flatnonzero(~(shapely.is_valid(shapes) & np.isin(shapely.get_type_id(shapes), POLYGONAL))):
        reason = str(shapely.is_valid_reason(shapes[index])).split("[")[0].replace("Valid Geometry", "not only polygons")
        shapes[index] = polygons_only(shapely.make_valid(shapes[index]))
        notes[index] = f"outline repaired: {reason.lower()}"
    gone = np.flatnonzero(shapely.is_empty(shapes) | shapely.is_missing(shapes))
    if len(gone):
        unit = ids.iloc[gone[0]]
        raise InputError(f"{name}: unit {unit!r} has no polygon, or one whose rings do not close; give it one, or leave the row out")
    return list(shapes), notes


def polygons_only(shape: Any) -> Any:
    """The polygonal part of a geometry; None where it has none."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    polygons = parts[shapely.get_type_id(parts) == POLYGONAL[0]]
    return shapely.union_all(polygons) if len(polygons) else None


def _with_parents(units: pd.DataFrame, name: str) -> pd.DataFrame:
    """Adds a dissolved row per parent where the file has none; else parents must all be rows."""
    wanted = units["parent_id"].dropna()
    missing = sorted(set(wanted) - set(units["unit_id"]))
    if missing and len(missing) < wanted.nunique():
        raise InputError(f"{name}: parent {missing[0]!r} is no unit, others are; add its row")
    groups = [units[units["parent_id"] == parent] for parent in missing]
    parents = pd.DataFrame(
        {
            "unit_id": missing,
            "parent_id": None,
            "name": [group["parent_name"].iloc[0] or parent for parent, group in zip(missing, groups, strict=True)],
            "geometry": [shapely.union_all(group["geometry"].to_numpy()) for group in groups],
            "note": [f"dissolved from {len(group)} units" for group in groups],
        },
        dtype=object,
    )
    return pd.concat([parents, units.astype(object)], ignore_index=True) if missing else units


def levels_of(parent_of: dict[str, str | None], name: str) -> list[int]:
    """Steps to the top. Raises InputError on a circle."""
    levels = []
    for unit in parent_of:
        level, above = 0, parent_of[unit]
        while above is not None:
            level, above = level + 1, parent_of[above]
            if level > len(parent_of):
                raise InputError(f"{name}: unit {unit!r} is its own ancestor; correct the parents")
        levels.append(level)
    return levels


def geodesic_area_m2(shapes: Any) -> NDArray[np.float64]:
    """Area on the WGS 84 ellipsoid, m2, of polygons (EPSG:4326) whose edges are straight in degrees, as GeoJSON has them.

    The integral of `band_m2` along the edges, by Gauss' rule on edges cut at 0.1 degree; holes subtract.
    """
    starts = range(0, len(shapes), AREAS_AT_ONCE)
    return np.concatenate([np.empty(0), *(_areas_m2(shapes[start : start + AREAS_AT_ONCE]) for start in starts)])


def _areas_m2(shapes: Any) -> NDArray[np.float64]:
    shapes = shapely.orient_polygons(shapely.segmentize(shapes, 0.1), exterior_cw=True)
    parts, part_shape = shapely.get_parts(shapes, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    start, end, owner = points[:-1][same], points[1:][same], part_shape[ring_part[ring[:-1][same]]]
    base = band_m2(shapely.bounds(shapes)[:, 1], "EPSG:4326")[owner]
    latitudes = ((start[:, 1] + end[:, 1])[:, None] + (end[:, 1] - start[:, 1])[:, None] * GAUSS_POINTS) / 2
    height = ((band_m2(latitudes, "EPSG:4326") - base[:, None]) * GAUSS_WEIGHTS).sum(axis=1) / 2
    return np.bincount(owner, height * np.radians(end[:, 0] - start[:, 0]), len(shapes)).astype(np.float64)


def coverage_faults(shapes: Any) -> tuple[float, float]:
    """Shares of the union: what is in several units, counted again each time, and what holes and slivers between them leave out."""
    union = union_of(shapes)
    filled = shapely.union_all(shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(union))))
    every, area, whole = (geodesic_area_m2(np.atleast_1d(np.asarray(each, dtype=object))).sum() for each in (shapes, union, filled))
    return float(every / area - 1), float(whole / area - 1)


def union_of(shapes: Any) -> Any:
    """Of polygons; many times faster where they tile the ground."""
    return shapely.union_all(shapes) if _unfit(shapes).any() else shapely.coverage_union_all(shapes)


def overlaps(shapes: Any) -> list[tuple[int, int, float]]:
    """Pairs of units that overlap by more than noise: indexes and the share of the smaller one."""
    # Of two that overlap one at the least has an edge inside of the other, or beside one of its edges but not the same.
    unfit, tree = _unfit(shapes), shapely.STRtree(shapes)
    near = np.unique(tree.query(shapes[unfit], predicate="intersects")[1])
    first, second = tree.query(shapes[near], predicate="intersects")
    first = near[first]
    doubtful = (first < second) & (unfit[first] | unfit[second])
    first, second = first[doubtful], second[doubtful]
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    share = common / np.minimum(shapely.area(shapes[first]), shapely.area(shapes[second]))
    return [(int(i), int(j), float(s)) for i, j, s in zip(first, second, share, strict=True) if s > OVERLAP_SHARE]


def _unfit(shapes: Any) -> NDArray[np.bool_]:
    """Which polygons have edges that do not tile the ground with the others'."""
    return np.asarray(~shapely.is_empty(shapely.coverage_invalid_edges(shapes)), np.bool_)
