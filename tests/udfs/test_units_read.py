"""Reading units: ids, parents, repairs, refusals, areas against PROJ's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from pyproj import Geod

from conf.errors import InputError
from udfs.units import AREAS_AT_ONCE, Columns, coverage_faults, geodesic_area_m2, overlaps, read_units

PLAIN = Columns("code", "label", None, None)
ID = PLAIN._replace(name=None)
CHILD = Columns("code", None, "in", None)
METRES = [[[500000, 5000000], [500010, 5000000], [500010, 5000010], [500000, 5000000]]]
SQUARE = [[[10, 50], [10.02, 50], [10.02, 50.01], [10, 50.01], [10, 50]]]
BOW = [[[11, 50], [11.02, 50.02], [11.02, 50], [11, 50.02], [11, 50]]]


def written(folder: Path, *rows: tuple[dict[str, Any], Any], crs: str | None = None) -> Path:
    features = [{"type": "Feature", "properties": p, "geometry": {"type": "Polygon", "coordinates": c} if c else None} for p, c in rows]
    path = folder / "units.geojson"
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": features}))
    return path


def test_repairs_are_made_and_noted(tmp_path: Path) -> None:
    high = [[[*point, 7.5] for point in SQUARE[0]]]
    units = read_units(written(tmp_path, ({"code": 7.0, "label": None}, BOW), ({"code": 12.0, "label": "Süd '); --"}, high)), PLAIN)
    assert list(units["unit_id"]) == ["12", "7"]
    assert list(units["name"]) == ["Süd '); --", None]
    assert list(units["note"]) == [None, "outline repaired: self-intersection"]
    assert not shapely.has_z(units["geometry"].to_numpy()).any()
    assert shapely.area(units["geometry"].iloc[1]) == pytest.approx(2 * 0.02 * 0.01 / 2)


def test_parents_that_are_no_rows_are_dissolved(tmp_path: Path) -> None:
    east = [[[x + 0.02, y] for x, y in SQUARE[0]]]
    x, y = {"in": "X", "of": "Xland"}, {"in": "Y", "of": None}
    rows = [({"code": "a", **x}, SQUARE), ({"code": "b", **x}, east), ({"code": "c", **y}, BOW)]
    units = read_units(written(tmp_path, *rows), Columns("code", None, "in", "of")).set_index("unit_id")
    assert units["level"].to_dict() == {"X": 0, "Y": 0, "a": 1, "b": 1, "c": 1}
    assert units["name"].to_dict() == {"X": "Xland", "Y": "Y", "a": None, "b": None, "c": None}
    assert units["geometry"]["X"].equals(shapely.box(10, 50, 10.04, 50.01))


def test_parents_that_are_rows_are_kept(tmp_path: Path) -> None:
    rows = [({"code": "top", "in": None}, SQUARE), ({"code": "mid", "in": "top"}, SQUARE), ({"code": "low", "in": "mid"}, SQUARE)]
    units = read_units(written(tmp_path, *rows), Columns("code", None, "in", None))
    found = list(zip(units["unit_id"], units["level"], units["parent_id"], strict=True))
    assert found == [("top", 0, None), ("mid", 1, "top"), ("low", 2, "mid")]


@pytest.mark.parametrize(
    ("rows", "columns", "crs", "message"),
    [
        ([({"code": "a"}, SQUARE)], Columns("id", None, None, None), None, "no column 'id'; it has: code"),
        ([({"code": "a"}, SQUARE), ({"code": " "}, SQUARE)], ID, None, "1 of 2 rows have no code"),
        ([({"code": 3}, SQUARE), ({"code": 3}, BOW)], ID, None, "code '3' occurs more than once"),
        ([({"code": "a"}, None)], ID, None, "unit 'a' has no polygon"),
        ([({"code": "a"}, METRES)], ID, None, "are not degrees"),
        ([({"code": "a"}, SQUARE)], ID, "EPSG:99999999", "CRS 'EPSG:99999999' is unknown"),
        ([({"code": "a", "in": "b"}, SQUARE), ({"code": "b", "in": "a"}, BOW)], CHILD, None, "its own ancestor"),
        ([({"code": "a", "in": "b"}, SQUARE), ({"code": "b", "in": "z"}, BOW)], CHILD, None, "parent 'z' is no unit"),
        ([], PLAIN, None, "no column"),
    ],
)  # fmt: skip
def test_bad_files_are_refused(tmp_path: Path, rows: list[Any], columns: Columns, crs: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_units(written(tmp_path, *rows), columns, crs)
    assert "\n" not in str(error.value)


def test_files_that_are_missing_or_not_vectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_units(tmp_path / "none.geojson", PLAIN)
    broken = tmp_path / "broken.geojson"
    broken.write_text("<html>")
    with pytest.raises(InputError, match="cannot be read"):
        read_units(broken, PLAIN)


def test_areas_equal_proj_on_a_dense_outline() -> None:
    """Edges are straight in degrees: the parallels of the box are no geodesics. The hole subtracts."""
    ring = shapely.difference(shapely.box(-70, -12, -55, 3.5), shapely.Point(-60, -1).buffer(2.2))
    shapes = np.array([ring, shapely.MultiPolygon([shapely.box(10, 78, 12, 79), shapely.box(20, 10, 20.1, 10.2)])], dtype=object)
    dense = shapely.orient_polygons(shapely.segmentize(shapes, 0.002))
    expected = [Geod(ellps="WGS84").geometry_area_perimeter(shape)[0] for shape in dense]
    assert geodesic_area_m2(shapes) == pytest.approx(expected, rel=1e-9)


def test_overlaps_are_found_and_measured() -> None:
    shapes = np.array([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 3, 1), shapely.box(2.9, 0, 3.9, 1)], dtype=object)
    assert overlaps(shapes) == [(1, 2, pytest.approx(0.1))]
    assert coverage_faults(shapes) == pytest.approx((0.1 / 3.9, 0), rel=1e-3)
    assert coverage_faults(shapes[:2]) == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_overlaps_are_those_of_all_pairs(seed: int) -> None:
    """Of boxes that share edges, lie within others, are told twice; in the order in which pairs are met."""
    random = np.random.default_rng(seed)
    corners, sides = random.integers(0, 6, (8, 2)), random.integers(1, 4, (8, 2))
    shapes = np.append(shapely.box(*corners.T, *(corners + sides).T), shapely.box(10, 10, 14, 14).difference(shapely.box(11, 11, 12, 12)))
    shapes = np.append(shapes, [shapes[0], shapely.box(11, 11, 12, 12), shapely.box(12.5, 12.5, 13, 13)])
    first, second = shapely.STRtree(shapes).query(shapes)
    common = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    meet = (first < second) & (common > 0)
    pairs = zip(first[meet], second[meet], strict=True)
    expected = [(i, j, shapely.area(shapely.intersection(shapes[i], shapes[j])) / shapely.area(shapes[[i, j]]).min()) for i, j in pairs]
    assert overlaps(shapes) == expected
    assert (8, 11, 1.0) in expected


def test_areas_do_not_depend_on_how_many_are_taken_together() -> None:
    corners = np.random.default_rng(1).uniform(-60, 60, (AREAS_AT_ONCE + 3, 2))
    shapes = shapely.box(*corners.T, *(corners + np.array([0.3, 0.7])).T)
    assert (geodesic_area_m2(shapes) == np.concatenate([geodesic_area_m2(shapes[[number]]) for number in range(len(shapes))])).all()


def test_gaps_between_units_are_measured() -> None:
    """A sliver that two units leave open between them; what lies outside of both is no gap."""
    shapes = np.array(
        [shapely.Polygon([(0, 0), (2, 0), (2, 1), (1, 1.1), (0, 1)]), shapely.box(0, 1, 2, 2).difference(shapely.box(0.5, 1, 1.5, 1.2))]
    )
    hole = shapely.Polygon(shapely.union_all(shapes).interiors[0])
    assert coverage_faults(shapes)[1] == pytest.approx(hole.area / shapely.union_all(shapes).area, rel=1e-2)


@pytest.mark.parametrize(
    ("file", "columns", "leaves", "limit"),
    [
        ("mumbai/wards.geojson", Columns("PRABHAG_NO", None, "WARD", None), 227, 1e-6),
        ("olinda/olinda1.shp", Columns("CD_GEOCODI", "NM_BAIR", None, None), 470, 1e-6),
        ("pucallpa/districts.geojson", Columns("IDDIST", "NOMBDIST", "IDPROV", "NOMBPROV"), 24, 1e-6),
    ],
)  # fmt: skip
def test_real_units_make_up_their_union(real_data: Path, file: str, columns: Columns, leaves: int, limit: float) -> None:
    units = read_units(real_data / file, columns)
    shapes = units["geometry"][~units["unit_id"].isin(units["parent_id"])].to_numpy()
    assert len(shapes) == leaves
    overlap, gap = coverage_faults(shapes)
    assert abs(overlap) < limit and abs(gap) < 0.02
