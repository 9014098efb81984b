"""Footprints as publishers write them become rows; what cannot be read whole is a failure."""

import datetime as dt
import gzip
import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Transformer

from conf.access import Access
from conf.errors import InputError, ReadError
from tests.servers.faults import Faults
from tests.servers.range_server import serving
from udfs import footprint_files
from udfs.addresses import Allowed
from udfs.footprint_files import (
    file_batches,
    google_files,
    microsoft_files,
    quadkey_box,
    vector_footprints,
)
from udfs.images import EVERY_FILE, OpeningRules

HOUSE = shapely.Polygon([(32.1, 0.1), (32.1003, 0.1), (32.1003, 0.1001), (32.1, 0.1002)])
COURT = shapely.Polygon([(32.2, 0.1), (32.21, 0.1), (32.21, 0.12), (32.2, 0.12)], [[(32.203, 0.11), (32.207, 0.11), (32.207, 0.115)]])
BOW_TIE = shapely.Polygon([(32.3, 0.1), (32.31, 0.11), (32.31, 0.1), (32.3, 0.11)])
LINE = shapely.LineString([(32.3, 0.1), (32.31, 0.11)])


def feature(shape: shapely.Geometry, confidence: float = -1.0) -> str:
    properties = {"height": -1.0, "confidence": confidence}
    return json.dumps({"type": "Feature", "properties": properties, "geometry": json.loads(shapely.to_geojson(shape))})


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


def read(href: str, kind: str, rules: OpeningRules = EVERY_FILE) -> pd.DataFrame:
    files = pd.DataFrame({"kind": [kind], "href": [href], "label_date": [dt.date(2023, 4, 5)]})
    return pd.concat(list(file_batches([files], rules)), ignore_index=True)


def test_microsofts_lines_become_valid_polygons_and_what_is_none_shows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "part.csv.gz", [feature(HOUSE, 0.83), feature(COURT), feature(BOW_TIE), feature(LINE)])
    rows = read(str(path), "microsoft")
    found = shapely.from_wkb(rows["geometry"].to_numpy(object))
    assert found[3] is None and shapely.is_valid(found[:3]).all()
    np.testing.assert_allclose(shapely.area(found[:3]), [HOUSE.area, COURT.area, 2 * 0.01 * 0.005 / 2], rtol=1e-9)
    assert rows["confidence"].tolist() == [0.83, None, None, None]
    assert rows["label_date"].tolist() == [dt.date(2023, 4, 5)] * 4
    assert rows.loc[0, ["xmin", "ymin", "xmax", "ymax"]].tolist() == list(HOUSE.bounds)
    assert rows["footprint_id"][:3].nunique() == 3


def test_lines_that_are_no_features_show_and_endless_ones_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lines(tmp_path / "part.csv.gz", ["{", "[1]", feature(HOUSE), '{"type": "Feature", "geometry": null}', "ffff"])
    rows = read(str(path), "microsoft")
    assert rows["geometry"].notna().tolist() == [False, False, True, False, False]
    monkeypatch.setattr(footprint_files, "MOST_LINE_BYTES", 1000)
    with pytest.raises(ReadError, match="no building"):
        read(str(write_lines(tmp_path / "bomb.csv.gz", [feature(HOUSE), " " * 10_000])), "microsoft")


def test_an_outline_drawn_the_other_way_round_is_the_same_building(tmp_path: Path) -> None:
    turned = shapely.Polygon([*HOUSE.exterior.coords][::-1][1:])
    path = write_lines(tmp_path / "part.csv.gz", [feature(HOUSE), feature(turned)])
    assert read(str(path), "microsoft")["footprint_id"].nunique() == 1


def test_googles_csv_plain_and_packed(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "latitude": [0.1, 0.11], "longitude": [32.1, 32.2], "area_in_meters": [1.0, 2.0], "confidence": [0.71, 0.95],
        "geometry": [HOUSE.wkt, shapely.MultiPolygon([COURT]).wkt], "full_plus_code": ["6GGJ4522+22", "6GGJ4522+33"],
    })  # fmt: skip
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    plain, packed = (read(str(tmp_path / name), "google") for name in ("a.csv", "a.csv.gz"))
    pd.testing.assert_frame_equal(plain, packed)
    assert plain["confidence"].tolist() == [0.71, 0.95]
    assert shapely.from_wkb(plain["geometry"][1]).equals(COURT)
    frame.drop(columns="geometry").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match="Open Buildings"):
        read(str(tmp_path / "b.csv"), "google")


def test_a_file_cut_off_is_a_failure_and_no_empty_ground(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "part.csv.gz", [feature(shapely.affinity.translate(HOUSE, n / 7e3)) for n in range(500)])
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ReadError, match=r"part\.csv\.gz") as caught:
        read(str(path), "microsoft")
    assert caught.value.kind == "truncated"
    with pytest.raises(ReadError, match="no such file"):
        read(str(tmp_path / "gone.csv.gz"), "microsoft")


