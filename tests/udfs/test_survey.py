"""Households of a survey: deprived or not, shares up the tree, and their errors against the formula on households one by one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conf.errors import InputError
from udfs.survey import SurveyColumns, deprivation_rows, read_survey

COLUMNS = SurveyColumns("ward", "year", "weight", "members", {"water": "no_water", "tenure": "no_tenure"})
TABLE = """ward,year,weight,members,no_water,no_tenure
a,2019,2.0,4,1,0
a,2019,1.5,2,0,0
a,2019,1.0,6,,1
a,2019,3.0,3,0,
b,2019,1.0,5,0,no
b,2021,1.0,5,yes,0
"""


def survey(folder: Path, text: str = TABLE) -> pd.DataFrame:
    path = folder / "households.csv"
    path.write_text(text, encoding="utf-8")
    return read_survey(path, COLUMNS)


def test_one_lack_is_enough_and_what_was_not_answered_counts_neither_way(tmp_path: Path) -> None:
    found = survey(tmp_path)
    assert found["deprived"].tolist() == [True, False, True, None, False, True]
    assert found["weight"].tolist() == [8.0, 3.0, 6.0, 9.0, 5.0, 5.0]


def test_shares_of_a_unit_and_of_all_above_it_are_of_its_own_households(tmp_path: Path) -> None:
    rows = deprivation_rows(survey(tmp_path), {"a": "city", "b": "city", "city": None}, 1.0).set_index(["unit_id", "year"])
    assert rows.loc[("a", 2019), "share"] == pytest.approx(14 / 17) and rows.loc[("a", 2019), "households"] == 3
    assert rows.loc[("city", 2019), "share"] == pytest.approx(14 / 22)
    assert np.isnan(rows.loc[("b", 2019), "standard_error"]) and rows.loc[("city", 2021), "share"] == 1
    weight, lack = np.array([8.0, 3.0, 6.0, 5.0]), np.array([1, 0, 1, 0])
    residual = weight * (lack - 14 / 22)
    expected = np.sqrt(4 / 3 * (residual**2).sum()) / weight.sum()
    assert rows.loc[("city", 2019), "standard_error"] == pytest.approx(expected)
    doubled = deprivation_rows(survey(tmp_path), {"a": "city", "b": "city", "city": None}, 4.0).set_index(["unit_id", "year"])
    assert doubled.loc[("city", 2019), "standard_error"] == pytest.approx(2 * expected)


def test_bounds_of_the_error_hold_the_true_share_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(3), 0
    for _ in range(400):
        weight, lack = random.uniform(0.5, 3, 300), random.random(300) < 0.35
        told = pd.DataFrame({"unit_id": "a", "year": 2020, "weight": weight, "deprived": lack.astype(object)})
        row = deprivation_rows(told, {}, 1.0).iloc[0]
        held += abs(row["share"] - 0.35) <= 1.96 * row["standard_error"]
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a,2019,2.0,4,1,0", "a,2019,2.0,4,2,0", "no_water = '2' is neither 1 nor 0"),
        ("a,2019,2.0,4,1,0", ",2019,2.0,4,1,0", "row 1 has no proper unit_id"),
        ("a,2019,1.5,2", "a,2019,-1.5,2", "row 2 has no proper weight or people"),
        ("no_tenure\n", "tenure\n", "has no column 'no_tenure'"),
    ],
)
def test_a_wrong_table_is_refused_in_a_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        survey(tmp_path, TABLE.replace(old, new))
