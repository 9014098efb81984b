"""Two overlapping scenes, one shifted by half a pixel: in mid-zone, over a zone's edge, over 180 degrees and at the pole."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from pyspark.sql import SparkSession
from shapely.affinity import affine_transform

from conf.errors import InputError
from conf.place import Place, Source
from conf.tables import BUILT_UP
from jobs.job import Context
from jobs.mapping.buildings import BuildingsSettings, buildings
from tests.images_on_disk import DAY
from udfs import mapping
from udfs.catalogs import scenes_of
from udfs.cells import Work, planned_cells, touched_cells
from udfs.mapping import Recipe, built_up_batches
from udfs.planning import layer_grid, place_zones
from udfs.scenes import Scene
from udfs.zones import zone_called

LAYER, PIXEL, TILE_PX = "buildings_50cm", 0.5, 256
HEIGHT, WIDTH = 240, 320
FAR_PX = 140
"""How much further east the second scene lies."""
PLACE = Place.model_validate({
    "name": "test",
    "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
    "layers": {LAYER: {"sensor": "rgb", "model": "models:/buildings_50cm@champion", "resolution": PIXEL}},
})  # fmt: skip
RECIPE = Recipe(
    model_path="m", model_name="m", model_version="1", model_sha256="0", bands=("red",), centre=256, halo=16, threshold=125,
    composite="median", looks=4.4, min_clear=0.5, threads=1, batch=1, backend="cpu", settings_digest="d",
)  # fmt: skip
HOUSES = [(-150, -90, -120, -61), (-20, -100, 22, -84), (-30, -30, 21, 40), (60, 31, 108, 77), (120, -11, 160, 12), (250, 50, 281, 91)]
"""West, south, east and north pixel, from the middle of the first scene: one in each scene alone, the others where they overlap, of
which one holds the middle and one lies over the first scene's east edge."""


READ = {
    column.name: column.type
    for column in BUILT_UP.columns
    if column.name not in {"error_class", "message", "strip", "input_digest", "run_id"}
}
"""Columns of `built_up` that are filled here, and their types."""


class Spot(NamedTuple):
    """Where the scenes lie, and the CRS of each."""

    lon: float
    lat: float
    zone: str
    scenes: tuple[str, str]


SPOTS = {
    "mid-zone": Spot(32.58, 0.35, "utm36n", ("EPSG:32636", "EPSG:32636")),
    "zone edge": Spot(36.0, 0.35, "utm37n", ("EPSG:32636", "EPSG:32637")),
    "180 degrees": Spot(180.0, -16.8, "utm01s", ("EPSG:32760", "EPSG:32701")),
    "beside the pole": Spot(45.0, -89.998, "upss", ("EPSG:5042", "EPSG:5042")),
    "pole": Spot(0.0, -90.0, "upss", ("EPSG:5042", "EPSG:5042")),
}


def middle(spot: Spot, crs: str) -> Any:
    """The spot in a CRS, on a pixel's corner."""
    xy = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(spot.lon, spot.lat)
    return np.round(np.array(xy) / PIXEL) * PIXEL


def truth(spot: Spot) -> list[Any]:
    """The houses in the zone's CRS."""
    x, y = middle(spot, zone_called(spot.zone).crs)
    return [affine_transform(shapely.box(*house), (PIXEL, 0, 0, PIXEL, x, y)) for house in HOUSES]


def write_scene(path: Path, spot: Spot, crs: str, corner: tuple[float, float]) -> None:
    """What a camera sees of the houses: a pixel is as bright as they fill it, by four points. `corner`: east and north pixel."""
    x, y = middle(spot, crs) + np.array(corner) * PIXEL
    steps = (np.arange(2 * max(HEIGHT, WIDTH)) + 0.5) * PIXEL / 2
    points = np.meshgrid(x + steps[: 2 * WIDTH], y - steps[: 2 * HEIGHT])
    zone = zone_called(spot.zone).crs
    seen = np.array(points if crs == zone else Transformer.from_crs(crs, zone, always_xy=True).transform(*points))
    bright = shapely.contains_xy(shapely.union_all(truth(spot)), *seen).reshape(HEIGHT, 2, WIDTH, 2).mean(axis=(1, 3))
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "dtype": "uint8"}
    with rasterio.open(
        path, "w", count=3, height=HEIGHT, width=WIDTH, crs=crs, transform=Affine(PIXEL, 0, x, 0, -PIXEL, y), **layout
    ) as file:
        file.write(np.repeat(np.round(1 + 254 * bright).astype(np.uint8)[None], 3, axis=0))


def written(folder: Path, spot: Spot) -> dict[str, Scene]:
    """Both scenes; the second is half a pixel off in both directions."""
    corners = ((-WIDTH / 2, HEIGHT / 2), (FAR_PX - WIDTH / 2 + 0.5, HEIGHT / 2 - 0.5))
    for number, (crs, corner) in enumerate(zip(spot.scenes, corners, strict=True)):
        write_scene(folder / f"s{number}.tif", spot, crs, corner)
    sources = tuple(Source(sensor="rgb", href=str(folder / f"s{number}.tif"), datetime=DAY) for number in range(2))
    return {scene.scene_id: scene for scene in scenes_of(sources, folder)}