def test_a_server_that_fails_now_and_then_gives_the_same_rows(tmp_path: Path) -> None:
    lines = [feature(shapely.affinity.translate(HOUSE, n / 7e3, n / 9e3), n % 100 / 100) for n in range(30_000)]
    path = write_lines(tmp_path / "part.csv.gz", lines)
    local = read(str(path), "microsoft")
    with serving(tmp_path, Faults(seed=5, too_many=0.2, broken=0.2, half=0.1)) as server:
        host = f"127.0.0.1:{server.port}"
        rules = OpeningRules(Allowed((), (host,)), Access(wait_seconds=0.01, tries=12))
        pd.testing.assert_frame_equal(read(server.url("part.csv.gz"), "microsoft", rules), local)
    with pytest.raises(ReadError) as caught:
        read(f"http://{host}/part.csv.gz", "microsoft", OpeningRules(Allowed((), (host,)), Access(wait_seconds=0.0, tries=2)))
    assert caught.value.kind == "network"


@pytest.mark.parametrize(("key", "column", "row"), [("213", 3, 5), ("0", 0, 0), ("122323332", None, None)])
def test_quadkeys_are_squares_of_web_mercator(key: str, column: int | None, row: int | None) -> None:
    """Tile (3, 5) of level 3 is quadkey 213 in the Bing Maps Tile System; Kampala lies in 122323332."""
    to_metres = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
    west, south, east, north = quadkey_box(key).bounds
    left, bottom = to_metres.transform(west, south)
    right, top = to_metres.transform(east, north)
    half = 20_037_508.342789244
    side = 2 * half / 2 ** len(key)
    np.testing.assert_allclose([right - left, top - bottom], side, rtol=1e-9)
    if column is not None and row is not None:
        np.testing.assert_allclose([left, top], [column * side - half, half - row * side], atol=1e-3)
    else:
        assert west < 32.58 < east and south < 0.32 < north


def test_indexes_name_files_with_their_ground() -> None:
    index = "Location,QuadKey,Url,Size,UploadDate\nUganda,122323332,https://a/x.csv.gz,1MB,2024-03-04\nChad,012,https://a/y.csv.gz,1MB,\n"
    uganda, chad = microsoft_files(index)
    assert (uganda.href, uganda.label_date, chad.label_date) == ("https://a/x.csv.gz", dt.date(2024, 3, 4), None)
    assert chad.ground.equals(quadkey_box("012"))
    assert microsoft_files(index, ("Chad",)) == [chad]
    with pytest.raises(InputError, match="no location Peru"):
        microsoft_files(index, ("Peru",))
    with pytest.raises(InputError, match="Url"):
        microsoft_files("a,b\n1,2\n")
    box = json.loads(shapely.to_geojson(shapely.box(30, 0, 33, 2)))
    tiles = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": box, "properties": {"tile_url": "https://g/a.csv.gz"}}],
    }
    (found,) = google_files(json.dumps(tiles))
    assert found.href == "https://g/a.csv.gz" and found.ground.bounds == (30, 0, 33, 2)
    with pytest.raises(InputError, match="tile_url"):
        google_files('{"features": [{"properties": {}}]}')


def test_vector_files_of_any_crs_with_years_or_dates(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"built": [1960, 0], "edit": ["2020-02-29T01:00:00Z", None]}, geometry=[HOUSE, COURT], crs="EPSG:4326")
    frame.to_crs("EPSG:32636").to_file(tmp_path / "a.gpkg")
    years = vector_footprints(tmp_path / "a.gpkg", "built", None, "a")
    assert years["label_date"].tolist() == [dt.date(1960, 12, 31), None]
    assert vector_footprints(tmp_path / "a.gpkg", "edit", None, "a")["label_date"].tolist() == [dt.date(2020, 2, 29), None]
    assert shapely.hausdorff_distance(shapely.from_wkb(years["geometry"][0]), HOUSE) < 1e-7
    with pytest.raises(InputError, match="no column when"):
        vector_footprints(tmp_path / "a.gpkg", "when", None, "a")
    (tmp_path / "a.vrt").write_text("<OGRVRTDataSource/>")
    with pytest.raises(InputError, match="none of"):
        vector_footprints(tmp_path / "a.vrt", None, None, "a")


def test_boulders_buildings_by_year_have_their_published_area(real_data: Path) -> None:
    """MTBF-33 (Uhl & Leyk 2022): cumulative built-up of this extract, km2 in UTM 13N."""
    rows = vector_footprints(real_data / "boulder" / "buildings_to_1990.gpkg", "year_built", None, "boulder")
    shapes = geopandas.GeoSeries(shapely.from_wkb(rows["geometry"].to_numpy(object)), crs="EPSG:4326").to_crs("EPSG:32613")
    assert len(rows) == 12_703 and rows["geometry"].notna().all()
    for year, square_km in {1950: 0.375, 1960: 0.977, 1970: 2.126, 1980: 2.747, 1990: 3.142}.items():
        stands = rows["label_date"] <= dt.date(year, 12, 31)
        assert shapes[stands.to_numpy()].area.sum() / 1e6 == pytest.approx(square_km, abs=6e-4)
