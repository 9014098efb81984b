"""Units as geoBoundaries and Overture Maps publish them: levels nested by place, GeoParquet with structs, what is refused."""

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from conf.errors import InputError
from udfs.rest_units import with_rests
from udfs.unit_layouts import read_layout
from udfs.units import read_attributes

COUNTRY, WEST, EAST = shapely.box(10, 50, 14, 52), shapely.box(10, 50, 12, 52), shapely.box(12, 50, 14, 52)
LEVELS = {
    "ADM0": [("c", "Land", COUNTRY)],
    "ADM1": [("w", "West", WEST), ("e", "East", EAST)],
    "ADM2": [
        ("w1", "a", shapely.box(10, 50, 11, 52)),
        ("w2", "b", shapely.box(11, 50, 12.03, 52)),
        ("e1", "c", shapely.box(12.03, 50, 14, 52)),
    ],
}


def geoboundaries(folder: Path, level: str, units: list[Any]) -> Path:
    """As its GeoJSON files are."""
    path = folder / f"geoBoundaries-XXX-{level}.geojson"
    features = [
        {
            "type": "Feature", "geometry": shapely.geometry.mapping(shape),
            "properties": {"shapeName": name, "shapeISO": "", "shapeID": unit_id, "shapeGroup": "XXX", "shapeType": level},
        }
        for unit_id, name, shape in units
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [geoboundaries(tmp_path, level, units) for level, units in LEVELS.items()]


def test_geoboundaries_nest_by_place_and_say_what_sticks_out(files: list[Path]) -> None:
    units = read_layout(files[::-1], "geoboundaries", ()).set_index("unit_id")
    parents = {"c": None, "w": "c", "e": "c", "w1": "w", "w2": "w", "e1": "e"}
    assert units["parent_id"].to_dict() == parents
    assert units["level"].to_dict() == {"c": 0, "w": 1, "e": 1, "w1": 2, "w2": 2, "e1": 2}
    assert units.loc["w2", "note"] == "2.9 % of it lies outside of its parent" and units["note"].notna().sum() == 1
    assert units.loc["e", "name"] == "East"


def test_a_level_may_be_left_out(files: list[Path]) -> None:
    units = read_layout(files, "geoboundaries", ("ADM0", "ADM2")).set_index("unit_id")
    assert units["parent_id"].to_dict() == {"c": None, "w1": "c", "w2": "c", "e1": "c"}
    with pytest.raises(InputError, match="no unit of level ADM3; there are ADM0, ADM1, ADM2"):
        read_layout(files, "geoboundaries", ("ADM3",))
    with pytest.raises(InputError, match=r"units\.levels: county is no level of geoboundaries"):
        read_layout(files, "geoboundaries", ("county",))


def test_a_unit_outside_of_all_is_refused(files: list[Path], tmp_path: Path) -> None:
    far = geoboundaries(tmp_path, "ADM2", [("far", "Isle", shapely.box(20, 50, 21, 51))])
    with pytest.raises(InputError, match="unit 'far' lies in no unit of a coarser level"):
        read_layout([*files[:2], far], "geoboundaries", ())
    with pytest.raises(InputError, match="shapeID 'c' occurs more than once"):
        read_layout([files[0], files[0]], "geoboundaries", ())


@pytest.fixture
def areas(tmp_path: Path) -> Path:
    """Overture's division areas: names in a struct, land and sea of a country apart, no level between country and county."""
    rows = [
        ("1", "d-c", "country", "land", "Land", COUNTRY), ("2", "d-c", "country", "maritime", "Land", COUNTRY.buffer(1)),
        ("3", "d-w", "county", "land", "West", WEST), ("4", "d-l", "locality", "land", "Town", shapely.box(12.5, 51, 12.6, 51.1)),
    ]  # fmt: skip
    names = ("id", "division_id", "subtype", "class")
    columns: dict[str, Any] = {name: [row[number] for row in rows] for number, name in enumerate(names)}
    columns["names"] = pa.array([{"primary": row[4], "common": [("en", row[4])]} for row in rows],
                                pa.struct([("primary", pa.string()), ("common", pa.map_(pa.string(), pa.string()))]))  # fmt: skip
    columns["geometry"] = [shapely.to_wkb(row[5]) for row in rows]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"]}}}
    path = tmp_path / "division_area.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata({"geo": json.dumps(geo)}), path)
    return path


def test_overture_areas_are_its_land_under_the_next_coarser_level(areas: Path) -> None:
    units = read_layout([areas], "overture", ()).set_index("unit_id")
    assert units["parent_id"].to_dict() == {"d-c": None, "d-w": "d-c", "d-l": "d-c"}
    assert units["name"].to_dict() == {"d-c": "Land", "d-w": "West", "d-l": "Town"}
    theirs = gpd.read_parquet(areas).set_index("id")
    assert shapely.equals(units.loc["d-c", "geometry"], theirs.geometry["1"])


def test_what_children_leave_of_a_unit_is_a_unit(areas: Path) -> None:
    """The county fills half of the country, the town little of the rest of it."""
    units = with_rests(read_layout([areas], "overture", ()), "areas").set_index("unit_id")
    assert set(units.index) == {"d-c", "d-w", "d-l", "d-c:rest"}, "nobody lies in the county: it is a smallest unit"
    assert units.loc["d-c:rest", "parent_id"] == "d-c" and units.loc["d-c:rest", "level"] == 1
    smallest = units[~units.index.isin(units["parent_id"])]["geometry"].to_numpy()
    assert shapely.area(smallest).sum() == pytest.approx(shapely.area(COUNTRY))
    assert shapely.equals(shapely.union_all(smallest), COUNTRY)
    assert units.loc["d-c:rest", "note"] == "50 % of d-c lies in no unit inside it"


def test_a_little_that_children_leave_is_noted_and_what_sticks_out_is_nobodys_rest() -> None:
    """West's child reaches 0.005 degrees over the border into East, whose own child begins 0.01 degrees behind it."""
    rows = [
        ("c", None, 0, COUNTRY), ("w", "c", 1, WEST), ("e", "c", 1, EAST),
        ("w1", "w", 2, shapely.box(10, 50, 12.005, 52)), ("e1", "e", 2, shapely.box(12.01, 50, 14, 52)),
    ]  # fmt: skip
    units = pd.DataFrame(rows, columns=["unit_id", "parent_id", "level", "geometry"]).assign(name=None, note=None)
    told = with_rests(units, "units").set_index("unit_id")
    assert told["note"].to_dict() == {"c": None, "w": None, "e": "0.25 % of e lies in no unit inside it",
                                      "w1": None, "e1": None}  # fmt: skip
    units.loc[4, "geometry"] = shapely.box(13, 50, 14, 52)
    told = with_rests(units, "units").set_index("unit_id")
    assert told.loc["e:rest", "geometry"].equals(shapely.box(12.005, 50, 13, 52))
    with pytest.raises(InputError, match="units: id 'e:rest' names the ground of its parent"):
        with_rests(units.replace({"unit_id": {"w1": "e:rest"}}), "units")


def test_files_without_units_and_units_without_a_level_are_refused(areas: Path, files: list[Path]) -> None:
    table = pq.read_table(areas)
    pq.write_table(table.filter(np.array(table["class"].to_pylist()) != "land"), areas)
    with pytest.raises(InputError, match=r"division_area\.parquet: no row has class = land"):
        read_layout([areas], "overture", ())
    pq.write_table(table.set_column(table.schema.get_field_index("subtype"), "subtype", [["country", "country", None, "locality"]]), areas)
    with pytest.raises(InputError, match=r"division_area\.parquet: 1 of 3 rows have no subtype"):
        read_layout([areas], "overture", ())


def test_flattened_names_are_read_as_structs_are(areas: Path) -> None:
    table = pq.read_table(areas)
    flat = table.append_column("names.primary", [[names["primary"] for names in table["names"].to_pylist()]]).drop_columns("names")
    wanted = read_layout([areas], "overture", ())
    pq.write_table(flat.replace_schema_metadata(table.schema.metadata), areas)
    assert read_layout([areas], "overture", ()).equals(wanted)


@pytest.mark.parametrize(
    "geo",
    ["{", "[]", "{}", '{"version": "1.1.0", "primary_column": "outline", "columns": {}}', '{"primary_column": "geometry", "columns": {}}'],
)
def test_geo_metadata_that_is_broken(areas: Path, geo: str) -> None:
    pq.write_table(pq.read_table(areas).replace_schema_metadata({"geo": geo}), areas)
    with pytest.raises(InputError, match=r"division_area\.parquet cannot be read: .*; give GeoParquet"):
        read_attributes(areas, ["id"], geometry=True)


def test_outlines_and_pages_that_are_damaged(areas: Path) -> None:
    table = pq.read_table(areas)
    broken = table.set_column(table.schema.get_field_index("geometry"), "geometry", [[b"\x01\x03", *table["geometry"].to_pylist()[1:]]])
    pq.write_table(broken.replace_schema_metadata(table.schema.metadata), areas)
    with pytest.raises(InputError, match="cannot be read"):
        read_attributes(areas, ["id"], geometry=True)
    pq.write_table(table, areas, compression="snappy")
    content = bytearray(areas.read_bytes())
    content[4:400] = bytes(396)
    areas.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        read_attributes(areas, ["id"], geometry=True)


def test_geoparquet_that_cannot_be_read(areas: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'names\.short'; it has: id, division_id"):
        read_attributes(areas, ["names.short"], geometry=True)
    bare, broken = tmp_path / "bare.parquet", tmp_path / "broken.parquet"
    pq.write_table(pa.table({"id": ["1"]}), bare)
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="has no geo metadata"):
        read_attributes(bare, ["id"], geometry=True)
    with pytest.raises(InputError, match="cannot be read"):
        read_attributes(broken, ["id"], geometry=True)
    assert read_attributes(bare, ["id"], geometry=False)[0]["id"].tolist() == ["1"], "a table of people needs no outlines"


def test_a_crs_of_metres_comes_out_in_degrees(tmp_path: Path) -> None:
    path = tmp_path / "metres.parquet"
    frame = gpd.GeoDataFrame({"shapeID": ["a"], "shapeName": ["A"], "shapeType": ["ADM1"]}, geometry=[WEST], crs=4326)
    frame.to_crs(32632).to_parquet(path)
    found = read_layout([path], "geoboundaries", ())["geometry"].iloc[0]
    assert np.allclose(found.bounds, WEST.bounds, atol=1e-7)
