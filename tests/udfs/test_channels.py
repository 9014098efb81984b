"""Two sensors on one grid: what either lacks is no data in its own channels only, and a failure of one is never silent."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.errors import ReadError
from conf.place import Epoch, Source
from tests.images_on_disk import DAY, GRID, flip_block, tilted, write
from udfs import images, mapping
from udfs.catalogs import scenes_of
from udfs.cells import Work, planned_cells, touched_cells
from udfs.channels import Channels
from udfs.mapping import Recipe, built_up_batches
from udfs.rasters import NO_DATA, decode_raster
from udfs.scenes import Scene

OPTICAL, RADAR = "sentinel2_l2a", "sentinel1_grd"
EPOCH = Epoch(name="e", start=DAY.replace(month=1, day=1), end=DAY.replace(month=12, day=31), reference=DAY.replace(month=7))
RECIPE = {
    "a": Recipe(
        model_path="m", model_name="m", model_version="1", model_sha256="0", bands=("B02",), centre=256, halo=40, threshold=125,
        composite="median", looks=4.4, min_clear=0.5, threads=1, batch=1, backend="cpu", settings_digest="d",
        beside=Channels(RADAR, ("VH", "VV"), "temporal_mean"),
    )
}  # fmt: skip
HEIGHT, WIDTH = 500, 700


class Weighted:
    """A fake network that tells channels apart, and no data in each."""

    def predict_layers(self, windows: Any) -> Any:
        assert windows.shape[1:] == (3, 336, 336)
        optical, vh, vv = np.moveaxis(np.nan_to_num(windows[:, :, 40:-40, 40:-40], nan=7.0), 1, 0)
        return (np.abs(1000 * optical + 11 * vh + 5 * vv) % 251).astype(np.uint8)[:, None]


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "load_predictor", lambda *_: Weighted())


def decibels(seed: int) -> Any:
    return (-20 + tilted(HEIGHT, WIDTH, seed) / 500).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A date of Sentinel-2 without its north, and two of Sentinel-1, the second without its west."""
    dn = tilted(HEIGHT, WIDTH)
    dn[:61] = 0
    write(tmp_path / "o_B02.tif", dn)
    for name, seed, beyond in (("r1", 1, 0), ("r2", 3, 123)):
        for band in ("VV", "VH"):
            values = decibels(seed + (band == "VH"))
            values[:, :beyond] = np.nan
            write(tmp_path / f"{name}_{band}.tif", values)
    return tmp_path


def scenes_in(folder: Path, *names: str) -> dict[str, Scene]:
    sources = {
        name: Source(sensor=sensor, href=str(folder / f"{name}_{{band}}.tif"), datetime=DAY, bands=bands)
        for name, sensor, bands in (("o", OPTICAL, ("B02",)), ("r1", RADAR, ("VV", "VH")), ("r2", RADAR, ("VV", "VH")))
    }
    found = scenes_of(tuple(sources[name] for name in names or sources), folder)
    return {scene.scene_id: scene for scene in found}


def mapped(scenes: dict[str, Scene], tile_px: int = 256) -> pd.DataFrame:
    work = Work((OPTICAL, RADAR), {GRID.name: GRID}, False, False, tile_px, 24, (EPOCH,))
    (cells,) = touched_cells([pd.DataFrame({"footprint": [scene.footprint for scene in scenes.values()]})], work)
    images = [{**vars(scene), "epoch": EPOCH.name} for scene in scenes.values()]
    plan = pd.concat(planned_cells([cells.assign(candidates=[images] * len(cells))], work)).assign(layer="a", tile_px=tile_px)
    return pd.concat(built_up_batches([plan], scenes, RECIPE, {"a": OPTICAL}), ignore_index=True)


def whole(rows: pd.DataFrame) -> Any:
    canvas = np.full((1024, 1024), NO_DATA, np.uint8)
    for row in rows[rows.status == "done"].itertuples():
        side = row.tile_px
        canvas[row.row * side : (row.row + 1) * side, row.col * side : (row.col + 1) * side] = decode_raster(row.probability, (side, side))
    return canvas[:HEIGHT, :WIDTH]


