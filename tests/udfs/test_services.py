"""Ground within reach of services, against PROJ's geodesics; files read and refused."""

import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Geod

from conf.errors import InputError
from udfs.services import OPEN_SPACE, STOP, STREET, Source, around, read_services, service_frames
from udfs.units import geodesic_area_m2

GEOD = Geod(ellps="WGS84")


@pytest.mark.parametrize(("lon", "lat"), [(32.6, 0.33), (-71.2, 64.9), (179.998, -17.0)])
def test_what_is_near_a_stop_is_within_so_many_metres_of_it(lon: float, lat: float) -> None:
    ring = shapely.get_coordinates(around(shapely.Point(lon, lat), 500.0))
    ring = ring[np.abs(np.abs(ring[:, 0]) - 180) > 1e-9]  # where it is split
    _, _, distance = GEOD.inv(np.full(len(ring), lon), np.full(len(ring), lat), *ring.T)
    assert np.abs(distance - 500).max() < 1e-6
    area = sum(abs(GEOD.geometry_area_perimeter(part)[0]) for part in shapely.get_parts(around(shapely.Point(lon, lat), 500.0)))
    assert area == pytest.approx(np.pi * 500**2, rel=2e-3)


def test_what_is_near_a_park_and_a_street_of_a_width() -> None:
    park = shapely.box(32.60, 0.33, 32.61, 0.335)
    near = around(park, 400.0)
    east, north = GEOD.inv(32.6, 0.3325, 32.61, 0.3325)[2], GEOD.inv(32.6, 0.33, 32.6, 0.335)[2]
    expected = east * north + 2 * (east + north) * 400 + np.pi * 400**2
    assert abs(GEOD.geometry_area_perimeter(near)[0]) == pytest.approx(expected, rel=2e-3)
    street = around(shapely.LineString([(32.60, 0.33), (32.61, 0.33)]), 4.0, flat=True)
    assert abs(GEOD.geometry_area_perimeter(street)[0]) == pytest.approx(GEOD.inv(32.6, 0.33, 32.61, 0.33)[2] * 8, rel=1e-4)


def written(folder: Path, shapes: list[object], **columns: list[object]) -> Path:
    path = folder / "made.geojson"
    gpd.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32636").to_file(path, driver="GeoJSON")
    return path


def test_stops_of_high_capacity_reach_further(tmp_path: Path) -> None:
    path = written(tmp_path, [shapely.Point(455_000, 36_000), None, shapely.Point(456_000, 37_000)], mode=["bus", "bus", "train"])
    rows = read_services(Source(STOP, path, "mode", ("train",), (1000.0, 500.0)))
    assert rows[["service_id", "capacity", "reach_m"]].to_numpy().tolist() == [["stop-1", "low", 500.0], ["stop-3", "high", 1000.0]]
    told = pd.concat(service_frames([rows]))
    areas = [abs(GEOD.geometry_area_perimeter(shapely.from_wkb(one))[0]) for one in told["reach"]]
    assert areas[1] / areas[0] == pytest.approx(4, rel=1e-3) and told["kind"].tolist() == ["stop", "stop"]


def test_numbers_of_capacity_with_a_gap_are_whole_and_unknown_ones_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [shapely.Point(455_000, 36_000), shapely.Point(455_000, 37_000)], kind=[1, None])
    assert read_services(Source(STOP, path, "kind", ("1",), (9.0, 5.0)))["capacity"].tolist() == ["high", "low"]
    with pytest.raises(InputError, match="no stop has kind = '2'"):
        read_services(Source(STOP, path, "kind", ("2",)))


def test_a_park_over_180_degrees_has_its_area_on_both_sides(tmp_path: Path) -> None:
    halves = [shapely.box(179.99, -17, 180, -16.99), shapely.box(-180, -17, -179.98, -16.99)]
    for crs, shape in (("EPSG:4326", shapely.MultiPolygon(halves)), ("EPSG:32760", shapely.box(820_000, 8_115_000, 850_000, 8_120_000))):
        path = tmp_path / "park.gpkg"
        gpd.GeoDataFrame(geometry=[shape], crs=crs).to_file(path)
        told = pd.concat(service_frames([read_services(Source(OPEN_SPACE, path, reach_m=(400.0, 400.0)))])).iloc[0]
        own, reach = (geodesic_area_m2(np.array([shapely.from_wkb(told[name])], object))[0] for name in ("geometry", "reach"))
        whole = 3.55e6 if crs == "EPSG:4326" else 150e6
        assert own == pytest.approx(whole, rel=0.02) and whole < reach < 2.2 * whole


def test_streets_are_areas_and_need_a_width_where_they_are_lines(tmp_path: Path) -> None:
    square = shapely.box(455_000, 36_000, 455_100, 36_050)
    path = written(tmp_path, [shapely.LineString([(455_000, 36_000), (455_400, 36_000)]), square], width=[8.0, None])
    told = pd.concat(service_frames([read_services(Source(STREET, path, "width"))]))
    areas = [abs(GEOD.geometry_area_perimeter(shapely.from_wkb(one))[0]) for one in told["geometry"]]
    assert areas == pytest.approx([3200, 5000], rel=1e-3) and told["reach"].isna().all()
    with pytest.raises(InputError, match=r"tells no width in metres; set services.street_width"):
        read_services(Source(STREET, path))


def test_wrong_shapes_and_columns_are_refused_in_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, [shapely.box(0, 0, 9, 9), shapely.Point(1, 1)], name=["a", "b"])
    with pytest.raises(InputError, match=r"services\.open_spaces: row 2 of made\.geojson is a Point"):
        read_services(Source(OPEN_SPACE, path))
    with pytest.raises(InputError, match=r"services\.stops: made\.geojson has no column mode"):
        read_services(Source(STOP, path, "mode"))
    with pytest.raises(InputError, match="no file"):
        read_services(Source(STOP, tmp_path / "none.geojson"))
    with pytest.raises(InputError, match="has width = 'wide', no width in metres"):
        line = shapely.LineString([(455_000, 36_000), (455_400, 36_000)])
        read_services(Source(STREET, written(tmp_path, [line], width=["wide"]), "width", width_m=5.0))
    metres = written(tmp_path, [shapely.Point(455_000, 36_000)]).rename(tmp_path / "metres.geojson")
    metres.write_text(re.sub(r'"crs": \{.*?\} \},', "", metres.read_text()), encoding="utf-8")
    with pytest.raises(InputError, match="coordinates that are no degrees"):
        read_services(Source(STOP, metres))
