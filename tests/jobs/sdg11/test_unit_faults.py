"""Fault 43: files of administrative units. What cannot be mended is refused in one line; what can is mended and listed in `units.note`,
and the shares of overlaps and gaps are told, so that the sum of units is their union's area."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import pytest
import shapely
from pyspark.sql import SparkSession

from jobs.cli import main
from tests.jobs.toy_place import refused
from udfs.units import geodesic_area_m2

HERE = (73.09, 18.98)
"""South-west of the image of `place_file`, degrees."""


def box(west: float, south: float, east: float, north: float, *height: float) -> dict[str, Any]:
    """A rectangle as GeoJSON, in hundredths of a degree from HERE; with a height its corners are 3D."""
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return {"type": "Polygon", "coordinates": [[[HERE[0] + x / 100, HERE[1] + y / 100, *height] for x, y in corners]]}


def polygon(*corners: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[[HERE[0] + x / 100, HERE[1] + y / 100] for x, y in corners]]}


def written(folder: Path, *units: tuple[dict[str, Any], Any], crs: str | None = None) -> dict[str, Any]:
    """The section `units` of a file of rows (attributes, GeoJSON geometry)."""
    features = [{"type": "Feature", "properties": told, "geometry": shape} for told, shape in units]
    named = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path = folder / "units.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", **named, "features": features}), encoding="utf-8")
    return {"path": str(path), "id": "code", "name": "label"}


def area_m2(shape: Any) -> float:
    return float(geodesic_area_m2(np.array([shape], dtype=object))[0])


A = {"code": "a", "label": "A"}
SQUARE = box(0, 0, 4, 3)


@pytest.mark.parametrize(
    ("rows", "crs", "said"),
    [
        (
            [(A, SQUARE), ({"code": "a", "label": "B"}, box(4, 0, 8, 3))],
            None,
            "code 'a' occurs more than once; name a column",
        ),
        ([(A, SQUARE), ({"code": " a ", "label": "B"}, box(4, 0, 8, 3))], None, "code 'a' occurs more than once"),
        ([(A, SQUARE), ({"code": None, "label": "B"}, box(4, 0, 8, 3))], None, "1 of 2 rows have no code"),
        ([(A, SQUARE), ({"code": "b", "label": "B"}, None)], None, "unit 'b' has no polygon"),
        ([(A, SQUARE), ({"code": "b", "label": "B"}, {"type": "Polygon", "coordinates": []})], None, "unit 'b' has no polygon"),
        ([(A, {"type": "Point", "coordinates": [73.09, 18.98]})], None, "unit 'a' has no polygon"),
        ([(A, {"type": "LineString", "coordinates": [[73.09, 18.98], [73.1, 19]]})], None, "unit 'a' has no polygon"),
        ([(A, polygon((0, 0), (4, 0), (4, 3)))], None, "unit 'a' has no polygon, or one whose rings do not close"),
        ([(A, polygon((0, 0), (0, 0), (0, 0), (0, 0)))], None, "unit 'a' has no polygon"),
        ([(A, polygon((0, 0), (4, float("nan")), (4, 3), (0, 0)))], None, "coordinates that are no numbers"),
        ([(A, polygon((0, 0), (4, float("inf")), (4, 3), (0, 0)))], None, "coordinates that are no numbers"),
        ([(A, {"type": "Polygon", "coordinates": [[[3e5, 2e6], [3.1e5, 2e6], [3e5, 2.1e6], [3e5, 2e6]]]})], None, "are not degrees"),
        ([(A, SQUARE)], "EPSG:99999999", "CRS 'EPSG:99999999' is unknown"),
        ([(A, SQUARE)], "EPSG:5773", "says not where on earth"),
        ([(A, SQUARE)], 'LOCAL_CS["x"]', "says not where on earth"),
        ([(A, SQUARE)], "EPSG:4978", "says not where on earth"),
        ([(A, SQUARE)], "EPSG:32643", "units"),
        ([(A, box(2000, 0, 2004, 3))], None, "overlap"),
    ],
)
def test_43_units_that_cannot_be_mended(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], rows: list[Any], crs: str | None, said: str
) -> None:
    section = {**written(tmp_path, *rows), **({"crs": crs} if crs else {})}
    assert said in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(units=section))


@pytest.mark.parametrize(
    "text",
    [
        '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>{other}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>',
        "\ufeff\n <OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>/vsicurl/http://127.0.0.1:9/a</SrcDataSource></OGRVRTLayer>"
        "</OGRVRTDataSource>",
        "<html>log in</html>",
    ],
)
def test_43_a_file_that_leads_to_others_is_not_opened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place_file: Callable[..., str], text: str
) -> None:
    other = written(tmp_path, (A, SQUARE))["path"]
    path = tmp_path / "other.geojson"
    path.write_text(text.format(other=other), encoding="utf-8")
    section = {"path": str(path), "id": "code"}
    assert "other.geojson cannot be read: XML" in refused(capsys, tmp_path / "warehouse", "units", "--place", place_file(units=section))
    area = {"area": {"path": str(path)}}
    assert "other.geojson cannot be read: XML" in refused(capsys, tmp_path / "warehouse", "flow", "--place", place_file(tiles=area))


MENDABLE = {
    "high": box(0, 0, 4, 3, 7.5),
    "bow": polygon((4, 0), (8, 3), (8, 0), (4, 3), (4, 0)),
    "spike": polygon((0, 3), (4, 3), (4, 5), (4, 9), (4, 5), (0, 5), (0, 3)),
    "mixed": {"type": "GeometryCollection", "geometries": [box(8, 0, 12, 3), {"type": "Point", "coordinates": [*HERE]}]},
    "over": box(7.5, 3, 12, 6),
    "beside": box(4.001, 3, 8, 6),
    "closing": polygon((0, 5), (4, 5), (4, 6), (12, 6), (12, 7), (0, 7), (0, 5)),
    "sliver": polygon((12, 0), (12.00001, 0), (12.00001, 6), (12, 6), (12, 0)),
}
"""What mending makes good: `over` and `beside` overlap, between `beside` and `spike` a gap is enclosed."""


@pytest.fixture
def rows(
    spark: SparkSession, tmp_path: Path, place_file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, dict[str, Any]], str]:
    """The table by id, and what the run printed."""
    units = [({"code": name, "label": None if name == "over" else name, "in": "all"}, shape) for name, shape in MENDABLE.items()]
    section = {**written(tmp_path, *units), "parent": "in"}
    assert main(["units", "--place", place_file(units=section)]) == 0
    table = deltalake.DeltaTable(str(tmp_path / "warehouse" / "toy" / "units")).to_pandas()
    return {row["unit_id"]: row for row in table.to_dict("records")}, capsys.readouterr().err


def test_43_units_are_mended_and_listed_and_add_up_to_their_union(rows: tuple[dict[str, dict[str, Any]], str]) -> None:
    table, printed = rows
    notes = {name: row["note"] for name, row in table.items() if row["note"]}
    assert notes.pop("over").startswith("overlaps beside by ") and notes.pop("beside").startswith("overlaps over by ")
    assert notes == {
        "bow": "outline repaired: self-intersection", "spike": "outline repaired: self-intersection",
        "mixed": "outline repaired: not only polygons", "all": "dissolved from 8 units",
    }  # fmt: skip
    assert table["over"]["name"] is None and table["high"]["name"] == "high"
    shapes = np.array([shapely.from_wkb(table[name]["geometry"]) for name in MENDABLE], dtype=object)
    assert shapely.is_valid(shapes).all() and not shapely.has_z(shapes).any() and (shapely.area(shapes) > 0).all()
    figures = dict(line.split(" = ") for line in map(str.strip, printed.splitlines()) if "_share = " in line)
    every, union = sum(table[name]["area_m2"] for name in MENDABLE), area_m2(shapely.union_all(shapes))
    assert every / union - 1 == pytest.approx(float(figures["overlap_share"]), abs=1e-6)
    assert table["all"]["area_m2"] == pytest.approx(union, rel=1e-6)
    common = area_m2(shapely.geometry.shape(box(7.5, 3, 8, 6)))
    assert every - common == pytest.approx(union, rel=1e-6), "two count the ground that both hold, and nothing else is counted twice"
    filled = shapely.union_all(shapely.polygons(shapely.get_exterior_ring(shapely.get_parts(shapely.union_all(shapes)))))
    assert 0 < float(figures["gap_share"]) == pytest.approx(area_m2(filled) / union - 1, abs=1e-6)
