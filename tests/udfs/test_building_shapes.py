"""Shapes of buildings by hand: rectangles of known sides and azimuths, a circle, a ring."""

import numpy as np
import pytest
import shapely
from pyproj import Geod, Proj, Transformer
from shapely import affinity

from udfs.building_shapes import building_shapes
from udfs.earth import GridOrigin

ORIGIN, CRS = GridOrigin(700_000.0, 5_400_000.0, 0.5, 0.5), "EPSG:32632"  # the zone's east, where grid north is not north


def on_grid(shape: shapely.Polygon) -> shapely.Polygon:
    """Metres about a point, x eastwards and y northwards on the grid, to grid pixels."""
    return affinity.translate(affinity.scale(shape, 2, -2, origin=(0, 0)), 300, 500)


@pytest.mark.parametrize("turned", [0, 25, 90, 117])
def test_a_rectangle_has_its_sides_and_its_azimuth(turned: float) -> None:
    """Azimuths are those of the grid and what the meridian turns there; lengths are the grid's over its scale."""
    box = affinity.rotate(shapely.box(0, 0, 30, 8), turned, origin=(0, 0))
    found = building_shapes(np.array([on_grid(box)]), np.array([240.0]), ORIGIN, CRS)
    lonlat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(700_150, 5_399_750)
    factors = Proj(CRS).get_factors(*lonlat)
    azimuth = (90 - turned + factors.meridian_convergence) % 180
    assert abs((found.orientation_deg[0] - azimuth + 90) % 180 - 90) < 0.01
    assert found.perimeter_m[0] == pytest.approx(76 / factors.meridional_scale, rel=1e-5)
    assert found.compactness[0] == pytest.approx(4 * np.pi * 240 / found.perimeter_m[0] ** 2)


def test_holes_add_no_perimeter_and_a_circle_is_as_compact_as_can_be() -> None:
    circle = shapely.Point(0, 0).buffer(20, quad_segs=64)
    ring = circle.difference(shapely.Point(0, 0).buffer(5))
    shapes = np.array([on_grid(circle), on_grid(ring)])
    scale = 76 / building_shapes(np.array([on_grid(shapely.box(0, 0, 30, 8))]), np.ones(1), ORIGIN, CRS).perimeter_m[0]
    found = building_shapes(shapes, np.array([circle.area, ring.area]) / scale**2, ORIGIN, CRS)
    assert found.perimeter_m[0] == pytest.approx(found.perimeter_m[1])
    assert found.compactness[0] == pytest.approx(1, abs=1e-3) and found.compactness[1] == pytest.approx(ring.area / circle.area, abs=1e-3)
    assert (found.orientation_deg >= 0).all() and (found.orientation_deg < 180).all()


@pytest.mark.parametrize(("latitude", "east_m", "north_m"), [(30, 12, 15), (51, 12, 15), (60, 8, 15), (60, 15, 12)])
def test_degrees_do_not_turn_a_building(latitude: float, east_m: float, north_m: float) -> None:
    pixel = 4e-6
    width, height = east_m / (111_320 * np.cos(np.radians(latitude))) / pixel, north_m / 111_320 / pixel
    around = np.array([shapely.box(1000, 1000, 1000 + width, 1000 + height), shapely.box(0, 0, 5, 900)])
    found = building_shapes(around, np.ones(2), GridOrigin(10.0, float(latitude), pixel, pixel), "EPSG:4326")
    wanted = 90 if east_m > north_m else 0
    assert abs((found.orientation_deg[0] - wanted + 90) % 180 - 90) < 0.1
    assert found.perimeter_m[0] == pytest.approx(2 * (east_m + north_m), rel=5e-3)


def test_oblong_pixels_do_not_turn_a_building() -> None:
    origin = ORIGIN._replace(pixel_height=0.25)
    box = affinity.rotate(shapely.box(0, 0, 30, 8), 35, origin=(0, 0))
    stretched = affinity.scale(on_grid(box), 1, 2, origin=(0, 0))
    one, other = (building_shapes(np.array([each]), np.ones(1), at, CRS) for each, at in ((on_grid(box), ORIGIN), (stretched, origin)))
    assert other.orientation_deg == pytest.approx(one.orientation_deg, abs=0.01) and other.perimeter_m == pytest.approx(one.perimeter_m)
    outline = shapely.transform(on_grid(box), lambda xy: np.array([700_000, 5_400_000]) + xy * [0.5, -0.5])
    lonlat = shapely.transform(outline, Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform, interleaved=False)
    assert one.perimeter_m[0] == pytest.approx(Geod(ellps="WGS84").geometry_length(lonlat.exterior))
