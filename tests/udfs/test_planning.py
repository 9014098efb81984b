"""Planning: the grid of a layer, and which tiles scenes touch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from conf.errors import InputError
from conf.place import Source
from tests.images_on_disk import DAY, GRID, ORIGIN, tilted, write
from udfs.catalogs import scenes_of
from udfs.grid import Tile
from udfs.planning import layer_grid, outlines, tiles_touching
from udfs.scenes import Scene, ground_resolution


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    write(tmp_path / "s2_B02.tif", tilted(512, 600))
    source = Source(sensor="sentinel2_l2a", href=str(tmp_path / "s2_{band}.tif"), datetime=DAY, bands=("B02",))
    return scenes_of((source,), tmp_path)[0]


def test_native_grid_is_the_scenes_own_and_touches_no_tile_beyond(scene: Scene) -> None:
    assert layer_grid("a", None, [scene]) == GRID
    assert tiles_touching(scene.footprint, GRID, 256) == [Tile(row, col, 256) for row in (0, 1) for col in (0, 1, 2)]
    assert ground_resolution(scene) == pytest.approx(10, rel=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"transform": (10, 0, ORIGIN[0] + 5, 0, -10, ORIGIN[1])}, "pixels are not those"), ({"crs": "EPSG:32724"}, "CRS EPSG:32724")],
)
def test_native_scenes_must_share_one_grid(scene: Scene, change: dict[str, object], message: str) -> None:
    shifted = replace(scene, scene_id="z", **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message):
        layer_grid("a", None, [scene, shifted])
    with pytest.raises(InputError, match="resolution is 9"):
        layer_grid("a", 9.0, [scene])
    with pytest.raises(InputError, match="no scene of its sensor"):
        layer_grid("a", 10.0, [])


def test_outline_is_the_tile_on_the_earth(scene: Scene) -> None:
    outline = outlines(GRID, [Tile(0, 1, 256)])[0]
    whole = shapely.from_wkb(scene.footprint)
    assert shapely.area(shapely.intersection(outline, whole)) == pytest.approx(shapely.area(whole) * 256 * 256 / (512 * 600), rel=1e-4)
    assert np.all(shapely.bounds(outlines(GRID, [Tile(0, 1, 256)], 100)[0])[:2] < shapely.bounds(outline)[:2])
