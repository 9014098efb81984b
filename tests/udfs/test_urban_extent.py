"""Classes of urban extents against the definition written out pixel by pixel, and hand-made towns."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from pyproj import CRS
from scipy import ndimage

from udfs.grid import Grid, Tile
from udfs.pixel_areas import tile_areas_mm2
from udfs.urban_extent import (
    CAPTURED,
    DEFINITION,
    FRINGE,
    OPEN,
    RURAL,
    SQUARE_PX,
    SUBURBAN,
    TRENDS_EARTH,
    UNKNOWN,
    URBAN,
    Margin,
    class_areas,
    classes_of,
    counts_within,
    grown,
    margin_of,
    reach_of,
    rest_of,
    row_sides_m,
    with_captured,
)

UTM = Grid("utm37n", "EPSG:32637", 0.0, 1e7, 30.0, 30.0)
DEGREES = Grid("native-x", "EPSG:4326", 30.0, 62.0, 0.0009, 0.0004)


def town(shape: tuple[int, int], seed: int = 3) -> NDArray[np.uint8]:
    """1 built, 0 not, 255 not known: blocks of many densities, a hole in a dense one, cloud."""
    random = np.random.default_rng(seed)
    density = ndimage.gaussian_filter(random.standard_normal(shape), 25)
    density = ndimage.gaussian_filter((density > 0) * random.random(shape), 3)
    state = (random.random(shape) < 1.3 * density).astype(np.uint8)
    state[ndimage.gaussian_filter(random.standard_normal(shape), 20) > 0.025] = UNKNOWN
    state[shape[0] // 2 - 20 : shape[0] // 2 + 15, 400:470] = UNKNOWN
    return state


def by_definition(state: NDArray[np.uint8], sides: NDArray[np.float64], margin: Margin, fringe_m: float) -> NDArray[np.uint8]:
    """Each pixel by all others, as the definition reads, one row of the middle."""
    rows, cols = np.indices(state.shape)
    built, land = state == 1, state != UNKNOWN

    def near(y: int, x: int, distance: float) -> NDArray[np.bool_]:
        width, height = sides[y]
        return np.asarray(((cols - x) * width) ** 2 + ((rows - y) * height) ** 2 <= distance**2 * (1 + 1e-12))

    def of_built(y: int, x: int) -> int:
        around = near(y, x, math.sqrt(1e6 / math.pi))
        share = (built & around).sum() / (land & around).sum()
        return URBAN if share > 0.5 else SUBURBAN if share >= 0.25 else RURAL

    middle = len(state) // 2
    found = np.empty(state.shape[1] - 2 * margin.wide, np.uint8)
    towns = {}
    for number in range(len(found)):
        y, x = middle, number + margin.wide
        if not land[y, x]:
            found[number] = UNKNOWN
            continue
        if built[y, x]:
            found[number] = of_built(y, x)
            continue
        beside = np.argwhere(near(y, x, fringe_m) & built)
        for at in map(tuple, beside):
            towns.setdefault(at, of_built(*at))
        found[number] = FRINGE if any(towns[tuple(at)] != RURAL for at in beside) else OPEN
    return found


@pytest.mark.parametrize("grid", [UTM, DEGREES], ids=["utm", "degrees"])
def test_classes_are_those_of_the_definition(grid: Grid) -> None:
    square = Tile(3, 2, SQUARE_PX)
    margin = margin_of(grid, square, DEFINITION)
    state = town(grown(square, margin).shape_yx)
    classes = classes_of(state, grid, square, DEFINITION)
    sides = row_sides_m(grid, square.pixels.top - margin.tall, square.pixels.bottom + margin.tall)
    strip = state[len(state) // 2 - 60 : len(state) // 2 + 61]
    expected = by_definition(strip, sides[len(state) // 2 - 60 : len(state) // 2 + 61], margin, 100.0)
    assert {URBAN, SUBURBAN, RURAL, FRINGE, OPEN, UNKNOWN} <= set(expected.tolist())
    assert np.array_equal(classes[SQUARE_PX // 2], expected)


def test_a_square_kilometre_holds_its_pixels() -> None:
    """At 10 m a circle of 564.19 m holds the lattice points of a circle of that radius: counted one by one."""
    reach = reach_of(np.full((1, 2), 10.0), math.sqrt(1e6 / math.pi))
    steps = np.arange(-60, 61)
    assert int((2 * reach.half[reach.half[:, 0] >= 0] + 1).sum()) == int((steps[:, None] ** 2 + steps**2 <= 1e4 / math.pi).sum())
    assert (reach.tall, reach.wide) == (56, 56)


def test_pixels_of_a_geographic_grid_are_measured_on_the_earth() -> None:
    sides = row_sides_m(DEGREES, 3000, 3002)
    geod = CRS("EPSG:4326").get_geod()
    latitude = 62.0 - 3000.5 * 0.0004
    assert geod is not None
    assert sides[0, 0] == pytest.approx(geod.inv(30, latitude, 30.0009, latitude)[2], rel=1e-5)
    assert sides[0, 1] == pytest.approx(geod.inv(30, latitude - 0.0002, 30, latitude + 0.0002)[2], rel=1e-5)
    assert np.array_equal(row_sides_m(DEGREES, 2990, 3002)[10:], sides)


@pytest.mark.parametrize(("crs", "expected"), [("EPSG:3857", 5.0), ("EPSG:3395", 5.0), ("EPSG:32637", 10.0)])
def test_mercators_metres_are_not_the_grounds(crs: str, expected: float) -> None:
    """At 60 degrees north a metre of Mercator's is half a one."""
    top = round(-8_399_738 / 10)  # y of 60 degrees
    assert row_sides_m(Grid("native-x", crs, 0.0, 0.0, 10.0, 10.0), top, top + 1)[0] == pytest.approx([expected] * 2, rel=0.01)


