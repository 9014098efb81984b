"""The test STAC API, asked by pystac-client: all items over all pages, filtered as pandas and shapely would; faults can be retried."""

import datetime as dt
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pystac
import pytest
import requests
import shapely
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry

from tests.servers.faults import Faults, Request
from tests.servers.stac_api import items_of_catalog, stac_api
from udfs.simulation.catalog import Asset, Image, write_catalog
from udfs.simulation.city import plan_city

TABLE = pd.DataFrame({"id": [f"scene_{number:02d}" for number in range(23)]})
TABLE["collection"] = ["radar" if number % 3 == 1 else "optical" for number in range(23)]
TABLE["when"] = [pd.Timestamp("2020-01-01T06:30:00Z") + pd.Timedelta(days=number**2) for number in range(23)]
TABLE["outline"] = [shapely.Polygon([(x, x / 5), (x + 1.5, x / 5 + 0.2), (x, x / 5 + 1)]) for x in range(-3, 20)]


def item(row: Any) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": row.id, "collection": row.collection, "links": [], "assets": {},
        "geometry": shapely.geometry.mapping(row.outline), "bbox": list(row.outline.bounds),
        "properties": {"datetime": row.when.isoformat().replace("+00:00", "Z")},
    }  # fmt: skip


ITEMS = [item(row) for row in TABLE.itertuples()]


@contextmanager
def client(url: str, retry: Retry | None = None) -> Iterator[Client]:
    io = StacApiIO(max_retries=retry, timeout=20)
    try:
        yield Client.open(url, stac_io=io)
    finally:
        io.session.close()


