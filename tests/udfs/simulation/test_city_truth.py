"""Units and truth: nested exactly, counted again by plain means."""

import numpy as np
import pytest
import shapely
from pyproj import Geod

from udfs.simulation.city import City
from udfs.simulation.districts import in_degrees, plan_districts, units_geojson
from udfs.simulation.land import built_label
from udfs.simulation.truth import building_truth, pixel_areas, unit_people, unit_truth


def test_units_nest_and_cover_the_square(city: City) -> None:
    units = plan_districts(city)
    leaves = units.outline[units.leaf]
    assert len(leaves) >= 25
    assert (~units.leaf).sum() >= 4
    assert shapely.coverage_is_valid(leaves)
    for parent, outline in zip(units.unit_id[~units.leaf], units.outline[~units.leaf], strict=True):
        children = shapely.union_all(leaves[units.parent_id[units.leaf] == parent])
        assert outline.symmetric_difference(children).area == 0
    assert shapely.union_all(leaves).symmetric_difference(shapely.box(0, 0, city.size_m, city.size_m)).area == pytest.approx(0, abs=1e-6)


def test_units_keep_their_shared_vertices_in_degrees(city: City) -> None:
    units = plan_districts(city)
    shapes = in_degrees(city, units.outline[units.leaf])
    assert shapely.coverage_is_valid(shapes)
    features = units_geojson(city, units)["features"]
    assert {f["properties"]["parent_id"] for f in features if f["properties"]["level"] == 0} == {None}


def test_truth_equals_a_count_of_subpixels(city: City) -> None:
    """Each pixel cut in 20 x 20 points; a point counts for the unit that holds it."""
    units = plan_districts(city)
    label = np.repeat(np.repeat(built_label(city, 2021), 20, 0), 20, 1)
    truth = unit_truth(city, 2021).set_index("unit_id")
    biggest = truth.loc[units.unit_id[units.leaf], "built_m2"].idxmax()
    outline = units.outline[units.unit_id == biggest][0]
    row, col = np.nonzero(label)
    inside = shapely.contains_xy(outline, (col + 0.5) / 2, city.size_m - (row + 0.5) / 2)
    scale = pixel_areas(city).mean() / 100
    assert truth.loc[biggest, "built_m2"] == pytest.approx(inside.sum() * 0.25 * scale, rel=2e-3)


def test_parents_are_sums_and_total_is_the_geodesic_area(city: City) -> None:
    units = plan_districts(city)
    truth = unit_truth(city, 2019)
    columns = ["built_m2", "footprint_m2", "total_m2", "people"]
    summed = truth[units.leaf].groupby(units.parent_id[units.leaf])[columns].sum()
    assert np.allclose(summed, truth[~units.leaf].set_index("unit_id")[columns], rtol=1e-9)
    geodesic = [abs(Geod(ellps="WGS84").geometry_area_perimeter(shape)[0]) for shape in in_degrees(city, units.outline)]
    assert np.allclose(truth["total_m2"], geodesic, rtol=2e-6)


def test_footprints_per_unit_sum_to_those_of_the_city(city: City) -> None:
    standing = (city.standing.built <= 2019) & (city.standing.gone > 2019)
    units = plan_districts(city)
    plane = shapely.area(city.footprints[standing]).sum()
    found = unit_truth(city, 2019)["footprint_m2"][units.leaf].sum()
    assert found == pytest.approx(plane * pixel_areas(city).mean() / 100, rel=1e-5)


def test_people_grow_and_are_whole(city: City) -> None:
    before, after = unit_people(city, 2017), unit_people(city, 2022)
    assert (before == np.round(before)).all()
    assert after.sum() > 1.1 * before.sum()


def test_building_truth_has_one_row_per_building_ever(city: City) -> None:
    rows = building_truth(city)
    assert rows["building_id"].is_unique
    assert set(rows["kind"]) <= {"house", "block", "hall", "informal"}
    assert rows["year_gone"].notna().sum() == (city.standing.gone <= 2022).sum() > 0
    assert (rows["xmin"] < rows["xmax"]).all()
