"""Images in buckets: the same pixels as from disk, for those who may read them; every refusal and fault has its class."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from rasterio.windows import Window

from conf.access import Access
from conf.errors import InputError, ReadError
from conf.place import Source
from conf.settings import parse
from tests.images_on_disk import DAY, GRID, tilted, write
from tests.servers.bucket_server import CLOSED, BucketService, serving_buckets
from tests.servers.faults import Faults
from tests.servers.range_server import Canary, serving
from udfs.addresses import Allowed, address_of
from udfs.catalogs import opening_rules, scenes_of
from udfs.grid import PixelBounds
from udfs.images import ImagePool, Opener, OpeningRules, gdal
from udfs.reading import read_scene
from udfs.scenes import Scene

WINDOWS = [PixelBounds(top, left, top + 200, left + 230) for top in (-20, 150, 380) for left in (-9, 200, 420)]
PAYING, SLOW, ELSEWHERE, WRONGLY_SIGNED, WHOLE = "paying", "slow", "elsewhere", "wrongly-signed", "whole"
INSTEAD = {
    f"/{ELSEWHERE}/a.tif": (301, "<Error><Code>PermanentRedirect</Code></Error>"),
    f"/{WRONGLY_SIGNED}/a.tif": (400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
    f"/{WHOLE}/a.tif": (200, "all of it"),
}
STORES = ("s3://box", "gs://box", "az://box@account")


@pytest.fixture(scope="module")
def service() -> Iterator[BucketService]:
    with serving_buckets((PAYING,), {SLOW: 0.3}, INSTEAD) as running:
        yield running


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those of this machine nor those that a cloud would give it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def keys(service: BucketService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's, good for every bucket but CLOSED."""
    for name, value in service.keys.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Sentinel-2 image of 20 and 6 blocks, which do not fit into a file's first page."""
    write(tmp_path / "a_B02.tif", tilted(400, 600))
    write(tmp_path / "a_B11.tif", tilted(200, 300, seed=1), pixel=20.0)
    return tmp_path


@pytest.fixture
def expected(folder: Path) -> list[bytes]:
    (scene,) = scenes_of((source(str(folder)),), folder)
    return read_all(scene, Access())


def source(place: str) -> Source:
    return Source(sensor="sentinel2_l2a", href=f"{place}/a_{{band}}.tif", datetime=DAY, bands=("B02", "B11"))


def access(url: str, **more: Any) -> Access:
    return Access(**{"hosts": ("s3://*", "gs://*", "az://*"), "endpoints": {"*": url}, "wait_seconds": 0.001, "timeout_seconds": 5, **more})


def read_all(scene: Scene, rules: Access) -> list[bytes]:
    """Bytes of all windows."""
    found = opening_rules((source(str(Path(scene.hrefs["B02"]).parent)),), Path("/nowhere"), rules)
    with Opener(found, scene.versions) as opener, ImagePool(opener) as pool:
        return [read_scene(pool, scene, ("B02", "B11"), GRID, window)[0].tobytes() for window in WINDOWS]


def text_of(href: str, rules: Access) -> str:
    """An object of few bytes, read as the images are."""
    with Opener(OpeningRules(Allowed((), rules.hosts), rules)) as opener:
        return opener.text(href, 1000)


def refusal(href: str, rules: Access) -> ReadError:
    with pytest.raises(ReadError) as caught:
        text_of(href, rules)
    return caught.value


def filled(service: BucketService, bucket: str, folder: Path, public: bool = False) -> str:
    for path in folder.glob("*.tif"):
        service.put(bucket, f"in ner/ä#1/{path.name}", path.read_bytes(), public)
    return f"s3://{bucket}/in ner/ä#1"


@pytest.mark.usefixtures("keys")
def test_pixels_of_a_bucket_are_those_on_disk(service: BucketService, folder: Path, expected: list[bytes]) -> None:
    rules = access(service.url)
    (scene,) = scenes_of((source(filled(service, "private", folder)),), folder, rules)
    before = len(service.reads)
    assert read_all(scene, rules) == expected
    asked = service.reads[before:]
    assert all(request.range and request.signed and not request.payer and request.status == 206 for request in asked)
    assert len(asked) < 3 * len(WINDOWS)
    assert len(scene.versions) == 2 and all(scene.versions.values())


@pytest.mark.usefixtures("keys")
def test_a_window_is_what_rasterio_reads_from_disk(service: BucketService, folder: Path) -> None:
    rules, window = access(service.url), Window(170, 90, 300, 260)
    place = filled(service, "private", folder)
    with Opener(OpeningRules(Allowed((), rules.hosts), rules)) as opener, gdal(), opener.open(f"{place}/a_B02.tif") as image:
        pixels = image.pixels(1, window)
    with rasterio.open(folder / "a_B02.tif") as file:
        np.testing.assert_array_equal(pixels, file.read(1, window=window))


