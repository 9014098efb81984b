"""The whole way on a small simulated city, as a user runs it: all tables, nothing twice, killed and resumed, cut otherwise."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import deltalake
import duckdb
import pytest
import yaml
from pyspark.sql import SparkSession

from conf.place import CONF
from conf.tables import TABLES
from jobs.cli import main
from jobs.fingerprint import table_fingerprint
from jobs.warehouse import Warehouse
from tests.servers.faults import Faults
from tests.servers.range_server import serving
from tests.servers.stac_api import items_of_catalog, stac_api

ROOT = Path(__file__).parents[2]
CITY = ("simulated_city.size_m=2560", "simulated_city.rgb_m=300", "batch_seconds=4")
MADE = ("scenes", "tiles", "built_up", "buildings", "units", "population", "unit_statistics", "indicators", "truth_buildings")
COMPARED = ("buildings", "unit_statistics", "indicators")
OF_IMAGES = ("scenes", "tiles", "built_up", "buildings", "units", "population", "unit_statistics")
OF_CUT = ("simulated_city", *OF_IMAGES, "urban_extent", "extent_statistics", "informality", "unit_shares", "indicators")
"""Jobs whose rows images decide, and those whose rows the cut into tiles might."""


def arguments(warehouse: Path, *more: str, command: str = "flow") -> list[str]:
    assignments = (f"warehouse={warehouse}", *CITY, *more)
    return [command, "--master", "local[2]", *(part for assignment in assignments for part in ("--set", assignment))]


@pytest.fixture(scope="module")
def warehouse(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    assert main(arguments(folder)) == 0
    return folder


def fingerprints(spark: SparkSession, folder: Path, names: tuple[str, ...] = COMPARED) -> dict[str, str]:
    tables = Warehouse(spark, folder / "simulated")
    return {name: table_fingerprint(tables.read(name), TABLES[name]) for name in names}


def versions(folder: Path) -> dict[str, int]:
    return {path.parent.name: deltalake.DeltaTable(str(path.parent)).version() for path in folder.glob("*/*/_delta_log")}


def test_every_table_is_there_and_every_planned_tile_has_a_row(warehouse: Path) -> None:
    city = warehouse / "simulated"
    assert {path.parent.name for path in city.glob("*/_delta_log")} >= set(MADE)
    keys = [
        {tuple(row) for row in deltalake.DeltaTable(str(city / name)).to_pandas()[["layer", "epoch", "tile_id"]].itertuples(index=False)}
        for name in ("tiles", "built_up")
    ]
    assert keys[0] == keys[1]
    assert (warehouse / "mlflow.db").exists()
    assert (city / "report" / "index.html").stat().st_size > 10_000


def test_the_tables_open_without_spark(warehouse: Path) -> None:
    statistics = deltalake.DeltaTable(str(warehouse / "simulated" / "unit_statistics")).to_pyarrow_table()  # noqa: F841 - named in the query
    units, total = duckdb.sql("SELECT count(DISTINCT unit_id), sum(total_m2) FROM statistics").fetchall()[0]
    assert units >= 25
    assert total > 0


def test_a_second_flow_writes_nothing(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = versions(warehouse)
    assert main(arguments(warehouse)) == 0
    assert "nothing was written" in capsys.readouterr().err
    assert versions(warehouse) == before


def test_sql_and_fingerprint_print_only_the_result(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--set", f"warehouse={warehouse}"]
    assert (
        main(
            [
                "sql",
                "SELECT epoch, count(*) AS tiles, NULL AS nothing FROM built_up GROUP BY epoch ORDER BY epoch",
                *place,
                "--format",
                "csv",
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "epoch,tiles,nothing"
    assert [line.split(",")[0] for line in lines[1:]] == ["2017", "2018", "2019", "2020", "2021", "2022"]
    assert all(line.endswith(",") for line in lines[1:])
    assert main(["fingerprint", "buildings", *place]) == 0
    assert len(capsys.readouterr().out.strip()) == 64
    assert main(["sql", "SELECT nonsense FROM built_up", *place]) == 2


def test_another_tile_size_is_refused_and_elsewhere_gives_the_same(
    spark: SparkSession, warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = versions(warehouse)
    assert main(arguments(warehouse, "tiles.tile_px=256")) == 2
    assert "tiles.tile_px 512 -> 256" in capsys.readouterr().err
    assert versions(warehouse) == before
    for name in OF_CUT:
        assert main(arguments(tmp_path, "tiles.tile_px=256", command=name)) == 0
    compared = (*COMPARED, "urban_extent", "informality", "unit_shares")
    assert fingerprints(spark, tmp_path, compared) == fingerprints(spark, warehouse, compared)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jobs.cli", *arguments(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=folder)


def _await(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2400):
        if path.exists():
            return
        assert process.poll() is None, "flow ended before it could be killed"
        time.sleep(0.1)
    raise AssertionError(f"{path.name} did not come")


def test_a_killed_flow_resumes_to_the_same_tables(spark: SparkSession, warehouse: Path, tmp_path: Path) -> None:
    with _start(tmp_path) as process:
        _await(tmp_path / "simulated" / "built_up" / "_delta_log" / "00000000000000000000.json", process)
        process.send_signal(signal.SIGKILL)
    first = deltalake.DeltaTable(str(tmp_path / "simulated" / "built_up")).to_pyarrow_table()
    assert main(arguments(tmp_path)) == 0
    assert fingerprints(spark, tmp_path) == fingerprints(spark, warehouse)
    kept = set(first["run_id"].to_pylist()) & set(
        deltalake.DeltaTable(str(tmp_path / "simulated" / "built_up")).to_pyarrow_table()["run_id"].to_pylist()
    )
    assert kept, "the batches committed before the kill were made again"
    states = {row["state"] for row in Warehouse(spark, tmp_path / "simulated").read("runs").collect()}
    assert states == {"done", "failed"}


def _through_api(folder: Path, api: str, token_url: str, warehouse: Path) -> Path:
    """The simulated city as a place whose images come from a STAC API."""
    place = yaml.safe_load((CONF / "simulated.yaml").read_text())
    storage = str(warehouse / "simulated")
    del place["simulated_city"]
    place["units"]["path"] = f"{storage}/units.geojson"
    place["population"]["path"] = f"{storage}/population.csv"
    place["scenes"] = {"sources": [{"api": api, "collections": ["simulated"]}]}
    place["access"] = {
        "hosts": ["127.0.0.1"], "signing": {"127.0.0.1": "planetary_computer"}, "token_url": token_url, "wait_seconds": 0.01, "tries": 8,
    }  # fmt: skip
    path = folder / "remote.yaml"
    path.write_text(yaml.safe_dump(place), encoding="utf-8")
    return path


def test_images_from_an_api_that_throttles_and_breaks_off_give_the_same_tables(
    spark: SparkSession, warehouse: Path, tmp_path: Path
) -> None:
    """429, 5 % broken connections and tokens that run out: the same fingerprints, and the retries are in the table."""
    imagery = warehouse / "simulated" / "imagery"
    faults = Faults(seed=11, under="/S2_", too_many=0.05, broken=0.03, half=0.02, token_requests=12)
    with serving(imagery, faults) as images:
        items = items_of_catalog(imagery / "catalog.json", images.url)
        with stac_api(items, page=5, faults=Faults(seed=5, too_many=0.2)) as api:
            place = _through_api(tmp_path, api, images.url("token"), warehouse)
            for name in OF_IMAGES:
                assert main([name, "--place", str(place), "--master", "local[2]", "--set", f"warehouse={tmp_path}"]) == 0
        statuses = [request.status for request in images.log]
    assert {429, 403} <= set(statuses) and any(request.fault in ("broken", "half") for request in images.log)
    compared = ("built_up", "buildings", "unit_statistics")
    assert fingerprints(spark, tmp_path, compared) == fingerprints(spark, warehouse, compared)
    tables = Warehouse(spark, tmp_path / "simulated")
    assert tables.read("built_up").where("attempts > 1").count() > 0
    assert tables.read("built_up").where("status = 'quarantined'").count() == 0
    kept = [text for row in tables.read("scenes").collect() for text in (*row["hrefs"].values(), *row["versions"])]
    assert kept and not any("?" in text for text in kept)
