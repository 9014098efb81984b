"""Files made to harm: refused before GDAL sees them, or read within bounds. Numbers are those of the list of faults in the design."""

import logging
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from conf.access import Access
from conf.errors import InputError, ReadError
from conf.place import Source
from tests.images_on_disk import DAY, GRID, tilted, write
from tests.servers.range_server import Canary
from udfs.addresses import Allowed, address_of, without_secrets
from udfs.catalogs import scenes_of
from udfs.grid import PixelBounds
from udfs.images import ImagePool, Opener, OpeningRules, gdal
from udfs.reading import read_scene

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]><PAMDataset><Metadata><MDI key='x'>&a11;</MDI></Metadata></PAMDataset>"
)


def fault_of(path: Path, index: int = 1) -> ReadError:
    """What opening it, or reading its first pixels, is refused with."""
    with pytest.raises(ReadError) as caught, gdal(), Opener() as opener, opener.open(str(path)) as image:
        image.pixels(index, Window(0, 0, 1, 1))
    return caught.value


def test_5_a_file_that_points_elsewhere_connects_nowhere(tmp_path: Path) -> None:
    with Canary() as canary:
        for name, text in {
            "vrt.tif": f'<VRTDataset rasterXSize="9" rasterYSize="9"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
            f"<SourceFilename>/vsicurl/{canary.url}latest/meta-data</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>",
            "gti.tif": f"<GDALTileIndexDataset><IndexDataset>/vsicurl/{canary.url}x.gpkg</IndexDataset></GDALTileIndexDataset>",
            "wms.tif": f'<GDAL_WMS><Service name="WMS"><ServerUrl>{canary.url}</ServerUrl></Service></GDAL_WMS>',
            "bom.tif": f"\ufeff<VRTDataset><SourceFilename>/vsicurl/{canary.url}</SourceFilename></VRTDataset>",
        }.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
            assert fault_of(tmp_path / name).kind == "driver_not_allowed"
        assert canary.connects == 0


def test_6_expanding_xml_is_neither_read_nor_expanded(tmp_path: Path) -> None:
    (tmp_path / "laughs.vrt").write_text(LAUGHS)
    pixels = tilted(130, 140)
    path = write(tmp_path / "a.tif", pixels)
    (tmp_path / "a.tif.aux.xml").write_text(LAUGHS)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert fault_of(tmp_path / "laughs.vrt").kind == "driver_not_allowed"
    with gdal(), Opener() as opener, opener.open(str(path)) as image:
        np.testing.assert_array_equal(image.pixels(1, Window(0, 0, 140, 130)), pixels)
    assert time.monotonic() - started < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_side_files_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", tilted(130, 140))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:3857</SRS><GeoTransform>0, 1, 0, 0, 0, -1</GeoTransform></PAMDataset>")
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    write(tmp_path / "a.tif.ovr", tilted(65, 70, 3))
    write(tmp_path / "a.tif.msk", np.zeros((130, 140), np.uint8))
    with gdal(), Opener() as opener, opener.open(str(path)) as image:
        assert image.crs.to_epsg() == 32725 and image.transform.a == 10
        assert image.overviews(1) == [] and image.read_masks(1).all()


