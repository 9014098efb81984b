"""A unit's picture: its grid, what several grids add up to on it, its colours."""

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from udfs.map_pixels import MapGrid
from udfs.rasters import NO_DATA
from udfs.unit_pictures import change_colours, onto, unit_grid

PART = MapGrid("EPSG:32636", 452_000.0, 38_000.0, 20.0, 20.0, 100, 60, 2)


def degrees(crs, *bounds):
    back = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.to_wkb(shapely.transform(shapely.box(*bounds), back.transform, interleaved=False))


def test_the_grid_of_one_part_keeps_its_pixels_and_surrounds_the_unit():
    grid = unit_grid([PART], degrees("EPSG:32636", 452_310, 37_100, 453_110, 37_700), 500)
    assert (grid.crs, grid.pixel_width, grid.step) == ("EPSG:32636", 20.0, 2)
    assert (grid.left - PART.left) % 20 == 0 and (PART.top - grid.top) % 20 == 0
    west, south, east, north = grid.bounds
    assert west < 452_310 - 20 and east > 453_110 + 20 and south < 37_100 - 20 and north > 37_700 + 20
    assert unit_grid([PART], degrees("EPSG:32636", 452_310, 37_100, 453_110, 37_700), 12).pixel_width == 80.0


def test_shares_keep_their_place_north_up():
    shares = np.full((60, 100), NO_DATA, np.uint8)
    shares[:, :90] = 0
    shares[15, 16] = 250
    grid = unit_grid([PART], degrees("EPSG:32636", 452_310, 37_100, 453_110, 37_700), 500)
    found = onto(grid, [(PART, shares)])
    row, col = (PART.top - 15 * 20 - grid.top) / -20, (PART.left + 16 * 20 - grid.left) / 20
    assert np.argwhere(found == 250).tolist() == [[round(row), round(col)]]


def test_two_zones_make_one_picture_of_equal_area():
    """Squares of 20 km on both sides of a zone's edge: on the common grid each keeps its area, west is west."""
    parts, outlines = [], []
    for crs, left in (("EPSG:32636", 710_000.0), ("EPSG:32637", 268_000.0)):
        grid = MapGrid(crs, left, 5_020_000.0, 200.0, 200.0, 100, 100, 20)
        parts.append((grid, np.full((100, 100), 250 if crs.endswith("6") else 100, np.uint8)))
        outlines.append(degrees(crs, *grid.bounds))
    whole = shapely.to_wkb(shapely.union_all(shapely.from_wkb(outlines)))
    grid = unit_grid([part for part, _ in parts], whole, 800)
    assert "laea" in grid.crs
    found = onto(grid, parts)
    for value in (250, 100):  # pixels that a square's edge cuts have data, too
        assert (found == value).sum() * grid.pixel_width**2 == pytest.approx(4e8, rel=0.05)
    assert np.argwhere(found == 250)[:, 1].mean() < np.argwhere(found == 100)[:, 1].mean()


def test_the_middle_of_a_unit_across_the_180th_meridian_is_not_in_africa():
    both = shapely.multipolygons([shapely.box(179.0, -18, 180, -17), shapely.box(-180, -18, -179.5, -17)])
    parts = [MapGrid(crs, 0.0, 0.0, 100.0, 100.0, 1, 1, 10) for crs in ("EPSG:32760", "EPSG:32701")]
    grid = unit_grid(parts, shapely.to_wkb(both), 900)
    west, _, east, _ = grid.bounds
    assert east - west < 250_000


def test_colours_mix_by_share():
    first = np.array([[250, 0, 250, 125, NO_DATA]], np.uint8)
    last = np.array([[250, 250, 0, 250, 0]], np.uint8)
    kept, new, gone, grey = (0.4, 0.4, 0.4), (0.8, 0.3, 0.0), (0.3, 0.7, 0.9), (0.85, 0.85, 0.85)
    rgb = change_colours(first, last, kept, new, gone, grey)
    half = tuple((a + b) / 2 for a, b in zip(kept, new, strict=True))
    np.testing.assert_allclose(rgb[0], [kept, new, gone, half, grey], atol=1e-12)
