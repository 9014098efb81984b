"""Attributes and outlines of a GeoParquet file, fields of structs by their path (`names.primary`)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.errors import ShapelyError  # type: ignore[attr-defined]

from conf.errors import InputError

GEOMETRY = "geometry"


def read_geoparquet(path: Path, columns: Sequence[str], geometry: bool) -> tuple[pd.DataFrame, str | None]:
    """Rows of `columns`, with `geometry` (WKB) if asked for, and the CRS, None where the file says that it is unknown.

    Raises InputError on an unreadable file, a missing column, outlines that GeoPandas cannot read."""
    try:
        fields = pq.read_schema(path)
        roots = [_root(fields, column, path) for column in columns]
        table = _with_outlines(path, fields, roots) if geometry else pd.read_parquet(path, columns=list(dict.fromkeys(roots)))
    except (ValueError, KeyError, TypeError, OSError, ShapelyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read: {reason}; give GeoParquet, e.g. as GeoPandas writes it") from None
    frame = pd.DataFrame({column: _values(table[root], column[len(root) + 1 :]) for column, root in zip(columns, roots, strict=True)})
    if not geometry:
        return frame, None
    return frame.assign(geometry=shapely.to_wkb(table.geometry.to_numpy())), table.crs and table.crs.to_wkt()


def _root(fields: pa.Schema, column: str, path: Path) -> str:
    """The file's column that holds `column`: itself, or the struct that its path begins with."""
    root, _, rest = column.partition(".")
    if column in fields.names:
        return column
    kind = fields.field(root).type if root in fields.names else None
    for name in rest.split("."):
        if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            raise InputError(f"{path.name} has no column {column!r}; it has: {', '.join(fields.names)}")
        kind = kind.field(name).type
    return root


def _with_outlines(path: Path, fields: pa.Schema, roots: Sequence[str]) -> Any:
    if b"geo" not in (fields.metadata or {}):
        raise InputError(f"{path.name} has no geo metadata; write it as GeoParquet, e.g. with GeoPandas")
    outlines = json.loads(fields.metadata[b"geo"])["primary_column"]
    return gpd.read_parquet(path, columns=list(dict.fromkeys([*roots, outlines])))  # type: ignore[attr-defined, no-untyped-call]


def _values(values: Any, inner: str) -> Any:
    for name in filter(None, inner.split(".")):
        values = values.map(lambda struct, name=name: struct[name] if isinstance(struct, dict) else None)
    return values
