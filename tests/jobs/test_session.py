"""The session: times are UTC whatever the machine's zone is, and a cluster's workers get the code."""

import datetime as dt
import time
import zipfile
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import session
from jobs.session import start_session


def test_times_do_not_depend_on_the_machine_s_zone(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        again = start_session("local[2]", {"spark.sql.shuffle.partitions": "2"})
        moment = dt.datetime(2020, 3, 1, 23, 30, tzinfo=dt.UTC)
        row = again.createDataFrame([(moment,)], "moment timestamp").selectExpr("moment", "cast(moment AS string) AS text").first()
        assert (row["moment"], row["text"]) == (dt.datetime(2020, 3, 1, 23, 30), "2020-03-01 23:30:00")
    finally:
        monkeypatch.undo()
        time.tzset()


class _Cluster:
    """Stands for a session on a cluster: keeps what it is told to ship."""

    def __init__(self) -> None:
        self.sparkContext = self
        self.shipped: list[Path] = []

    def addPyFile(self, path: str) -> None:
        self.shipped.append(Path(path))


def test_each_driver_ships_a_zip_of_its_own() -> None:
    cluster = _Cluster()
    session._ship_code(cluster)
    session._ship_code(cluster)
    first, second = cluster.shipped
    assert first != second
    assert first.read_bytes() == second.read_bytes()
    assert {"jobs/cli.py", "udfs/planning.py"} <= set(zipfile.ZipFile(first).namelist())
