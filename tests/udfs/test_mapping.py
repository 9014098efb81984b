"""The shell from tiles to probabilities: the same pixels however the work is cut; a failed read is never ground without buildings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conf.place import Epoch, Source
from models.predictor import ModelError
from tests.images_on_disk import DAY, GRID, flip_block, tilted, write
from udfs import mapping
from udfs.catalogs import scenes_of
from udfs.cells import Work, planned_cells, touched_cells
from udfs.mapping import Recipe, built_up_batches
from udfs.rasters import NO_DATA, decode_raster
from udfs.scenes import Scene

CENTRE, HALO = 256, 40
SENSORS = {"a": "sentinel2_l2a"}


class Edges:
    """A fake network whose answer depends on every pixel of the halo."""

    calls = 0

    def predict(self, windows: Any) -> Any:
        Edges.calls += 1
        assert windows.shape[1:] == (2, CENTRE + 2 * HALO, CENTRE + 2 * HALO)
        filled = np.nan_to_num(windows[:, 0] - windows[:, 1], nan=0.1)
        shifted = filled[:, : -2 * HALO, : -2 * HALO] + filled[:, 2 * HALO :, HALO:-HALO]
        return (np.abs(shifted) * 300 % 251).astype(np.uint8)


EPOCH = Epoch(name="e", start=DAY.replace(month=1, day=1), end=DAY.replace(month=12, day=31), reference=DAY.replace(month=7))


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    Edges.calls = 0
    monkeypatch.setattr(mapping, "load_predictor", lambda *_: Edges())


def recipe(**changes: Any) -> dict[str, Recipe]:
    values: dict[str, Any] = {
        "model_path": "m", "model_name": "m", "model_version": "1", "model_sha256": "0", "bands": ("B02", "B11"), "centre": CENTRE,
        "halo": HALO, "threshold": 125, "composite": "median", "looks": 4.4, "min_clear": 0.5, "threads": 1, "batch": 1,
        "backend": "cpu", "settings_digest": "d",
    }  # fmt: skip
    return {"a": Recipe(**{**values, **changes})}


def write_dates(folder: Path, dates: int) -> dict[str, Scene]:
    for number in range(dates):
        write(folder / f"d{number}_B02.tif", tilted(700, 900, seed=number))
        write(folder / f"d{number}_B11.tif", tilted(350, 450, seed=9 + number), pixel=20.0)
    return scenes_in(folder)


def scenes_in(folder: Path) -> dict[str, Scene]:
    """The scenes as they are now."""
    names = sorted(path.name.split("_")[0] for path in folder.glob("*_B02.tif"))
    sources = [
        Source(sensor="sentinel2_l2a", href=str(folder / f"{name}_{{band}}.tif"), datetime=DAY, bands=("B02", "B11")) for name in names
    ]
    return {scene.scene_id: scene for scene in scenes_of(tuple(sources), folder)}


def planned(scenes: dict[str, Scene], tile_px: int, most: int = 24) -> pd.DataFrame:
    work = Work("sentinel2_l2a", {GRID.name: GRID}, False, False, tile_px, most, (EPOCH,))
    (cells,) = touched_cells([pd.DataFrame({"footprint": [scene.footprint for scene in scenes.values()]})], work)
    images = [{**vars(scene), "epoch": EPOCH.name} for scene in scenes.values()]
    return pd.concat(planned_cells([cells.assign(candidates=[images] * len(cells))], work)).assign(layer="a", tile_px=tile_px)


def mapped(scenes: dict[str, Scene], tile_px: int = 256, most: int = 24, **changes: Any) -> pd.DataFrame:
    return pd.concat(built_up_batches([planned(scenes, tile_px, most)], scenes, recipe(**changes), SENSORS), ignore_index=True)


def whole(rows: pd.DataFrame) -> Any:
    canvas = np.full((1024, 1024), NO_DATA, np.uint8)
    for row in rows[rows.status == "done"].itertuples():
        side = row.tile_px
        canvas[row.row * side : (row.row + 1) * side, row.col * side : (row.col + 1) * side] = decode_raster(row.probability, (side, side))
    return canvas


def test_pixels_do_not_depend_on_the_tiles(tmp_path: Path) -> None:
    scenes = write_dates(tmp_path, 3)
    images = [whole(mapped(scenes, side, batch=batch)) for side, batch in ((256, 1), (512, 1), (1024, 3))]
    assert (images[0] != NO_DATA).sum() == 700 * 900
    assert images[0].tobytes() == images[1].tobytes() == images[2].tobytes()


def test_pixels_do_not_depend_on_the_tiles_where_only_some_scenes_are_chosen(tmp_path: Path) -> None:
    """Three dates of which one a block is chosen, here this, there that one: the choice is the block's, not the tile's."""
    write_dates(tmp_path, 3)
    for band, side, pixel in (("B02", 700, 10.0), ("B11", 350, 20.0)):
        write(tmp_path / f"d0_{band}.tif", tilted(side, 2000 // int(pixel), seed=9), pixel=pixel)
    scenes = scenes_in(tmp_path)
    scenes["d1"] = replace(scenes["d1"], cloud=0.4)
    scenes["d2"] = replace(scenes["d2"], cloud=0.5)
    rows = [mapped(scenes, side, most=1) for side in (256, 512, 1024)]
    images = [whole(each) for each in rows]
    assert images[0].tobytes() == images[1].tobytes() == images[2].tobytes() != whole(mapped(scenes, 512)).tobytes()
    used = {(row.row, row.col): row.scenes_used for row in rows[0].itertuples()}
    assert (used[0, 0], used[0, 3]) == (["d0", "d1"], ["d1"])


def test_pixels_beside_a_damaged_block_do_not_depend_on_the_tiles(tmp_path: Path) -> None:
    scenes = write_dates(tmp_path, 2)
    sound = whole(mapped(scenes, 1024))
    flip_block(tmp_path / "d1_B02.tif", 2, 1)
    rows = [mapped(scenes_in(tmp_path), side) for side in (256, 1024)]
    assert whole(rows[0]).tobytes() == whole(rows[1]).tobytes() != sound.tobytes()
    assert set(rows[0].status) == {"done"}
    assert {tuple(failed) for failed in rows[0].scenes_failed} == {(), ("d1",)}


def test_the_only_image_damaged_quarantines_the_tiles_it_touches(tmp_path: Path) -> None:
    write_dates(tmp_path, 1)
    flip_block(tmp_path / "d0_B02.tif", 3, 3)  # rows and columns 384-512: beyond the halo of other tiles but at the far corner
    rows = mapped(scenes_in(tmp_path))
    assert {(row.row, row.col) for row in rows[rows.status == "quarantined"].itertuples()} == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_no_data_calls_no_network(tmp_path: Path) -> None:
    for band, pixel in (("B02", 10.0), ("B11", 20.0)):
        write(tmp_path / f"d0_{band}.tif", np.zeros((700, 900), np.uint16), pixel=pixel)
    source = Source(sensor="sentinel2_l2a", href=str(tmp_path / "d0_{band}.tif"), datetime=DAY, bands=("B02", "B11"))
    rows = mapped({scene.scene_id: scene for scene in scenes_of((source,), tmp_path)})
    assert (set(rows.status), set(rows.valid_share), Edges.calls) == ({"nodata"}, {0.0}, 0)
    assert rows.probability.isna().all()


def test_truncated_image_costs_only_the_tiles_it_touches(tmp_path: Path) -> None:
    scenes = write_dates(tmp_path, 1)
    sound = mapped(scenes)
    path = tmp_path / "d0_B02.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    rows = mapped(scenes_in(tmp_path))
    bad = rows.status == "quarantined"
    assert 0 < bad.sum() < 4
    assert set(rows[bad].error_class) == {"truncated"}
    assert rows[bad].message.str.contains("d0_B02.tif").all()
    assert set(rows[bad].attempts) == {3}
    assert rows[~bad].probability.tolist() == sound[~bad].probability.tolist()


def test_other_dates_stand_in_for_a_broken_one(tmp_path: Path) -> None:
    scenes = write_dates(tmp_path, 2)
    alone = whole(mapped({name: scene for name, scene in scenes.items() if name == "d0"}))
    (tmp_path / "d1_B02.tif").write_bytes(b"<html>busy</html>")
    rows = mapped(scenes)
    assert set(rows.status) == {"done"}
    assert all(failed == ["d1"] for failed in rows.scenes_failed)
    assert all(used == ["d0"] for used in rows.scenes_used)
    assert whole(rows).tobytes() == alone.tobytes()


def test_too_little_left_of_a_tile_is_quarantined(tmp_path: Path) -> None:
    write_dates(tmp_path, 2)
    clouded = tilted(700, 900)
    clouded[:, 100:] = 0
    write(tmp_path / "d0_B02.tif", clouded)
    (tmp_path / "d1_B02.tif").write_bytes(b"<html>busy</html>")
    scenes = scenes_in(tmp_path)
    assert set(mapped(scenes, 1024).error_class) == {"not_a_tiff"}
    assert set(mapped(scenes, 1024, min_clear=0.05).status) == {"done"}


def test_faulty_network_quarantines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Edges, windows: Any) -> Any:
        raise ModelError("not finite")

    monkeypatch.setattr(Edges, "predict", fail)
    rows = mapped(write_dates(tmp_path, 1), 1024)
    assert set(rows.error_class) == {"model"}
