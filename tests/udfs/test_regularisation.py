"""Regular outlines of buildings that are known: corners, angles, and what stays raw."""

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from udfs.components import label_components
from udfs.polygon_metrics import iou, vertex_counts
from udfs.regularisation import regular_polygons
from udfs.tracing import corners_of_labels, polygons_of_rings, rings_of_corners

PX = 0.25
HOUSE = shapely.Polygon([(0, 0), (16, 0), (16, 9), (10, 9), (10, 13), (0, 13)])
YARD = shapely.Polygon(shapely.box(0, 0, 22, 18).exterior, [shapely.box(6, 5, 15, 12).exterior])


def traced(*shapes, side=360):
    """Rings of shapes, metres, on one grid of pixels of PX, rows southwards."""
    mask = rasterize([affinity.scale(shape, 1 / PX, 1 / PX, origin=(0, 0)) for shape in shapes], (side, side))
    return rings_of_corners(corners_of_labels(label_components(mask > 0)[0]))


def turns(polygon):
    """Angles between consecutive walls, degrees."""
    found = []
    for ring in (polygon.exterior, *polygon.interiors):
        edge = np.diff(np.array(ring.coords), axis=0) @ np.array([1, 1j])
        found += list(np.degrees(np.abs(np.angle(np.roll(edge, -1) / edge))))
    return np.array(found)


@pytest.mark.parametrize("angle", [0, 3.3, 17, 31, 44, 68])
def test_a_house_at_any_angle_gets_its_corners_back(angle):
    truth = affinity.translate(affinity.rotate(HOUSE, angle, origin="centroid"), 30.13, 25.4)
    (found,), (regular,) = regular_polygons(traced(truth), (PX, PX), 1.0, 2.0)
    assert regular and len(found.exterior.coords) == 7
    assert turns(found) == pytest.approx(90, abs=0.2)
    pixels = affinity.scale(truth, 1 / PX, 1 / PX, origin=(0, 0))
    assert iou(np.array([found]), np.array([pixels])) > 0.96


@pytest.mark.parametrize("angle", [0, 21, 50, 77])
def test_a_triangle_stays_one_and_a_rounded_house_does_not_become_one(angle):
    wedge = affinity.translate(affinity.rotate(shapely.Polygon([(0, 0), (14, 0), (5, 10)]), angle, origin="centroid"), 20.2, 22.7)
    square = affinity.rotate(shapely.box(50, 50, 58, 57), angle)
    rounded = square.difference(affinity.rotate(shapely.Polygon([(58, 50), (58, 52.5), (55.5, 50)]), angle, origin=square.centroid))
    found, regular = regular_polygons(traced(wedge, rounded), (PX, PX), 1.2, 2.0)
    assert regular.all() and len(found[0].exterior.coords) == 4 < len(found[1].exterior.coords)
    pixels = np.array([affinity.scale(truth, 1 / PX, 1 / PX, origin=(0, 0)) for truth in (wedge, rounded)])
    assert iou(found, pixels).min() > 0.94


def test_yards_stay_and_holes_of_a_pixel_go():
    truth = affinity.translate(affinity.rotate(YARD, 12), 30, 30)
    pricked = truth.difference(affinity.translate(shapely.box(0, 0, 0.6, 0.6), 33, 33))
    rings = traced(pricked)
    assert np.diff(rings.polygon_offsets).tolist() == [3]
    (found,), (regular,) = regular_polygons(rings, (PX, PX), 1.0, 2.0)
    assert regular and len(found.interiors) == 1
    assert turns(found) == pytest.approx(90, abs=0.2)


def test_what_fits_badly_stays_raw_and_is_told():
    spiked = HOUSE.union(shapely.box(3, 13, 3.5, 15.5))
    rings = traced(affinity.translate(spiked, 10, 10), affinity.translate(HOUSE, 50, 50))
    polygons, regular = regular_polygons(rings, (PX, PX), 4.0, 1.2)
    assert regular.tolist() == [False, True]
    assert polygons[0].equals_exact(polygons_of_rings(rings)[0])
    assert regular_polygons(rings, (PX, PX), 4.0, 3.0).regular.all()


