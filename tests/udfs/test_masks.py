"""Water by the scenes' own classes, and polygons on pixels: by each centre alone, whatever the tiles and whatever else is read."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from pyproj import Transformer
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from conf.errors import InputError, ReadError
from tests.images_on_disk import GRID, ORIGIN, flip_block, tilted, write
from udfs import compositing, masks
from udfs.composites import COMPOSITES
from udfs.compositing import HELD_BYTES, composite_region
from udfs.grid import Grid, PixelBounds, Tile, tiles_over, utm_grid
from udfs.images import ImagePool
from udfs.masks import WaterDates, inside, polygon_file, tells_water
from udfs.reading import read_scene
from udfs.scenes import Scene

LAND, WATER, CLOUD, EMPTY = 5, 6, 9, 0
WHOLE = PixelBounds(0, 0, 130, 140)
HERE = PixelBounds(0, 0, 1024, 1024)


def permanent(share: float, *dates: str) -> list[bool]:
    """Of pixels in a row: w water, l land, c cloud."""
    seen = WaterDates((1, len(dates[0])))
    for date in dates:
        letters = np.array([list(date)])
        seen.add(letters != "c", letters == "w")
    return [bool(pixel) for pixel in seen.permanent(share)[0]]


def test_water_is_permanent_by_its_share_of_the_clear_dates() -> None:
    """In 3, 2, 1 and 0 of 3 dates; in 2 of 2, 1 of 2, 1 of 1, 0 of 1; never clear."""
    dates = ("wwwlwwwlc", "wwllwlccc", "wlllccccc")
    assert permanent(0.5, *dates) == [True, True, False, False, True, False, True, False, False]
    assert permanent(0.7, *dates) == [True, False, False, False, True, False, True, False, False]
    assert permanent(0.1, *dates) == [True, True, False, False, True, False, True, False, False], "one date of several is never enough"
    assert permanent(0.5, *dates[::-1]) == permanent(0.5, *dates)


@pytest.mark.parametrize(("water", "clear"), [(7, 100), (3, 5), (29, 100), (1, 3), (57, 100)])
def test_a_share_that_is_just_met_is_met(water: int, clear: int) -> None:
    seen = WaterDates((1, 2))
    for number in range(clear):
        seen.add(np.array([[True, True]]), np.array([[number < max(water, 2), number < max(water, 2) - 1]]))
    assert seen.permanent(max(water, 2) / clear).tolist() == [[True, False]]


def scene_of(folder: Path, day: int, sensor: str = "sentinel2_l2a", **more: Any) -> Scene:
    hrefs = {path.stem.split("_", 1)[1]: str(path) for path in sorted(folder.glob(f"d{day}_*.tif"))}
    placed = {"crs": "EPSG:32725", "transform": (10, 0, *ORIGIN[:1], 0, -10, *ORIGIN[1:]), "width": 140, "height": 130, "nodata": 0.0}
    return Scene(f"d{day}", sensor, dt.datetime(2020, 5, 4 + day, tzinfo=dt.UTC), hrefs, dict.fromkeys(hrefs, 1), **{**placed, **more})


def classed(folder: Path, dates: int = 3) -> tuple[list[Any], tuple[Scene, ...]]:
    """Classes (65, 70) of 20 m, a third of them water, a third land, the rest cloud and none; and scenes that have them."""
    classes = [np.random.default_rng(day).choice([LAND, WATER, CLOUD, EMPTY], (65, 70), p=[0.4, 0.4, 0.15, 0.05]) for day in range(dates)]
    for day, values in enumerate(classes):
        write(folder / f"d{day}_B02.tif", tilted(130, 140, seed=day))
        write(folder / f"d{day}_SCL.tif", values.astype(np.uint8), pixel=20.0)
    return classes, tuple(scene_of(folder, day) for day in range(dates))


def test_water_is_read_with_the_values_and_does_not_change_them(tmp_path: Path) -> None:
    (classes, *_), (scene, *_) = classed(tmp_path)
    band = tilted(130, 140)
    band[11:15, 20:60] = 0
    write(tmp_path / "d0_B02.tif", band)
    water = np.zeros(WHOLE.shape_yx, bool)
    with ImagePool() as pool:
        without, _ = read_scene(pool, scene, ("B02",), GRID, WHOLE)
        values, _ = read_scene(pool, scene, ("B02",), GRID, WHOLE, water)
    assert values.tobytes() == without.tobytes()
    expected = np.kron(classes, np.ones((2, 2), int)) == WATER
    np.testing.assert_array_equal(water, expected & (band != 0))


def test_landsat_flags_tell_water(tmp_path: Path) -> None:
    write(tmp_path / "d0_SR_B4.tif", tilted(130, 140) + 9000)
    flags = np.full((130, 140), 21824, np.uint16)
    flags[3:5, 7:40], flags[4, 20:60] = 21952, 22280  # water; cloud over its end
    write(tmp_path / "d0_QA_PIXEL.tif", flags)
    write(tmp_path / "d0_QA_RADSAT.tif", np.zeros((130, 140), np.uint16))
    scene, water = scene_of(tmp_path, 0, "landsat8_l2"), np.zeros(WHOLE.shape_yx, bool)
    with ImagePool() as pool:
        read_scene(pool, scene, ("SR_B4",), GRID, WHOLE, water)
    np.testing.assert_array_equal(water, flags == 21952)
    assert tells_water(scene)
    assert not tells_water(replace(scene, hrefs={name: href for name, href in scene.hrefs.items() if name != "QA_PIXEL"}))


def water_of(scenes: tuple[Scene, ...], bounds: PixelBounds = WHOLE, name: str = "median", share: float | None = 0.5) -> Any:
    with ImagePool() as pool:
        return composite_region(pool, scenes, ("B02",), GRID, bounds, name, reference=dt.date(2020, 5, 5), water_share=share).water


@pytest.mark.parametrize("name", sorted(name for name, how in COMPOSITES.items() if not how.decibels))
def test_permanent_water_of_a_composite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    classes, scenes = classed(tmp_path)
    stack = np.kron(np.stack(classes), np.ones((1, 2, 2), int))
    clear, water = np.isin(stack, [LAND, WATER]).sum(axis=0), (stack == WATER).sum(axis=0)
    expected = (water >= 2) | ((water == 1) & (clear == 1))
    assert 0.2 < expected.mean() < 0.6
    found = water_of(scenes, name=name)
    np.testing.assert_array_equal(found, expected)
    monkeypatch.setattr(compositing, "HELD_BYTES", HELD_BYTES // 300)
    assert water_of(scenes[::-1], name=name).tobytes() == found.tobytes()
    part = water_of(scenes, PixelBounds(17, 40, 90, 133), name)
    assert part.tobytes() == found[17:90, 40:133].tobytes()


def test_a_composite_that_is_not_asked_for_water_has_none(tmp_path: Path) -> None:
    assert water_of(classed(tmp_path)[1], share=None) is None


def test_scenes_without_classes_say_nothing_of_water(tmp_path: Path) -> None:
    """Two dates, and two more that have no classes: those are no dates at which the ground was seen dry."""
    _, scenes = classed(tmp_path, 4)
    bare = [replace(scene, hrefs={"B02": scene.hrefs["B02"]}) for scene in scenes[2:]]
    assert water_of((*scenes[:2], *bare)).tobytes() == water_of(scenes[:2]).tobytes()
    assert not water_of(tuple(bare)).any()


def test_what_cannot_be_read_is_no_water(tmp_path: Path) -> None:
    rows = np.arange(65)[:, None] * np.ones((1, 70))
    for day in range(2):
        write(tmp_path / f"d{day}_B02.tif", tilted(130, 140, seed=day))
        write(tmp_path / f"d{day}_SCL.tif", np.where(rows < 40, WATER, LAND).astype(np.uint8), pixel=20.0, blockxsize=32, blockysize=32)
    flip_block(tmp_path / "d0_B02.tif", 0, 0)  # but for the last rows and columns
    scenes = tuple(scene_of(tmp_path, day) for day in range(2))
    alone = np.zeros(WHOLE.shape_yx, bool)
    alone[:80] = True
    np.testing.assert_array_equal(water_of(scenes), alone)  # by the other date
    lost = water_of(scenes[:1])
    assert not lost[:128, :128].any() and lost[:80, 128:].all()


TO_DEGREES = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)


def ground() -> list[BaseGeometry]:
    """Shapes on the first 1024 pixels, in metres of the grid: a lake with an island and a pond on it, slanted fields, an odd bow tie,
    parts that overlap, a speck; and what is no ground: a line and a point."""
    x, y = ORIGIN
    lake = shapely.Point(x + 2600, y - 2700).buffer(1900).difference(shapely.Point(x + 2500, y - 2900).buffer(700))
    pond = shapely.Point(x + 2480, y - 2905).buffer(210)
    field = shapely.Polygon([(x + 5003, y - 111), (x + 9700, y - 1222), (x + 9871, y - 2005), (x + 4900, y - 900)])
    tie = shapely.Polygon([(x + 501, y - 6003), (x + 2102, y - 8007), (x + 2104, y - 6005), (x + 503, y - 8001)])
    parts = shapely.MultiPolygon([shapely.box(x + 6001, y - 8003, x + 7507, y - 6002), shapely.box(x + 7003, y - 9009, x + 8801, y - 7004)])
    speck = shapely.box(x + 9996, y - 9999, x + 9999, y - 9992)
    line = shapely.LineString([(x, y), (x + 9000, y - 9000)])
    both = shapely.GeometryCollection([field, line])
    return [lake, pond, both, tie, parts, speck, line, shapely.Point(x + 50, y - 50)]


def written(path: Path, shapes: list[Any], crs: str = GRID.crs, kind: str = "Unknown") -> Path:
    wkb = np.array([shapely.to_wkb(shape) for shape in shapes], object)
    pyogrio.raw.write(path, wkb, field_data=[np.arange(len(shapes))], fields=["n"], geometry_type=kind, crs=crs)
    return path


def in_degrees(shapes: list[Any]) -> list[Any]:
    return list(shapely.transform(np.array(shapes, object), TO_DEGREES.transform, interleaved=False))


def over(path: Path, side: int, grid: Grid = GRID, bounds: PixelBounds = HERE) -> Any:
    file = polygon_file(path, "built_up.water_path")
    result = np.zeros(bounds.shape_yx, bool)
    for tile in tiles_over(bounds, side):
        top, left = tile.pixels.top - bounds.top, tile.pixels.left - bounds.left
        result[top : top + side, left : left + side] = inside(file, grid, tile)
    return result


def burnt(shapes: list[Any]) -> Any:
    """By GDAL, each polygon alone."""
    alone = [part for shape in shapes for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    return rasterize(alone, (1024, 1024), transform=GRID.transform(0, 0)).astype(bool)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_pixels_whose_centre_lies_in_a_polygon(tmp_path: Path, suffix: str) -> None:
    """A hole stays open, the pond in it counts; overlapping parts unite; lines and points are nothing."""
    found = over(written(tmp_path / f"a{suffix}", ground()), 512)
    np.testing.assert_array_equal(found, burnt(ground()))
    assert found[270, 440] and not found[290, 300] and found[290, 248], "lake, island, pond"
    assert found[770, 740] and not found[5, 5]
    assert found.sum() > 100_000 and not found[999, 999], "the speck holds no centre"


@pytest.mark.parametrize("crs", ["EPSG:32725", "EPSG:4326"])
def test_polygons_do_not_depend_on_the_tiles(tmp_path: Path, crs: str) -> None:
    shapes = ground() if crs == GRID.crs else in_degrees(ground())
    path = written(tmp_path / "a.gpkg", shapes, crs)
    images = [over(path, side) for side in (256, 512, 1024)]
    assert images[0].tobytes() == images[1].tobytes() == images[2].tobytes()
    assert images[0].any()


def test_polygons_in_degrees_are_asked_in_degrees(tmp_path: Path) -> None:
    """Every 7th pixel against shapely; and all within a pixel's width of what the same ground gives in metres."""
    shapes = in_degrees(ground())
    found = over(written(tmp_path / "a.gpkg", shapes, "EPSG:4326"), 256)
    centres = (np.arange(0, 1024, 7) + 0.5) * 10
    x, y = np.meshgrid(ORIGIN[0] + centres, ORIGIN[1] - centres)
    points = shapely.points(*TO_DEGREES.transform(x, y))
    alone = [part for shape in shapes for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    expected = np.any([shapely.contains(shapely.make_valid(shape), points) for shape in alone], axis=0)
    np.testing.assert_array_equal(found[::7, ::7], expected)
    assert (found != burnt(ground())).mean() < 1e-3


def test_a_centre_on_the_line_between_two_polygons_is_inside(tmp_path: Path) -> None:
    x, y = ORIGIN
    halves = [shapely.box(x + 100, y - 300, x + 205, y - 100), shapely.box(x + 205, y - 300, x + 400, y - 100)]
    assert over(written(tmp_path / "a.gpkg", halves), 256)[10:30, 10:40].all()


def test_a_file_far_larger_than_the_place_is_read_in_part_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = ORIGIN
    far = [shapely.box(x + 60_000 * n, y - 70_000 * m, x + 60_000 * n + 500, y - 70_000 * m + 500) for n in range(-9, 9) for m in (2, 4, 6)]
    path = written(tmp_path / "a.gpkg", [*ground(), *far], kind="Unknown")
    reads: list[int] = []
    read = pyogrio.raw.read

    def counted(*args: Any, **options: Any) -> Any:
        answer = read(*args, **options)
        if "bbox" in options:
            reads.append(len(answer[2]))
        return answer

    monkeypatch.setattr(pyogrio.raw, "read", counted)
    np.testing.assert_array_equal(over(path, 256), burnt(ground()))
    assert 1 <= len(reads) <= 4 and max(reads) <= len(ground())


def test_a_sliver_of_a_tile_beyond_the_line_of_a_cell_is_not_missed(tmp_path: Path) -> None:
    """ORIGIN lies on the corner of cells of 50 km: 4 columns and 3 rows of the tile are in others, narrower than what is looked at."""
    x, y = ORIGIN
    grid = GRID._replace(origin_x=x - 40, origin_y=y + 30)
    path = written(tmp_path / "a.gpkg", [shapely.box(x - 40, y - 900, x - 11, y - 500), shapely.box(x + 700, y + 9, x + 900, y + 30)])
    expected = np.zeros((256, 256), bool)
    expected[53:93, :3] = expected[:2, 74:94] = True
    np.testing.assert_array_equal(inside(polygon_file(path, "built_up.water_path"), grid, Tile(0, 0, 256)), expected)


@pytest.mark.parametrize(("west", "east"), [(-180.0, -179.93), (179.9, 180.0)])
def test_polygons_beside_the_antimeridian(tmp_path: Path, west: float, east: float) -> None:
    """In both zones, and beyond 180 degrees in the one that reaches over."""
    path = written(tmp_path / "a.gpkg", [shapely.box(west, -17.003, east, -16.951)], "EPSG:4326")
    for longitude in (-179.99, 179.99):
        grid = utm_grid(longitude, -17.0, 10.0)
        corner = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(180.0, -16.977)
        middle = grid.pixels_over(*corner, *corner)
        bounds = PixelBounds(middle.top // 256 * 256 - 256, middle.left // 256 * 256 - 256, *(0, 0))
        bounds = bounds._replace(bottom=bounds.top + 768, right=bounds.left + 768)
        found = over(path, 256, grid, bounds)
        rows, columns = np.mgrid[bounds.top : bounds.bottom, bounds.left : bounds.right] + 0.5
        to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(grid.origin_x + columns * 10, grid.origin_y - rows * 10)
        np.testing.assert_array_equal(found, (lon >= west) & (lon <= east) & (lat >= -17.003) & (lat <= -16.951))
        assert 0.05 < found.mean() < 0.6


def test_a_tile_outside_of_what_the_files_crs_can_show_has_no_polygon(tmp_path: Path) -> None:
    polar = written(tmp_path / "a.gpkg", [shapely.box(0, 0, 1e5, 1e5)], "EPSG:27700")  # Great Britain
    assert not over(polar, 1024).any()


def test_water_bodies_of_a_real_city(real_data: Path) -> None:
    """2,542 outlines of which 22 are not valid, in degrees; every centre of a tile against shapely's relation of repaired shapes."""
    path = real_data / "mumbai" / "slum_clusters.geojson"
    grid = utm_grid(72.85, 19.05, 10.0)
    corner = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True).transform(72.85, 19.05)
    here = grid.pixels_over(*corner, *corner)
    tile = Tile(here.top // 256, here.left // 256, 256)
    found = inside(polygon_file(path, "built_up.exclude_path"), grid, tile)
    _, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    tree = shapely.STRtree(shapely.make_valid(shapely.from_wkb(wkb)))
    rows, columns = np.mgrid[tile.pixels.top : tile.pixels.bottom, tile.pixels.left : tile.pixels.right] + 0.5
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    points = shapely.points(*to_degrees.transform(grid.origin_x + columns * 10, grid.origin_y - rows * 10)).ravel()
    expected = np.zeros(points.size, bool)
    expected[tree.query(points, predicate="intersects")[0]] = True
    np.testing.assert_array_equal(found.ravel(), expected)
    assert 0.02 < found.mean() < 0.9


def test_a_file_that_changed_or_went_is_no_empty_mask(tmp_path: Path) -> None:
    tile = Tile(0, 0, 256)
    path = written(tmp_path / "a.geojson", in_degrees(ground()), "EPSG:4326")
    file = polygon_file(path, "built_up.water_path")
    before = inside(file, GRID, tile)
    assert before.any()
    written(path, in_degrees(ground()[1:]), "EPSG:4326")
    with pytest.raises(ReadError, match="planned with") as caught:
        inside(file, GRID, tile)
    assert caught.value.kind == "changed_source"
    path.unlink()
    with pytest.raises(ReadError, match="every worker") as caught:
        inside(file, GRID, tile)
    assert caught.value.kind == "not_found"


def test_a_file_that_cannot_be_read_on_a_worker_is_no_empty_mask(tmp_path: Path) -> None:
    """Damage that the check before the run does not reach."""
    path = written(tmp_path / "a.fgb", [shapely.box(*ORIGIN, ORIGIN[0] + 9, ORIGIN[1] + 9)] * 2000, kind="Polygon")
    path.write_bytes(path.read_bytes()[:-5000])
    file = masks.PolygonFile(str(path), GRID.crs, masks.content_digest(path))
    with pytest.raises(ReadError) as caught:
        inside(file, GRID, Tile(-1, 0, 256))
    assert caught.value.kind == "read_failed"


def test_a_copy_with_another_date_is_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "a.geojson", in_degrees(ground()), "EPSG:4326")
    file, content = polygon_file(path, "built_up.water_path"), path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert polygon_file(path, "built_up.water_path") == file
    assert inside(file, GRID, Tile(0, 0, 256)).any()


def test_files_that_are_no_masks_are_refused(tmp_path: Path) -> None:
    x, y = ORIGIN
    (tmp_path / "page.gpkg").write_text("<html>busy</html>")
    cut = written(tmp_path / "cut.geojson", in_degrees(ground()), "EPSG:4326")
    cut.write_bytes(cut.read_bytes()[:-500])
    bare = written(tmp_path / "bare.shp", [shapely.box(x, y, x + 9, y + 9)], kind="Polygon")
    bare.with_suffix(".prj").unlink()
    cases = {
        tmp_path / "none.gpkg": "no such file",
        tmp_path: "no such file",
        tmp_path / "page.gpkg": "cannot be read",
        cut: "cannot be read",
        bare: "no CRS",
        written(tmp_path / "lines.gpkg", [shapely.LineString([(x, y), (x + 9, y)])]): "no polygon",
        written(tmp_path / "empty.geojson", [], "EPSG:4326"): "no polygon",
        written(tmp_path / "metres.geojson", [shapely.box(x, y, x + 9, y + 9)], "EPSG:4326"): "not degrees",
    }
    for path, says in cases.items():
        with pytest.raises(InputError, match=says) as caught:
            polygon_file(path, "built_up.exclude_path")
        assert "built_up.exclude_path" in str(caught.value) and "\n" not in str(caught.value)


def test_no_file_marks_nothing_and_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyogrio.raw, "read", None)
    assert not inside(None, GRID, Tile(0, 0, 512)).any()
