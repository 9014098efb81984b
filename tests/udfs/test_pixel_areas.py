"""Pixel areas against PROJ's geodesic polygon area of each pixel's densified outline."""

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from udfs.grid import BLOCK_PX, Grid
from udfs.pixel_areas import band_m2, block_areas_mm2

GRIDS = [
    (Grid("utm43n", "EPSG:32643", 0, 1e7, 10, 10), 3093, 110),
    (Grid("utm43n", "EPSG:32643", 0, 1e7, 100, 100), 300, 11),
    (Grid("utm25s", "EPSG:31985", 288776.25, 9120760.75, 28.5, 28.5), 0, 1),
    (Grid("mercator", "EPSG:3857", 0, 0, 10, 10), -300, 1500),
    (Grid("degrees", "EPSG:4326", -74.7, -8.2, 0.0008, 0.0008), 1, 2),
    (Grid("degrees", "EPSG:4326", 15.1, 79.1, 9e-5, 11e-5), 1, 2),
]


def geodesic_mm2(grid: Grid, top: int, left: int, side: int) -> float:
    outline = shapely.get_coordinates(shapely.segmentize(shapely.box(left, top, left + side, top + side), side / 50))
    x, y = grid.transform(0, 0) @ tuple(outline.T)
    crs = CRS.from_user_input(grid.crs)
    longitude, latitude = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(x, y)
    return abs(crs.get_geod().polygon_area_perimeter(longitude, latitude)[0]) * 1e6


@pytest.mark.parametrize(("grid", "row", "col"), GRIDS)
def test_pixels_have_their_geodesic_area(grid: Grid, row: int, col: int) -> None:
    areas = block_areas_mm2(grid, row, col)
    for i, j in ((0, 0), (255, 3), (77, 201)):
        expected = geodesic_mm2(grid, row * BLOCK_PX + i, col * BLOCK_PX + j, 1)
        assert areas[i, j] == pytest.approx(expected, rel=1e-7, abs=2)


def test_small_pixels_add_up_without_bias() -> None:
    """0.15 m pixels are 22,000 mm2: rounding each by itself would be wrong by up to 2e-5 in the sum."""
    grid = Grid("mercator", "EPSG:3857", 3_630_000.0, 38_000.0, 0.149, 0.149)
    areas = block_areas_mm2(grid, 3, 2)
    assert areas.sum() == pytest.approx(geodesic_mm2(grid, 3 * BLOCK_PX, 2 * BLOCK_PX, BLOCK_PX), rel=1e-7)


def test_bands_add_up_to_the_whole_ellipsoid() -> None:
    north, south = band_m2(np.array([90.0, -90.0]), "EPSG:4326")
    assert (north - south) * 2 * np.pi == pytest.approx(510_065_621_724_088.4, rel=1e-12)
