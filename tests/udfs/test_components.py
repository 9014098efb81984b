"""Connected components against SciPy's labels and by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from udfs.components import connected, label_components

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 12)))


@settings(max_examples=100)
@given(MASKS)
def test_components_are_those_of_scipy_in_the_order_of_their_first_pixels(mask: np.ndarray) -> None:
    labels, count = label_components(mask)
    expected, expected_count = ndimage.label(mask)
    assert count == expected_count
    assert np.array_equal(labels, expected)


def test_a_component_is_named_by_its_least_node() -> None:
    nodes, least = connected(np.array([9, 2**40, -3]), np.array([4, 7, 9]))
    assert nodes.tolist() == [-3, 4, 7, 9, 2**40]
    assert least.tolist() == [-3, -3, 7, -3, 7]


def test_no_pair_is_no_node() -> None:
    assert connected(np.zeros(0, np.int64), np.zeros(0, np.int64))[0].tolist() == []
