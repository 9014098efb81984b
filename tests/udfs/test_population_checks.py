"""Counts of other definitions are said beside them: a hand-made census with one of each fault, and one with none."""

import numpy as np
import pandas as pd
import pytest

from udfs.population import read_population
from udfs.population_checks import count_notes, year_notes

UNITS = [f"u{n}" for n in range(12)]
PARENT_OF = {"city": None, **dict.fromkeys(UNITS, "city")}


def census(growth: float = 0.02, years: tuple[int, ...] = (2000, 2010, 2020)) -> pd.DataFrame:
    """Twelve units that grow by about 2 % a year, whole people, and the city they are."""
    rates = growth + np.random.default_rng(7).normal(0, 0.004, len(UNITS))
    rows = [(unit, year, float(round(5000 * (n + 1) * np.exp(rates[n] * (year - 2000))))) for n, unit in enumerate(UNITS) for year in years]
    counts = pd.DataFrame(rows, columns=["unit_id", "year", "people"])
    city = counts.groupby("year", as_index=False)["people"].sum().assign(unit_id="city")
    return pd.concat([counts, city], ignore_index=True)


def told(counts: pd.DataFrame) -> dict[tuple[str, int], str]:
    rows = counts.assign(note=count_notes(counts, PARENT_OF)).dropna(subset=["note"])
    return dict(zip(zip(rows["unit_id"], rows["year"], strict=True), rows["note"], strict=True))


def changed(counts: pd.DataFrame, unit: str, year: int, people: float) -> pd.DataFrame:
    at = (counts["unit_id"] == unit) & (counts["year"] == year)
    return counts.assign(people=counts["people"].mask(at, people))


def test_an_ordinary_census_has_no_notes() -> None:
    counts = census()
    assert told(counts) == {} and year_notes(counts) == []
    shuffled = counts.sample(frac=1, random_state=3)
    assert count_notes(shuffled, PARENT_OF).isna().all()


def test_a_unit_whose_borders_changed_and_one_that_was_copied() -> None:
    counts = census()
    counts = changed(counts, "u3", 2010, 60_000)
    counts = changed(counts, "u7", 2020, float(counts.loc[(counts.unit_id == "u7") & (counts.year == 2010), "people"].iloc[0]))
    found = told(counts)
    assert found["u3", 2010].startswith("grew by 11.0% a year since 2000, the middle unit by 2.")
    assert found["u3", 2020].startswith("grew by -7.7%"), "back again"
    assert found["u7", 2020] == "the same number as in 2010"
    assert set(found) == {("u3", 2010), ("u3", 2020), ("u7", 2020), ("city", 2010), ("city", 2020)}


def test_children_are_held_against_their_parent_only_where_all_are_counted() -> None:
    counts = census()
    short = counts[~((counts.unit_id == "u5") & (counts.year == 2010))]
    assert told(short) == {}
    assert year_notes(short) == ["2010: 1 of 13 units have no count, but have one in another year"]
    off = changed(counts, "city", 2010, 300_000.0)
    together = counts.loc[(counts.unit_id != "city") & (counts.year == 2010), "people"].sum()
    assert told(off)["city", 2010].startswith(f"its 12 units have {together:,.0f} together")


def test_a_year_that_counts_other_people() -> None:
    """Residents in one year, those present in the next: everything is half as much again."""
    counts = census()
    counts["people"] = counts["people"].mask(counts["year"] == 2020, counts["people"] * 1.8)
    assert len(year_notes(counts)) == 1
    assert year_notes(counts)[0].startswith("2020: the middle unit has grown by 7.9% a year since 2010;")


def test_nobody_and_one_year_only_tell_nothing() -> None:
    counts = pd.DataFrame([("a", 2000, 0.0), ("a", 2010, 50.0), ("b", 2010, 0.0)], columns=["unit_id", "year", "people"])
    assert count_notes(counts, {"a": None, "b": None}).isna().all()
    assert year_notes(counts) == ["2000: 1 of 2 units have no count, but have one in another year"]


@pytest.mark.parametrize(("file", "unit", "people"), [("mumbai/wards.geojson", "PRABHAG_NO", "POPULATION")])
def test_a_real_census_of_one_year_has_no_notes(real_data, file: str, unit: str, people: str) -> None:
    counts = read_population(real_data / file, unit, people, 2011)
    assert count_notes(counts, dict.fromkeys(counts["unit_id"])).isna().all() and year_notes(counts) == []
