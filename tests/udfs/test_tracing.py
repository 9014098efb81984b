"""Tracing: the same polygons as GDAL, valid, exact, bounded."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio import features
from scipy import ndimage

from udfs.components import label_components
from udfs.tracing import corners_of_labels, polygons_from_mask, rings_of_corners

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 12))
MASKS = arrays(bool, SHAPES)


def gdal_polygons(mask: np.ndarray) -> np.ndarray:
    found = features.shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    return np.array([shapely.geometry.shape(outline) for outline, _ in found], dtype=object)


def normal_bytes(polygons: np.ndarray) -> list[bytes]:
    return sorted(shapely.to_wkb(shapely.normalize(polygons)))


@settings(max_examples=300)
@given(MASKS)
def test_polygons_are_those_of_gdal_and_give_the_mask_back(mask: np.ndarray) -> None:
    polygons = polygons_from_mask(mask)
    assert shapely.is_valid(polygons).all()
    assert normal_bytes(polygons) == normal_bytes(gdal_polygons(mask))
    if len(polygons):
        assert (features.rasterize(polygons, mask.shape).astype(bool) == mask).all()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_large_noise_is_that_of_gdal(share: float) -> None:
    mask = np.random.default_rng(7).random((301, 257)) < share
    polygons = polygons_from_mask(mask)
    assert shapely.is_valid(polygons).all()
    assert normal_bytes(polygons) == normal_bytes(gdal_polygons(mask))


@pytest.mark.parametrize("flip", [slice(None), slice(None, None, -1)])
def test_self_contact_becomes_a_hole_touching_the_outside(flip: slice) -> None:
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 0]], bool)[:, flip]
    polygons = polygons_from_mask(mask)
    assert [(len(polygon.interiors), polygon.area) for polygon in polygons] == [(1, 9.0)]
    assert shapely.is_valid(polygons).all()


def test_rings_start_at_the_top_edge_and_run_counter_clockwise_on_the_map() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, 1:4] = mask[2, 1] = True
    labels, _ = label_components(mask)
    rings = rings_of_corners(corners_of_labels(labels))
    assert rings.xy.tolist() == [[4, 1], [1, 1], [1, 3], [2, 3], [2, 2], [4, 2], [4, 1]]


def test_salt_and_pepper_of_a_hundred_thousand_components_is_traced_whole() -> None:
    mask = np.random.default_rng(3).random((1024, 1024)) < 0.14
    polygons = polygons_from_mask(mask)
    assert len(polygons) == ndimage.label(mask)[1] > 90_000
    assert shapely.area(polygons).sum() == mask.sum()
