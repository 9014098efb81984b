"""Zonal sums: coverage against hand-made fractions, exactextract and shapely; tiles cut in any way."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from udfs.coverage import Outlines, coverage, edges_of, outlines_on_grid
from udfs.grid import Grid, Tile, tiles_over
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import NO_DATA, encode_raster
from udfs.zonal import Layer, Sums, borders, outline_batches, sums_batches, tile_sums
from udfs.zone_pixels import owned_or_touched
from udfs.zones import split_at_antimeridian, tiles_in, zone_called, zone_grid

GRID = Grid("utm43n", "EPSG:32643", 0.0, 10_000_000.0, 10.0, 10.0)
ORIGIN = (786_432, 26_624)


def covered(shape: shapely.Geometry, shape_yx: tuple[int, int]) -> np.ndarray:
    """Coverage of a shape given in pixels with y upwards: `coverage` itself wants y downwards."""
    edges, owner = edges_of([shapely.orient_polygons(shape, exterior_cw=False)])
    return coverage(Outlines(edges * [1, -1, 1, -1] + np.array([0, shape_yx[0], 0, shape_yx[0]]), owner), shape_yx)


def test_coverage_by_hand() -> None:
    """A triangle with corners (0, 0), (3, 0), (0, 2), y upwards, on 2 x 4 pixels: its slanted side falls 2 in 3."""
    triangle = shapely.Polygon([(0, 0), (3, 0), (0, 2)])
    expected = [[2 / 3, 1 / 12, 0, 0], [1, 11 / 12, 1 / 3, 0]]
    assert covered(triangle, (2, 4)) == pytest.approx(np.array(expected), abs=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_coverage_is_the_clipped_area_of_any_polygon(seed: int) -> None:
    rng = np.random.default_rng(seed)
    star = shapely.Polygon(_star(rng, rng.integers(5, 40), 9.0), [_star(rng, 7, 1.5)[::-1]])
    shape = shapely.intersection(shapely.make_valid(star), shapely.box(-50, -50, 50, 50))
    shape = shapely.union_all([part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"])
    cells = np.array([[shapely.box(c, 6 - r, c + 1, 7 - r) for c in range(5)] for r in range(7)])
    assert covered(shape, (7, 5)) == pytest.approx(shapely.area(shapely.intersection(cells, shape)), abs=1e-9)


def _star(rng: np.random.Generator, corners: int, radius: float) -> list[tuple[float, float]]:
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = rng.uniform(0.4, 1.0, corners) * radius
    return list(zip(2.3 + reach * np.cos(angles), 3.1 + reach * np.sin(angles), strict=True))


def test_coverage_equals_exactextract() -> None:
    rng = np.random.default_rng(3)
    shape = shapely.Polygon(_star(rng, 60, 90.0))
    source = NumPyRasterSource(np.zeros((80, 70)), 0, 0, 70, 80)
    found = exact_extract(source, [{"type": "Feature", "geometry": shapely.geometry.mapping(shape)}], ["cell_id", "coverage"])
    expected = np.zeros(80 * 70)
    expected[found[0]["properties"]["cell_id"]] = found[0]["properties"]["coverage"]
    assert covered(shape, (80, 70)) == pytest.approx(expected.reshape(80, 70), abs=1e-6)


def test_neighbours_share_out_every_pixel() -> None:
    """Parts of a square between slanted lines cover each pixel exactly once; projected edges included."""
    square = shapely.box(72.85, 18.90, 72.92, 18.95)
    zigzag = shapely.LineString([(72.84, 18.91), (72.87, 18.944), (72.9, 18.907), (72.93, 18.94)])
    pieces = shapely.get_parts(shapely.polygonize([shapely.union_all([square.exterior, shapely.intersection(zigzag, square)])]))
    parts = outlines_on_grid(np.array([*pieces, shapely.union_all(pieces)], dtype=object), GRID.crs)
    px = GRID.pixels_over(*shapely.bounds(parts[-1]))
    shift = np.array([px.left * 10.0, 1e7 - px.top * 10.0] * 2)
    outlines = [edges_of([part]) for part in parts]
    shares = [coverage(Outlines((edges - shift) / np.array([10.0, -10.0, 10.0, -10.0]), owner), px.shape_yx) for edges, owner in outlines]
    assert len(pieces) >= 2
    assert np.abs(sum(shares[:-1]) - shares[-1]).max() < 1e-9


def sample() -> tuple[list[shapely.Geometry], np.ndarray]:
    """Three units in the grid's CRS, one inside a hole of another, and 1024 x 1024 pixels with a gap."""
    at = np.array(GRID.transform(*ORIGIN) @ (0, 0))
    ring = shapely.Polygon([(500, -900), (9000, -300), (9900, -8000), (-800, -7000)], [[(3000, -3000), (4111, -3000), (3500, -5000)]])
    inner = shapely.Polygon(ring.interiors[0])
    low = shapely.box(-2000, -30000, 9000, -8500)
    units = [shapely.transform(unit, lambda xy: xy + at) for unit in (ring, inner, low)]
    rng = np.random.default_rng(11)
    probability = rng.integers(0, 251, (1024, 1024)).astype(np.uint8)
    probability[200:260, 100:900] = NO_DATA
    return list(shapely.orient_polygons(units, exterior_cw=False)), probability


