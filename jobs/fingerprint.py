"""A hash over a table's sorted content: identity columns only, rasters decoded, the same for any files and order."""

import hashlib
import zlib
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.place import Place
from conf.table import Column as Declared
from conf.table import Table
from conf.tables import TABLES
from jobs.session import start_session
from jobs.warehouse import Warehouse

BUCKET_DIGITS = 3


def fingerprint(place: Place, name: str, master: str, spark_conf: dict[str, str]) -> int:
    """Print the fingerprint of a table of the place."""
    if name not in TABLES:
        raise InputError(f"unknown table {name}; the tables are: {', '.join(TABLES)}")
    if not (place.folder / name).is_dir():
        raise InputError(f"place {place.name} has no table {name} yet; run flow first")
    warehouse = Warehouse(start_session(master, spark_conf), place.folder)
    print(table_fingerprint(warehouse.read(name), TABLES[name]))  # noqa: T201 - the result
    return 0


def table_fingerprint(frame: DataFrame, table: Table) -> str:
    """sha256, hex. Rows are hashed one by one and gathered in buckets, so that no list of all rows is ever held."""
    row = F.to_json(F.struct(*(_canonical(column) for column in table.identity)), {"ignoreNullFields": "false"})
    hashes = frame.select(F.sha2(row, 256).alias("row"))
    bucket = F.substring("row", 1, BUCKET_DIGITS)
    sums = hashes.groupBy(bucket.alias("bucket")).agg(F.sha2(F.concat_ws("", F.sort_array(F.collect_list("row"))), 256).alias("sum"))
    ordered = sorted((found["bucket"], found["sum"]) for found in sums.collect())
    return hashlib.sha256(repr(ordered).encode()).hexdigest()


def _canonical(column: Declared) -> Column:
    value = F.col(column.name)
    if column.raster:
        return (_decoded_hashes() if column.type.startswith("array") else _decoded_hash())(value).alias(column.name)
    if column.type == "binary":
        return F.hex(value).alias(column.name)
    if column.type.startswith("map"):
        return F.sort_array(F.map_entries(value)).alias(column.name)
    return value


def _decoded_hash() -> Any:
    @F.pandas_udf("string")  # type: ignore[call-overload]
    def decoded_hash(data: pd.Series) -> pd.Series:
        return data.map(_hash_of, na_action="ignore")

    return decoded_hash


def _decoded_hashes() -> Any:
    @F.pandas_udf("string")  # type: ignore[call-overload]
    def decoded_hashes(data: pd.Series) -> pd.Series:
        return data.map(lambda items: ",".join("" if item is None else _hash_of(item) for item in items), na_action="ignore")

    return decoded_hashes


def _hash_of(data: bytes) -> str:
    return hashlib.sha256(zlib.decompress(data)).hexdigest()
