"""Turns of hand-made series."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.change_events import turns_of
from udfs.rasters import NO_DATA

N = NO_DATA


def turns(*series):
    """Of one row of pixels, each a series: (kind, before, after) and the pixels that turn so, with their sureness."""
    values = np.array(series, np.uint8).T[:, None, :]
    return [(turn.kind, turn.before, turn.after, turn.sure[0].tolist()) for turn in turns_of(values)]


def test_what_appears_vanishes_and_is_rebuilt():
    assert turns([10, 240, 240, 240], [240, 20, 20, 200], [30, 30, 30, 30]) == [
        ("appeared", 0, 1, [240, 0, 0]),
        ("vanished", 0, 1, [0, 230, 0]),
        ("rebuilt", 2, 3, [0, 200, 0]),
    ]


def test_hidden_dates_widen_the_interval_and_are_no_state():
    """A pixel that is not seen in between turned some time after the last date that shows it; one without another date never turns."""
    assert turns([10, N, N, 240], [N, 240, 240, 240], [240, 240, N, N], [10, 10, 10, 10]) == [("appeared", 0, 3, [240, N, N, 0])]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_turns_add_up_to_the_difference_of_the_maps(seed, hidden):
    random = np.random.default_rng(seed)
    values = random.choice(np.array([0, 60, 124, 125, 200, 250] + [N] * hidden, np.uint8), (6, 4, 5))
    known = [values[:, row, col][values[:, row, col] != N] for row in range(4) for col in range(5)]
    expected = sum(int(np.abs(np.diff((one >= 125).astype(int))).sum()) for one in known)
    found = list(turns_of(values))
    assert sum(int(((turn.sure > 0) & (turn.sure != N)).sum()) for turn in found) == expected
    for turn in found:
        changed = (turn.sure > 0) & (turn.sure != N)
        assert (turn.sure[changed] >= 125).all()
        assert ((values[turn.after] >= 125)[changed] == (turn.kind != "vanished")).all()