class Bright:
    """A fake network: built up is what is more than half bright."""

    def predict_layers(self, windows: Any) -> Any:
        inner = windows[:, 0, RECIPE.halo : -RECIPE.halo, RECIPE.halo : -RECIPE.halo]
        return np.where(np.nan_to_num(inner) > 0.5, 250, 0).astype(np.uint8)[:, None]


def mapped(folder: Path, spot: Spot) -> pd.DataFrame:
    """Rows of `built_up`."""
    scenes = written(folder, spot)
    grids, cut = place_zones(shapely.union_all(shapely.from_wkb([scene.footprint for scene in scenes.values()])), PIXEL)
    assert (list(grids), cut) == ([spot.zone], spot.zone == "upss")
    work = Work(("rgb",), grids, cut, False, TILE_PX, 24, PLACE.epochs)
    cells = pd.concat(touched_cells([pd.DataFrame({"footprint": [scene.footprint for scene in scenes.values()]})], work))
    images = [{**vars(scene), "epoch": "2020"} for scene in scenes.values()]
    plan = pd.concat(planned_cells([cells.assign(candidates=[images] * len(cells))], work)).assign(layer=LAYER, tile_px=TILE_PX)
    rows = pd.concat(built_up_batches([plan], scenes, {LAYER: RECIPE}, {LAYER: "rgb"}), ignore_index=True)
    assert set(rows.status) <= {"done", "nodata"}, rows.message.tolist()
    assert ["s0", "s1"] in rows.scenes_used.tolist() and len(rows) > 3
    return rows


@pytest.fixture(scope="module")
def footprints(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of `buildings`, the spots told apart by their epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping, "load_predictor", lambda *_: Bright())
        spots = [mapped(tmp_path_factory.mktemp("scenes"), spot).assign(epoch=name) for name, spot in SPOTS.items()]
    rows = pd.concat(spots, ignore_index=True)
    table = spark.createDataFrame(rows[list(READ)], ", ".join(f"{name} {kind}" for name, kind in READ.items()))
    return buildings.run({"built_up": table}, BuildingsSettings(), Context(spark, PLACE, "run", Path())).toPandas()


def flat(shape: Any, spot: Spot) -> Any:
    """Shapes in degrees on a plane of equal areas about the spot. At a pole PROJ's are right to 0.03 m2; the stereographic plane is
    one within a few hundred metres, to 1e-9."""
    plane = "stere +k_0=1" if abs(spot.lat) == 90 else "laea"
    crs = f"+proj={plane} +lat_0={spot.lat} +lon_0={spot.lon} +datum=WGS84 +type=crs"
    return shapely.transform(shape, Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform, interleaved=False)


def drawn(spot: Spot) -> Any:
    """The houses on that plane."""
    to_degrees = Transformer.from_crs(zone_called(spot.zone).crs, "EPSG:4326", always_xy=True)
    return flat(shapely.transform(truth(spot), to_degrees.transform, interleaved=False), spot)


@pytest.mark.parametrize("name", SPOTS)
def test_half_a_pixel_between_scenes_makes_no_house_twice_and_no_sliver(footprints: pd.DataFrame, name: str) -> None:
    spot, found = SPOTS[name], footprints[footprints.epoch == name]
    assert len(found) == len(HOUSES) and found.building_id.is_unique
    shapes = shapely.from_wkb(found.geometry.to_numpy())
    assert shapely.is_valid(shapes).all()
    placed = shapely.make_valid(flat(shapes, spot))  # at a pole an edge there and back leads to it
    np.testing.assert_allclose(found.area_m2, shapely.area(placed), rtol=1e-4)
    whole, meant = shapely.union_all(placed), shapely.union_all(drawn(spot))
    assert whole.area == pytest.approx(found.area_m2.sum(), rel=1e-4)  # no ground twice
    assert shapely.symmetric_difference(whole, meant).area < 0.01 * PIXEL * meant.length
    world_wide = found.xmax - found.xmin > 90
    assert world_wide.tolist() == [spot.lat == -90 and shapely.intersects(shape, shapely.Point(0, -90)) for shape in shapes]
    assert world_wide.sum() == (spot.lat == -90) and (found.ymax - found.ymin).max() < 1e-3


def test_a_native_grid_refuses_the_scene_that_is_half_a_pixel_off(tmp_path: Path) -> None:
    scenes = written(tmp_path, SPOTS["mid-zone"])
    with pytest.raises(InputError, match="scene s1: its pixels are not those of the layer's first scene; use `grid: utm`"):
        layer_grid(LAYER, PIXEL, list(scenes.values()))
