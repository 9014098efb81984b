"""Belief propagation by pgmpy finds the same states."""

import numpy as np
import pytest

from benchmarks.change_integration import by_kernel, by_pgmpy, drawn


@pytest.mark.parametrize("dates", [2, 3, 4, 6])
def test_pgmpy_finds_the_same_states(dates: int) -> None:
    probability, change, edges = drawn(dates, 40, seed=dates)
    ours = by_kernel(probability, change, edges)
    assert np.array_equal(ours, by_pgmpy(probability, change, edges))
    assert 0.2 < ours.mean() < 0.8
