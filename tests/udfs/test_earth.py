"""From pixels to the earth."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod

from udfs.earth import GridOrigin, grid_origin, ground_resolution_m, lonlat_of_pixels, pixel_area_m2
from udfs.grid import Grid, native_grid, utm_grid

GRIDS = [
    utm_grid(72.8, 19.0, 0.3),
    native_grid("EPSG:3857", Affine(0.14929107, 0, 3_629_003.3517, 0, -0.14929107, 40_377.8913)),
    native_grid("EPSG:4326", Affine(1.3e-06, 0, 32.5812345678, 0, -1.7e-06, 0.3512345678)),
]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.crs)
def test_the_origin_is_the_same_from_every_tile(grid: Grid) -> None:
    corners = [(top, left) for top in range(0, 40_000_000, 3_000_256) for left in range(0, 4_000_000, 256 * 1237)]
    origins = {grid_origin(tuple(grid.transform(top, left))[:6], top, left) for top, left in corners}
    assert len(origins) == 1
    found = origins.pop()
    assert abs(found.origin_x - grid.origin_x) < grid.pixel_width / 1000
    assert abs(found.origin_y - grid.origin_y) < grid.pixel_height / 1000


def test_pixels_are_x_east_and_y_south() -> None:
    lonlat = lonlat_of_pixels(np.array([[0, 0], [3, 0], [0, 5]]), GridOrigin(32.5, 0.5, 0.01, 0.02), "EPSG:4326")
    assert lonlat.tolist() == pytest.approx(np.array([[32.5, 0.5], [32.53, 0.5], [32.5, 0.4]]))


def test_pixel_area_is_that_on_the_ground_not_on_the_map() -> None:
    """Web Mercator at 60 degrees north: a map metre is half a metre."""
    area = pixel_area_m2("EPSG:3857", (1.0, 0.0, 0.0, 0.0, -1.0, 8_399_737.9), 256)
    assert area == pytest.approx(0.25, rel=0.01)


def test_outside_the_projection_is_an_error() -> None:
    with pytest.raises(ValueError, match="outside the area"):
        lonlat_of_pixels(np.array([[0, 0], [1, 0]]), GridOrigin(1e12, 1e12, 1.0, 1.0), "EPSG:32636")


@pytest.mark.parametrize(("resolution", "metres"), [(0.5, 0.5), (10.0, 10.0), (1e-5, 1.1132)])
def test_a_resolution_in_degrees_is_told_from_metres(resolution: float, metres: float) -> None:
    assert ground_resolution_m(resolution) == pytest.approx(metres)
    _, _, along = Geod(ellps="WGS84").inv(0, 0, 1, 0)
    assert ground_resolution_m(1e-3) == pytest.approx(along * 1e-3, rel=1e-3)
