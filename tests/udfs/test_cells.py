"""Planning by cells: which scenes each block is made from, whole coverage, zones, and what a tile will cost."""

import datetime as dt
import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from conf.place import Epoch
from udfs.cells import CELL_PX, Cell, Work, area_cells, planned_cell, planned_cells, touched_cells
from udfs.choosing import Blocks, Candidates, chosen, packed, shown, unpacked
from udfs.grid import Grid, utm_grid
from udfs.planning import predicted_bytes
from udfs.zones import split_at_antimeridian, zone_called, zone_grid

EPOCH = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
LATER = Epoch(name="2021", start=dt.date(2021, 1, 1), end=dt.date(2021, 12, 31), reference=dt.date(2021, 7, 1))
GRID = utm_grid(33.5, 5.0, 10.0)


def work(grids: dict[str, Grid] | None = None, **changes: Any) -> Work:
    values = {"sensors": ("sentinel2_l2a",), "grids": grids or {GRID.name: GRID}, "cut": False, "every": False, "tile_px": 512,
              "most_scenes": 24, "epochs": (EPOCH,)}  # fmt: skip
    return Work(**{**values, **changes})


def scene(
    name: str, outline: Any, day: dt.date = dt.date(2020, 7, 1), cloud: float | None = 0.0, epoch: str = "2020",
    sensor: str = "sentinel2_l2a",
) -> dict[str, Any]:  # fmt: skip
    """`outline`: west, north, east, south in pixels of GRID."""
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(*outline), 64))
    to_degrees = Transformer.from_crs(GRID.crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(GRID.origin_x + ring[:, 0] * 10, GRID.origin_y - ring[:, 1] * 10)
    footprint = shapely.to_wkb(shapely.Polygon(np.column_stack([lon, lat])))
    return {
        "scene_id": name,
        "sensor": sensor,
        "epoch": epoch,
        "datetime": pd.Timestamp(day),
        "cloud": cloud,
        "content_digest": name * 2,
        "footprint": footprint,
    }


CORNER = (242 * CELL_PX, 14 * CELL_PX)
"""Row and column, pixels, of the cell that tests plan in."""


def at(left: int, top: int, right: int, bottom: int) -> tuple[int, int, int, int]:
    return CORNER[1] + left, CORNER[0] + top, CORNER[1] + right, CORNER[0] + bottom


def plan(scenes: list[dict[str, Any]], inside: tuple[int, ...] = (0, 1, 8, 9), **changes: Any) -> pd.DataFrame:
    rows = planned_cell(GRID, Cell(242, 14, inside), sorted(scenes, key=lambda one: one["scene_id"]), work(**changes))
    return pd.DataFrame(rows)


def test_scenes_of_a_tile_are_those_of_its_blocks_with_why() -> None:
    rows = plan([
        scene("a", at(-100, -100, 1024, 700), dt.date(2020, 6, 1), 0.125), scene("b", at(700, 0, 2000, 2000), dt.date(2020, 8, 30), None),
        scene("far", at(1600, 0, 2000, 2000)), scene("c", at(0, 0, 9, 9), epoch="2021"),
    ])  # fmt: skip
    first, second, third, fourth = (
        {one["scene_id"]: (one["why"], one["blocks"]) for one in scenes} for scenes in rows.sort_values(["row", "col"]).scenes
    )
    assert first == {"a": ("covers 100 %, 12 % cloud, 30 days from reference", None), "b": ("covers 0 %, 60 days from reference", None)}
    assert second["a"][0].startswith("covers 100 %") and second["b"][0].startswith("covers 63 %")
    assert set(second) == {"a", "b"}  # `far` begins 576 pixels beyond: out of reach
    assert third["a"][0].startswith("covers 37 %") and set(fourth) == {"a", "b"}
    shares = {
        (number, one["scene_id"]): one["covers"] for number, scenes in enumerate(rows.sort_values(["row", "col"]).scenes) for one in scenes
    }
    assert (shares[0, "a"], shares[0, "b"], shares[1, "b"]) == (1.0, 0.0, pytest.approx((1024 - 700) / 512, abs=1e-5))


def test_what_no_scene_covers_is_planned_only_within_an_area() -> None:
    image = [scene("a", at(0, 0, 400, 400))]
    assert plan(image)[["row", "col"]].drop_duplicates().to_numpy().tolist() == [[1936, 112]]
    every = plan(image, every=True, epochs=(EPOCH, LATER))
    assert len(every) == 8
    assert sorted(len(scenes) for scenes in every.scenes) == [0] * 4 + [1] * 4


def test_cost_follows_what_is_read() -> None:
    once, twice, none = (plan(images, (0,), every=True).iloc[0] for images in ([scene("a", at(-9, -9, 600, 600))],
                         [scene("a", at(-9, -9, 600, 600)), scene("b", at(-9, -9, 600, 600))], []))  # fmt: skip
    assert 0 < none.predicted_seconds < once.predicted_seconds < twice.predicted_seconds
    assert none.predicted_bytes == 0 and twice.predicted_bytes == pytest.approx(2 * once.predicted_bytes, rel=1e-6)
    # Of 12 bands 4 have 10 m, 6 have 20 m and 2 have 60 m: 4 + 6/4 + 2/36 values of 2 bytes a pixel, packed to 0.6.
    assert predicted_bytes({"sentinel2_l2a": 1.0}, 512) == round(0.6 * 2 * (4 + 6 / 4 + 2 / 36) * 512**2)


def test_each_sensor_has_its_own_scenes_for_a_block() -> None:
    """A clear optical date beats a cloudy one and no radar; a radar date that only touches the tile does not count for the optical."""
    whole = at(-9, -9, 600, 600)
    images = [
        scene("c", whole, cloud=0.4), scene("a", whole, cloud=0.1), scene("b", whole, sensor="sentinel1_grd", cloud=None),
        scene("d", at(0, 0, 300, 600), sensor="sentinel1_grd", cloud=None), scene("e", whole, sensor="rgb"),
    ]  # fmt: skip
    sensors = ("sentinel2_l2a", "sentinel1_grd")
    (both,) = plan(images, (0,), sensors=sensors, most_scenes=1).itertuples()
    alone = [next(plan(images, (0,), sensors=(sensor,), most_scenes=1).itertuples()) for sensor in sensors]
    assert [one["scene_id"] for one in both.scenes] == ["a", "b"]
    assert both.scenes == [one for each in alone for one in each.scenes]
    assert both.predicted_bytes == sum(each.predicted_bytes for each in alone)
    assert max(each.predicted_seconds for each in alone) < both.predicted_seconds < sum(each.predicted_seconds for each in alone)
    assert both.scenes_digest != alone[0].scenes_digest
    only_radar = plan([scene("b", whole, sensor="sentinel1_grd")], (0,), sensors=sensors)
    assert [one["scene_id"] for one in only_radar.scenes[0]] == ["b"], "ground of either sensor is planned"


def candidates(boxes: list[Any], cloud: list[float], days: list[int]) -> Candidates:
    names = np.array([f"s{number}" for number in range(len(boxes))], object)
    return Candidates(names, np.array(boxes, object), np.array(cloud), np.array(days), names)


BLOCKS = Blocks(4, 9, (2, 3))


def box(left: float, top: float, right: float, bottom: float) -> Any:
    """In pixels from the corner of BLOCKS."""
    return shapely.box(9 * 256 + left, 4 * 256 + top, 9 * 256 + right, 4 * 256 + bottom)


def test_shares_are_areas() -> None:
    found = shown(np.array([box(100, -50, 900, 128), box(2000, 0, 2001, 1), box(257, 0, 300, 9)], object), BLOCKS)
    np.testing.assert_allclose(found.share[0], [[156 * 128 / 256**2, 0.5, 0.5], [0, 0, 0]], atol=1e-6)
    assert not found.share[1].any() and not found.near[1].any()
    assert found.near[2].tolist() == [[True, True, False], [False] * 3]  # its pixels may lie one further than its outline says


@given(
    st.lists(st.tuples(st.floats(0, 6.28), st.floats(5, 1500)), min_size=3, max_size=30),
    st.tuples(st.floats(-300, 900), st.floats(-300, 900)),
)
@example([(0.0, 5.0), (0.0, 12.0), (0.525390625, 1010.0), (0.00390625, 11.0)], (0.0, 0.0))  # a share half way between two steps
def test_a_block_sees_the_same_whichever_blocks_are_asked_about_with_it(
    spokes: list[tuple[float, float]], middle: tuple[float, float]
) -> None:
    angle, radius = np.array(sorted(spokes)).T
    star = np.round([9 * 256 + middle[0] + radius * np.cos(angle), 4 * 256 + middle[1] + radius * np.sin(angle)], 1).T
    outline = shapely.union_all([shapely.make_valid(shapely.Polygon(star)), box(256, 0, 512, 700)]) - box(300, 100, 310, 600)
    together = shown(np.array([outline], object), BLOCKS)
    for row, column in np.ndindex(2, 3):
        alone = shown(np.array([outline], object), Blocks(4 + row, 9 + column, (1, 1)))
        ground = box(256 * column, 256 * row, 256 * (column + 1), 256 * (row + 1))
        assert alone.share.item() == together.share[0, row, column] == pytest.approx(outline.intersection(ground).area / 256**2, abs=1e-6)
        assert alone.near.item() == together.near[0, row, column] == (outline.distance(ground) <= 2)


def test_the_best_are_chosen_by_clear_share_overlap_and_date() -> None:
    whole = box(0, 0, 768, 512)
    images = candidates([whole, whole, box(0, 0, 128, 512), whole], [0.5, 0.1, 0.0, 0.1], [0, 10, 0, 90])
    picked = chosen(images, shown(images.outline, BLOCKS), BLOCKS, 180, 2)
    assert picked[:, :, 2].T.tolist() == [[False, True, False, True]] * 2
    assert chosen(images, shown(images.outline, BLOCKS), BLOCKS, 180, 4).sum() == 20


def test_scenes_that_alone_show_some_ground_are_kept() -> None:
    west, east = box(0, 0, 128, 256), box(128, 0, 256, 256)
    images = candidates([west, west, west, east, east], [0.0, 0.1, 0.2, 0.8, 0.9], [0] * 5)
    picked = chosen(images, shown(images.outline, BLOCKS), BLOCKS, 180, 2)
    assert picked[:, 0, 0].tolist() == [True, True, False, True, False]


@given(st.lists(st.booleans(), min_size=64, max_size=64))
@settings(max_examples=50)
def test_blocks_survive_packing(bits: list[bool]) -> None:
    blocks = np.array(bits).reshape(8, 8)
    number = packed(blocks)
    assert -(2**63) <= number < 2**63
    np.testing.assert_array_equal(unpacked(number, 8), blocks)


def test_the_digest_changes_with_the_scenes_that_a_tile_is_made_from_and_no_others() -> None:
    images = [scene("a", at(-50, -50, 4000, 4000)), scene("b", at(-50, -50, 4000, 4000), cloud=0.5)]
    both, alone = plan(images), plan(images, most_scenes=1)
    more = plan([*images, scene("z", at(-50, -50, 600, 600), cloud=0.9)], most_scenes=1)
    assert both.scenes_digest.tolist() == [hashlib.sha256(b"aa,bb").hexdigest()] * 4
    assert alone.scenes_digest.tolist() == [hashlib.sha256(b"aa").hexdigest()] * 4
    assert more.scenes_digest.tolist() == alone.scenes_digest.tolist()
    assert (plan([*images, scene("z", at(-50, -50, 60, 60))]).scenes_digest != both.scenes_digest).tolist() == [True] * 4


PLACES = {
    "edge": ((71.95, 22.0, 72.06, 22.1), {"utm42n", "utm43n"}),
    "fiji": ((179.9, -17.05, -179.92, -16.95), {"utm60s", "utm01s"}),
    "svalbard": ((17.9, 78.5, 18.2, 78.56), {"utm33n", "utm34n"}),
    "antarctica": ((23.9, -80.1, 24.2, -79.95), {"utm34s", "utm35s", "upss"}),
}


@pytest.mark.parametrize("tile_px", [256, 1024])
@pytest.mark.parametrize("name", PLACES)
def test_places_on_edges_are_covered_by_the_tiles_of_their_zones(name: str, tile_px: int) -> None:
    bounds, names = PLACES[name]
    area = split_at_antimeridian(*bounds)
    grids = {zone: zone_grid(zone_called(zone), 10.0) for zone in names}
    cut = work(grids, cut=True, every=True, tile_px=tile_px)
    cells = list(area_cells([pd.DataFrame({"grid": sorted(names)})], cut, bytes(shapely.to_wkb(area))))
    planned = pd.concat(planned_cells([frame.assign(candidates=None) for frame in cells], cut))
    assert set(planned.grid) == names and planned.tile_id.is_unique
    outlines = shapely.from_wkb(planned.geometry.to_numpy())
    assert shapely.is_valid(outlines).all() and (shapely.area(outlines) < 0.6).all()
    # Straight chords of outlines bend away from the parallels by a few metres.
    assert shapely.difference(area, shapely.union_all(shapely.buffer(outlines, 2e-4))).area < 1e-9
    assert planned.strip.notna().any()


def test_a_zone_without_land_gives_no_cells_of_their_types() -> None:
    """The north's polar zone holds none; Arrow would not take a column without a type."""
    zone = zone_called("upsn")
    (cells,) = area_cells([pd.DataFrame({"grid": [zone.name]})], work({zone.name: zone_grid(zone, 10.0)}, cut=True, every=True), None)
    assert len(cells) == len(pa.array(cells["inside"], pa.list_(pa.int32()))) == len(pa.array(cells["reach"], pa.binary())) == 0


def test_a_footprint_over_180_degrees_touches_both_zones_and_no_other() -> None:
    names = ("utm60s", "utm01s", "utm30s")
    cut = work({zone: zone_grid(zone_called(zone), 10.0) for zone in names}, cut=True)
    footprint = shapely.to_wkb(split_at_antimeridian(179.9, -17.05, -179.92, -16.95))
    cells = list(touched_cells([pd.DataFrame({"footprint": [footprint, footprint]})], cut))
    assert {frame.grid.iloc[0] for frame in cells} == {"utm60s", "utm01s"}
