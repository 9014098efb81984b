"""Fault 49: what opens doors stays out of tables, quarantine, logs, MLflow, Spark's UI and its event log. A run of its own reads images by
signed addresses, tokens and keys, some of which are refused; then everything that it left is searched."""

import datetime as dt
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
import yaml

from conf.redaction import redacted
from tests.images_on_disk import write
from tests.jobs.toy_place import refused
from tests.random_model import BANDS, write_random_model
from tests.servers.faults import Faults
from tests.servers.range_server import Served, serving

ROOT = Path(__file__).parents[2]
CANARY = "CANARY7f3a91"
SIGNED = f"sv=2021&se=2030&sig={CANARY}sas%3D&X-Amz-Signature={CANARY}amz&Key-Pair-Id={CANARY}pair"
YEARS = range(2019, 2025)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": f"{CANARY}id", "AWS_SECRET_ACCESS_KEY": f"{CANARY}s3", "AWS_SESSION_TOKEN": f"{CANARY}session",
    "AWS_REGION": "eu-west-1", "AZURE_STORAGE_SAS_KEY": f"sv=1&sig={CANARY}azure", "MLFLOW_TRACKING_PASSWORD": f"{CANARY}mlflow",
}  # fmt: skip
SPARK = {
    "spark.ui.enabled": "true", "spark.eventLog.enabled": "true", "spark.eventLog.compress": "false",
    "spark.hadoop.fs.s3a.access.key": f"{CANARY}a", "spark.hadoop.fs.s3a.secret.key": f"{CANARY}b",
    "spark.hadoop.fs.azure.account.key.acc.dfs.core.windows.net": f"{CANARY}c",
    "spark.hadoop.fs.azure.sas.box.acc.blob.core.windows.net": f"{CANARY}d", "spark.hadoop.fs.azure.sas.fixed.token": f"{CANARY}e",
    "spark.executorEnv.AWS_ACCESS_KEY_ID": f"{CANARY}f", "spark.executorEnv.OTHER_TOKEN": f"{CANARY}g",
    "spark.executorEnv.AZURE_STORAGE_ACCOUNT_KEY": f"{CANARY}h", "spark.app.catalog": f"https://a.org/x?sig={CANARY}i",
}  # fmt: skip
IMAGE = {"sensor": "rgb", "datetime": "2020-03-01"}
RUN = """
import json, sys, urllib.request
from pathlib import Path
from jobs.cli import main
arguments, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
codes = [main([job, *arguments]) for job in ("scenes", "tiles", "built_up")]
codes.append(main(["sql", "SELECT epoch, message FROM built_up", "--format", "csv", *arguments]))
from pyspark.sql import SparkSession
spark = SparkSession.getActiveSession()
def get(path):
    with urllib.request.urlopen(spark.sparkContext.uiWebUrl + path) as answer:
        return answer.read()
root = f"/api/v1/applications/{spark.sparkContext.applicationId}"
asked = ("environment", "jobs", "stages?details=true", "sql?details=true&planDescription=true&length=1000", "allexecutors", "storage/rdd")
for name in asked:
    (folder / f"rest_{name.split('?')[0].replace('/', '_')}.json").write_bytes(get(f"{root}/{name}"))
for page in ("environment", "SQL", "jobs", "stages", "executors"):
    (folder / f"page_{page}.html").write_bytes(get(f"/{page}/"))
numbers = [each["id"] for each in json.loads(get(f"{root}/sql?length=1000"))]
for number in numbers:
    (folder / f"page_sql_{number}.html").write_bytes(get(f"/SQL/execution/?id={number}"))
(folder / "codes.json").write_text(json.dumps(codes))
spark.stop()
"""


class Left(NamedTuple):
    """What the run left: its warehouse, what Spark's UI said, and what it printed; with the tokens that servers gave out."""

    warehouse: Path
    said: Path
    out: str
    err: str
    tokens: frozenset[str]


def tokens_of(seed: int) -> set[str]:
    return {hashlib.sha256(f"{seed} token {number}".encode()).hexdigest()[:32] for number in range(200)}


@contextmanager
def servers(folder: Path) -> Iterator[tuple[Served, Served, Served]]:
    """One that wants Azure's tokens, one that wants a bearer token, and one that anybody may ask and that refuses some files."""
    closed = {f"/bad_{band}.tif": 403 for band in BANDS}
    faults = (Faults(seed=1, token_requests=4), Faults(seed=2, token_s=600), Faults(seed=3, statuses=closed))
    with serving(folder, faults[0]) as azure, serving(folder, faults[1]) as earthdata, serving(folder, faults[2]) as plain:
        yield azure, earthdata, plain