def tiff(entries: dict[int, tuple[int, list[int]]], data: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory; entries by tag: (type 3 or 4, values). Tag 273 or 324 of [-1] points to `data`."""
    size = 8 + 2 + 12 * len(entries) + 4
    spill, fields = b"", b""
    for tag, (kind, values) in sorted(entries.items()):
        values = [size_of_all(entries, size) if value == -1 else value for value in values]
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            fields += struct.pack("<HHII", tag, kind, len(values), size + len(spill))
            spill += packed
        else:
            fields += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + fields + b"\0\0\0\0" + spill + data


def size_of_all(entries: dict[int, tuple[int, list[int]]], size: int) -> int:
    return size + sum(
        len(values) * (2 if kind == 3 else 4) for kind, values in entries.values() if len(values) * (2 if kind == 3 else 4) > 4
    )


def header(width: int, height: int, compression: int = 1, samples: int = 1) -> dict[int, tuple[int, list[int]]]:
    return {
        256: (4, [width]), 257: (4, [height]), 258: (3, [8] * samples), 259: (3, [compression]), 262: (3, [1]), 277: (3, [samples]),
    }  # fmt: skip


def many_tiles() -> bytes:
    """One pixel, which says it has 2**30 tiles."""
    whole = tiff({**header(1, 1), 322: (4, [16]), 323: (4, [16]), 324: (4, [1, 1]), 325: (4, [1, 1])})
    return whole.replace(struct.pack("<HHI", 324, 4, 2), struct.pack("<HHI", 324, 4, 2**30)).replace(
        struct.pack("<HHI", 325, 4, 2), struct.pack("<HHI", 325, 4, 2**30)
    )


def squeezed() -> bytes:
    """1 MiB that becomes 1 GiB."""
    squeezer = zlib.compressobj(9)
    return b"".join(squeezer.compress(bytes(2**24)) for _ in range(64)) + squeezer.flush()


def bomb_of_one_tile() -> bytes:
    data = squeezed()
    place = {322: (4, [2**15]), 323: (4, [2**15]), 324: (4, [-1]), 325: (4, [len(data)])}
    return tiff({**header(2**15, 2**15, 8), **place}, data)


def bomb_of_one_strip() -> bytes:
    """GDAL takes it row by row, so that reading it is harmless."""
    data = squeezed()
    return tiff({**header(2**15, 2**15, 8), 273: (4, [-1]), 278: (4, [2**15]), 279: (4, [len(data)])}, data)


def pixel_bomb() -> bytes:
    """Blocks within the limit, but for all bands at once."""
    return tiff({**header(2**12, 2**12, 8, 2**10), 273: (4, [-1]), 278: (4, [2**12]), 279: (4, [4])}, b"abcd")


def lerc_bomb() -> bytes:
    """94 bytes that say they hold 30,000 x 30,000 values."""
    blob = b"Lerc2 " + struct.pack("<iIiiiiiiddd", 3, 0, 30_000, 30_000, 900_000_000, 8, 94, 1, 0.0, 0.0, 1.0)
    data = blob.ljust(94, b"\0")
    return tiff({**header(30_000, 30_000, 34887), 273: (4, [-1]), 278: (4, [30_000]), 279: (4, [len(data)])}, data)


READ_IN_BOUNDS = """
import resource, sys
from rasterio.windows import Window
from conf.errors import ReadError
from udfs.images import Opener, gdal
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with gdal(), Opener() as opener, opener.open(sys.argv[1]) as image:
        image.pixels(1, Window(0, 0, 1, 1))
    print("read", end=" ")
except ReadError as error:
    print(error.kind, end=" ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_apart(path: Path) -> tuple[str, int]:
    """What becomes of reading a pixel, and the kB it took, in a process of its own."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", READ_IN_BOUNDS, str(path)], capture_output=True, text=True, timeout=60)
    kind, kilobytes = done.stdout.split()
    return kind, int(kilobytes)


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (many_tiles, {"corrupt", "not_a_tiff"}), (bomb_of_one_tile, {"block_size"}), (bomb_of_one_strip, {"read"}),
        (pixel_bomb, {"corrupt"}), (lerc_bomb, {"corrupt", "not_a_tiff"}),
    ],
)  # fmt: skip
def test_7_bombs_are_refused_before_they_grow(tmp_path: Path, make: Any, kinds: set[str]) -> None:
    (tmp_path / "bomb.tif").write_bytes(make())
    kind, kilobytes = read_apart(tmp_path / "bomb.tif")
    assert kind in kinds
    assert kilobytes < 100_000


def test_8_a_huge_empty_image_is_read_as_no_data(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 10**6, "height": 10**6, "count": 1, "dtype": "uint8", "crs": "EPSG:32725", "sparse_ok": True}
    path = tmp_path / "huge.tif"
    layout = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate", "transform": GRID.transform(0, 0)}
    with rasterio.open(path, "w", **profile, **layout):
        pass
    assert path.stat().st_size < 2**20
    (scene,) = scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY, bands=("red",)),), tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ImagePool() as pool:
        values, _ = read_scene(pool, scene, ("red",), GRID, PixelBounds(500_000, 700_000, 500_300, 700_200))
    assert np.isnan(values).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_13_south_up_and_rotated_images_are_refused(tmp_path: Path) -> None:
    for number, transform in enumerate((rasterio.Affine(10, 0, 3e5, 0, 10, 9e6), rasterio.Affine(9, 4, 3e5, 4, -9, 9e6))):
        path = write(tmp_path / f"{number}.tif", np.full((3, 130, 140), 9, np.uint8), transform=transform)
        with pytest.raises(InputError, match=r"georeference.*north up"):
            scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)


def test_15_what_gdal_only_mentions_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", tilted(130, 140))
    with gdal(), Opener() as opener, opener.open(str(path)) as image:
        real = image.dataset.read
        image.pixels(1, Window(0, 0, 9, 9))

        def mentions(*arguments: Any, **more: Any) -> Any:
            logging.getLogger("rasterio._err").error("CPLE_AppDefined in source 2 of 3 failed")
            return real(*arguments, **more)

        monkeypatch.setattr(image, "dataset", Stand(image.dataset, mentions))
        with pytest.raises(ReadError, match="source 2 of 3 failed") as caught:
            image.pixels(1, Window(0, 0, 9, 9))
    assert caught.value.kind == "corrupt"


class Stand:
    """A dataset with another `read`."""

    def __init__(self, dataset: Any, read: Any) -> None:
        self._dataset, self.read = dataset, read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def test_a_cut_jpeg_block_is_no_grey_ground(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.stack([tilted(256, 256, seed) % 250 for seed in range(3)]).astype(np.uint8), compress="jpeg")
    with rasterio.open(path) as file:
        place = {what: int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")}
    data = bytearray(path.read_bytes())
    middle = place["OFFSET"] + place["SIZE"] // 2
    data[middle : place["OFFSET"] + place["SIZE"]] = bytes(place["SIZE"] - place["SIZE"] // 2)
    path.write_bytes(data)
    assert fault_of(path).kind == "corrupt"


@pytest.mark.parametrize(
    "href",
    [
        "/vsizip//vsicurl/http://127.0.0.1:9/a.zip/a.tif", "/vsicurl/http://127.0.0.1:9/a.tif", "a\0.tif", "ftp://host/a.tif",
        "https://ex\u0430mple.org/a.tif", "https://user:word@example.org/a.tif", "https://example.org/x/../../a.tif",
        "https://example.org/%2e%2e/a.tif", "file://elsewhere/a.tif", "javascript://x/a.tif", "s3://buck et/a.tif", "",
    ],
)  # fmt: skip
def test_19_tricks_in_paths_are_refused(href: str) -> None:
    with pytest.raises(ReadError) as caught:
        address_of(href)
    assert caught.value.kind == "path_not_allowed"


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("../outside.tif", None), ("sub/../../outside.tif", None), ("link.tif", None), ("link/outside.tif", None),
        ("file://{}/in.tif", "in.tif"), ("in.tif", "in.tif"), ("sub/../in.tif", "in.tif"),
    ],
)  # fmt: skip
def test_19_paths_are_judged_where_they_lead(tmp_path: Path, href: str, path: str | None) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "outside.tif").touch()
    (root / "link.tif").symlink_to(tmp_path / "outside.tif")
    (root / "link").symlink_to(tmp_path)
    allowed = Allowed((str(root.resolve()),))
    asked = href.replace("{}", str(root)) if href.startswith("file") else str(root / href)
    if path is None:
        with pytest.raises(ReadError, match="leads out of the folders"):
            allowed.check(asked)
    else:
        assert allowed.check(asked).path == str(root / path)


def test_19_a_catalog_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "outside.tif", np.full((3, 130, 140), 9, np.uint8))
    (tmp_path / "images" / "inside.tif").symlink_to(tmp_path / "outside.tif")
    here = Source(sensor="rgb", href=str(tmp_path / "images" / "inside.tif"), datetime=DAY)
    with pytest.raises(InputError, match=r"leads out of the folders.*access\.roots"):
        scenes_of((here,), tmp_path / "storage")
    assert scenes_of((here,), tmp_path / "storage", Access(roots=(str(tmp_path),)))[0].width == 140


@pytest.mark.parametrize(
    ("hosts", "href", "allowed"),
    [
        (("*.blob.core.windows.net",), "https://a.blob.core.windows.net/c/x.tif", True),
        (("*.blob.core.windows.net",), "https://a.blob.core.windows.net.evil.org/c/x.tif", False),
        (("s3://mine",), "s3://mine/x.tif", True),
        (("s3://mine",), "s3://mine-too/x.tif", False),
        (("s3://mine",), "gs://mine/x.tif", False),
        (("az://c@acc",), "abfss://c@acc.dfs.core.windows.net/x.tif", True),
        (("example.org:8080",), "http://example.org/x.tif", False),
        ((), "https://example.org/x.tif", False),
    ],
)
def test_19_hosts_and_buckets_are_named(hosts: tuple[str, ...], href: str, allowed: bool) -> None:
    if allowed:
        assert Allowed((), hosts).check(href).is_remote
    else:
        with pytest.raises(ReadError, match=r"not among access\.hosts"):
            Allowed((), hosts).check(href)


def test_19_a_public_name_may_not_lead_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [(2, 1, 6, "", ("169.254.169.254", 0))])
    address = address_of("https://images.example.org/x.tif")
    with pytest.raises(ReadError, match=r"leads to 169\.254\.169\.254"):
        Allowed((), ("*.example.org",)).check_host(address)
    Allowed((), ("images.example.org",)).check_host(address)


def test_49_signatures_are_left_out_of_what_is_kept() -> None:
    signed = "https://a.org/x.tif?sv=2021&sig=CANARY%3D&se=2030&version=7&X-Amz-Signature=CANARY"
    assert without_secrets(signed) == "https://a.org/x.tif?version=7"
    with pytest.raises(ReadError) as caught:
        OpeningRules(Allowed((), ())).allowed.check(signed)
    assert "CANARY" not in str(caught.value)
