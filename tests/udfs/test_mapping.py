"""The shell from tiles to probabilities: the same pixels however the work is cut; a failed read is never ground without buildings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from conf.errors import ReadError
from conf.place import Epoch, Source
from models.predictor import ModelError
from tests.images_on_disk import DAY, GRID, ORIGIN, flip_block, tilted, write
from udfs import images, mapping
from udfs.catalogs import scenes_of
from udfs.cells import Work, planned_cells, touched_cells
from udfs.mapping import Recipe, built_up_batches
from udfs.masks import PolygonFile, polygon_file
from udfs.rasters import NO_DATA, decode_raster
from udfs.scenes import Scene

CENTRE, HALO = 256, 40
SENSORS = {"a": "sentinel2_l2a"}


class Edges:
    """A fake network whose answer depends on every pixel of the halo."""

    calls = 0

    def predict_layers(self, windows: Any) -> Any:
        Edges.calls += 1
        assert windows.shape[1:] == (2, CENTRE + 2 * HALO, CENTRE + 2 * HALO)
        filled = np.nan_to_num(windows[:, 0] - windows[:, 1], nan=0.1)
        shifted = filled[:, : -2 * HALO, : -2 * HALO] + filled[:, 2 * HALO :, HALO:-HALO]
        return (np.abs(shifted) * 300 % 251).astype(np.uint8)[:, None]


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
    work = Work(("sentinel2_l2a",), {GRID.name: GRID}, False, False, tile_px, most, (EPOCH,))
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


def test_a_truncated_image_among_200_tiles_costs_its_own_tiles_only(tmp_path: Path) -> None:
    """Two images side by side, of which the second lacks its last fifth."""
    for number, left in enumerate((0, 1792)):
        for band, pixel in (("B02", 10.0), ("B11", 20.0)):
            size = int(pixel // 10)
            corner = Affine(pixel, 0, ORIGIN[0] + 10 * left, 0, -pixel, ORIGIN[1])
            write(tmp_path / f"d{number}_{band}.tif", tilted(3584 // size, 1792 // size, seed=number), pixel=pixel, transform=corner)
    sound = mapped(scenes_in(tmp_path))
    path = tmp_path / "d1_B02.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    rows = mapped(scenes_in(tmp_path))
    bad = rows.status == "quarantined"
    assert len(rows) == len(sound) == 196 and set(sound.status) == {"done"}
    assert set(rows[bad].error_class) == {"truncated"} and 10 <= bad.sum() <= 30
    assert (rows[bad].col >= 6).all() and (rows[bad].row >= 10).all()
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


def test_a_fault_that_passes_changes_no_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One date of two is out of reach for now: its tiles wait for another run, however much the other shows."""
    scenes = write_dates(tmp_path, 2)
    real = images.Opener.open

    def away(self: images.Opener, href: str) -> Any:
        if "d1_" in href:
            raise ReadError("server", "503")
        return real(self, href)

    monkeypatch.setattr(images.Opener, "open", away)
    rows = mapped(scenes)
    assert set(rows.status) == {"quarantined"} and set(rows.error_class) == {"server"}


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

    monkeypatch.setattr(Edges, "predict_layers", fail)
    rows = mapped(write_dates(tmp_path, 1), 1024)
    assert set(rows.error_class) == {"model"}


SEA, LAND, CLOUD = 6, 5, 9


def write_classes(folder: Path) -> tuple[dict[str, Scene], Any]:
    """Three dates with classes of 20 m: water in the west at one, two, three of them, clouds over the north of two; and the pixels
    (700, 900) that are water at two clear dates, or at the only one."""
    write_dates(folder, 3)
    columns, rows = np.arange(450)[None, :], np.arange(350)[:, None]
    stack = []
    for number, (shore, cloud) in enumerate(((301, 0), (177, 83), (60, 83))):
        classes = np.where(columns < shore, SEA, LAND) * np.ones((350, 1), int)
        classes[np.broadcast_to((rows < cloud) & (columns > 40), classes.shape)] = CLOUD
        write(folder / f"d{number}_SCL.tif", classes.astype(np.uint8), pixel=20.0)
        stack.append(classes)
    clear, water = np.sum(np.isin(stack, (SEA, LAND)), axis=0), np.sum(np.equal(stack, SEA), axis=0)
    expected = (water >= 2) | ((clear == 1) & (water == 1))
    sources = [
        Source(sensor="sentinel2_l2a", href=str(folder / f"d{number}_{{band}}.tif"), datetime=DAY, bands=("B02", "B11", "SCL"))
        for number in range(3)
    ]
    return {scene.scene_id: scene for scene in scenes_of(tuple(sources), folder)}, np.kron(expected, np.ones((2, 2), int)) == 1


