"""Images from a real web server: the same pixels as from disk, whatever goes wrong on the way and passes."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from conf.access import Access
from conf.errors import InputError, ReadError
from conf.place import Source
from tests.images_on_disk import DAY, GRID, ORIGIN, tilted, write
from tests.servers.faults import Faults
from tests.servers.range_server import Canary, Served, serving
from udfs.addresses import address_of
from udfs.catalogs import opening_rules, scenes_of
from udfs.grid import PixelBounds
from udfs.images import ImagePool, Opener
from udfs.reading import read_scene
from udfs.scenes import Scene, described
from udfs.signing import PlanetaryComputer
from udfs.transports import _answer

WINDOWS = [PixelBounds(top, left, top + 200, left + 230) for top in (-20, 150, 380) for left in (-9, 200, 420)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Sentinel-2 image of 12 blocks a band, which do not fit into a file's first page."""
    write(tmp_path / "a_B02.tif", tilted(400, 600))
    write(tmp_path / "a_B11.tif", tilted(200, 300, seed=1), pixel=20.0)
    return tmp_path


def source(place: str) -> Source:
    return Source(sensor="sentinel2_l2a", href=f"{place}/a_{{band}}.tif", datetime=DAY, bands=("B02", "B11"))


def access(**more: Any) -> Access:
    return Access(**{"hosts": ("127.0.0.1",), "wait_seconds": 0.001, "timeout_seconds": 5, **more})


@contextmanager
def pool_of(scene: Scene, rules: Access, place: str) -> Iterator[ImagePool]:
    with Opener(opening_rules((source(place),), Path("/nowhere"), rules), scene.versions) as opener, ImagePool(opener) as pool:
        yield pool


def read_all(scene: Scene, rules: Access, place: str) -> tuple[list[bytes], int]:
    """Bytes of all windows and the most tries."""
    with pool_of(scene, rules, place) as pool:
        found = [read_scene(pool, scene, ("B02", "B11"), GRID, window) for window in WINDOWS]
    return [values.tobytes() for values, _ in found], max(tries for _, tries in found)


@pytest.fixture
def expected(folder: Path) -> list[bytes]:
    (scene,) = scenes_of((source(str(folder)),), folder)
    return read_all(scene, access(), str(folder))[0]


def planned(server: Served, folder: Path, rules: Access) -> Scene:
    return scenes_of((source(server.url("")),), folder, rules)[0]


def test_pixels_are_those_on_disk_in_few_requests(folder: Path, expected: list[bytes]) -> None:
    with serving(folder) as server:
        scene = planned(server, folder, access())
        before = len(server.log)
        assert read_all(scene, access(), server.url("")) == (expected, 1)
        asked = server.log[before:]
    assert all(request.range for request in asked)
    assert len(asked) < 3 * len(WINDOWS)  # headers, then mostly one a window and band: a window has 2 to 9 blocks
    assert {version.strip('"') for version in scene.versions.values()} and len(scene.versions) == 2


@pytest.mark.parametrize(
    "faults",
    [
        Faults(seed=1, too_many=0.3),
        Faults(seed=2, unavailable=0.3),
        Faults(seed=3, broken=0.15, half=0.1, dropped=0.05),
        Faults(seed=4, too_many=0.1, retry_after=0.01, broken=0.1, unavailable=0.1),
    ],
)
def test_faults_that_pass_change_no_pixel(folder: Path, expected: list[bytes], faults: Faults) -> None:
    rules = access(tries=12)
    with serving(folder) as sound:
        scene = planned(sound, folder, rules)
    with serving(folder, faults) as server:
        scene = planned(server, folder, rules)
        pixels, tries = read_all(scene, rules, server.url(""))
        assert any(request.fault for request in server.log)
    assert pixels == expected
    assert tries > 1


