"""Zones: every point has one owner, every owned pixel one tile, and areas add up over zones."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer
from shapely.affinity import translate

from conf.errors import InputError
from udfs import zone_pixels, zones
from udfs.grid import utm_grid
from udfs.zone_pixels import owned, owned_or_touched
from udfs.zones import ZONES, Zone, one_zone, tiles_in, zone_called, zone_grid, zone_of, zones_of

WGS84 = Geod(ellps="WGS84")
TILE_PX = 256
Box = tuple[float, float, float, float]
PLACES: dict[str, tuple[Box, str]] = {
    "gujarat": ((71.93, 23.01, 72.11, 23.17), "utm42n utm43n"),
    "oresund": ((11.8, 55.61, 12.1, 55.78), "utm32n utm33n"),
    "fiji": ((179.91, -16.95, -179.86, -16.78), "utm01s utm60s"),
    "equator": ((35.92, -0.11, 36.07, 0.06), "utm36n utm37n utm36s utm37s"),
    "svalbard": ((11.7, 80.41, 24.4, 80.57), "utm32n utm33n utm34n utm35n"),
    "nordaustlandet": ((17.5, 78.9, 18.6, 79.1), "utm33n utm34n"),
    "wilkes": ((101.8, -66.3, 102.3, -66.15), "utm47s utm48s"),
    "maud": ((-0.4, -80.12, 0.7, -79.9), "utm30s utm31s upss"),
    "mcmurdo": ((179.3, -80.1, -179.1, -79.93), "utm01s utm60s upss"),
    "arctic": ((179.2, 83.91, -179.4, 84.07), "utm01n utm60n upsn"),
    "interior": ((178.7, -85.1, -178.9, -84.97), "upss"),
}
"""Boxes (west > east: across 180), and the zones that share them."""


@given(
    st.floats(-180, 180) | st.builds(np.nextafter, st.sampled_from(range(-180, 181, 6)), st.sampled_from([-180, 0, 180])),
    st.floats(-90, 90) | st.builds(np.nextafter, st.sampled_from([-90, -80, -0.0, 84, 90]), st.sampled_from([-90, 0, 90])),
)
def test_every_point_has_one_owner(longitude: float, latitude: float) -> None:
    lon = -180.0 if longitude == 180 else longitude
    owners = [n for n, z in enumerate(ZONES) if z.west <= lon < z.east and (z.south <= latitude < z.north or latitude == z.north == 90)]
    assert [int(zone_of(longitude, latitude))] == owners


def test_longitudes_are_taken_modulo_360_and_shapes_kept() -> None:
    found = zone_of(np.array([[72.0, 432.0, -288.0], [182.0, -190.0, -1e-17]]), np.array([[5.0], [-5.0]]))
    assert [[ZONES[n].name for n in row] for row in found] == [["utm43n"] * 3, ["utm01s", "utm59s", "utm30s"]]


def test_what_is_not_on_earth_is_refused() -> None:
    for point in ((float("nan"), 0), (float("inf"), 0), (0, 90.01), (0, float("nan"))):
        with pytest.raises(InputError, match="not on earth"):
            zone_of(*point)
    with pytest.raises(InputError, match="'utm61n': no such zone"):
        zone_called("utm61n")


def test_names_crs_and_strips_belong_together() -> None:
    assert len({zone.name for zone in ZONES}) == len(ZONES) == 122
    for zone in ZONES[:120]:
        crs = CRS(zone.crs)
        assert zone.name.upper() == f"UTM{crs.utm_zone:>03}"
        assert crs.area_of_use is not None and zone.strip == pytest.approx(crs.area_of_use.bounds, abs=0.011)
    for name, pole in (("upsn", 90), ("upss", -90)):
        to_ups = Transformer.from_crs("EPSG:4326", zone_called(name).crs, always_xy=True)
        assert to_ups.transform(77, pole) == pytest.approx((2e6, 2e6))


def test_grids_are_those_of_their_points_and_counted_from_zero() -> None:
    assert zone_grid(zone_called("utm43s"), 10.0) == zone_grid(ZONES[60 + 42], 10.0)
    for zone in ZONES[:120]:
        assert zone_grid(zone, 30.0) == utm_grid(zone.west, zone.south, 30.0) == utm_grid(zone.east - 1e-6, zone.north - 1e-6, 30.0)
    for zone, resolution in product(ZONES[120:], (0.5, 20.0, 2500.0, 10_000.0)):
        grid = zone_grid(zone, resolution)
        assert (grid.name, grid.crs, grid.origin_x, grid.origin_y % resolution) == (zone.name, zone.crs, 0.0, 0.0)


def test_a_place_is_shared_by_the_zones_it_meets_with_more_than_an_edge() -> None:
    more = [((66, 0, 72, 9), "utm42n"), ((72, -9, 78, 0), "utm43s"), ((-180, -90, 180, 90), " ".join(zone.name for zone in ZONES))]
    for box, names in [*PLACES.values(), *more]:
        assert [zone.name for zone in zones_of(zones.split_at_antimeridian(*box))] == names.split()


def test_boxes_are_split_at_the_antimeridian() -> None:
    assert shapely.equals(zones.split_at_antimeridian(5, 1, 7, 2), shapely.box(5, 1, 7, 2))
    fiji = shapely.MultiPolygon([shapely.box(177, -19, 180, -12), shapely.box(-180, -19, -178, -12)])
    assert shapely.equals(zones.split_at_antimeridian(177, -19, -178, -12), fiji)
    assert shapely.equals(zones.split_at_antimeridian(180, 1, -178, 2), shapely.box(-180, 1, -178, 2))
    assert shapely.equals(zones.split_at_antimeridian(177, 1, -180, 2), shapely.box(177, 1, 180, 2))
    for box in ((5, 1, 5, 2), (5, 2, 7, 1), (177, 1, 182, 2), (5, 1, 7, 91), (5, float("nan"), 7, 2)):
        with pytest.raises(InputError, match="give west, south, east, north"):
            zones.split_at_antimeridian(*box)


ALONE = {
    "utm60s": (177, -19, -178, -12), "utm01s": (178, -19, -177, -12), "utm01n": (-180, -80, -174, 84), "utm33n": (9, 54, 15, 58),
    "utm36s": (30, -2, 35, 1.9), "utm36n": (30, -2, 35, 2.1), "too wide": (8.9, 54, 15, 58), "arctic": (20, 80, 25, 84.1),
    "antarctic": (20, -81, 25, -78),
}  # fmt: skip


@pytest.mark.parametrize(("name", "box"), ALONE.items(), ids=ALONE)
def test_a_small_place_has_one_zone(name: str, box: Box) -> None:
    found = one_zone(zones.split_at_antimeridian(*box))
    assert found == (zone_called(name) if name.startswith("utm") else None)


def test_the_width_of_a_place_is_that_of_all_its_parts() -> None:
    east, west = shapely.box(-179, 1, -178, 2), [shapely.box(176.5, 3, 178, 5), shapely.box(177, 1, 177.5, 2)]
    assert one_zone(shapely.MultiPolygon([east, *west])) == zone_called("utm60n")  # 176.5 to 182
    assert one_zone(shapely.MultiPolygon([east, *west, shapely.box(175, 1, 175.5, 2)])) is None
    assert one_zone(shapely.MultiPolygon([shapely.box(10, 1, 16, 2), shapely.box(11, 3, 12, 4)])) == zone_called("utm33n")


NO_AREAS = {
    "a Point": shapely.Point(1, 2), "empty": shapely.Polygon(), "not in degrees within": shapely.box(177, 1, 182, 2),
    "Self-intersection.*make_valid": shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]),
}  # fmt: skip


@pytest.mark.parametrize(("message", "area"), NO_AREAS.items(), ids=NO_AREAS)
def test_areas_that_are_none_are_refused(message: str, area: Any) -> None:
    for use in (zones_of, one_zone, lambda area: zones.area_on(zone_called("utm31n"), area, 10.0)):
        with pytest.raises(InputError, match=message):
            use(area)


def flat(area: Any, middle: float) -> Any:
    """An area split at 180 as one, in longitudes within 180 of the middle."""
    parts = shapely.get_parts(area)
    return shapely.union_all([translate(part, 360 * round((middle - part.centroid.x) / 360)) for part in parts])


def folded(area: Any) -> Any:
    """The reverse of `flat`."""
    turns = [(by, shapely.box(by - 180, -90, by + 180, 90)) for by in (-360, 0, 360)]
    return shapely.union_all([translate(shapely.intersection(area, turn), -by) for by, turn in turns])


def part_owned(area: Any, zone: Zone, middle: float) -> Any:
    """What the zone owns of an area, both in longitudes about the middle."""
    strip = shapely.box(-999, zone.south, 999, zone.north) if zone.polar else flat(shapely.box(*zone.strip), middle)
    return shapely.intersection(area, strip)


def outlines(zone: Zone, resolution: float, tops: Any, lefts: Any, side: float, middle: float, steps: int = 1) -> Any:
    """Outlines of squares of `side` pixels in EPSG:4326, in longitudes within 180 of the middle."""
    ring = np.array([(0, 0), (0, 1), (1, 1), (1, 0)], float)
    ring = np.concatenate([a + (b - a) * np.arange(steps)[:, None] / steps for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)])
    grid = zone_grid(zone, resolution)
    x = grid.origin_x + resolution * (np.asarray(lefts)[:, None] + side * ring[:, 1])
    y = grid.origin_y - resolution * (np.asarray(tops)[:, None] + side * ring[:, 0])
    lon, lat = Transformer.from_crs(zone.crs, "EPSG:4326", always_xy=True).transform(x, y)
    return shapely.polygons(np.stack([(lon - middle + 180) % 360 - 180 + middle, lat], axis=-1))


def pixel_of(zone: Zone, resolution: float, longitude: Any, latitude: Any) -> tuple[Any, Any]:
    x, y = Transformer.from_crs("EPSG:4326", zone.crs, always_xy=True).transform(longitude, latitude)
    grid = zone_grid(zone, resolution)
    return np.floor((grid.origin_y - y) / resolution).astype(int), np.floor((np.asarray(x) - grid.origin_x) / resolution).astype(int)


def held(place: Any, zone: Zone, resolution: float, judge: Callable[..., Any], longitude: Any, latitude: Any) -> Any:
    """Which points lie in a pixel of the zone's tiles that `judge` gives to the zone."""
    rows, cols = pixel_of(zone, resolution, longitude, latitude)
    inside = np.zeros(len(rows), bool)
    for top, left in tiles_in(zone, place, resolution, TILE_PX) * TILE_PX:
        here = (rows // TILE_PX * TILE_PX == top) & (cols // TILE_PX * TILE_PX == left)
        mask = judge(zone.crs, zone_grid(zone, resolution).transform(top, left), (TILE_PX, TILE_PX), zone)
        inside[here] = mask[rows[here] - top, cols[here] - left]
    return inside


@pytest.mark.parametrize("box", [box for box, _ in PLACES.values()], ids=PLACES)
def test_ground_points_lie_in_one_pixel_of_one_zone(box: Box) -> None:
    west, south, width, height = box[0], box[1], (box[2] - box[0]) % 360, box[3] - box[1]
    lon, lat = np.random.default_rng(7).random((2, 4000)) * [[width], [height]] + [[west], [south]]
    lon[:300] = np.clip(np.rint(lon[:300] / 6) * 6, west, west + width)  # on the edge, where the place has one
    owner, area = zone_of(lon, lat), zones.split_at_antimeridian(*box)
    steps = [(dx / np.cos(np.radians(lat)), dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    far = np.all([zone_of(lon + 1.5e-3 * dx, lat + 1.5e-3 * dy) == owner for dx, dy in steps], axis=0)
    shared = zones_of(area)
    mine = np.stack([owner == ZONES.index(zone) for zone in shared])
    whole, any_part = (np.stack([held(area, zone, 100.0, judge, lon, lat) for zone in shared]) for judge in (owned, owned_or_touched))
    assert (mine.sum(axis=0) == 1).all() and (any_part >= mine).all() and (any_part >= whole).all()
    assert (whole[:, far] == mine[:, far]).all() and (any_part[:, far] == mine[:, far]).all()
    assert far.mean() > 0.5 and (len(shared) == 1 or far.mean() < 1)


@pytest.mark.parametrize("box", [box for box, _ in PLACES.values()], ids=PLACES)
def test_areas_add_up_over_zones(box: Box) -> None:
    area, middle, resolution = zones.split_at_antimeridian(*box), box[0], 1000.0 if box[3] > 80 else 500.0
    whole, total = flat(area, middle), 0.0
    for zone in zones_of(area):
        part = part_owned(whole, zone, middle)
        shapely.prepare(part)
        for row, col in tiles_in(zone, area, resolution, TILE_PX) * TILE_PX:
            kept = owned_or_touched(zone.crs, zone_grid(zone, resolution).transform(row, col), (TILE_PX, TILE_PX), zone)
            tops, lefts = np.nonzero(kept)
            cells = outlines(zone, resolution, tops + row, lefts + col, 1, middle)
            cells = shapely.intersection(part, cells[shapely.intersects(part, cells)])
            total += sum(abs(WGS84.geometry_area_perimeter(cell)[0]) for cell in cells[shapely.area(cells) > 0])
    expected = abs(WGS84.geometry_area_perimeter(shapely.segmentize(whole, 0.001))[0])
    assert total == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("name", "parallel", "pole"), [("upsn", 84, 90), ("upss", -80, -90)])
def test_a_pole_cap_is_a_disc(name: str, parallel: float, pole: float) -> None:
    zone = zone_called(name)
    _, y = Transformer.from_crs("EPSG:4326", zone.crs, always_xy=True).transform(0, parallel)
    disc = zones.area_on(zone, zones.strip_polygon(zone), 100.0)
    assert disc.geom_type == "Polygon" and disc.is_valid and not disc.interiors
    assert shapely.hausdorff_distance(disc, shapely.Point(2e6, 2e6).buffer(abs(y - 2e6), quad_segs=2048)) < 50
    assert disc.area == pytest.approx(np.pi * (y - 2e6) ** 2, rel=1e-6)
    assert min(disc.bounds) > 0 and max(disc.bounds) < zones.UPS_TOP
    rim = pole * 0.99
    tiles = tiles_in(zone, shapely.box(-180, min(rim, pole), 180, max(rim, pole)), 1000.0, TILE_PX)
    assert tiles.tolist() == [[7, 7], [7, 8], [8, 7], [8, 8]]


def judged(area: Any, zone: Zone, resolution: float, middle: float, cut: bool) -> None:
    """`tiles_in` against every tile around, its outline densified and taken back to degrees."""
    part = part_owned(flat(area, middle), zone, middle) if cut else flat(area, middle)
    lon, lat = shapely.get_coordinates(shapely.segmentize(part, 0.02)).T
    rows, cols = (of // TILE_PX for of in pixel_of(zone, resolution, lon, lat))
    every = np.mgrid[rows.min() - 1 : rows.max() + 2, cols.min() - 1 : cols.max() + 2].reshape(2, -1)
    needed, allowed = (
        every[:, shapely.intersects(ground, outlines(zone, resolution, *(every * TILE_PX - m), TILE_PX + 2 * m, middle, 32))]
        for ground, m in ((part.buffer(-1e-6), -0.01), (part, 1.0))
    )
    tiles = set(map(tuple, tiles_in(zone, area, resolution, TILE_PX, cut).tolist()))
    assert set(zip(*needed.tolist(), strict=True)) <= tiles <= set(zip(*allowed.tolist(), strict=True))


SPOTS = [(72.0, 23.0), (180.0, -17.0), (36.0, 0.0), (18.0, 80.9), (0.0, -80.0), (180.0, -79.9), (-180.0, 84.1), (12.3, -88.0)]


@settings(max_examples=30)
@given(
    st.sampled_from(SPOTS),
    st.lists(st.tuples(st.floats(-0.4, 0.4), st.floats(-0.25, 0.25)), min_size=3, max_size=7),
    st.sampled_from([13.0, 40.0]),
)
def test_tiles_are_those_that_meet_the_owned_part(
    centre: tuple[float, float], offsets: list[tuple[float, float]], resolution: float
) -> None:
    # No finer than a tenth of a millimetre: shapely's own set operations fail on coordinates of 1e-308.
    around_it = np.round(offsets, 9) / [np.cos(np.radians(centre[1])), 1] + centre
    outline = shapely.convex_hull(shapely.multipoints(around_it))
    outline = shapely.difference(outline, shapely.box(*(around_it[0] - 0.07), *(around_it[0] + 0.05)))
    area = folded(outline)
    assume(area.geom_type in ("Polygon", "MultiPolygon") and area.area > 1e-4)
    for zone in zones_of(area):
        judged(area, zone, resolution, centre[0], cut=True)
    alone = one_zone(area)
    if alone is not None:
        judged(area, alone, resolution, centre[0], cut=False)


def test_a_place_with_one_zone_is_not_cut() -> None:
    fiji, zone = zones.split_at_antimeridian(*PLACES["fiji"][0]), zone_called("utm60s")
    cut, whole = (set(map(tuple, tiles_in(zone, fiji, 10.0, TILE_PX, cut=cut).tolist())) for cut in (True, False))
    assert cut and cut < whole and zones.area_on(zone, fiji, 10.0, cut=False).geom_type == "Polygon"
    nothing = tiles_in(zone_called("utm10n"), fiji, 10.0, TILE_PX)
    assert nothing.shape == (0, 2) and nothing.dtype == np.int32


EDGES = [
    ("utm43n", 72.0, 20.0, 10.0), ("utm43s", 77.999, 0.0, 30.0), ("utm33n", 15.0, 83.95, 1000.0), ("utm33n", 15.0, 89.9, 1000.0),
    ("utm01s", -180.0, -79.99, 300.0), ("utm60n", 180.0, 64.0, 25.0), ("upsn", -50.0, 84.0, 70.0), ("upsn", 0.0, 90.0, 9000.0),
    ("upss", 180.0, -80.0, 20.0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "lon", "lat", "resolution"), EDGES)
def test_pixels_belong_to_the_zone_of_their_centre(name: str, lon: float, lat: float, resolution: float) -> None:
    zone, shape_yx = zone_called(name), (231, 417)
    row, col = (int(of) for of in pixel_of(zone, resolution, lon, lat))
    transform = zone_grid(zone, resolution).transform(row - 110, col - 180)
    x, y = transform.c + resolution * (np.arange(417) + 0.5), transform.f - resolution * (np.arange(231) + 0.5)
    centres = Transformer.from_crs(zone.crs, "EPSG:4326", always_xy=True).transform(*np.meshgrid(x, y))
    expected = zone_of(*centres) == ZONES.index(zone)
    found = owned(zone.crs, transform, shape_yx, zone)
    assert found.dtype == bool and (found == expected).all() and (expected.any() != expected.all() or lat == 89.9)
    left, bottom = (of.ravel() for of in np.meshgrid(x - resolution / 2, y - resolution / 2))
    strip = zones.area_on(zone, zones.strip_polygon(zone), 1.0)
    shapely.prepare(strip)
    exact, wider = (
        shapely.intersects(strip, shapely.box(left - m, bottom - m, left + resolution + m, bottom + resolution + m))
        for m in (-1e-2 * resolution, 0.15 * resolution)
    )
    touched = owned_or_touched(zone.crs, transform, shape_yx, zone).ravel()
    assert (touched >= exact).all() and (touched <= wider).all() and (touched >= found.ravel()).all()


def test_a_centre_on_an_edge_has_one_owner() -> None:
    """Pixels of EPSG:4326 whose centres are even degrees: both edges of strips, both poles, 180."""
    degrees, lat, lon = Affine(2, 0, -181, 0, -2, 91), np.arange(90, -91, -2)[:, None], np.arange(-180, 180, 2)
    owners = np.stack([owned("EPSG:4326", degrees, (91, 180), zone) for zone in ZONES])
    assert (owners.sum(axis=0) == 1).all() and (owners.argmax(axis=0) == zone_of(lon, lat)).all()


def test_an_edge_that_bends_into_an_array_is_seen() -> None:
    """The cap's rim, 5 pixels into an array at a quarter of its side: outside at all corners and middles."""
    zone = zone_called("upsn")
    found = owned(zone.crs, Affine(1000, 0, 2_661_728, 0, -1000, 2_100_000), (400, 400), zone)
    assert found[100].nonzero()[0].tolist() == [0, 1, 2, 3, 4] and not found[[0, 200, -1]].any()
    assert not owned("EPSG:32633", Affine(10, 0, 1e12, 0, -10, 1e12), (40, 30), zone_called("utm33n")).any()


def test_pixels_well_inside_or_outside_are_not_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    zone = zone_called("utm43n")
    transform = zone_grid(zone, 10.0).transform(776_000, 50_000)
    monkeypatch.setattr(zone_pixels, "_owns", lambda *_: pytest.fail("projected"))
    assert owned_or_touched(zone.crs, transform, (1024, 1024), zone).all()
    assert not owned_or_touched(zone.crs, transform, (1024, 1024), zone_called("utm44n")).any()


def test_real_wards_lie_in_one_zone(real_data: Path) -> None:
    wards = shapely.union_all(shapely.make_valid(pyogrio.read_dataframe(real_data / "mumbai/wards.geojson").geometry.to_numpy()))
    zone = one_zone(wards)
    assert zone == zone_called("utm43n") and zones_of(wards) == [zone]
    judged(wards, zone, 10.0, 72.8, cut=True)