def names(found: Any) -> set[str]:
    return {name for each in found for name in each}


def test_each_sensors_composite_fills_its_own_channels(folder: Path) -> None:
    scenes = scenes_in(folder)
    rows = [mapped(scenes, side) for side in (256, 512, 1024)]
    result = whole(rows[0])
    assert result.tobytes() == whole(rows[1]).tobytes() == whole(rows[2]).tobytes()
    power = np.array([[10 ** (decibels(seed).astype(float) / 10) for seed in pair] for pair in ((1, 2), (3, 4))])
    power[1, :, :, :123] = np.nan
    vv, vh = 10 * np.log10(np.nanmean(power, axis=0))
    blue = np.where(np.arange(HEIGHT)[:, None] < 61, 7.0, tilted(HEIGHT, WIDTH) * 1e-4)
    expected = np.abs(1000 * blue + 11 * vh + 5 * vv) % 251
    assert (np.abs(result - np.floor(expected)) > 0).mean() < 1e-3  # where a last digit decides
    assert names(rows[0].scenes_used) == {"o", "r1", "r2"} and names(rows[0].scenes_failed) == set()
    assert rows[2].valid_share.tolist() == [HEIGHT * WIDTH / 1024**2]


@pytest.mark.parametrize(("broken", "left"), [(("r1", "r2"), ("o",)), (("o",), ("r1", "r2"))])
def test_a_sensor_that_is_broken_for_good_leaves_the_other_and_is_named(folder: Path, broken: Any, left: Any) -> None:
    alone, scenes = whole(mapped(scenes_in(folder, *left))), scenes_in(folder)
    for name in broken:
        (folder / f"{name}_{'B02' if name == 'o' else 'VH'}.tif").write_bytes(b"<html>busy</html>")
    rows = mapped(scenes)
    assert set(rows.status) == {"done"} and whole(rows).tobytes() == alone.tobytes()
    assert all(failed == sorted(broken) for failed in rows.scenes_failed) and names(rows.scenes_used) == set(left)


def test_where_neither_is_left_tiles_are_quarantined(folder: Path) -> None:
    dn = tilted(HEIGHT, WIDTH)
    dn[:, 90:] = 0  # a third of the first tiles, and nothing of the others
    write(folder / "o_B02.tif", dn)
    scenes = scenes_in(folder)
    for name in ("r1", "r2"):
        (folder / f"{name}_VV.tif").write_bytes(b"<html>busy</html>")
    rows = mapped(scenes)
    assert set(rows.status) == {"quarantined"} and set(rows.error_class) == {"not_a_tiff"}


def test_a_fault_that_passes_changes_no_pixel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, real = scenes_in(folder), images.Opener.open

    def away(self: images.Opener, href: str) -> Any:
        if "r2_VH" in href:
            raise ReadError("server", "503")
        return real(self, href)

    monkeypatch.setattr(images.Opener, "open", away)
    rows = mapped(scenes)
    assert set(rows.status) == {"quarantined"} and set(rows.error_class) == {"server"}


def test_a_damaged_block_of_one_sensor_costs_its_own_pixels_of_that_sensor(folder: Path) -> None:
    sound = whole(mapped(scenes_in(folder, "o", "r1")))
    without = whole(mapped(scenes_in(folder, "o")))
    flip_block(folder / "r1_VV.tif", 2, 1)  # rows 128-256, columns 256-384
    rows = [mapped(scenes_in(folder, "o", "r1"), side) for side in (256, 1024)]
    expected = sound.copy()
    expected[128:256, 256:384] = without[128:256, 256:384]
    assert whole(rows[0]).tobytes() == whole(rows[1]).tobytes() == expected.tobytes() != sound.tobytes()
    assert names(rows[0].scenes_failed) == {"r1"} and set(rows[0].status) == {"done"}