def test_no_polygon_hangs_on_its_neighbours_or_on_where_the_grid_begins():
    random = np.random.default_rng(8)
    shapes = [
        affinity.translate(affinity.rotate(HOUSE, float(random.uniform(0, 90))), 24 * i + 4, 24 * j + 4) for i in range(3) for j in range(3)
    ]
    rings = traced(*shapes)
    found = regular_polygons(rings, (PX, PX), 1.0, 2.0).polygons
    assert shapely.is_valid(found).all() and vertex_counts(found).max() < 12
    moved = rings._replace(xy=rings.xy + np.array([70_001, -3_000]))
    assert shapely.equals_exact(
        shapely.transform(regular_polygons(moved, (PX, PX), 1.0, 2.0).polygons, lambda xy: xy - [70_001, -3_000]), found
    ).all()
    for number in (0, 4):
        alone = traced(shapes[number])
        assert regular_polygons(alone, (PX, PX), 1.0, 2.0).polygons[0] in list(found)


def test_pixels_that_are_not_square_on_the_ground():
    truth = affinity.translate(affinity.rotate(HOUSE, 20), 20, 20)
    wide = affinity.scale(truth, 1 / 0.3, 1 / 0.2, origin=(0, 0))
    mask = rasterize([wide], (300, 300))
    rings = rings_of_corners(corners_of_labels(label_components(mask > 0)[0]))
    (found,), (regular,) = regular_polygons(rings, (0.3, 0.2), 1.0, 2.0)
    assert regular and turns(affinity.scale(found, 0.3, 0.2, origin=(0, 0))) == pytest.approx(90, abs=0.3)


def test_nothing_is_nothing():
    assert len(regular_polygons(traced(), (PX, PX), 1.0, 2.0).polygons) == 0


def test_walls_that_would_cross_over_are_not_regular():
    """A fit of this speck at half-metre pixels is valid and near, but turned inside out."""
    rows = [".##...", "######", "..#.##", "###.#.", "#...#."]
    mask = np.array([[character == "#" for character in row] for row in rows])
    rings = rings_of_corners(corners_of_labels(label_components(mask)[0]))
    polygons, _ = regular_polygons(rings, (0.5, 0.5), 1.2, 3.0)
    assert iou(polygons, polygons_of_rings(rings)).min() >= 0.5
    assert not shapely.is_ccw(shapely.get_exterior_ring(polygons)).any()


@pytest.mark.parametrize("length", [100, 400])
def test_a_long_wall_is_one_wall(length):
    random, px = np.random.default_rng(2), 0.3
    hall = affinity.rotate(shapely.box(0, 0, length / px, 25 / px), 20, origin=(0, 0))
    placed = affinity.translate(hall, 20 - hall.bounds[0], 20 - hall.bounds[1])
    shape = (int(placed.bounds[3]) + 40, int(placed.bounds[2]) + 40)
    noise = ndimage.gaussian_filter(random.standard_normal(shape), 2.5)
    share = ndimage.gaussian_filter(rasterize([placed], shape).astype(float), 1.5) + 0.12 * noise / noise.std()
    labels, _ = label_components(share > 0.5)
    largest = np.argmax(np.bincount(labels.ravel())[1:]) + 1
    (found,), _ = regular_polygons(rings_of_corners(corners_of_labels((labels == largest).astype(np.int32))), (px, px), 1.2, 3.0)
    assert len(found.exterior.coords) == 5


def test_a_lattice_stays_raw_where_closed_holes_would_make_it_a_third_larger():
    """Every other pixel of every other row is a hole, at a side that is no multiple of anything."""
    mask = np.ones((61, 43), bool)
    mask[1::2, 1::2] = False
    rings = rings_of_corners(corners_of_labels(label_components(mask)[0]))
    (found,), (regular,) = regular_polygons(rings, (PX, PX), 1.0, 2.0)
    assert not regular and found.area == mask.sum()