def found(url: str, method: str, **asked: Any) -> list[str]:
    with client(url) as api:
        return [item.id for item in api.search(method=method, **asked).items()]


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with stac_api(ITEMS, page=4) as url:
        yield url


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_all_items_come_once_over_all_pages(method: str) -> None:
    log: list[Request] = []
    with stac_api(ITEMS, page=4, log=log) as url:
        assert found(url, method) == list(TABLE["id"])
    assert [(request.method, request.status) for request in log if request.path == "/search"] == [(method, 200)] * 6


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_space_filters_are_shapelys(api: str, method: str) -> None:
    """The second box misses an outline, but not its bounds."""
    for box in (shapely.box(2.9, 0.9, 4.2, 1.6), shapely.box(6.3, 1.85, 6.45, 1.95), shapely.box(-60, -60, -50, -50)):
        expected = list(TABLE["id"][[outline.intersects(box) for outline in TABLE["outline"]]])
        assert found(api, method, bbox=list(box.bounds)) == expected
    line = shapely.LineString([(4.9, 0), (9.2, 3)])
    expected = list(TABLE["id"][[outline.intersects(line) for outline in TABLE["outline"]]])
    assert 0 < len(expected) < 8
    assert found(api, method, intersects=shapely.geometry.mapping(line)) == expected


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_time_filters_are_pandas_and_may_be_open(api: str, method: str) -> None:
    start, end = TABLE["when"][4], TABLE["when"][17]
    inside = TABLE["when"].between(start, end)
    assert found(api, method, datetime=[start.to_pydatetime(), end.to_pydatetime()]) == list(TABLE["id"][inside])
    assert found(api, method, datetime=[start.to_pydatetime(), None]) == list(TABLE["id"][TABLE["when"] >= start])
    assert found(api, method, datetime=f"../{end.isoformat()}") == list(TABLE["id"][TABLE["when"] <= end])
    assert found(api, method, datetime=start.to_pydatetime()) == ["scene_04"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_filters_join_and_limits_hold(api: str, method: str) -> None:
    late = TABLE["when"] >= TABLE["when"][6]
    radar = list(TABLE["id"][(TABLE["collection"] == "radar") & late])
    since = TABLE["when"][6].isoformat() + "/.."
    assert found(api, method, collections=["radar"], datetime=since) == radar
    assert found(api, method, collections=["radar"], datetime=since, limit=2, max_items=3) == radar[:3]
    assert sorted(found(api, method, collections=["radar", "optical"], limit=3)) == sorted(TABLE["id"])
    assert found(api, method, ids=["scene_07", "scene_03", "other"]) == ["scene_03", "scene_07"]
    assert found(api, method, collections=["thermal"]) == []


def test_a_box_may_cross_180_degrees() -> None:
    east, west = (item(row) | {"geometry": shapely.geometry.mapping(shapely.box(x, 0, x + 1, 1))} for row, x in
                  zip(list(TABLE.itertuples())[:2], (178, -179.5), strict=True))  # fmt: skip
    with stac_api([east, west, ITEMS[2]]) as url:
        assert found(url, "POST", bbox=[178.5, 0, -179, 1]) == ["scene_00", "scene_01"]


def test_a_span_of_time_is_met_by_its_ends() -> None:
    span = {"datetime": None, "start_datetime": "2019-01-01T00:00:00Z", "end_datetime": "2019-03-01T00:00:00Z"}
    with stac_api([{**ITEMS[0], "properties": span}]) as url:
        assert found(url, "GET", datetime="2019-03-01/2019-04-01") == found(url, "POST", datetime="../2019-01-01") == ["scene_00"]
        assert found(url, "POST", datetime="2019-03-02T00:00:00Z/..") == []


def test_collections_and_items_by_name(api: str) -> None:
    with client(api) as asked:
        radar = asked.get_collection("radar")
        assert sorted(each.id for each in asked.get_collections()) == ["optical", "radar"]
        assert [each.id for each in radar.get_items()] == list(TABLE["id"][TABLE["collection"] == "radar"])
        bounds = shapely.GeometryCollection(list(TABLE["outline"][TABLE["collection"] == "radar"])).bounds
        assert radar.extent.spatial.bboxes == [list(bounds)]
        assert shapely.equals(shapely.geometry.shape(radar.get_item("scene_07").geometry), TABLE["outline"][7])
        assert radar.get_item("scene_08") is None
    walked, page = [], requests.get(f"{api}/collections/radar/items", params={"limit": 3}, timeout=10).json()
    while page:
        walked += [feature["id"] for feature in page["features"]]
        page = next((requests.get(link["href"], timeout=10).json() for link in page["links"] if link["rel"] == "next"), None)
    assert walked == list(TABLE["id"][TABLE["collection"] == "radar"])


@pytest.mark.parametrize(("path", "status"), [("collections/no", 404), ("collections/no/items", 404), ("collections/radar/items/no", 404),
                                              ("search?datetime=yesterday", 400), ("search?bbox=1,2,3", 400)])  # fmt: skip
def test_wrong_questions_get_their_status(api: str, path: str, status: int) -> None:
    assert requests.get(f"{api}/{path}", timeout=10).status_code == status


def test_a_retry_gets_past_busy_answers() -> None:
    log: list[Request] = []
    retry = Retry(20, status_forcelist=[429, 503], backoff_factor=0, allowed_methods=None)
    with stac_api(ITEMS, page=2, faults=Faults(seed=2, too_many=0.3, unavailable=0.3), log=log) as url:
        with client(url, retry) as api:
            assert [each.id for each in api.search().items()] == list(TABLE["id"])
        counts = Counter((request.status, request.fault) for request in log)
        assert set(counts) == {(200, ""), (429, "too_many"), (503, "unavailable")}
        drawn = Faults(seed=2, too_many=0.3, unavailable=0.3)
        assert [request.fault for request in log] == [drawn.of_request(number) for number in range(len(log))]


@pytest.mark.parametrize("kind", ["half", "broken"])
def test_broken_answers_end_in_the_middle(kind: str) -> None:
    with stac_api(ITEMS, faults=Faults(under="/search", **{kind: 1.0})) as url:
        with client(url) as api, pytest.raises(APIError, match="IncompleteRead"):
            list(api.search().items())
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            requests.get(f"{url}/search", timeout=10)


def test_faults_it_does_not_know_are_refused() -> None:
    for faults in (Faults(dropped=0.1), Faults(token_requests=1)):
        with pytest.raises(ValueError, match="half"), stac_api([], faults=faults):
            pass


def test_nothing_is_left_afterwards() -> None:
    before = set(threading.enumerate())
    with stac_api(ITEMS) as url, requests.Session() as idle:
        assert idle.get(url, timeout=10).json()["type"] == "Catalog"
        assert idle.get(f"{url}/search", timeout=10).json()["numberMatched"] == len(ITEMS)
        assert set(threading.enumerate()) > before
        port = urlsplit(url).port
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_static_catalog_becomes_items(tmp_path: Path) -> None:
    stamp = dt.datetime(2020, 7, 3, 8, 2, 11, tzinfo=dt.UTC)
    bands = (Asset("fine", "./bands_10m.tif", ("B02", "B08"), 10.0, 1e-4, -0.1, 0, "uint16"),)
    images = [Image(f"S2_{day}", "sentinel2_l2a", stamp + dt.timedelta(day), (0.0, 0.0, 1280.0, 640.0), bands, {}) for day in range(3)]
    write_catalog(tmp_path, plan_city(3, "default", 1280.0, 2020, 2021), images)
    items = items_of_catalog(tmp_path / "catalog.json", lambda path: f"http://127.0.0.1:9/files/{path}")
    with stac_api(items, page=2) as url, client(url) as api:
        served = {each.id: each for each in api.search(collections=["simulated"]).items()}
    static = {each.id: each for each in pystac.Catalog.from_file(tmp_path / "catalog.json").get_items()}
    assert list(served) == sorted(static) == ["S2_0", "S2_1", "S2_2"]
    for name, each in served.items():
        assert each.assets["fine"].href == f"http://127.0.0.1:9/files/{name}/bands_10m.tif"
        assert (each.properties, each.geometry) == (static[name].properties, static[name].geometry)
        assert each.assets["fine"].extra_fields == static[name].assets["fine"].extra_fields