def polygons(folder: Path, *shapes: Any, crs: str = GRID.crs) -> PolygonFile:
    """A file of polygons that are given in pixels of the grid."""
    metres = shapely.transform(list(shapes), lambda xy: np.array(ORIGIN) + xy * (10, -10))
    placed = shapely.transform(metres, Transformer.from_crs(GRID.crs, crs, always_xy=True).transform, interleaved=False)
    path = folder / f"polygons_{crs[5:]}.gpkg"
    pyogrio.raw.write(path, shapely.to_wkb(placed), [], [], geometry_type="Polygon", crs=crs)
    return polygon_file(path, "built_up.exclude_path")


def test_permanent_water_is_valid_and_never_built_up(tmp_path: Path) -> None:
    scenes, water = write_classes(tmp_path)
    without, rows = (mapped(scenes, 512, water_share=share) for share in (None, 0.5))
    dry, wet = whole(without)[:700, :900], whole(rows)[:700, :900]
    assert (wet[water] == 0).all() and (dry[water] > 0).mean() > 0.9
    np.testing.assert_array_equal(wet[~water], dry[~water])
    assert rows.valid_share.tolist() == without.valid_share.tolist() and 0.3 < water.mean() < 0.6
    images = [whole(mapped(scenes, side, water_share=0.5)) for side in (256, 1024)]
    assert images[0].tobytes() == images[1].tobytes() == whole(rows).tobytes()
    thirds = whole(mapped(scenes, 512, water_share=1.0))[:700, :900]
    assert (thirds == 0).sum() < (wet == 0).sum()


def test_windows_of_nothing_but_water_are_not_shown_to_the_network(tmp_path: Path) -> None:
    scenes = write_dates(tmp_path, 1)
    everywhere = polygons(tmp_path, shapely.box(-9, -9, 999, 999))
    rows = mapped(scenes, water=everywhere)
    assert (set(rows.status), Edges.calls) == ({"done"}, 0)
    assert set(np.unique(whole(rows)[:700, :900])) == {0}


def test_polygons_of_water_and_of_what_is_left_out(tmp_path: Path) -> None:
    """A lake with an island in metres, quarries in degrees; where both are, there is no data."""
    scenes = write_dates(tmp_path, 2)
    lake = shapely.Point(333, 301).buffer(200).difference(shapely.box(300, 270, 341, 355))
    quarries = shapely.box(420, 260, 601, 400), shapely.Polygon([(7, 3), (120, 44), (61, 211)])
    masked = {"water": polygons(tmp_path, lake), "exclude": polygons(tmp_path, *quarries, crs="EPSG:4326")}
    images, shares = [], []
    for side in (256, 512, 1024):
        rows = mapped(scenes, side, **masked)
        images.append(whole(rows))
        shares.append(float(rows.valid_share.sum()) * side**2)
    assert images[0].tobytes() == images[1].tobytes() == images[2].tobytes()
    x, y = np.meshgrid(np.arange(900) + 0.5, np.arange(700) + 0.5)
    is_lake, is_quarry = shapely.contains_xy(lake, x, y), shapely.contains_xy(shapely.union_all(quarries), x, y)
    expected = np.where(is_quarry, NO_DATA, np.where(is_lake, 0, whole(mapped(scenes, 512))[:700, :900]))
    assert (images[0][:700, :900] != expected).mean() < 1e-4  # edges that are straight in degrees, not in metres
    assert (is_lake & is_quarry).any() and images[0][310, 320] != 0
    valid = int((images[0] != NO_DATA).sum())
    assert np.allclose(shares, valid) and valid < 700 * 900 - 20_000


def test_a_tile_of_which_all_is_left_out_has_no_data(tmp_path: Path) -> None:
    """Also where its image is broken: there was nothing to map."""
    write_dates(tmp_path, 1)
    flip_block(tmp_path / "d0_B02.tif", 3, 3)
    rows = mapped(scenes_in(tmp_path), exclude=polygons(tmp_path, shapely.box(-1, -1, 512, 512)))
    status = {(row.row, row.col): (row.status, row.valid_share) for row in rows.itertuples()}
    assert {status[row, col] for row in (0, 1) for col in (0, 1)} == {("nodata", 0.0)}
    assert status[2, 2][0] == "quarantined" and status[0, 2][0] == "done"
    Edges.calls = 0
    mapped(scenes_in(tmp_path), exclude=polygons(tmp_path, shapely.box(-1, -1, 999, 999)))
    assert Edges.calls == 0


def test_another_mask_than_that_of_the_run_quarantines_and_is_never_ignored(tmp_path: Path) -> None:
    scenes, masked = write_dates(tmp_path, 1), polygons(tmp_path, shapely.box(3, 5, 90, 70))
    polygons(tmp_path, shapely.box(3, 5, 91, 70))
    for changes in ({"exclude": masked}, {"water": masked}):
        rows = mapped(scenes, 1024, **changes)
        assert (set(rows.status), set(rows.error_class)) == ({"quarantined"}, {"changed_source"})
        assert rows.message.str.contains("polygons_32725.gpkg").all() and rows.probability.isna().all()
