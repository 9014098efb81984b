"""Faults of images that pass are waited for, and only those."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from conf.errors import ReadError
from conf.place import Source
from tests.images_on_disk import DAY, GRID, write
from udfs import retrying
from udfs.catalogs import scenes_of
from udfs.grid import PixelBounds
from udfs.images import ImagePool
from udfs.reading import read_scene
from udfs.retrying import BACK_OFF_SECONDS, TRIES
from udfs.scenes import Scene

HERE = PixelBounds(3, 5, 9, 12)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    path = write(tmp_path / "a.tif", (np.arange(3 * 130 * 140) % 251).astype(np.uint8).reshape(3, 130, 140))
    return scenes_of((Source(sensor="rgb", href=str(path), datetime=DAY),), tmp_path)[0]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(retrying, "BACK_OFF_SECONDS", BACK_OFF_SECONDS)
    seconds: list[float] = []
    monkeypatch.setattr(retrying, "sleep", seconds.append)  # not time.sleep: threads of other libraries wait by it, too
    return seconds


def fail_first(monkeypatch: pytest.MonkeyPatch, times: int, error: Exception) -> list[str]:
    real, opened = rasterio.open, []

    def opening(path: str, **more: Any) -> Any:
        opened.append(path)
        if len(opened) <= times:
            raise error
        return real(path, **more)

    monkeypatch.setattr(rasterio, "open", opening)
    return opened


@pytest.mark.parametrize("error", [RasterioIOError("cannot open"), OSError(116, "Stale file handle")])
def test_a_file_that_cannot_be_opened_for_now_is_opened_again(
    scene: Scene, waits: list[float], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected, _ = read_scene(ImagePool(), scene, ("red",), GRID, HERE)
    opened = fail_first(monkeypatch, TRIES - 1, error)
    values, tries = read_scene(ImagePool(), scene, ("red",), GRID, HERE)
    np.testing.assert_array_equal(values, expected)
    assert (len(opened), tries) == (TRIES, TRIES)
    assert sum(waits) >= 2 and waits == sorted(waits)


def test_headers_are_asked_for_again_too(scene: Scene, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_first(monkeypatch, 1, RasterioIOError("cannot open"))
    again = scenes_of((Source(sensor="rgb", href=scene.hrefs["red"], datetime=DAY),), Path())[0]
    assert (again, again.fault, len(waits)) == (scene, None, 1)


def test_a_lasting_fault_is_waited_for_once(scene: Scene, waits: list[float]) -> None:
    path = Path(scene.hrefs["red"])
    path.write_bytes(path.read_bytes()[:60])
    pool = ImagePool()
    for _ in range(2):
        with pytest.raises(ReadError, match="header cannot be read") as caught:
            read_scene(pool, scene, ("red",), GRID, HERE)
        assert (caught.value.kind, caught.value.tries, len(waits)) == ("not_a_tiff", TRIES, TRIES - 1)


def test_what_is_no_tiff_is_not_waited_for(scene: Scene, waits: list[float]) -> None:
    Path(scene.hrefs["red"]).write_bytes(b"<html>busy</html>")
    with pytest.raises(ReadError) as caught:
        read_scene(ImagePool(), scene, ("red",), GRID, HERE)
    assert (caught.value.kind, caught.value.tries, waits) == ("not_a_tiff", 1, [])


def test_the_digest_of_a_broken_scene_is_another(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else tiles planned while a drive was away would never be planned again."""
    sound = write(tmp_path / "b.tif", np.full((3, 130, 140), 9, np.uint8))
    sources = tuple(Source(sensor="rgb", href=str(path), datetime=DAY) for path in (scene.hrefs["red"], sound))
    real = rasterio.open

    def away(path: str, **more: Any) -> Any:
        if Path(path).name == "a.tif":
            raise RasterioIOError("cannot open")
        return real(path, **more)

    monkeypatch.setattr(rasterio, "open", away)
    broken = scenes_of(sources, tmp_path)[0]
    assert str(broken.fault).startswith("not_a_tiff")
    assert broken.content_digest != scene.content_digest
