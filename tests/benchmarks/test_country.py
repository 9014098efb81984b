"""The country of benchmark `country`: units that tile the ground, maps that grow; what its commands need."""

import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import shapely

from benchmarks.commands import run_command
from benchmarks.country_ground import DENSITIES, GROWTH, THRESHOLD, VARIANTS, Size, drawn_map, map_numbers, units
from benchmarks.country_tables import map_frames, tile_frames
from conf.tables import BUILT_UP, TILES
from udfs.rasters import NO_DATA

SIZE = Size(12, 720, 8, 2)


def test_units_of_every_level_tile_the_ground() -> None:
    """Bit by bit: neighbours share their edges, parents are made of their children's."""
    found = units(SIZE)
    levels = [found[found["level"] == level] for level in range(3)]
    assert [len(level) for level in levels] == [SIZE.regions, SIZE.districts, SIZE.units]
    for level in levels:
        assert shapely.coverage_is_valid(level["geometry"].to_numpy())
    for above, below in pairwise(levels):
        assert set(below["parent_id"]) == set(above["unit_id"])
        for parent, children in below.groupby("parent_id")["geometry"]:
            (whole,) = above.loc[above["unit_id"] == parent, "geometry"]
            assert shapely.coverage_union_all(children.to_numpy()).equals(whole)
    sizes = shapely.area(levels[2]["geometry"].to_numpy())
    assert sizes.max() > 30 * np.median(sizes)


@pytest.mark.parametrize("density", [1, len(DENSITIES) - 1])
def test_maps_grow(density: int) -> None:
    sooner, later = (drawn_map(density, VARIANTS - 1, epoch) for epoch in range(2))
    assert 0.05 < (sooner == NO_DATA).mean() < 0.6
    assert (later[(sooner >= THRESHOLD) & (sooner != NO_DATA)] >= THRESHOLD).all()
    assert (later >= THRESHOLD).mean() == pytest.approx(GROWTH * DENSITIES[density], abs=0.002)
    assert (drawn_map(density, 0, 0) != NO_DATA).all()


def test_some_tiles_have_no_map() -> None:
    numbers = map_numbers(Size(100, 0, 0, 0))
    assert numbers.max() == len(DENSITIES) * VARIANTS * 2 - 1
    assert 20 < (numbers == -1).sum() < 200
    assert 20 < (numbers == -2).sum() < 200


def test_rows_are_those_that_mapping_leaves() -> None:
    numbers = pd.DataFrame({"id": range(9)})
    encoded = [(b"x", 1.0)] * len(DENSITIES) * VARIANTS * 2
    for table, frames in ((TILES, tile_frames(iter([numbers]), SIZE)), (BUILT_UP, map_frames(iter([numbers]), SIZE, encoded))):
        (rows,) = frames
        assert list(rows.columns) == list(table.names)
        assert not rows.duplicated(list(table.key)).any()
        assert len(rows) == 18


def test_what_a_command_needs_and_one_that_fails() -> None:
    use = run_command([sys.executable, "-c", "held = b'x' * (100 << 20); import time; time.sleep(1)"])
    assert 100 < use.driver < 200
    assert (use.jvm, use.workers) == (0, 0)
    assert 1 < use.seconds < 60
    with pytest.raises(ValueError, match="exit code 3\nno such place"):
        run_command([sys.executable, "-c", "print('no such place'); exit(3)"])
