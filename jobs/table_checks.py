"""Is a job's result what its table declares? Schema first, then keys and checks in one pass."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from conf.errors import InputError
from conf.table import Table


class TableError(RuntimeError):
    """A job's rows break its table's declaration; nothing of them is written."""


def schema_of(table: Table) -> StructType:
    return StructType.fromDDL(table.ddl)


def check_schema(frame: DataFrame, table: Table) -> None:
    """Raises TableError listing every column that differs, with expected and found."""
    expected = {field.name: field.dataType.simpleString() for field in schema_of(table)}
    found = {field.name: field.dataType.simpleString() for field in frame.schema}
    names = [*expected, *(name for name in found if name not in expected)]
    differing = [
        f"{n}: expected {expected.get(n, 'no such column')}, found {found.get(n, 'none')}" for n in names if expected.get(n) != found.get(n)
    ]
    if differing:
        raise TableError(f"table {table.name}: {'; '.join(differing)}")


def check_stored_columns(stored: StructType, table: Table) -> None:
    """A stored table, of an older version, may lack columns: its rows have null there, new rows bring them.

    Raises InputError where such rows may not have null, or a column's type has changed.
    """
    there = {field.name: field.dataType.simpleString() for field in stored}
    meant = {field.name: field.dataType.simpleString() for field in schema_of(table)}
    wrong = [f"{name} is {there[name]}, now {kind}" for name, kind in meant.items() if there.get(name, kind) != kind]
    lacking = (column.name for column in table.columns if column.name not in there and not column.nullable)
    wrong += [f"{name} is missing and needed in every row" for name in lacking]
    if wrong:
        raise InputError(
            f"table {table.name}, made by another version: {'; '.join(wrong)}; make the place anew in another --set warehouse=DIR"
        )


def in_declared_order(frame: DataFrame, table: Table) -> DataFrame:
    """The frame's columns in the table's order. Raises TableError."""
    check_schema(frame, table)
    return frame.select(*table.names)


def check_rows(frame: DataFrame, table: Table) -> int:
    """The number of rows; raises TableError when keys repeat, a required value is null or a check fails."""
    required = [column.name for column in table.columns if not column.nullable]
    counts = {
        "rows": F.count(F.lit(1)),
        "keys": F.count_distinct(F.struct(*table.key)),
        **{f"null:{name}": F.count_if(F.col(name).isNull()) for name in required},
        **{f"check:{check.text}": F.count_if(~F.coalesce(F.expr(check.holds), F.lit(False))) for check in table.checks},
    }
    found = frame.agg(*(column.alias(name.replace(".", "_")) for name, column in counts.items())).first().asDict()
    rows, keys = found.pop("rows"), found.pop("keys")
    problems = [
        f"{count} rows: {name.split(':', 1)[1]} {'is null' if name.startswith('null:') else ''}".strip()
        for name, count in found.items()
        if count
    ]
    if rows != keys:
        problems.append(f"{rows - keys} rows repeat a key ({', '.join(table.key)})")
    if problems:
        raise TableError(f"table {table.name}: {'; '.join(problems)}")
    return int(rows)
