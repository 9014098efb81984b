"""Outlines in degrees at the antimeridian and around poles; and which tiles are land."""

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from udfs.grid import Tile
from udfs.land import land_tiles
from udfs.lonlat import lonlat_polygons
from udfs.planning import outlines
from udfs.zones import tiles_in, zone_called, zone_grid


def ring(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    closed = np.array([*points, points[0]], float)
    return closed[None, :, 0], closed[None, :, 1]


def test_a_ring_over_180_degrees_becomes_its_two_sides() -> None:
    (shape,) = lonlat_polygons(*ring((179, -17), (-178, -17), (-178, -16), (179, -15)))
    assert shape.geom_type == "MultiPolygon" and shape.is_valid
    assert shape.bounds == (-180, -17, 180, -15)
    assert shape.area == pytest.approx(3 * 1.5)
    assert shapely.contains(shape, shapely.points([(179.5, -16.5), (-178.5, -16.5)])).all()
    assert not shapely.intersects(shape, shapely.Point(0, -16.5))


def test_a_ring_elsewhere_stays_as_it_is() -> None:
    (shape,) = lonlat_polygons(*ring((5, 1), (7, 1), (7, 2), (5, 3)))
    assert shape.equals(shapely.Polygon([(5, 1), (7, 1), (7, 2), (5, 3)]))


def test_a_ring_around_a_pole_holds_the_pole() -> None:
    angles = np.linspace(0, 2 * np.pi, 65)
    to_degrees = Transformer.from_crs("EPSG:5042", "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(2e6 + 3e5 * np.cos(angles) + 5e4, 2e6 + 3e5 * np.sin(angles))
    (shape,) = lonlat_polygons(lon[None], lat[None])
    assert shape.is_valid and shape.bounds[1] == -90
    assert shapely.contains(shape, shapely.points([(12, -89.5), (-170, -88.5), (179, -89)])).all()
    assert not shapely.contains(shape, shapely.Point(90, -86))


def test_tiles_at_the_pole_and_the_antimeridian_are_not_world_wide() -> None:
    for name, tile in (("upss", Tile(390, 390, 512)), ("utm60s", Tile(2290, 160, 512)), ("utm01n", Tile(1000, 30, 512))):
        (shape,) = outlines(zone_grid(zone_called(name), 10.0), [tile])
        assert shape.is_valid
        assert shape.area < 0.3 or name == "upss"


def test_tiles_of_land_hold_islands_and_no_open_sea() -> None:
    """Viti Levu is land, the sea 200 km south of it is not; found in zone 60 S at 100 m."""
    zone = zone_called("utm60s")
    land = set(map(tuple, land_tiles(zone, 100.0, 256).tolist()))
    for lon, lat, is_land in ((178.0, -17.8, True), (178.0, -19.9, False), (179.4, -16.6, True)):
        box = shapely.box(lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01)
        tiles = set(map(tuple, tiles_in(zone, box, 100.0, 256).tolist()))
        assert tiles and bool(tiles & land) == is_land
