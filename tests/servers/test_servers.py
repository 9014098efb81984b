"""The range server and the canary: they serve what lies on disk, break what was drawn, count what came, and leave nothing behind."""

import datetime as dt
import errno
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.images_on_disk import tilted, write
from tests.servers.faults import Faults, Request
from tests.servers.range_server import ROOT, Canary, Served, serving

BODY = bytes(np.random.default_rng(7).integers(0, 256, 1000, np.uint8))
KINDS = ("too_many", "unavailable", "dropped", "broken", "half")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    served = tmp_path / "served"
    (served / "in ner").mkdir(parents=True)
    (served / "file.bin").write_bytes(BODY)
    (served / "in ner" / "ä.bin").write_bytes(BODY[::-1])
    (served / "empty.bin").touch()
    (tmp_path / "secret.bin").write_bytes(b"secret")
    (served / "link.bin").symlink_to(tmp_path / "secret.bin")
    return served


def raw(server: Served, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """One request on its own connection, the path as given."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        response.text = response.read()  # type: ignore[attr-defined]
        return response


def outcome(server: Served) -> str:
    """What a request for the file comes to, in the words of `Faults`."""
    try:
        response = raw(server, "/file.bin")
    except http.client.RemoteDisconnected:
        return "dropped"
    except http.client.IncompleteRead as error:
        assert error.partial == BODY[:500]
        return "half"
    except ConnectionResetError:
        return "broken"
    return {429: "too_many", 503: "unavailable", 200: ""}[response.status]


def test_files_are_served_whole_with_their_headers(folder: Path) -> None:
    with serving(folder) as server:
        for path, body in (("file.bin", BODY), ("in ner/ä.bin", BODY[::-1]), ("empty.bin", b"")):
            assert requests.get(server.url(path), timeout=10).content == body
            head = requests.head(server.url(path), timeout=10)
            assert (head.status_code, int(head.headers["Content-Length"]), head.headers["Accept-Ranges"]) == (200, len(body), "bytes")
        modified = pd.Timestamp(head.headers["Last-Modified"]).timestamp()
    assert modified == int((folder / "empty.bin").stat().st_mtime)
    assert server.log[2] == Request("GET", "/in ner/ä.bin", "", 200, "")


@pytest.mark.parametrize(
    ("asked", "span"),
    [("0-0", slice(0, 1)), ("3-41", slice(3, 42)), ("900-", slice(900, 1000)), ("-7", slice(993, 1000)), ("990-2000", slice(990, 1000)),
     ("-5000", slice(0, 1000))],
)  # fmt: skip
def test_a_range_is_that_slice_of_the_file(folder: Path, asked: str, span: slice) -> None:
    with serving(folder) as server:
        response = raw(server, "/file.bin", Range=f"bytes={asked}")
        assert (response.status, response.text) == (206, BODY[span])  # type: ignore[attr-defined]
        assert response.headers["Content-Range"] == f"bytes {span.start}-{span.stop - 1}/1000"
        assert server.log == [Request("GET", "/file.bin", f"bytes={asked}", 206, "")]
        assert raw(server, "/file.bin", "HEAD", Range=f"bytes={asked}").headers["Content-Length"] == "1000"


@pytest.mark.parametrize(("path", "asked"), [("/file.bin", "1000-"), ("/file.bin", "-0"), ("/empty.bin", "0-5")])
def test_a_range_beyond_the_file_is_refused(folder: Path, path: str, asked: str) -> None:
    with serving(folder) as server:
        response = raw(server, path, Range=f"bytes={asked}")
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{(folder / path[1:]).stat().st_size}")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=0-1,5-6", "rows=0-1", "bytes=a-b"])
def test_what_is_no_single_range_is_ignored(folder: Path, asked: str) -> None:
    with serving(folder) as server:
        assert raw(server, "/file.bin", Range=asked).text == BODY  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path", ["/../secret.bin", "/%2e%2e/secret.bin", "//etc/passwd", "/link.bin", "/file.bin%00", "/in%20ner", "/no.bin"]
)
def test_nothing_but_files_of_the_folder_is_served(folder: Path, path: str) -> None:
    with serving(folder) as server:
        assert raw(server, path).status == 404


def test_a_replaced_file_has_another_etag(folder: Path) -> None:
    with serving(folder) as server:
        first, again = raw(server, "/file.bin", Range="bytes=0-9"), raw(server, "/file.bin", "HEAD")
        old = first.headers["ETag"]
        assert old == again.headers["ETag"] and not old.startswith("W/")
        stat = (folder / "file.bin").stat()
        (folder / "new.bin").write_bytes(BODY[::-1])
        os.utime(folder / "new.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        (folder / "new.bin").replace(folder / "file.bin")
        assert raw(server, "/file.bin", If_Match=old).status == 412
        whole = raw(server, "/file.bin", Range="bytes=0-9", If_Range=old)
        assert (whole.status, whole.text) == (200, BODY[::-1])  # type: ignore[attr-defined]
        assert raw(server, "/file.bin", Range="bytes=0-9", If_Range=whole.headers["ETag"]).status == 206


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_alone_is_what_the_client_sees(folder: Path, kind: str) -> None:
    with serving(folder, Faults(**{kind: 1.0})) as server:
        assert outcome(server) == kind
        assert server.log == [Request("GET", "/file.bin", "", {"too_many": 429, "unavailable": 503, "dropped": 0}.get(kind, 200), kind)]


def test_faults_come_in_their_shares_and_the_same_each_time(folder: Path) -> None:
    faults = Faults(seed=3, **dict.fromkeys(KINDS, 0.1))
    runs = []
    for _ in range(2):
        with serving(folder, faults) as server:
            runs.append([outcome(server) for _ in range(200)])
            assert [request.fault for request in server.log] == runs[-1]
    assert runs[0] == runs[1] == [faults.of_request(number) for number in range(200)]
    assert runs[0] != [Faults(seed=4, **dict.fromkeys(KINDS, 0.1)).of_request(number) for number in range(200)]
    counts = Counter(faults.of_request(number) for number in range(20_000))
    # Six standard deviations of a share of 0.1 in 20,000 draws.
    assert all(abs(counts[kind] / 20_000 - 0.1) < 0.013 for kind in KINDS)


def test_a_retry_succeeds_and_faults_keep_to_their_paths(folder: Path) -> None:
    retry = Retry(20, status_forcelist=[429, 503], backoff_factor=0)
    with serving(folder, Faults(under="/file", too_many=0.3, unavailable=0.2, dropped=0.2)) as server, requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        assert all(session.get(server.url("file.bin"), timeout=10).content == BODY for _ in range(20))
        assert {request.fault for request in server.log} == {"", "too_many", "unavailable", "dropped"}
        struck = len(server.log)
        assert all(raw(server, "/empty.bin").status == 200 for _ in range(20))
        assert {request.fault for request in server.log[struck:]} == {""}


def test_throttling_says_when_to_come_back(folder: Path) -> None:
    with serving(folder, Faults(too_many=1, retry_after=0.25)) as server:
        assert raw(server, "/file.bin").headers["Retry-After"] == "0.25"


def test_shares_beyond_all_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1"):
        Faults(broken=0.6, half=0.5)


def test_a_token_serves_so_many_requests(folder: Path) -> None:
    with serving(folder, Faults(token_requests=3)) as server:
        assert raw(server, "/file.bin").status == raw(server, "/file.bin?sig=wrong").status == 403
        given = json.loads(raw(server, "/token").text)  # type: ignore[attr-defined]
        assert dt.datetime.fromisoformat(given["msft:expiry"]) > dt.datetime.now(dt.UTC)
        token = given["token"]
        statuses = [raw(server, f"/file.bin?sig={token}").status, raw(server, f"/file.bin?{token}", "HEAD").status]
        statuses += [raw(server, "/file.bin", Authorization=f"Bearer {token}").status for _ in range(2)]
        assert statuses == [200, 200, 200, 403]
        assert raw(server, f"/file.bin?sig={server.token()}").status == 200
        assert not any(token in request.path for request in server.log)


def test_a_token_ends_with_its_time(folder: Path) -> None:
    with serving(folder, Faults(token_s=2.0)) as server:
        token, start = server.token(), time.monotonic()
        assert [raw(server, f"/file.bin?sig={token}").status for _ in range(3)] == [200] * 3
        time.sleep(max(0.0, start + 2.05 - time.monotonic()))
        assert raw(server, f"/file.bin?sig={token}").status == 403


def test_redirects_and_fixed_statuses(folder: Path) -> None:
    with serving(folder, Faults(too_many=0.5, statuses={"/file.bin": 418, "/gone.bin": 204})) as server:
        assert {raw(server, "/file.bin").status for _ in range(20)} == {418}
        assert raw(server, "/gone.bin").status == 204
    with serving(folder) as server:
        to = server.url("in ner/ä.bin")
        response = requests.get(server.url("redirect"), params={"to": to}, timeout=10)
        assert (response.url, response.content, response.history[0].status_code) == (to, BODY[::-1], 302)


def test_requests_at_once_and_connections_are_counted(folder: Path) -> None:
    with serving(folder, Faults(delay_s=0.5)) as server, ThreadPoolExecutor(3) as clients:
        assert set(clients.map(outcome, [server] * 6)) == {""}
        assert (server.most_at_once, server.connections, len(server.log)) == (3, 6, 6)
    with serving(folder) as server, requests.Session() as session:
        assert all(session.get(server.url("file.bin"), timeout=10).content == BODY for _ in range(200))
        assert (server.most_at_once, server.connections, len(server.log)) == (1, 1, 200)
        assert {outcome(server) for _ in range(100)} == {""}
        assert (server.most_at_once, server.connections) == (1, 101)


def test_some_requests_are_slow(folder: Path) -> None:
    faults = Faults(seed=1, delay_s=0.2, slow=0.3)
    with serving(folder, faults) as server:
        moments = [time.monotonic()]
        for _ in range(12):
            outcome(server)
            moments.append(time.monotonic())
    delays = [faults.delay_of(number) for number in range(12)]
    assert set(delays) == {0.0, 0.2}
    took = np.diff(moments)
    assert (took >= delays).all()
    assert np.median(took[np.array(delays) == 0]) < 0.2


def test_stops_at_once_though_clients_hold_on(folder: Path) -> None:
    with ExitStack() as clients:
        with serving(folder, Faults(delay_s=60)) as server:
            idle, waiting = (clients.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(2))
            waiting.sendall(b"GET /file.bin HTTP/1.1\r\nHost: here\r\n\r\n")
            deadline = time.monotonic() + 10
            while server.most_at_once < 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            start = time.monotonic()
        assert time.monotonic() - start < 5
        assert server.most_at_once == 1
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_ends_with_its_parent(folder: Path) -> None:
    lines = [
        "import os, pathlib, sys, tests.servers.range_server as servers",
        "print(servers.serving(pathlib.Path(sys.argv[1])).__enter__().port, flush=True)",
        "os.kill(os.getpid(), 9)",
    ]
    said = subprocess.run([sys.executable, "-c", "\n".join(lines), str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
    assert said.returncode == -9
    for _ in range(500):
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", int(said.stdout))) == errno.ECONNREFUSED:
                return
        time.sleep(0.02)
    pytest.fail("the server outlives its parent")


def test_an_error_of_the_server_itself_shows(folder: Path) -> None:
    with pytest.raises(AssertionError, match="test server failed"), serving(folder) as server, suppress(http.client.RemoteDisconnected):
        raw(server, "/redirect")


def test_an_image_is_read_by_ranges(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", tilted(1000, 900))
    with serving(tmp_path) as server, rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        with rasterio.open(f"/vsicurl/{server.url('image.tif')}") as there, rasterio.open(path) as here:
            window = rasterio.windows.Window(600, 700, 130, 120)
            assert np.array_equal(there.read(window=window), here.read(window=window))
        assert 206 in {request.status for request in server.log}


def test_a_real_image_is_the_same_over_http(real_data: Path) -> None:
    path = real_data / "kampala" / "kyebando_z20.tif"
    with serving(path.parent) as server, rasterio.open(path) as here, rasterio.open(f"/vsicurl/{server.url(path.name)}") as there:
        assert np.array_equal(there.read(), here.read())


def test_canary_counts_connects() -> None:
    with Canary() as canary:
        assert canary.connects == 0
        for _ in range(3):
            socket.create_connection(("127.0.0.1", canary.port)).close()
        with pytest.raises(requests.ConnectionError):
            requests.get(canary.url, timeout=10)
        assert canary.connects == canary.connects == 4
