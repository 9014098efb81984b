"""One quiet Spark session for all tests; real data where URBANTRACE_DATA names them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession

from jobs.session import start_session

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    scratch = tmp_path_factory.mktemp("spark")
    overrides = {
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.adaptive.enabled": "false",  # of so few rows, planning anew after each stage takes longer than the stages
        "spark.sql.warehouse.dir": str(scratch),
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(scratch),
    }
    session = start_session("local[2]", overrides, "urbantrace-tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real inputs; skips the test, with a message, where there is none."""
    folder = os.environ.get("URBANTRACE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data: set URBANTRACE_DATA to their folder")
    return Path(folder)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-data-count", action="store_true", help="say how many tests ran on real data and how many were skipped")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--real-data-count"):
        return
    outcomes = {
        name: [r for r in terminalreporter.getreports(name) if "real_data" in getattr(r, "keywords", {})]
        for name in ("passed", "failed", "skipped")
    }
    ran = sum(len([r for r in outcomes[name] if r.when == "call"]) for name in ("passed", "failed"))
    terminalreporter.write_line(
        f"real-data tests: {ran} ran, {len(outcomes['skipped'])} skipped (URBANTRACE_DATA={os.environ.get('URBANTRACE_DATA', 'not set')})"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real_data")
