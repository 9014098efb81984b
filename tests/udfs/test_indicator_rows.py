"""Rows of `indicators`: a value or a reason, the same however the units are cut, sums before divisions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.indicators import INDICATORS
from udfs.indicator_rows import PAIR_COLUMNS, Period, indicator_batches, indicator_rows, periods_of
from udfs.null_reasons import Limits
from udfs.uncertainty import Errors

LIMITS = Limits(0.5, 0.05, 1.5)
NO_ERRORS = Errors()


def period(unit_id="A", **changes):
    """City A, fully covered, counted in 2010 and 2020."""
    values = {
        "unit_id": unit_id, "period_start": "2010", "period_end": "2020", "years": 10.0,
        "built_start": 53e6, "valid_start": 90e6, "total_start": 90e6, "people_start": 320e3,
        "people_year_start": "2010", "year_start": 2010.5, "people_year_end": "2020", "year_end": 2020.5,
        "built_end": 61.5e6, "valid_end": 90e6, "total_end": 90e6, "people_end": 330e3, "boundary": "unit", "basis": "built_up",
    }  # fmt: skip
    return pd.DataFrame([{**values, **changes}], columns=list(PAIR_COLUMNS))


def state(**changes):
    return period(period_start="2020", years=0.0, **changes)


def row(pairs, indicator, formula_id, limits=LIMITS, errors=NO_ERRORS):
    rows = indicator_rows(pairs, limits, errors)
    return rows[(rows.indicator == indicator) & (rows.formula_id == formula_id)].iloc[0]


def test_periods_of_one_two_and_three_epochs():
    assert periods_of(["a"], "consecutive+whole") == [("a", "a")]
    assert periods_of(["a", "b"], "consecutive+whole") == [("a", "a"), ("a", "b"), ("b", "b")]
    states = {("a", "a"), ("b", "b"), ("c", "c")}
    for rule, spans in {
        "consecutive": {("a", "b"), ("b", "c")},
        "whole": {("a", "c")},
        "consecutive+whole": {("a", "b"), ("b", "c"), ("a", "c")},
        "all": {("a", "b"), ("b", "c"), ("a", "c")},
    }.items():
        assert set(periods_of(["a", "b", "c"], rule)) == states | {Period(*span) for span in spans}


def test_city_a_has_every_declared_value_and_its_regime():
    rows = indicator_rows(pd.concat([period(), state()], ignore_index=True), LIMITS, NO_ERRORS).set_index(["indicator", "formula_id"])
    assert {key: pytest.approx(rows.value[key], rel=2e-10) for key in rows.index} == {d.key: d.example for d in INDICATORS}
    assert rows.regime.dropna().to_dict() == {("11.3.1", "un-2021"): "R1", ("11.3.1", "ln-legacy"): "R1"}
    assert rows.reason.isna().all() and rows.lower.isna().all()


NAN = float("nan")
RATIO = ("11.3.1", "un-2021")
LCR, LN, PGR = ("11.3.1-lcr", "un-2021"), ("11.3.1-lcr", "ln-legacy"), ("11.3.1-pgr", "pgr")
REASONS = [
    (LCR, {"built_start": 0.0}, "no built-up area at 2010"),
    (LN, {"built_end": 0.0}, "no built-up area at 2020"),
    (LCR, {"valid_end": 0.0, "built_end": 0.0}, "no data at 2020"),
    (LCR, {"valid_start": 0.0, "built_start": 0.0, "total_start": 0.0}, "no pixel lies in the unit at 2010"),
    (LCR, {"valid_start": 43.2e6, "built_start": 9e6}, "at 2010 48.0 % of the unit has data; at least 50 % is needed"),
    (LCR, {"valid_end": 72e6}, "data cover 100.0 % of the unit at 2010 and 80.0 % at 2020: over 5 points apart"),
    (PGR, {"people_start": NAN, "people_end": NAN}, "no population declared"),
    (PGR, {"people_start": 0.0}, "no people at 2010"),
    (PGR, {"people_end": 0.0}, "no people at 2020"),
    (PGR, {"people_year_end": "2010", "people_end": 320e3}, "people known for one year only (2010)"),
    (PGR, {"people_year_start": "2014"}, "people at 2010 are those of 2014, too far from its date for a growth rate"),
    (PGR, {"people_year_end": "2019", "year_end": 2021.1}, "people at 2020 are those of 2019, too far from its date for a growth rate"),
    (PGR, {"people_year_start": "2001-2011, 2008"}, "people at 2010 are those of 2008, too far from its date for a growth rate"),
    (PGR, {"people_year_start": "2001-2011, 2011", "people_year_end": "2011, 2019-2021"}, "people known for one year only (2011)"),
    (RATIO, {"people_end": 320e3}, "no population growth: the ratio is not defined"),
    (RATIO, {"people_start": NAN, "people_end": NAN}, "no population declared"),
    (RATIO, {"built_start": 0.0, "people_end": 320e3}, "no built-up area at 2010"),
    (RATIO, {"years": 0.0}, "the sums give no finite value"),
]


@pytest.mark.parametrize(("key", "changes", "reason"), REASONS, ids=lambda case: str(case)[:40])
def test_null_with_its_reason(key, changes, reason):
    found = row(period(**changes), *key)
    assert found.reason == reason
    assert found.value is None and found.lower is None


def test_one_census_year_still_gives_land_consumption_and_a_state():
    changes = {"people_year_start": "2011", "people_year_end": "2011", "people_start": 330e3}
    assert row(period(**changes), *LCR).value == pytest.approx(0.016037735849)
    assert row(period(**changes), *RATIO).regime is None
    assert row(state(people_year_start="2011", people_year_end="2011"), "11.3.1-built-per-person", "built-per-person").value > 186


def test_no_growth_of_people_has_a_regime_but_no_ratio():
    found = row(period(people_end=320e3), *RATIO)
    assert (found.value, found.regime) == (None, "R4")


def test_half_a_unit_in_the_image_stands_for_the_whole():
    """Both epochs end at the same image edge: rates as before, and people are compared with the area of the whole unit."""
    half = {f"{name}_{end}": period()[f"{name}_{end}"][0] * 0.6 for name in ("built", "valid") for end in ("start", "end")}
    assert row(period(**half), *LCR).value == pytest.approx(0.016037735849)
    assert row(state(**half), "11.3.1-built-per-person", "built-per-person").value == pytest.approx(186.363636364)


def test_clouds_over_a_few_percent_do_not_look_like_demolition():
    cloudy = {"valid_end": 0.96 * 90e6, "built_end": 0.96 * 53e6}
    assert row(period(**cloudy), *LCR).value == pytest.approx(0, abs=1e-15)


def test_limits_are_used():
    partly = {"valid_end": 72e6, "built_end": 50e6, "people_year_start": "2014"}
    assert row(period(**partly), *RATIO, Limits(0.9, 0.5, 9)).reason.startswith("at 2020 80.0 %")
    assert row(period(**partly), *RATIO, Limits(0.5, 0.5, 9)).value is not None
    assert row(period(**partly), *RATIO, Limits(0.5, 0.5, 1)).reason.startswith("people at 2010")


areas = st.floats(0, 1e9) | st.just(0.0)
people = st.floats(0, 1e7) | st.just(NAN) | st.just(0.0)


@given(st.tuples(areas, areas, people, people), st.floats(0, 1), st.floats(0, 1))
def test_a_value_or_a_reason_never_both_never_infinite(sums, first, second):
    total = 2e9
    pairs = period(
        built_start=sums[0] * first, valid_start=total * first, total_start=total, people_start=sums[2],
        built_end=sums[1] * second, valid_end=total * second, total_end=total, people_end=sums[3],
    )  # fmt: skip
    rows = indicator_rows(pairs, LIMITS, NO_ERRORS)
    assert (rows.value.isna() == rows.reason.notna()).all()
    assert np.isfinite(rows.value.dropna().to_numpy(float)).all()


@pytest.mark.parametrize("size", [1, 3, 7])
def test_same_rows_however_cut(size):
    """Bounds are drawn too: their seed is the row's key, not its place in a batch."""
    errors = Errors(0.05, 0.1, 0.3, 0.0, 500)
    units = pd.concat([period(f"U{i}", built_end=53e6 + 1e6 * i) for i in range(7)] + [state(unit_id="U9")], ignore_index=True)
    cut = [units[start : start + size] for start in range(0, len(units), size)]
    key = ["unit_id", "indicator", "formula_id"]
    pieces = pd.concat(indicator_batches(iter(cut[::-1]), LIMITS, errors)).sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(pieces, indicator_rows(units, LIMITS, errors).sort_values(key, ignore_index=True))


def test_a_parent_is_the_ratio_of_sums_not_the_mean_of_ratios():
    parts = [period(built_end=60e6, people_end=400e3), period(built_start=5e6, built_end=30e6)]
    sums = [c for c in PAIR_COLUMNS if c.split("_")[0] in ("built", "valid", "total", "people") and "year" not in c]
    parent = period(**{c: sum(p[c][0] for p in parts) for c in sums})
    expected = (90 - 58) / 58 / 10 / (np.log(730 / 640) / 10)
    assert row(parent, *RATIO).value == pytest.approx(expected)