def test_a_token_that_runs_out_is_renewed(folder: Path, expected: list[bytes]) -> None:
    with serving(folder, Faults(token_requests=3)) as server:
        rules = access(signing={"127.0.0.1": "planetary_computer"}, token_url=server.url("token"))
        scene = planned(server, folder, rules)
        assert read_all(scene, rules, server.url(""))[0] == expected
        statuses = [request.status for request in server.log]
    assert statuses.count(403) >= 3
    assert not any("sig" in href or "?" in href for href in scene.hrefs.values())


def test_a_bearer_token_goes_to_its_own_host_alone(folder: Path, expected: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(folder, Faults(token_s=60)) as server, serving(folder, Faults(token_s=60)) as other:
        monkeypatch.setenv("EARTHDATA_TOKEN", server.token())
        rules = access(signing={server.url("").split("/")[2]: "earthdata"})
        assert read_all(planned(server, folder, rules), rules, server.url(""))[0] == expected
        monkeypatch.setenv("EARTHDATA_TOKEN", other.token())
        with pytest.raises(InputError, match="403"):  # the token would open it, if it were sent along
            planned(other, folder, rules)
        monkeypatch.delenv("EARTHDATA_TOKEN")
        with pytest.raises(InputError, match="export EARTHDATA_TOKEN"):
            planned(server, folder, rules)


@pytest.mark.parametrize(
    ("faults", "kind", "most"),
    [
        (Faults(statuses={"/a_B11.tif": 404}), "not_found", 1),
        (Faults(statuses={"/a_B11.tif": 403}), "forbidden", 1),
        (Faults(too_many=1.0), "throttled", 3),
        (Faults(unavailable=1.0), "server", 3),
        (Faults(half=1.0), "network", 3),
        (Faults(dropped=1.0), "network", 3),
    ],
)
def test_lasting_faults_have_their_class(folder: Path, faults: Faults, kind: str, most: int) -> None:
    rules = access(tries=3)
    with serving(folder) as sound:
        scene = planned(sound, folder, rules)
    with serving(folder, faults) as server:
        moved = {band: href.replace(sound.url(""), server.url("")) for band, href in scene.hrefs.items()}
        asked = Scene(**{**vars(scene), "hrefs": moved, "versions": {}})
        with pool_of(asked, rules, server.url("")) as pool, pytest.raises(ReadError) as caught:
            read_scene(pool, asked, ("B02", "B11"), GRID, WINDOWS[0])
        assert sum(request.path == server.log[-1].path for request in server.log) <= most
    assert (caught.value.kind, caught.value.tries) == (kind, most)


def test_a_file_that_was_replaced_is_not_read(folder: Path) -> None:
    with serving(folder) as server:
        scene = planned(server, folder, access())
        path = folder / "a_B02.tif"
        planned_with = scene.versions[scene.hrefs["B02"]]
        path.unlink()
        write(path, tilted(400, 600, seed=7))
        with pytest.raises(ReadError, match="run scenes again") as caught:
            read_all(scene, access(), server.url(""))
        now = planned(server, folder, access()).versions[scene.hrefs["B02"]]
    assert caught.value.kind == "changed_source"
    assert planned_with in str(caught.value) and now in str(caught.value) and now != planned_with


def test_a_file_replaced_on_disk_is_not_read_and_a_copy_is(folder: Path, expected: list[bytes]) -> None:
    (scene,) = scenes_of((source(str(folder)),), folder)
    path = folder / "a_B02.tif"
    os.utime(path, (1, 1))
    assert read_all(scene, access(), str(folder))[0] == expected
    write(path, tilted(400, 600, seed=7))
    with pytest.raises(ReadError, match=r"planned with .*, now ") as caught:
        read_all(scene, access(), str(folder))
    assert caught.value.kind == "changed_source"


def test_a_file_written_over_while_it_is_open_is_noticed(folder: Path) -> None:
    (scene,) = scenes_of((source(str(folder)),), folder)
    with pool_of(scene, access(), str(folder)) as pool:
        read_scene(pool, scene, ("B02",), GRID, WINDOWS[0])
        data = (folder / "a_B02.tif").read_bytes()
        (folder / "a_B02.tif").write_bytes(data[:-1] + b"x")
        with pytest.raises(ReadError) as caught:
            read_scene(pool, scene, ("B02",), GRID, WINDOWS[-1])
    assert caught.value.kind == "changed_source"


def test_requests_at_once_are_bounded(folder: Path) -> None:
    with serving(folder, Faults(delay_s=0.02)) as server:
        rules = access(requests_per_host=2)
        read_all(planned(server, folder, rules), rules, server.url(""))
        assert server.most_at_once <= 2


def test_a_host_that_only_fails_is_not_stormed(folder: Path) -> None:
    """Retries are bought with answers: of 400 requests that fail, few are made again."""
    with serving(folder) as sound:
        scene = planned(sound, folder, access())
    with serving(folder, Faults(unavailable=1.0)) as server:
        moved = {band: href.replace(sound.url(""), server.url("")) for band, href in scene.hrefs.items()}
        asked = Scene(**{**vars(scene), "hrefs": moved, "versions": {}})
        with pool_of(asked, access(tries=10), server.url("")) as pool:
            for _ in range(200):
                with pytest.raises(ReadError):
                    read_scene(pool, asked, ("B02",), GRID, WINDOWS[0])
        assert len(server.log) <= 200 + 64


def test_redirects_are_followed_to_allowed_hosts_only(folder: Path) -> None:
    with serving(folder) as server, Canary() as canary:
        for target, outcome in ((server.url("a_B02.tif"), ""), (canary.url + "x.tif", "not among access.hosts")):
            port = server.url("").split("/")[2]
            rules = access(hosts=(port,))
            href = server.url("redirect").replace("redirect", f"redirect?to={target}")
            one = Source(sensor="sentinel2_l2a", files={"B02": href}, datetime=DAY)
            if outcome:
                with pytest.raises(InputError, match=outcome):
                    scenes_of((one,), folder, rules)
            else:
                assert scenes_of((one,), folder, rules)[0].width == 600
        assert canary.connects == 0


def test_pixels_of_an_unlisted_host_are_never_asked_for(folder: Path) -> None:
    with Canary() as canary:
        with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+ is not among access\.hosts"):
            scenes_of((source(canary.url.rstrip("/")),), folder, Access())
        assert canary.connects == 0


def test_a_web_page_is_no_image(folder: Path) -> None:
    (folder / "a_B11.tif").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    with serving(folder) as server, pytest.raises(InputError, match="not_a_tiff"):
        planned(server, folder, access())


def test_values_do_not_depend_on_where_the_list_of_blocks_lies(tmp_path: Path) -> None:
    """Many small blocks: the list is longer than a page and the file's last part is asked for first."""
    pixels = tilted(2000, 1800)
    write(tmp_path / "a_B02.tif", pixels, blockxsize=16, blockysize=16)
    one = Source(sensor="sentinel2_l2a", href="x/a_{band}.tif", datetime=DAY, bands=("B02",))
    with serving(tmp_path) as server:
        (scene,) = scenes_of((one.model_copy(update={"href": server.url("") + "a_{band}.tif"}),), tmp_path, access())
        with pool_of(scene, access(), server.url("")) as pool:
            values, _ = read_scene(pool, scene, ("B02",), GRID, PixelBounds(1900, 1700, 2000, 1800))
    np.testing.assert_array_equal(values[0], pixels[1900:, 1700:] * np.float32(1e-4))


def test_a_fault_while_masks_are_looked_for_is_no_image_without_masks(tmp_path: Path) -> None:
    """The mask's directory lies beyond the first page: where that request fails GDAL opens the image as if it had none."""
    pixels = np.stack([tilted(700, 800, seed) % 250 for seed in range(3)]).astype(np.uint8)
    mask = np.full((700, 800), 255, np.uint8)
    mask[40:90, 30:200] = 0
    path = tmp_path / "drone.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(path, pixels)
        with rasterio.open(path, "r+") as file:
            file.write_mask(mask)
    one = Source(sensor="rgb", href="x", datetime=DAY)
    with serving(tmp_path) as sound:
        (scene,) = scenes_of((one.model_copy(update={"href": sound.url("drone.tif")}),), tmp_path, access())
    broken = {seed: Faults(seed=seed, unavailable=0.4) for seed in range(12)}
    outcomes = set()
    for faults in broken.values():
        with serving(tmp_path, faults) as server:
            moved = {band: href.replace(sound.url(""), server.url("")) for band, href in scene.hrefs.items()}
            asked = Scene(**{**vars(scene), "hrefs": moved, "versions": {}})
            try:
                with pool_of(asked, access(tries=1), server.url("")) as pool:
                    values, _ = read_scene(pool, asked, ("red",), GRID, PixelBounds(0, 0, 200, 300))
            except ReadError as error:
                outcomes.add(error.kind)
                continue
            outcomes.add("read")
            np.testing.assert_array_equal(np.isnan(values[0]), mask[:200, :300] == 0)
    assert outcomes == {"server", "read"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"crs": "EPSG:31985"}, "georeference"), ({"transform": (10.0, 0.0, ORIGIN[0] + 900, 0.0, -10.0, ORIGIN[1])}, "georeference"),
     ({"width": 300}, "georeference"), ({"sensor": "sentinel1_grd", "hrefs": "VV"}, "profile")],
)  # fmt: skip
def test_a_file_that_is_not_what_its_catalog_says_is_not_read(folder: Path, change: dict[str, Any], kind: str) -> None:
    with serving(folder) as server:
        scene = planned(server, folder, access())
        band = change.pop("hrefs", "B02")
        only = {"hrefs": {band: scene.hrefs["B02"]}, "band_indexes": {band: 1}}
        told = Scene(**{**vars(scene), **only, **change, "versions": {}})
        with pool_of(told, access(), server.url("")) as pool, pytest.raises(ReadError) as caught:
            read_scene(pool, told, (band,), GRID, PixelBounds(150, 150, 159, 159))
    assert caught.value.kind == kind


