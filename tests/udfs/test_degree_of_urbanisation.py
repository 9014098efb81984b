"""Degree of Urbanisation: the worked cases of the methodology, and Heidelberg as GHSL has it."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from udfs.degree_of_urbanisation import (
    CENTRE,
    DENSE,
    LOW,
    RULES,
    SEMI_DENSE,
    SUBURBAN,
    UNKNOWN,
    VERY_LOW,
    VILLAGE,
    WATER,
    Cells,
    centres_of,
    classes_of,
    gaps_filled,
    unit_class,
)


def cells(people: NDArray[np.float64], land: float | NDArray[np.float64] = 1.0, built: float | NDArray[np.float64] = 0.0) -> Cells:
    return Cells(people, np.broadcast_to(np.asarray(land, float), people.shape), np.broadcast_to(np.asarray(built, float), people.shape))


def cross(count: int) -> NDArray[np.float64]:
    """A cross of `count` cells of 1,516 people in empty land."""
    people = np.zeros((30, 40))
    people[15, 5:30] = 1516
    for row in range(count - 25):
        people[14 - row // 2 if row % 2 else 16 + row // 2, 12] = 1516
    assert (people > 0).sum() == count
    return people


@pytest.mark.parametrize(("count", "centre"), [(33, True), (32, False)])
def test_a_centre_has_fifty_thousand_people(count: int, centre: bool) -> None:
    codes = classes_of(cells(cross(count)), RULES["R2022"])
    assert (codes == CENTRE).any() == centre
    assert (codes == DENSE).any() != centre


@pytest.mark.parametrize(("height", "width", "fills"), [(2, 7, True), (3, 5, False)])
def test_gaps_of_under_fifteen_cells_fill(height: int, width: int, fills: bool) -> None:
    people = np.zeros((20, 30))
    people[5 : 7 + height, 6 : 8 + width] = 3000
    people[6 : 6 + height, 7 : 7 + width] = 0
    found = gaps_filled((people > 0).astype(np.int32), np.isfinite(people))
    assert (found[6 : 6 + height, 7 : 7 + width] == 1).all() == fills


def test_a_gap_that_ends_where_nothing_is_known_is_none() -> None:
    centre, known = np.zeros((20, 30), np.int32), np.ones((20, 30), bool)
    centre[5:15, 6:16] = 1
    centre[9:11, 9:11] = 0
    assert (gaps_filled(centre, known)[9:11, 9:11] == 1).all()
    known[10, 10] = False
    assert np.array_equal(gaps_filled(centre, known), centre)


def test_cells_that_meet_at_a_corner_are_two_centres_and_one_cluster() -> None:
    people = np.zeros((30, 30))
    people[5:12, 5:12] = people[12:19, 12:19] = 1600
    found = centres_of(cells(people), RULES["R2022"])
    assert found.max() == 2
    people[5:12, 5:12] = people[12:19, 12:19] = 310
    codes = classes_of(cells(people), RULES["R2022"])
    assert (codes == SUBURBAN).sum() == 98
    assert ndimage.label(codes == SUBURBAN)[1] == 2


def test_edges_are_smoothed_until_nothing_changes() -> None:
    """A bay fills from its inner corners; what no centre has five neighbours of stays."""
    people = np.zeros((20, 20))
    people[4:14, 4:14] = 1600
    people[4:7, 8:10] = 0
    found = centres_of(cells(people), RULES["R2022"])
    assert found[6, 8] == found[6, 9] == 1  # five of eight
    assert found[3, 6] == 0 and found[14, 14] == 0


def test_by_the_rules_of_2023_water_never_joins_and_does_not_vote() -> None:
    people, land = np.zeros((20, 20)), np.ones((20, 20))
    people[4:14, 4:14] = 1600
    people[13, 8:10] = 0
    land[14:, :] = 0.0
    land[13, 8] = 0.2
    found = {release: centres_of(cells(people, land), rules) for release, rules in RULES.items()}
    assert found["R2023"][13, 9] == 1 and found["R2023"][13, 8] == 0
    assert found["R2022"][13, 9] == 0


def test_built_land_is_of_a_centre_by_the_share_of_its_release() -> None:
    people, built = np.zeros((20, 20)), np.zeros((20, 20))
    people[4:10, 4:10] = 1600
    built[4:10, 10], built[4:10, 3] = 0.3, 0.6
    codes = {release: classes_of(cells(people, 1.0, built), rules) for release, rules in RULES.items()}
    assert (codes["R2022"][4:10, 10] != CENTRE).any() and (codes["R2022"][4:10, 3] == CENTRE).all()
    assert (codes["R2023"][4:10, 10] == CENTRE).all()


def test_level_two() -> None:
    people, land = np.zeros((40, 60)), np.ones((40, 60))
    people[5:12, 5:12] = 1600  # a centre
    people[8, 13:16], people[8, 12] = 1000, 400  # denser cells within 2 km of it: suburban
    people[20:22, 5:8] = 1550  # 9,300: dense
    people[30:32, 30:32], people[29, 28:34] = 950, 320  # 3,800 of 5,720: semi-dense
    people[20, 50] = 600  # a village
    people[22, 50] = 60
    people[35:, 50:], land[35:, 50:] = 0, 0.1
    people[0, 0] = np.nan
    codes = classes_of(cells(people, land), RULES["R2023"])
    assert (codes[5:12, 5:12] == CENTRE).all()
    assert (codes[8, 12:16] == SUBURBAN).all()
    assert (codes[20:22, 5:8] == DENSE).all()
    assert (codes[30:32, 30:32] == SEMI_DENSE).all() and (codes[29, 28:34] == SUBURBAN).all()
    assert [codes[at] for at in ((20, 50), (22, 50), (24, 50), (38, 55), (0, 0))] == [VILLAGE, LOW, VERY_LOW, WATER, UNKNOWN]


def test_density_counts_land_alone() -> None:
    people = np.full((8, 8), 800.0)
    assert (classes_of(cells(people, 0.5), RULES["R2022"]) == CENTRE).all()
    assert (classes_of(cells(people, 1.0), RULES["R2022"]) == SUBURBAN).all()


def test_units_are_classed_by_where_people_live() -> None:
    assert unit_class({CENTRE: 50.0, LOW: 50.0}) == CENTRE
    assert unit_class({CENTRE: 49.0, SUBURBAN: 1.0, LOW: 50.0}) == SUBURBAN
    assert unit_class({DENSE: 20.0, SUBURBAN: 20.0, SEMI_DENSE: 10.0, LOW: 50.0}) == DENSE
    assert unit_class({SUBURBAN: 49.0, LOW: 26.0, VILLAGE: 25.0}) == LOW
    assert unit_class({}) is None


def test_heidelberg_as_ghsl_has_it(real_data: Path) -> None:
    """GHS-POP 2015 and GHS-BUILT 2014 within the city's polygon, beside GHS-SMOD 2015 of R2019A: 90 of 102 cells agree. The others lie
    at the polygon's edge: nine are of centres, three of clusters that go on beyond it, where nothing is known here."""
    read = {}
    for name in ("POP", "BUILT", "SMOD"):
        (path,) = sorted((real_data / "heidelberg_ghsl").glob(f"GHS_{name}_*.tif"))
        with rasterio.open(path) as file:
            read[name] = file.read(1, masked=True)
    people = read["POP"].astype(float).filled(np.nan)
    built = read["BUILT"].astype(float).filled(0) / 100
    found = classes_of(cells(people, 1.0, built), RULES["R2022"])
    known = np.isfinite(people) & ~read["SMOD"].mask
    theirs = read["SMOD"].filled(0)
    assert known.sum() == 102
    assert (found == theirs)[known].sum() == 90
    assert (theirs[known & (found == CENTRE)] == CENTRE).all()