def test_counts_within_reach_equal_a_convolution() -> None:
    random = np.random.default_rng(1)
    reach, margin = reach_of(np.full((40, 2), (7.0, 11.0)), 60.0), Margin(9, 12)
    chosen = random.random((58, 74)) < 0.3
    y, x = np.ogrid[-5:6, -8:9]
    disc = (x * 7.0) ** 2 + (y * 11.0) ** 2 <= 3600
    expected = ndimage.convolve(chosen.astype(int), disc.astype(int), mode="constant")
    assert np.array_equal(counts_within(chosen, reach, margin), expected[9:-9, 12:-12])


@pytest.mark.parametrize(("method", "expected"), [(DEFINITION, 1), (TRENDS_EARTH, 3)])
def test_the_fringe_is_as_wide_as_its_method_says(method: str, expected: int) -> None:
    """At 60 m: 100 m are one pixel; three pixels of trends_earth are three."""
    grid, square = UTM._replace(pixel_width=60.0, pixel_height=60.0), Tile(0, 0, SQUARE_PX)
    margin = margin_of(grid, square, method)
    state = np.zeros(grown(square, margin).shape_yx, np.uint8)
    state[300:400, 300:330] = 1
    row = classes_of(state, grid, square, method)[350 - margin.tall]
    assert row[330 - margin.wide - 1] == URBAN
    assert (row == FRINGE).sum() == 2 * expected


def test_enclosed_land_is_captured_by_its_area_and_touches_are_told() -> None:
    """A ring around open land with a farm in it; land that reaches the border; land beside ground without data."""
    classes = np.full((SQUARE_PX, SQUARE_PX), URBAN, np.uint8)
    classes[100:130, 200:240] = OPEN
    classes[110, 210] = RURAL
    classes[500:510, :7] = OPEN
    classes[700:705, 700:705] = OPEN
    classes[705, 700] = UNKNOWN
    square = Tile(1, -1, SQUARE_PX)
    areas = tile_areas_mm2(UTM, square)
    top, left = square.pixels[:2]
    rest = rest_of(classes, areas, top, left)
    assert rest.open_mm2[0] == areas[100:130, 200:240].sum() - areas[110, 210]
    assert rest.borders.sides.tolist() == [0, 8, 0]
    assert rest.borders.beside_blank.tolist() == [False, False, True]
    found = with_captured(classes, rest.piece[[0]], top, left)
    assert (found == CAPTURED).sum() == 30 * 40 - 1 and found[110, 210] == RURAL
    assert np.array_equal(found == OPEN, (classes == OPEN) & (found != CAPTURED))
    piece, of_classes = class_areas(found, areas, top, left)
    assert len(piece) == 1
    assert of_classes[0].tolist() == [areas[found == one].sum() for one in (URBAN, SUBURBAN, FRINGE, CAPTURED)]
