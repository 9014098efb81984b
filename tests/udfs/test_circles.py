"""Round buildings: found from some metres on, and never where a building has corners."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from udfs.circles import Circles, circles_of, corners_of_circle
from udfs.components import label_components
from udfs.polygon_metrics import iou, vertex_counts
from udfs.regularisation import Regular, regular_polygons
from udfs.tracing import corners_of_labels, rings_of_corners

PX, SIDE = 0.5, 240


def found_of(shape, noise=0.0, seed=4):
    """Of one shape in metres, seen by a network: blurred, with noise that neighbouring pixels share."""
    random = np.random.default_rng(seed)
    share = ndimage.gaussian_filter(rasterize([affinity.scale(shape, 1 / PX, 1 / PX, origin=(0, 0))], (SIDE, SIDE)).astype(float), 1.0)
    rough = ndimage.gaussian_filter(random.standard_normal(share.shape), 2.5)
    labels, _ = label_components(share + noise * rough / rough.std() > 0.5)
    largest = (labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1).astype(np.int32)
    return regular_polygons(rings_of_corners(corners_of_labels(largest)), (PX, PX), 1.2, 2.0)


def is_round(found: Regular):
    """Whether the exterior's corners lie at one distance from its middle, and are eight or more."""
    (polygon,), (regular,) = found
    out = np.hypot(*(shapely.get_coordinates(polygon.exterior) - shapely.get_coordinates(polygon.exterior.centroid)).T)
    return bool(regular and len(out) > 8 and np.ptp(out) < 0.1 * out.mean())


@pytest.mark.parametrize("radius", [4.0, 6.3, 11.7, 25.1])
@pytest.mark.parametrize("seed", range(4))
def test_a_tank_is_round_with_its_area_and_few_corners(radius, seed):
    found, truth = found_of(shapely.Point(58.3, 61.9).buffer(radius, quad_segs=64), 0.1, seed), np.pi * radius**2
    assert is_round(found)
    assert found.polygons[0].area * PX**2 == pytest.approx(truth, rel=0.05)
    assert found.polygons[0].centroid.coords[0] == pytest.approx((58.3 / PX, 61.9 / PX), abs=1)
    half = np.arccos(1 - 0.25 / np.sqrt(found.polygons[0].area / np.pi))
    assert vertex_counts(found.polygons)[0] == 4 * np.ceil(np.pi / half / 4)


@pytest.mark.parametrize("sides", [(5, 5), (8, 8), (15, 13), (9, 14), (30, 30)])
@pytest.mark.parametrize("angle", [0, 22, 45])
@pytest.mark.parametrize("noise", [0.0, 0.12])
def test_a_house_is_never_round(sides, angle, noise):
    assert not is_round(found_of(affinity.translate(affinity.rotate(shapely.box(0, 0, *sides), angle), 40, 40), noise))


def test_a_ring_of_a_stadium_keeps_both_its_circles():
    stand = shapely.Point(60, 60).buffer(30, quad_segs=64).difference(shapely.Point(60, 60).buffer(18, quad_segs=64))
    found = found_of(stand)
    (polygon,), _ = found
    assert is_round(found) and len(polygon.interiors) == 1 and polygon.is_valid
    assert iou(found.polygons, np.array([affinity.scale(stand, 1 / PX, 1 / PX, origin=(0, 0))]))[0] > 0.97


def test_circles_of_known_rings():
    """Of a square of side 2 the mean squared distance from its circle of the same area, by quadrature, on both turns."""
    square = np.array([(3, 1), (5, 1), (5, 3), (3, 3)], float)
    fine = np.linspace(-1, 1, 200_001)
    off = 8 * np.mean((np.hypot(fine, 1) - 2 / np.sqrt(np.pi)) ** 2)
    many = np.array([square[0] + (square[1] - square[0]) * t for t in np.linspace(0, 1, 50, endpoint=False)])
    rings = [square, square[::-1], np.concatenate([many, square[1:]])]
    found = circles_of(np.concatenate(rings), np.cumsum([0, *map(len, rings)]))
    assert found.middle == pytest.approx(np.full((3, 2), [4.0, 2.0])) and found.radius == pytest.approx(np.full(3, 2 / np.sqrt(np.pi)))
    assert found.turn.tolist() == [1, -1, 1] and found.off == pytest.approx(np.full(3, off), rel=1e-4)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_corners_have_the_circle_s_area_and_turn(turn):
    circle = Circles(np.array([[7.0, -2.0]]), np.array([5.0]), np.array([turn]), np.zeros(1))
    ring = shapely.Polygon(corners_of_circle(circle, 0, 0.5))
    assert ring.area == pytest.approx(np.pi * 25) and shapely.is_ccw(ring.exterior) == (turn > 0)
    assert shapely.hausdorff_distance(ring, shapely.Point(7, -2).buffer(5, quad_segs=256)) < 0.25 * 0.5
