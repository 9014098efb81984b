"""What a sheet says in words: no more than the bounds allow, each reason once."""

import numpy as np
import pandas as pd
import pytest

from tests.udfs.test_indicator_rows import LIMITS, NO_ERRORS, period, state
from udfs.indicator_rows import Period, indicator_rows
from udfs.sheet_findings import findings, state_finding, sureness
from udfs.sheet_unit import rows_by_key, shown_period
from udfs.uncertainty import Errors

SPAN = Period("2010", "2020")
SUMS = pd.DataFrame({"built_m2": [53e6, 61.5e6], "people": [320e3, 330e3]}, index=["2010", "2020"])


def told(errors=NO_ERRORS, sums=SUMS, **changes):
    rows = indicator_rows(period(**changes), LIMITS, errors)
    return findings(rows_by_key(rows, SPAN), SPAN, sums)


def test_city_a_in_words():
    land, people, ratio, sure, older = told()
    assert land.startswith("Built-up land grew from 53.00 km² in 2010 to 61.50 km² in 2020: by 16.0 %, or +1.60 % of that of 2010 a year")
    assert people == "The number of people grew from 320,000 to 330,000: +0.31 % a year."
    assert "is 5.21. Regime R1: both grow, land faster than people; land use counts as inefficient." in ratio
    assert "no errors are declared" in sure
    assert older.endswith("it is 4.83, in the same regime.")


def test_bounds_stand_behind_the_values_they_bound():
    errors = Errors(built_sd=0.02, people_sd=0.01)
    rows = rows_by_key(indicator_rows(period(), LIMITS, errors), SPAN)
    ratio = rows["11.3.1", "un-2021"]
    assert f"5.21 (95 % bounds {ratio['lower']:,.2f} to {ratio['upper']:,.2f})" in told(errors)[2]
    assert f"(95 % bounds {rows['11.3.1-change', 'change']['lower'] * 100:+.1f} to" in told(errors)[0]
    # People grew by 3 %, known to about 1.4 %: that they grew at all is not sure.
    low, high = (rows["11.3.1-pgr", "pgr"][end] for end in ("lower", "upper"))
    assert ("the number of people changed at all is not sure" in told(errors)[3]) == (low <= 0 <= high)


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        (1.1, 1.4, "wholly above 1: at 95 % confidence land changed faster"),
        (0.2, 0.9, "wholly below 1: at 95 % confidence land changed more slowly"),
        (-0.5, 0.9, "wholly between -1 and 1: at 95 % confidence land changed more slowly"),
        (-3.0, -1.2, "wholly below -1: at 95 % confidence land changed faster"),
        (0.9, 1.1, "include 1: at 95 % confidence it cannot be told"),
        (-1.1, -0.9, "include -1: at 95 % confidence it cannot be told"),
        (-9.0, 9.0, "include -1 and 1: at 95 % confidence it cannot be told"),
    ],
)
def test_which_changed_faster_is_said_only_where_the_bounds_say_so(lower, upper, words):
    rate = {"lower": 0.01, "upper": 0.02}
    assert words in sureness(rate, rate, {"value": (lower + upper) / 2, "lower": lower, "upper": upper})


def test_a_rate_whose_bounds_include_zero_is_named():
    ratio = {"value": 1.0, "lower": 0.5, "upper": 1.5}
    text = sureness({"lower": -0.01, "upper": 0.03}, {"lower": 0.01, "upper": 0.02}, ratio)
    assert "land consumption, -1.00 to +3.00 % a year, include 0" in text and "population growth" not in text


def test_no_people_no_ratio_and_the_reason_once():
    texts = told(people_start=np.nan, people_end=np.nan, sums=SUMS.assign(people=np.nan))
    assert "Built-up land grew" in texts[0] and " ".join(texts).count("no population declared") == 1
    assert texts[-1] == "The ratio of land consumption to population growth (LCRPGR) has no value."


def test_people_who_stay_have_a_regime_but_no_ratio():
    texts = told(people_end=320e3, sums=SUMS.assign(people=320e3))
    assert "The number of people stayed from 320,000 to 320,000" in texts[1]
    assert "has no value: no population growth: the ratio is not defined. Regime R4: land grows, people stay" in texts[2]


def test_formulas_that_disagree_are_said_to():
    # 72 % more land and 76 % more people: land is ahead of the logarithm of people, its own logarithm is behind.
    text = told(built_end=53e6 * 1.724, people_end=320e3 * 1.761)[-1]
    assert "regime R3: the formulas disagree" in text


def test_one_epoch():
    (row,) = indicator_rows(state(), LIMITS, NO_ERRORS).to_dict("records")
    text = state_finding({**row, "period_end": "2020"}, 61.5e6)
    assert text == "Built-up land was 61.50 km² in 2020. That is 186.4 m² per person. Growth needs a second epoch."
    (row,) = indicator_rows(state(valid_end=0.0, built_end=0.0), LIMITS, NO_ERRORS).to_dict("records")
    assert state_finding(row, np.nan).startswith("Built-up land per person is not known: no data at 2020.")


def test_the_longest_period_is_shown_and_of_equally_long_ones_the_latest():
    def rows(*pairs):
        return pd.DataFrame(pairs, columns=["period_start", "period_end"])

    epochs = ["b", "a", "c"]
    assert shown_period(rows(("b", "a"), ("a", "c"), ("b", "c"), ("c", "c")), epochs) == ("b", "c")
    assert shown_period(rows(("b", "a"), ("a", "c")), epochs) == ("a", "c")
    assert shown_period(rows(("b", "b")), epochs) is None
