"""The images that planning is measured with, and what a further tile costs."""

import numpy as np
import pytest
import shapely

from benchmarks.planning import DATES, Planned, around, further_seconds, scene_rows
from conf.tables import SCENES
from udfs.land import land_tiles
from udfs.zones import one_zone, tiles_in, zone_called


def test_images_are_sentinel_2s_over_land() -> None:
    zone = zone_called("utm31n")
    rows = scene_rows((zone,))
    required = {column.name for column in SCENES.columns if not column.nullable}
    assert all(required <= set(row) <= set(SCENES.names) for row in rows)
    assert len({row["scene_id"] for row in rows}) == len(rows) == len(DATES) * len(land_tiles(zone, 10.0, 10_000))
    assert {(row["width"], row["height"]) for row in rows} == {(10_980, 10_980)}
    ground = shapely.union_all(shapely.from_wkb(np.array([row["geometry"] for row in rows], object)))
    assert ground.contains(shapely.box(2.0, 42.5, 3.0, 49.0))  # France
    assert not ground.intersects(shapely.Point(1.0, 60.5))  # the North Sea


@pytest.mark.parametrize("count", [10, 1_000, 10_000])
def test_an_area_has_about_so_many_tiles(count: int) -> None:
    west, south, east, north = around(count)
    area = shapely.box(west, south, east, north)
    zone = one_zone(area)
    assert zone is not None
    assert 0.6 < len(tiles_in(zone, area, 10.0, 512, cut=False)) / count < 1.2


def test_a_further_tile_costs_what_medians_differ_by() -> None:
    def run(tiles: int, *seconds: float) -> list[Planned]:
        return [Planned(tiles, each, 0, 0, 0, "") for each in seconds]

    steps = [run(1_000, 5, 90, 6), run(11_000, 16), run(111_000, 106, 136)]
    assert further_seconds(steps) == pytest.approx([0.001, 0.00105])
