"""SQL over a place's tables and views: the result on stdout as a table, CSV or JSON."""

import csv
import datetime as dt
import json
import sys
from typing import Any, TextIO

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from rich.console import Console
from rich.table import Table as TextTable

from conf.errors import InputError
from conf.place import Place
from jobs.session import start_session
from jobs.warehouse import Warehouse

TELLING = ("Show", "Describe", "Explain")
"""Commands that only tell, by the beginnings of their names in Spark's plans."""
ONLY_ASKS = "sql: the statement does not only ask; write a SELECT"
NO_COMMAND = "RestoreTableStatement"
"""Delta's; it leaves no command in the plan that is analysed."""


def run_sql(place: Place, query: str, form: str, master: str, spark_conf: dict[str, str]) -> int:
    """Print the rows of a SELECT. Raises InputError on a wrong one."""
    if not place.folder.is_dir():
        raise InputError(f"place {place.name} has no tables in {place.folder} yet; run flow first")
    warehouse = Warehouse(start_session(master, spark_conf), place.folder)
    register(warehouse)
    try:
        check_asks(warehouse.spark, query)
        frame = warehouse.spark.sql(query)
    except (AnalysisException, ParseException) as error:
        raise InputError(f"sql: {str(error).strip().splitlines()[0]}") from None
    WRITERS[form](frame, sys.stdout)
    return 0


def check_asks(spark: SparkSession, query: str) -> None:
    """Raises InputError for a statement that would change something; it is analysed, not run."""
    state, classes = spark._jsparkSession.sessionState(), spark._jvm.java.lang.Class
    command = classes.forName("org.apache.spark.sql.catalyst.plans.logical.Command")
    parsed = state.sqlParser().parsePlan(query)
    kind = parsed.getClass().getSimpleName()
    if kind == NO_COMMAND:
        raise InputError(ONLY_ASKS)
    plan = state.executePlan(parsed, spark._jvm.org.apache.spark.sql.execution.CommandExecutionMode.SKIP()).analyzed()
    # Of FROM ... INSERT ... INSERT ... the commands are parts.
    parts = [plan, *(plan.children().apply(number) for number in range(plan.children().size()))]
    if any(command.isInstance(part) for part in parts) and not kind.startswith(TELLING):
        raise InputError(ONLY_ASKS)


def register(warehouse: Warehouse) -> None:
    """Every table of the place, and every view whose tables are there, by name."""
    from conf.views import VIEWS

    there = warehouse.existing()
    for name in there:
        warehouse.read(name).createOrReplaceTempView(name)
    for name, view in VIEWS.items():
        if set(view.reads) <= set(there):
            warehouse.spark.sql(view.select).createOrReplaceTempView(name)


def _plain(value: Any) -> Any:
    """Bytes as hex, times as ISO 8601 UTC, structures as they print in JSON."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _cell(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, (dict, list)):
        return json.dumps(plain)
    return "" if plain is None else str(plain)


def _write_csv(frame: DataFrame, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows([_cell(value) for value in row] for row in frame.toLocalIterator())


def _write_json(frame: DataFrame, out: TextIO) -> None:
    rows = [dict(zip(frame.columns, map(_plain, row), strict=True)) for row in frame.toLocalIterator()]
    json.dump(rows, out, indent=1, default=str)
    out.write("\n")


def _write_table(frame: DataFrame, out: TextIO) -> None:
    table = TextTable(*frame.columns)
    for row in frame.toLocalIterator():
        table.add_row(*(_cell(value) for value in row))
    Console(file=out, width=None if out.isatty() else 240, markup=False).print(table)


WRITERS = {"csv": _write_csv, "json": _write_json, "table": _write_table}
