"""Attributes and outlines of a GeoParquet file, fields of structs by their path (`names.primary`)."""

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from conf.errors import InputError

LONLAT = "OGC:CRS84"
"""Where the file names no CRS (GeoParquet 1.1)."""


def read_geoparquet(path: Path, columns: Sequence[str], geometry: bool) -> tuple[pd.DataFrame, str | None]:
    """Rows of `columns`, with `geometry` (WKB) if asked for, and the CRS, None where the file says that it is unknown.

    Raises InputError on an unreadable file, a missing column, outlines that are not WKB."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}; give GeoParquet") from None
    with file:
        schema = file.schema_arrow
        for column in columns:
            if not _holds(schema, column):
                raise InputError(f"{path.name} has no column {column!r}; it has: {', '.join(schema.names)}")
        told = _geometry_of(path, schema) if geometry else {"name": "", "crs": None}
        roots = dict.fromkeys([*(column.partition(".")[0] for column in columns), *([told["name"]] if geometry else [])])
        table = file.read(columns=list(roots))
    frame = pd.DataFrame({column: _values(table, column).to_pandas() for column in columns})
    if geometry:
        frame["geometry"] = table[told["name"]].to_pandas()
    return frame, told["crs"]


def _holds(schema: pa.Schema, column: str) -> bool:
    if column in schema.names:
        return True
    root, *fields = column.split(".")
    if root not in schema.names:
        return False
    kind = schema.field(root).type
    for field in fields:
        if not pa.types.is_struct(kind) or kind.get_field_index(field) < 0:
            return False
        kind = kind.field(field).type
    return True


def _values(table: pa.Table, column: str) -> Any:
    if column in table.column_names:
        return table[column]
    root, *fields = column.split(".")
    return reduce(lambda values, field: pc.struct_field(values, field), fields, table[root])


def _geometry_of(path: Path, schema: pa.Schema) -> dict[str, Any]:
    """Name and CRS of the outlines."""
    text = (schema.metadata or {}).get(b"geo")
    if text is None:
        raise InputError(f"{path.name} has no geo metadata; write it as GeoParquet, e.g. with GeoPandas")
    geo = json.loads(text)
    name = geo["primary_column"]
    told = geo["columns"][name]
    if told.get("encoding") != "WKB":
        raise InputError(f"{path.name}: outlines are encoded as {told.get('encoding')}; write them as WKB")
    crs = told.get("crs", LONLAT)
    return {"name": name, "crs": json.dumps(crs) if isinstance(crs, dict) else crs}