def sums_of_tiles(tile_px: int, method: str) -> np.ndarray:
    units, probability = sample()
    total = np.zeros((3, 3), np.int64)
    for tile in tiles_over(Tile(ORIGIN[0] // 1024, ORIGIN[1] // 1024, 1024).pixels, tile_px):
        top, left = tile.pixels.top - ORIGIN[0], tile.pixels.left - ORIGIN[1]
        layer = Layer(probability[top : top + tile_px, left : left + tile_px], 200)
        total += np.array(tile_sums(units, [layer], GRID, tile, method))[:, 0]
    return total


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_sums_do_not_depend_on_the_tile(method: str) -> None:
    assert (sums_of_tiles(256, method) == sums_of_tiles(1024, method)).all()
    assert (sums_of_tiles(512, method) == sums_of_tiles(1024, method)).all()


@pytest.mark.parametrize("method", ["exact", "fast"])
def test_the_borders_in_a_row_of_tiles_give_the_sums_of_the_whole_outline(method: str) -> None:
    """Bit by bit, of units with holes, of several pieces, and one whose edge is the line between two rows."""
    (ring, inner, low), probability = sample()
    west, north = GRID.transform(*ORIGIN) @ (0, 0)
    level = shapely.orient_polygons(shapely.box(west + 3000, north - 5120, west + 8000, north - 2560), exterior_cw=False)
    units = [ring, shapely.MultiPolygon([inner, *shapely.get_parts(low)]), level]
    tiles = tiles_over(Tile(ORIGIN[0] // 1024, ORIGIN[1] // 1024, 1024).pixels, 256)
    parts = [dict(borders(unit, range(tiles[0].row - 1, tiles[-1].row + 2), GRID, 256)) for unit in units]
    assert all(len(edges_of([shapely.from_wkb(part)]).owner) < len(edges_of([ring]).owner) for part in parts[0].values())
    for tile in tiles:
        top, left = tile.pixels.top - ORIGIN[0], tile.pixels.left - ORIGIN[1]
        layers = [Layer(probability[top : top + 256, left : left + 256], 200)]
        there = [unit for unit, part in zip(units, parts, strict=True) if tile.row in part]
        near = [shapely.from_wkb(part[tile.row]) for part in parts if tile.row in part]
        assert tile_sums(near, layers, GRID, tile, method) == tile_sums(there, layers, GRID, tile, method)
        gone = [unit for unit, part in zip(units, parts, strict=True) if tile.row not in part]
        assert all(sums == [(0, 0, 0)] for sums in (tile_sums(gone, layers, GRID, tile, method) if gone else ()))


def test_sums_by_hand_in_one_unit_of_whole_pixels() -> None:
    tile = Tile(ORIGIN[0] // 256, ORIGIN[1] // 256, 256)
    west, north = GRID.transform(*ORIGIN) @ (10, 20)
    unit = shapely.orient_polygons(shapely.box(west, north - 30, west + 20, north), exterior_cw=False)
    probability = np.zeros((256, 256), np.uint8)
    probability[20:23, 10:12] = [[200, 199], [NO_DATA, 250], [0, 3]]
    areas = block_areas_mm2(GRID, tile.row, tile.col)
    built, gap = areas[20, 10] + areas[21, 11], areas[21, 10]
    total = areas[20:23, 10:12].sum()
    for method in ("exact", "fast"):
        assert tile_sums([unit], [Layer(probability, 200), Layer(None, 0)], GRID, tile, method) == [
            [Sums(built, total - gap, total), Sums(0, 0, total)]
        ]


def test_fast_is_near_exact() -> None:
    fast, exact = sums_of_tiles(512, "fast"), sums_of_tiles(512, "exact")
    assert np.abs(fast / exact - 1).max() < 2e-3
    assert fast.sum() == pytest.approx(exact.sum(), rel=5e-4)


def test_shell_gives_each_unit_a_row_per_epoch_in_any_order_of_units() -> None:
    units, probability = sample()
    named = [{"unit_id": f"u{index}", "border": shapely.to_wkb(unit)} for index, unit in enumerate(units)]
    layers = [{"epoch": "2018", "threshold": 200, "probability": encode_raster(probability)}]
    cell = {"row": ORIGIN[0] // 1024, "col": ORIGIN[1] // 1024, "layers": layers}
    batches = [pa.RecordBatch.from_pylist([{**cell, "units": order}]) for order in (named, named[::-1])]
    first, second = (batch.to_pylist() for batch in sums_batches(batches, GRID, 1024, ["2015", "2018"], "exact"))
    assert first == second
    found = [(row["unit_id"], row["epoch"], row["valid"] > 0) for row in first]
    assert found == [(unit, epoch, epoch == "2018") for unit in ("u0", "u1", "u2") for epoch in ("2015", "2018")]


def test_units_beyond_the_projection_are_refused() -> None:
    with pytest.raises(ValueError, match="outside of what EPSG:32643 can show"):
        outlines_on_grid(np.array([shapely.box(164, -1, 166, 1)], dtype=object), GRID.crs)


@pytest.mark.parametrize(
    ("bounds", "names"),
    [((71.97, 22.0, 72.04, 22.05), ("utm42n", "utm43n")), ((179.95, -17.03, -179.96, -16.97), ("utm60s", "utm01s")),
     ((14.9, -80.02, 15.2, -79.98), ("utm33s", "upss"))],
)  # fmt: skip
def test_a_unit_on_the_edge_of_zones_loses_and_doubles_nothing(bounds: tuple[float, ...], names: tuple[str, ...]) -> None:
    """The parts add up to the geodesic area, and ground with data on both sides leaves no seam without."""
    unit = split_at_antimeridian(*bounds)
    ring = np.array(
        shapely.box(bounds[0], bounds[1], bounds[2] + 360 * (bounds[2] < bounds[0]), bounds[3]).segmentize(1e-3).exterior.coords
    )
    expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(*ring.T)[0])
    total = valid = 0
    for zone in map(zone_called, names):
        grid = zone_grid(zone, 20.0)
        (frame,) = outline_batches([pd.DataFrame({"unit_id": ["u"], "geometry": [shapely.to_wkb(unit)]})], grid, 256, zone)
        for row, col in tiles_in(zone, unit, 20.0, 256):
            tile = Tile(int(row), int(col), 256)
            seen = owned_or_touched(zone.crs, grid.transform(*tile.pixels[:2]), (256, 256), zone)
            layers = [Layer(np.where(seen, 0, 255).astype(np.uint8), 125)]
            ((sums,),) = tile_sums(list(shapely.from_wkb(frame["outline"])), layers, grid, tile, "exact")
            total, valid = total + sums.total, valid + sums.valid
    assert valid == total
    assert total / 1e6 == pytest.approx(expected, rel=1e-6)
