"""Labels from footprints: shares, shifts, doubts, and hashes that know an image again."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from udfs.labels import (
    Rule,
    Shift,
    days_from_label,
    estimated_shift,
    label_weights,
    perceptual_hash,
    rasterised,
    unsure_beside,
    with_sealed,
)

SHAPE = (37, 52)


def houses(seed: int, count: int = 60, reach: tuple[int, int] = (180, 150)) -> NDArray[np.object_]:
    """Turned rectangles of several sizes, some one upon another."""
    random = np.random.default_rng(seed)
    boxes = [shapely.box(-w, -h, w, h) for w, h in random.uniform(2, 7, (count, 2))]
    turned = [shapely.affinity.rotate(box, angle) for box, angle in zip(boxes, random.uniform(0, 90, count), strict=True)]
    places = random.uniform((0, 0), reach, (count, 2))
    return np.array([shapely.affinity.translate(shape, x, y) for shape, (x, y) in zip(turned, places, strict=True)], object)


def pixels() -> list[Any]:
    return [shapely.box(column, row, column + 1, row + 1) for row in range(SHAPE[0]) for column in range(SHAPE[1])]


def test_fractions_are_areas_of_what_footprints_cover_together() -> None:
    shapes = houses(1, 12, (52, 37))
    together = shapely.union_all(shapes)
    expected = np.array([pixel.intersection(together).area for pixel in pixels()]).reshape(SHAPE)
    np.testing.assert_allclose(rasterised(shapes, SHAPE, "fraction") / 250, expected, atol=0.09)
    assert abs(rasterised(shapes, SHAPE, "fraction").sum() / 250 - expected.sum()) < 0.01 * expected.sum()


@pytest.mark.parametrize("rule", ["centre", "any_touch"])
def test_whole_labels_are_those_of_centres_or_touched_pixels(rule: Rule) -> None:
    shapes = houses(2, 12, (52, 37))
    together = shapely.union_all(shapes)
    found = rasterised(shapes, SHAPE, rule)
    held = [pixel.centroid.within(together) if rule == "centre" else pixel.intersects(together) for pixel in pixels()]
    assert set(np.unique(found)) == {0, 250}
    assert (found.ravel() > 0).tolist() == held


def test_sealed_surfaces_count_where_they_are_told() -> None:
    labels, sealed = np.array([[0, 100, 200]], np.uint8), np.array([[0.5, np.nan, 0.5]], np.float32)
    assert with_sealed(labels, sealed).tolist() == [[125, 100, 250]]


def test_ground_beside_footprints_is_unsure_and_roofs_and_open_ground_are_not() -> None:
    covered = np.zeros((9, 14), np.uint8)
    covered[3:5, 2:4], covered[3, 4] = 250, 90
    found = unsure_beside(covered, 2)
    assert not found[3:5, 2:4].any() and found[3, 4] and found[3, 6] and found[1, 2] and not found[0, 2] and not found[3, 7]
    assert not unsure_beside(covered, 0).any() and not unsure_beside(np.zeros_like(covered), 2).any()


def test_no_footprints_are_no_labels() -> None:
    assert not rasterised(np.empty(0, object), SHAPE, "fraction").any()


def scene(labels: NDArray[np.uint8], down: float, right: float, seed: int = 3) -> NDArray[np.float32]:
    """Three bands in which buildings, so far from their labels, are brighter, darker and as dark as the ground, which is rough."""
    random = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(random.normal(size=(3, *labels.shape)), (0, 4, 4)) * 0.5
    built = ndimage.shift(labels / 250, (down, right), order=1)
    return (ground + built * np.array([0.12, -0.06, 0.0])[:, None, None] + random.normal(scale=0.03, size=ground.shape)).astype(np.float32)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-1.5, 0.6), (0.4, 2.5)])
def test_a_shift_is_found_to_a_part_of_a_pixel(down: float, right: float) -> None:
    labels = rasterised(houses(4), (150, 180), "fraction")
    found = estimated_shift(scene(labels, down, right), labels, 4)
    assert found is not None and not found.at_edge
    assert abs(found.down - down) < 0.3 and abs(found.right - right) < 0.3
    assert found.fit > 0.3 and found.fit >= found.fit_at_rest


def test_holes_in_the_image_do_not_draw_labels_to_them() -> None:
    labels = rasterised(houses(4), (150, 180), "fraction")
    image = scene(labels, 1, -2)
    image[:, 20:90, 30:60] = np.nan
    found = estimated_shift(image, labels, 4)
    assert found is not None and (round(found.down), round(found.right)) == (1, -2)


def test_what_lies_further_than_is_searched_shows_as_such_and_ground_without_houses_tells_nothing() -> None:
    labels = rasterised(houses(4), (150, 180), "fraction")
    far = estimated_shift(scene(labels, 0, 5), labels, 3)
    assert far is not None and far.at_edge
    other = estimated_shift(scene(np.zeros((150, 180), np.uint8), 0, 0), labels, 3)
    assert other is not None and other.fit < 0.03
    assert estimated_shift(scene(labels, 0, 0), np.zeros((150, 180), np.uint8), 3) is None
    assert estimated_shift(np.full((3, 150, 180), np.nan, np.float32), labels, 3) is None
    assert estimated_shift(np.ones((3, 150, 180), np.float32), labels, 3) is None


def test_few_houses_are_no_reason_to_move_and_many_are() -> None:
    """Of a real drone image: three buildings fit best eight pixels away by chance, 108 no better than where they lie."""
    assert not Shift(8.0, -8.0, 0.580, 0.517, True).is_sure(3)
    assert not Shift(-0.48, -1.07, 0.3027, 0.3009, False).is_sure(108)
    labels = rasterised(houses(4), (150, 180), "fraction")
    found = estimated_shift(scene(labels, 2, -1), labels, 4)
    assert found is not None and found.is_sure(60) and found.at_rest[:2] == (0, 0)
    assert Shift(1.0, 1.0, 1 - math.exp(-5.992 / 50), 0.0, False).is_sure(50)
    assert not Shift(1.0, 1.0, 1 - math.exp(-5.990 / 50), 0.0, False).is_sure(50)


def test_doubts_weigh_less() -> None:
    labels = np.array([[250, 0, 120, 0]], np.uint8)
    sure = np.array([[0.7, 1, 0.95, 1]], np.float32)
    known = np.array([[True, True, True, False]])
    assert label_weights(labels, sure, known, None).tolist() == [[7, 10, 10, 0]]
    two_years = 2 * 365.25
    assert label_weights(labels, sure, known, two_years).tolist() == [[7, 6, 10, 0]]  # what was built since is missing
    assert label_weights(labels, sure, known, -two_years).tolist() == [[4, 10, 6, 0]]  # it may not have stood yet
    assert label_weights(labels, sure, known, -9e9).tolist() == [[0, 10, 0, 0]]


def test_days_from_the_middle_label() -> None:
    labels = [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1), dt.date(2024, 1, 1)]
    assert days_from_label(dt.date(2021, 1, 31), labels) == 30
    assert days_from_label(dt.date(2021, 1, 31), [None]) is None


@given(st.floats(0.5, 2), st.floats(-0.2, 0.2), st.integers(0, 1000))
def test_an_image_is_known_again_in_other_light(gain: float, offset: float, seed: int) -> None:
    ground = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(2, 96, 120)), (0, 9, 9))
    image = (ground / ground.std()).astype(np.float32)
    one, again, other = (perceptual_hash(values) for values in (image, gain * image + offset, image[:, ::-1]))
    assert one is not None and again is not None and other is not None
    assert -(2**63) <= one < 2**63
    assert ((one ^ again) & (2**64 - 1)).bit_count() <= 1
    assert ((one ^ other) & (2**64 - 1)).bit_count() > 6


def test_bits_say_where_brightness_falls() -> None:
    image = np.zeros((1, 8, 9), np.float32)
    image[0, 0, 3] = 1.0  # falls from cell 3 to 4 of the first row, and nowhere else
    assert perceptual_hash(image) == 1 << (63 - 3)
    assert perceptual_hash(np.zeros((1, 8, 9), np.float32)) is None
    image[0, 4:] = np.nan
    assert perceptual_hash(image) is None