def write_catalog(folder: Path, server: Served) -> None:
    """A catalog of one image, its assets at signed addresses, with headers that some catalogs tell their clients to send."""
    box = shapely.box(-36.8, -9.05, -36.7, -9.0)
    taken = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    told = {"urbantrace:sensor": "sentinel2_l2a", "s2:processing_baseline": "05.10"}
    item = pystac.Item("S2_2024", json.loads(shapely.to_geojson(box)), list(box.bounds), taken, told)
    for band in BANDS:
        asset = pystac.Asset(f"{server.url(f'2024_{band}.tif')}?{SIGNED}", extra_fields={"headers": {"Authorization": f"Bearer {CANARY}"}})
        item.add_asset(band, asset)
    item.properties["auth:token"] = CANARY
    catalog = pystac.Catalog("secret", "One item.")
    catalog.add_item(item)
    catalog.normalize_and_save(str(folder / "catalog"), pystac.CatalogType.SELF_CONTAINED)


def write_place(folder: Path, azure: Served, earthdata: Served, plain: Served) -> Path:
    """Six years, each by another way: a token, a bearer token, a signed address, a refused one, a bucket with keys, a catalog."""
    hosts = {name: server.url("").split("/")[2] for name, server in (("azure", azure), ("earthdata", earthdata), ("plain", plain))}
    hrefs = {
        2019: f"{azure.url('')}2019_{{band}}.tif", 2020: f"{earthdata.url('')}2020_{{band}}.tif",
        2021: f"{plain.url('')}2021_{{band}}.tif?{SIGNED}", 2022: f"{plain.url('')}bad_{{band}}.tif?{SIGNED}",
        2023: "s3://bucket/2023_{band}.tif",
    }  # fmt: skip
    shared = {"sensor": "sentinel2_l2a", "bands": list(BANDS), "baseline": "05.10"}
    sources: list[dict[str, Any]] = [
        {**shared, "href": href, "datetime": f"{year}-06-01", "scene_id": f"s{year}"} for year, href in hrefs.items()
    ]
    sources.append({"stac": f"{plain.url('catalog/catalog.json')}?token={CANARY}", "bands": list(BANDS)})
    values = {
        "name": "secret", "warehouse": str(folder / "warehouse"), "grid": "native", "tiles": {"tile_px": 256},
        "epochs": [{"name": str(y), "start": f"{y}-01-01", "end": f"{y}-12-31", "reference": f"{y}-07-01"} for y in YEARS],
        "layers": {"a": {"sensor": "sentinel2_l2a", "model": write_random_model(folder / "random.safetensors"), "resolution": 10.0}},
        "scenes": {"sources": sources},
        "access": {
            "hosts": [*hosts.values(), "s3://bucket"], "tries": 3, "wait_seconds": 0.01, "token_url": f"{azure.url('token')}",
            "signing": {hosts["azure"]: "planetary_computer", hosts["earthdata"]: "earthdata"},
            "endpoints": {"s3://bucket": plain.url("").rstrip("/")},
        },
    }  # fmt: skip
    path = folder / "secret.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder, images, said = (tmp_path_factory.mktemp(name) for name in ("secret", "images", "said"))
    for year in YEARS:
        for band, size in zip(BANDS, (1, 1, 2), strict=True):
            pixels = np.random.default_rng(year).integers(500, 2500, (250 // size, 250 // size)).astype(np.uint16)
            write(images / f"{year}_{band}.tif", pixels, pixel=10.0 * size)
    with servers(images) as (azure, earthdata, plain):
        write_catalog(images, plain)
        place = write_place(folder, azure, earthdata, plain)
        conf = {**SPARK, "spark.eventLog.dir": said.as_uri(), "spark.driver.host": "127.0.0.1", "spark.ui.port": "0"}
        arguments = ["--place", str(place), "--master", "local[2]", *(f"--conf={name}={value}" for name, value in conf.items())]
        found = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(arguments), str(said)], cwd=folder, capture_output=True, text=True, timeout=500,
            env={**os.environ, **ENVIRONMENT, "EARTHDATA_TOKEN": earthdata.token(), "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        asked = [request.status for server in (azure, earthdata, plain) for request in server.log]
    assert found.returncode == 0, found.stderr[-3000:]
    assert json.loads((said / "codes.json").read_text()) == [0, 0, 3, 0], found.stderr[-3000:]
    assert asked.count(403) > 3 and asked.count(206) > 20, "signatures were used, ran out, and some were refused"
    return Left(folder / "warehouse", said, found.stdout, found.stderr, frozenset(tokens_of(1) | tokens_of(2)))


def hits(text: str, left: Left) -> list[str]:
    """The secrets in a text."""
    return [
        *re.findall(rf".{{0,60}}{CANARY}.{{0,20}}", text),
        *(token for token in re.findall(r"[0-9a-f]{32}", text) if token in left.tokens),
    ]


def test_49_the_search_finds_what_is_there(left: Left) -> None:
    assert hits((left.warehouse.parent / "secret.yaml").read_text(), left)
    assert hits(f"x{next(iter(left.tokens))}y", left)


def test_49_no_secret_is_in_a_file(left: Left) -> None:
    """Tables, their logs, staged weights, MLflow's files: bytes as they are."""
    files = [path for path in left.warehouse.rglob("*") if path.is_file()]
    assert {"mlflow.db", "00000000000000000000.json"} <= {path.name for path in files}
    assert {str(path): found for path in files if (found := hits(path.read_bytes().decode("latin-1"), left))} == {}


def test_49_no_secret_is_in_a_row(left: Left) -> None:
    """Parquet is compressed: rows are read."""
    rows = {str(path): pq.read_table(path).to_pylist() for path in left.warehouse.rglob("*.parquet")}
    assert sum(map(len, rows.values())) > 15
    assert {path: found for path, values in rows.items() if (found := hits(repr(values), left))} == {}


def test_49_the_quarantine_says_what_was_refused_and_by_which_file_alone(left: Left) -> None:
    parts = [path for path in (left.warehouse / "secret" / "built_up").rglob("*.parquet") if "_delta_log" not in path.parts]
    found = {row["epoch"]: row for path in parts for row in pq.read_table(path).to_pylist()}
    assert {epoch: row["status"] for epoch, row in found.items()} == {
        **{str(year): "done" for year in YEARS}, "2022": "quarantined", "2023": "quarantined",
    }  # fmt: skip
    assert "the host answers 403" in found["2022"]["message"] and "bad_B" in found["2022"]["message"]
    assert "2023_B" in found["2023"]["message"]


def test_49_no_secret_is_in_mlflows_store(left: Left) -> None:
    with closing(sqlite3.connect(left.warehouse / "mlflow.db")) as store:
        dump = "\n".join(store.iterdump())
    assert "settings_digest" in dump
    assert hits(dump, left) == []


def test_49_no_secret_is_printed(left: Left) -> None:
    assert "built_up: 6 rows" in left.err and "403" in left.err
    assert hits(left.err, left) == []
    assert "bad_B" in left.out and hits(left.out, left) == []


def test_49_no_secret_is_in_sparks_ui_or_its_event_log(left: Left) -> None:
    files = {
        path.name: path.read_text(encoding="utf-8") for path in left.said.rglob("*") if path.is_file() and not path.name.startswith(".")
    }
    assert "spark.hadoop.fs.s3a.secret.key" in files["rest_environment.json"] and "redacted" in files["rest_environment.json"]
    assert "built_up" in files["rest_sql.json"] and any("SparkListenerApplicationStart" in text for text in files.values())
    assert {name: found[:3] for name, text in files.items() if (found := hits(text, left))} == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tracking_uri": f"mysql://me:{CANARY}@127.0.0.1:9/mlflow"}, "tracking store mysql://127.0.0.1:9/mlflow"),
        ({"tracking_uri": f"http://me:{CANARY}@127.0.0.1:9"}, "tracking store http://127.0.0.1:9"),
        ({"scenes": {"sources": [{"api": f"https://me:{CANARY}@127.0.0.1:9/?key={CANARY}"}]}}, "127.0.0.1"),
        ({"scenes": {"sources": [{"stac": f"http://127.0.0.1:9/c.json?sig={CANARY}"}]}}, "c.json"),
        ({"scenes": {"sources": [{**IMAGE, "href": f"https://me:{CANARY}@a.org/x.tif?sig={CANARY}"}]}}, "x.tif"),
        ({"scenes": {"sources": [{**IMAGE, "href": f"ftp://a.org/x.tif?sig={CANARY}"}]}}, "scheme ftp"),
        ({"access": {"endpoints": {"s3://b": f"https://me:{CANARY}@a.org"}}}, "s3://b has endpoint"),
        ({"title": {"href": f"https://a.org/x?sig={CANARY}"}}, "setting title"),
        ({f"https://a.org/x?sig={CANARY}": 1}, "unknown setting"),
    ],
)  # fmt: skip
def test_49_no_refusal_repeats_a_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place_file: Any, changes: Any, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    changes = {"access": {"tries": 1, "timeout_seconds": 1}, **changes}
    told = refused(capsys, tmp_path / "warehouse", "scenes", "--place", place_file(**changes))
    assert said in told and CANARY not in told


def test_49_addresses_stay_readable() -> None:
    assert redacted("abfss://box@acc.dfs.core.windows.net/x and s3://b/k?versionId=3") == (
        "abfss://box@acc.dfs.core.windows.net/x and s3://b/k?versionId=3"
    )
    assert (
        redacted(f"at https://me:{CANARY}@a.org/x?version=7&sig={CANARY}&se=2030: 403")
        == "at https://a.org/x?version=7&sig=***&se=***: 403"
    )
    assert redacted("why = what? a & b=c") == "why = what? a & b=c"