def test_what_is_public_needs_no_keys(service: BucketService, folder: Path, expected: list[bytes]) -> None:
    rules = access(service.url, signing={"s3://public": "anonymous"})
    (scene,) = scenes_of((source(filled(service, "public", folder, public=True)),), folder, rules)
    assert read_all(scene, rules) == expected
    assert not any(request.signed for request in service.reads if request.path.startswith("/public/"))


@pytest.mark.usefixtures("keys")
def test_an_anonymous_bucket_is_not_asked_with_keys_that_are_there(service: BucketService) -> None:
    service.put("anonymous", "a.tif", b"text")
    assert refusal("s3://anonymous/a.tif", access(service.url, signing={"s3://anonymous": "anonymous"})).kind == "forbidden"
    assert not service.reads[-1].signed
    assert text_of("s3://anonymous/a.tif", access(service.url)) == "text"


@pytest.mark.usefixtures("keys")
def test_who_reads_pays_where_that_is_said(service: BucketService) -> None:
    service.put(PAYING, "a.tif", b"text")
    assert refusal(f"s3://{PAYING}/a.tif", access(service.url)).kind == "forbidden"
    assert text_of(f"s3://{PAYING}/a.tif", access(service.url, signing={f"s3://{PAYING}": "requester_pays"})) == "text"
    assert service.reads[-1].payer == "requester" and service.reads[-1].signed


@pytest.mark.parametrize("place", STORES[1:])
def test_a_strategy_that_a_store_has_not_is_refused(place: str) -> None:
    with Canary() as canary:
        error = refusal(f"{place}/a.tif", access(canary.url, signing={place: "requester_pays"}))
        assert canary.connects == 0
    assert error.kind == "forbidden"
    assert f"{place} cannot be signed as requester_pays" in str(error)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.usefixtures("keys")
