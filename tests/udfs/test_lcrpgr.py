"""City A to twelve digits, the seventeen regimes, and rates that are not defined."""

import datetime as dt

import numpy as np
import pytest

from conf.indicators import CITY_A, INDICATORS
from conf.regimes import REGIMES
from udfs.lcrpgr import FORMULAS, Pair, lcrpgr, population_growth, regimes, years_between


def one(built_start: float, built_end: float, people_start: float, people_end: float, years: float) -> Pair:
    return Pair(*(np.array([value]) for value in (built_start, built_end, people_start, people_end, years)))


@pytest.mark.parametrize("declared", INDICATORS, ids=lambda declared: f"{declared.id}/{declared.formula_id}")
def test_worked_example(declared):
    city_a = one(*(CITY_A[name] for name in ("V1", "V2", "P1", "P2", "T")))
    assert FORMULAS[declared.key](city_a)[0] == pytest.approx(declared.example, rel=2e-10)


def test_declarations_are_the_formulas_of_the_metadata_sheet():
    """The printed formula, evaluated as it stands, gives the printed number: page and code cannot drift apart."""
    assert set(FORMULAS) == {declared.key for declared in INDICATORS}
    for declared in INDICATORS:
        printed = eval(declared.formula, {"ln": np.log}, CITY_A)
        assert printed == pytest.approx(declared.example, rel=2e-10), declared.key


@pytest.mark.parametrize(
    ("start", "end", "years"),
    [
        (dt.date(2010, 1, 1), dt.date(2020, 1, 1), 10.0),
        (dt.date(2016, 2, 29), dt.date(2017, 2, 28), 1.0),
        (dt.date(2015, 11, 30), dt.date(2018, 3, 19), 2 + 109 / 365),
        (dt.date(2019, 7, 1), dt.date(2020, 6, 30), 365 / 366),
    ],
)
def test_years_run_from_anniversary_to_anniversary(start, end, years):
    assert years_between(start, end) == years


# Land rate, people rate, regime: ratio 2 is the worse sign in the first row and the better one in the fifteenth.
CASES = [
    (0.02, 0.01, "R1"), (0.01, 0.01, "R2"), (0.01, 0.02, "R3"), (0.01, 0.0, "R4"), (0.02, -0.01, "R5"), (0.01, -0.01, "R6"),
    (0.01, -0.02, "R7"), (0.0, 0.01, "R8"), (0.0, 0.0, "R9"), (0.0, -0.01, "R10"), (-0.02, 0.01, "R11"), (-0.01, 0.01, "R12"),
    (-0.01, 0.02, "R13"), (-0.01, 0.0, "R14"), (-0.02, -0.01, "R15"), (-0.01, -0.01, "R16"), (-0.01, -0.02, "R17"),
]  # fmt: skip


@pytest.mark.parametrize(("land", "people", "regime"), CASES)
def test_regimes(land, people, regime):
    assert regimes(np.array([land]), np.array([people]))[0] == regime


def test_regimes_cover_all_rates_once():
    land, people = (axis.ravel() for axis in np.meshgrid(np.linspace(-3, 3, 13), np.linspace(-3, 3, 13)))
    assert set(regimes(land, people)) == {regime.id for regime in REGIMES} == {case[2] for case in CASES}
    assert regimes(np.array([np.nan, 0.1]), np.array([0.1, np.nan])).tolist() == [None, None]


@pytest.mark.parametrize(
    "pair",
    [
        one(0, 5, 10, 20, 1), one(5, 6, 0, 20, 1), one(5, 6, 10, 0, 1), one(5, 6, 10, 10, 1), one(5, 6, 10, 20, 0),
        one(np.nan, 6, 10, 20, 1), one(5, 6, 10, np.nan, 1), one(5e-324, 6, 10, 20, 1),
    ],
)  # fmt: skip
def test_undefined_ratio_is_nan_never_infinite(pair):
    assert np.isnan(lcrpgr(pair)[0])
    assert not any(np.isinf(formula(pair)).any() for formula in FORMULAS.values())


def test_rounding_of_interpolated_people_is_no_growth():
    assert population_growth(one(5, 6, 1000.0, 1000.0 * (1 + 4e-16), 1))[0] == 0
