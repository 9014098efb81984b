"""Composites: only valid dates count."""

import numpy as np
import pytest

from udfs.compositing import COMPOSITES

NAN = np.nan


@pytest.mark.parametrize(
    ("name", "expected"),
    [("median", [2.0, 4.0, 5.0, NAN]), ("mean", [3.0, 4.0, 5.0, NAN]), ("latest", [6.0, 5.0, 5.0, NAN])],
)
def test_composites(name: str, expected: list[float]) -> None:
    dates = [[1.0, 3.0, NAN, NAN], [2.0, NAN, 5.0, NAN], [6.0, 5.0, NAN, NAN]]
    stack = [np.array(values, np.float32).reshape(1, 1, 4) for values in dates]
    np.testing.assert_array_equal(COMPOSITES[name](stack)[0, 0], np.array(expected, np.float32))


def test_median_is_that_of_numpy_in_any_order_of_dates() -> None:
    rng = np.random.default_rng(3)
    stack = [rng.random((2, 5, 7)).astype(np.float32) for _ in range(6)]
    for number, values in enumerate(stack):
        values[:, rng.random((5, 7)) < 0.1 * number] = NAN
    stack[0][:] = rng.random((2, 5, 7))
    expected = np.nanmedian(np.stack(stack).astype(float), axis=0)
    np.testing.assert_allclose(COMPOSITES["median"](list(stack)), expected, rtol=1e-6)
    assert COMPOSITES["median"](stack[::-1]).tobytes() == COMPOSITES["median"](stack).tobytes()