def test_a_wrong_key_is_refused_once(service: BucketService, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    service.put("private", "a.tif", b"text")
    monkeypatch.setenv(name, "wrong")
    before = len(service.reads)
    error = refusal("s3://private/a.tif", access(service.url))
    assert (error.kind, error.tries) == ("forbidden", 1)
    assert "s3://private refuses" in str(error) and "wrong" not in str(error)
    assert [request.status for request in service.reads[before:]] == [403]


@pytest.mark.usefixtures("keys")
def test_a_right_key_opens_not_every_bucket(service: BucketService) -> None:
    service.put(CLOSED, "a.tif", b"text")
    assert refusal(f"s3://{CLOSED}/a.tif", access(service.url)).kind == "forbidden"


@pytest.mark.parametrize("href", ["s3://private/none.tif", "s3://no-such-bucket/a.tif", "s3://private/a.tif/more.tif"])
@pytest.mark.usefixtures("keys")
def test_what_is_not_there_is_not_found(service: BucketService, href: str) -> None:
    service.put("private", "a.tif", b"text")
    before = len(service.reads)
    error = refusal(href, access(service.url))
    assert (error.kind, error.tries) == ("not_found", 1)
    assert f"s3://{href.split('/')[2]} has no such object" in str(error)
    assert len(service.reads) == before + 1


@pytest.mark.parametrize("place", STORES)
def test_an_unlisted_bucket_is_never_asked_for(folder: Path, place: str) -> None:
    """Nor for its keys."""
    with Canary() as canary, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_METADATA_ENDPOINT", canary.url.rstrip("/"))
        rules = access(canary.url, hosts=("s3://other", f"{place}-too"))
        with pytest.raises(InputError, match=rf"{place} is not among access\.hosts"):
            scenes_of((source(place),), folder, rules)
        assert refusal(f"{place}/a.tif", rules).kind == "path_not_allowed"
        assert canary.connects == 0


@pytest.mark.parametrize("place", ["s3://box/", "gs://box/in/", "s3://box/*.tif", "s3://box/{date}_{band}.tif"])
def test_a_bucket_is_not_listed(folder: Path, place: str) -> None:
    with Canary() as canary:
        with pytest.raises(InputError, match="cannot be listed; use a STAC catalog"):
            scenes_of((Source(sensor="rgb", href=place, datetime=DAY),), folder, access(canary.url))
        assert canary.connects == 0


@pytest.mark.usefixtures("keys")
def test_an_object_that_was_replaced_is_not_read(service: BucketService, folder: Path) -> None:
    rules = access(service.url)
    (scene,) = scenes_of((source(filled(service, "replaced", folder)),), folder, rules)
    planned_with = scene.versions[scene.hrefs["B02"]]
    write(folder / "a_B02.tif", tilted(400, 600, seed=7))
    (again,) = scenes_of((source(filled(service, "replaced", folder)),), folder, rules)
    with pytest.raises(ReadError, match="run scenes again") as caught:
        read_all(scene, rules)
    assert caught.value.kind == "changed_source"
    assert planned_with in str(caught.value) and again.versions[scene.hrefs["B02"]] in str(caught.value)
    assert planned_with != again.versions[scene.hrefs["B02"]] and read_all(again, rules)


@pytest.mark.parametrize("left", [0, 9])
@pytest.mark.usefixtures("keys")
def test_an_object_that_became_shorter_while_it_is_open_is_noticed(service: BucketService, folder: Path, left: int) -> None:
    rules = access(service.url)
    (scene,) = scenes_of((source(filled(service, "shorter", folder)),), folder, rules)
    with Opener(OpeningRules(Allowed((), rules.hosts), rules)) as opener, ImagePool(opener) as pool:
        read_scene(pool, scene, ("B02",), GRID, WINDOWS[0])
        service.put("shorter", "in ner/ä#1/a_B02.tif", b"x" * left)
        with pytest.raises(ReadError) as caught:
            read_scene(pool, scene, ("B02",), GRID, WINDOWS[-1])
    assert caught.value.kind == "changed_source"


@pytest.mark.usefixtures("keys")
def test_an_empty_object_is_no_image(service: BucketService, folder: Path) -> None:
    service.put("empty", "a_B02.tif", b"")
    with pytest.raises(InputError, match=r"not_a_tiff: a_B02\.tif begins with b''"):
        scenes_of((source("s3://empty"),), folder, access(service.url))


@pytest.mark.usefixtures("keys")
def test_a_catalog_in_a_bucket_opens_what_lies_beside_it(service: BucketService, folder: Path, expected: list[bytes]) -> None:
    """The bucket of the place's own catalog needs no mention in access.hosts."""
    catalog = pystac.Catalog("all", "All of it")
    item = pystac.Item("a", None, None, pystac.utils.str_to_datetime("2020-05-04T00:00:00Z"), {})
    for band in ("B02", "B11"):
        item.add_asset(band, pystac.Asset(f"../a_{band}.tif"))
    catalog.add_item(item)
    catalog.normalize_hrefs(str(folder))
    catalog.save(pystac.CatalogType.SELF_CONTAINED)
    for path in (*folder.glob("*.tif"), *folder.rglob("*.json")):
        service.put("catalogued", f"in ner/ä/{path.relative_to(folder)}", path.read_bytes())
    rules = access(service.url, hosts=())
    one = Source(sensor="sentinel2_l2a", stac="s3://catalogued/in ner/ä/catalog.json", bands=("B02", "B11"))
    (scene,) = scenes_of((one,), folder, rules)
    assert scene.hrefs["B02"] == "s3://catalogued/in ner/ä/a_B02.tif"
    with Opener(opening_rules((one,), folder, rules), scene.versions) as opener, ImagePool(opener) as pool:
        assert [read_scene(pool, scene, ("B02", "B11"), GRID, window)[0].tobytes() for window in WINDOWS] == expected


@pytest.mark.usefixtures("keys")
def test_time_to_wait_holds_for_each_part_of_an_answer(service: BucketService) -> None:
    service.put(SLOW, "a.tif", b"some text")
    assert text_of(f"s3://{SLOW}/a.tif", access(service.url, timeout_seconds=0.6)) == "some text"
    assert refusal(f"s3://{SLOW}/a.tif", access(service.url, timeout_seconds=0.1, tries=1)).kind == "network"


@pytest.mark.parametrize(
    ("bucket", "kind", "hint"),
    [
        (ELSEWHERE, "forbidden", "export AWS_REGION"),
        (WRONGLY_SIGNED, "forbidden", "export AWS_REGION"),
        (WHOLE, "server", "correct access.endpoints"),
    ],
)
@pytest.mark.usefixtures("keys")
def test_answers_that_are_none_say_what_to_do(service: BucketService, bucket: str, kind: str, hint: str) -> None:
    error = refusal(f"s3://{bucket}/a.tif", access(service.url, tries=2))
    assert (error.kind, f"s3://{bucket}" in str(error), hint in str(error)) == (kind, True, True)


def test_a_worker_without_keys_is_told_so(service: BucketService, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service of keys that is away may come back; one that has none for this worker will not."""
    service.put("private", "a.tif", b"text")
    before = len(service.reads)
    error = refusal("s3://private/a.tif", access(service.url, tries=3))
    assert (error.kind, error.tries) == ("network", 3)
    assert "no keys for s3://private; export them" in str(error)
    with serving(folder) as none:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", none.url("none"))
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(write_text(folder / "token", "any")))
        error = refusal("s3://private/a.tif", access(service.url, tries=3))
    assert (error.kind, error.tries) == ("forbidden", 1)
    assert "no keys for s3://private" in str(error)
    assert len(service.reads) == before


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_store_that_cannot_be_opened_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal("az://box/a.tif", access("http://127.0.0.1:9"))
    assert (error.kind, error.tries) == ("forbidden", 1)
    assert "write az://box@ACCOUNT, or export AZURE_STORAGE_ACCOUNT_NAME" in str(error)
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", '"a secret"')
    error = refusal("gs://box/a.tif", access("http://127.0.0.1:9"))
    assert (error.kind, "secret" in str(error)) == ("forbidden", False)


@pytest.mark.parametrize("url", ["minio:9000", "ftp://127.0.0.1:9", "http://", "https://minio.example.org/?key=1", "http://a b/"])
def test_an_endpoint_is_a_whole_address(url: str) -> None:
    with pytest.raises(InputError, match=r"access\.endpoints.*write its whole address"):
        parse(Access, {"endpoints": {"s3://box": url}}, "access")


@pytest.mark.parametrize("href", ["s3://b//a.tif", "s3://b/a//b.tif", "gs://b/../a.tif", "az://b@c/x/./a.tif", "s3://b/a.tif?versionId=3"])
def test_keys_that_no_store_would_be_asked_for_are_refused(href: str) -> None:
    with pytest.raises(ReadError) as caught:
        address_of(href)
    assert caught.value.kind == "path_not_allowed"


@pytest.mark.parametrize("place", STORES)
@pytest.mark.parametrize("faults", [Faults(), Faults(seed=4, too_many=0.1, broken=0.1, half=0.1, dropped=0.1, unavailable=0.1)])
def test_every_store_gives_the_pixels_on_disk(folder: Path, expected: list[bytes], place: str, faults: Faults) -> None:
    rules = {"tries": 12, "signing": {place: "anonymous"}}
    (folder / "box").symlink_to(folder)
    with serving(folder, faults) as server:
        found = access(server.url("").rstrip("/"), **rules)
        (scene,) = scenes_of((source(place),), folder, found)
        assert read_all(scene, found) == expected
        assert {request.path for request in server.log} == {"/box/a_B02.tif", "/box/a_B11.tif"}
        assert any(request.fault for request in server.log) == (faults != Faults())


@pytest.mark.parametrize("place", STORES)
@pytest.mark.parametrize(
    ("faults", "kind", "most"),
    [
        (Faults(statuses={"/box/a_B11.tif": 404}), "not_found", 1),
        (Faults(statuses={"/box/a_B11.tif": 403}), "forbidden", 1),
        (Faults(statuses={"/box/a_B11.tif": 401}), "forbidden", 1),
        (Faults(statuses={"/box/a_B11.tif": 400}), "forbidden", 1),
        (Faults(under="/box/a_B11", too_many=1.0), "throttled", 2),
        (Faults(under="/box/a_B11", unavailable=1.0), "server", 2),
        (Faults(under="/box/a_B11", half=1.0), "network", 2),
        (Faults(under="/box/a_B11", dropped=1.0), "network", 2),
    ],
)
def test_lasting_faults_of_a_store_have_their_class(folder: Path, place: str, faults: Faults, kind: str, most: int) -> None:
    (folder / "box").symlink_to(folder)
    with serving(folder, faults) as server:
        rules = access(server.url(""), tries=2, signing={place: "anonymous"})
        (scene,) = scenes_of((source(place).model_copy(update={"bands": ("B02",)}),), folder, rules)
        both: Mapping[str, Any] = {
            "hrefs": {band: f"{place}/a_{band}.tif" for band in ("B02", "B11")},
            "band_indexes": {"B02": 1, "B11": 1},
        }
        with Opener(OpeningRules(Allowed((), rules.hosts), rules)) as opener, ImagePool(opener) as pool, pytest.raises(ReadError) as caught:
            read_scene(pool, Scene(**{**vars(scene), **both}), ("B02", "B11"), GRID, WINDOWS[0])
        assert sum(request.path == "/box/a_B11.tif" for request in server.log) == most
    assert (caught.value.kind, caught.value.tries) == (kind, most)
