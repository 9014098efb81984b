"""Series of hand-made maps."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.change_integration import FREE, Rule, integrated, terms
from models.series_states import BUILT_FROM, Steadiness, series_of_maps
from udfs.rasters import NO_DATA, decode_raster, encode_raster
from udfs.urban_series import series_batches

YEARS = [dt.date(2015 + number, 7, 1) for number in range(8)]
HELD = Steadiness(0.02, 1, FREE)
N = NO_DATA


def one_pixel(values, held=HELD, threshold=125, dates=YEARS):
    found = series_of_maps(np.array(values, np.uint8).reshape(-1, 1, 1), [threshold] * len(values), dates[: len(values)], held)
    states = ["?" if value == N else "1" if value >= BUILT_FROM else "0" for value in found.values.ravel()]
    return "".join(states), int(found.first_built[0, 0]), int(found.last_built[0, 0])


@pytest.mark.parametrize(
    "values, states, first, last",
    [
        ([10, 10, 240, 240, 240, 240], "001111", 3, 6),
        ([10, 10, 160, 10, 10, 10], "000000", 0, 0),
        ([240, 240, 90, 240, 240, 240], "111111", 1, 6),
        ([240, 240, 5, 5, 5, 5], "110000", 1, 2),
        ([N, 10, N, 10, 240, 240, N, 240], "?0?011?1", 5, 8),
        ([10, 10, N, N, 240, 240], "00??11", 5, 6),
        ([N, N, N], "???", N, N),
        ([N, 240, N], "?1?", 2, 2),
    ],
)
def test_what_a_series_of_one_pixel_becomes(values, states, first, last):
    """Doubtful turns are smoothed away and sure ones stay; what a date does not show is not known there."""
    assert one_pixel(values) == (states, first, last)


def test_what_is_built_stays_where_that_is_the_rule():
    assert one_pixel([1, 245, 245, 245, 45, 45], Steadiness(0.02, 1, Rule(monotone=True)))[0] == "011111"
    assert one_pixel([1, 245, 245, 245, 5, 5])[0] == "011100"


def test_a_state_lasts_as_many_seen_dates_as_asked_for():
    held = Steadiness(0.4, 1, Rule(least_dates=2))
    assert one_pixel([2, 2, 249, 2, 2, 2], Steadiness(0.4, 1, FREE))[0] == "001000"
    assert one_pixel([2, 2, 249, 2, 2, 2], held)[0] == "000000"
    assert one_pixel([2, 2, 249, N, 2, 2, 2], held)[0] == "000?000"  # the hidden date does not help it to last
    assert one_pixel([2, 2, 2, 2, 2, 249], held)[0] == "000001"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 250))
def test_a_single_map_stays_as_it_is(seed, threshold):
    values = np.random.default_rng(seed).choice(np.arange(256, dtype=np.uint8), (1, 9, 7))
    values[values > 250] = N
    found = series_of_maps(values, [threshold], YEARS[:1], HELD).values
    assert np.array_equal(found == N, values == N)
    assert np.array_equal((found >= BUILT_FROM)[values != N], (values >= threshold)[values != N])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.5))
def test_hidden_dates_are_as_if_they_were_not_there(seed, rate):
    """Each pixel against the series of its seen dates alone, integrated by itself."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 251, (7, 5, 4)).astype(np.uint8)
    values[random.random(values.shape) < 0.4] = N
    dates = [dt.date(2000, 1, 1) + dt.timedelta(days=int(day)) for day in np.sort(random.choice(5000, 7, replace=False))]
    thresholds = random.integers(60, 200, 7).tolist()
    found = series_of_maps(values, thresholds, dates, Steadiness(rate, 1, FREE)).values
    for row in range(5):
        for col in range(4):
            seen = np.flatnonzero(values[:, row, col] != N)
            if not len(seen):
                continue
            odds = [terms((values[d, row, col] + 0.5) / 251) - terms(thresholds[d] / 251) for d in seen]
            days = np.diff([dates[d].toordinal() for d in seen])
            change = terms(-np.expm1(-2 * rate * days / 365.25) / 2)
            states = integrated(np.array(odds)[:, None], change[:, None], [(i, i + 1) for i in range(len(days))])
            assert ((found[seen, row, col] >= BUILT_FROM) == states[:, 0]).all()


def test_how_sure_a_state_is():
    """Two dates that agree make each other surer; one that stands against the other is less sure."""
    alone = series_of_maps(np.full((1, 1, 1), 180, np.uint8), [125], YEARS[:1], HELD).values[0, 0, 0]
    agreed = series_of_maps(np.full((2, 1, 1), 180, np.uint8), [125, 125], YEARS[:2], HELD).values[:, 0, 0]
    against = series_of_maps(np.array([180, 100], np.uint8).reshape(2, 1, 1), [125, 125], YEARS[:2], HELD).values[:, 0, 0]
    assert abs(int(alone) - 180) <= 1
    assert (agreed > alone).all() and BUILT_FROM <= against[0] < alone


def tile_row(*maps):
    values = dict.fromkeys(("layer", "tile_id", "grid", "crs", "row", "col", "transform", "strip", "geometry"))
    return pd.DataFrame([{**values, "xmin": 0.0, "ymin": 0.0, "xmax": 0.0, "ymax": 0.0, "settings_digest": "", "tile_px": 2, "maps": maps}])


def map_of(epoch, value=None, error=None):
    return {
        "epoch": epoch, "status": "done" if value is not None else "quarantined" if error else "nodata", "threshold": 125,
        "probability": None if value is None else encode_raster(np.full((2, 2), value, np.uint8)), "scenes_used": [f"s{epoch}"],
        "model_sha256": "m", "error_class": error, "message": "why" if error else None,
    }  # fmt: skip


DATES = {"a": YEARS[0], "b": YEARS[1], "c": YEARS[2]}


def outcome(*maps):
    (frame,) = series_batches([tile_row(*maps)], DATES, HELD)
    return frame.iloc[0]


def test_maps_come_in_the_order_of_their_dates():
    row = outcome(map_of("c", 240), map_of("a", 2), map_of("b", 240))
    assert (row["status"], list(row["epochs"]), row["scenes_used"]) == ("done", ["a", "b", "c"], ["sa", "sb", "sc"])
    assert [int(decode_raster(one, (2, 2))[0, 0] >= BUILT_FROM) for one in row["series"]] == [0, 1, 1]
    assert decode_raster(row["first_built"], (2, 2)).tolist() == [[2, 2], [2, 2]]


def test_a_fault_that_passes_lets_the_series_wait_and_one_that_stays_does_not():
    waits = outcome(map_of("a", 10), map_of("b", error="network"), map_of("c", 240))
    assert (waits["status"], waits["error_class"], waits["message"], waits["series"]) == ("quarantined", "network", "epoch b: why", None)
    goes_on = outcome(map_of("a", 10), map_of("b", error="truncated"), map_of("c", 10))
    assert (goes_on["status"], goes_on["epochs_failed"], goes_on["error_class"]) == ("done", ["b"], None)
    assert [None if one is None else int(decode_raster(one, (2, 2))[0, 0] >= BUILT_FROM) for one in goes_on["series"]] == [0, None, 0]


def test_tiles_without_any_map():
    assert outcome(map_of("a"), map_of("b"))["status"] == "nodata"
    assert outcome(map_of("a"), map_of("b", error="truncated"))["status"] == "quarantined"