def test_images_that_are_told_apart_by_their_address_have_digests_of_their_own() -> None:
    base = Scene("a", "sentinel2_l2a", dt.datetime(2021, 1, 1, tzinfo=dt.UTC), {"B02": "https://h.org/1/B02.tif"}, {"B02": 1}, "EPSG:32633",
                 (10.0, 0.0, 5e5, 0.0, -10.0, 4e6), 90, 80)  # fmt: skip
    others = [replace(base, hrefs={"B02": "https://h.org/2/B02.tif"}), replace(base, transform=(10.0, 0.0, 7e5, 0.0, -10.0, 4e6))]
    digests = {described(scene).content_digest for scene in (base, *others)}
    assert len(digests) == 3
    signed = replace(base, hrefs={"B02": "https://h.org/1/B02.tif?version=3"})
    assert described(signed).content_digest == described(base).content_digest


def test_only_the_refused_token_is_forgotten() -> None:
    given = iter(f'{{"msft:expiry": "2999-01-01T00:00:00Z", "token": "t{n}"}}'.encode() for n in range(9))
    signer = PlanetaryComputer("https://t.org", lambda url: next(given))
    address = address_of("https://acc.blob.core.windows.net/box/x.tif")
    first = signer.signed(address)
    assert signer.renew(address, first) and signer.renew(address, first)
    second = signer.signed(address)
    assert signer.renew(address, first) and signer.signed(address) == second != first


@pytest.mark.parametrize("header", ["bytes 5-104/9999", "bytes 0-9/*", "bytes */x", ""])
def test_an_answer_of_other_bytes_than_asked_for_is_none(header: str) -> None:
    class Answering:
        status, headers = 206, {"Content-Range": header}

        def read(self) -> bytes:
            return b"x" * 100

    with pytest.raises((ReadError, ValueError)):
        _answer(Answering(), address_of("https://h.org/x.tif"), 100, 200)
