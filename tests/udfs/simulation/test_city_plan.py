"""The plan: growth, what stands when, labels, and that a seed is a city."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize

from conf.errors import InputError
from udfs.simulation.city import NORTH, WEST, City, plan_city
from udfs.simulation.land import CELL_M, building_label, built_label, land_in
from udfs.simulation.looks import LOOKS, TRAINING_LOOKS, look_named
from udfs.simulation.painting import Frame, flattened, painted, whole
from udfs.simulation.spectra import COVER, ROOFS, SEALED


def _footprint_m2(city: City, year: int) -> float:
    standing = (city.standing.built <= year) & (city.standing.gone > year)
    return float(shapely.area(city.footprints[standing]).sum())


def test_city_grows_by_a_quarter_and_something_is_demolished(city: City) -> None:
    assert _footprint_m2(city, 2022) >= 1.25 * _footprint_m2(city, 2017)
    assert built_label(city, 2022).sum() >= 1.25 * built_label(city, 2017).sum()
    assert ((city.standing.gone > 2017) & (city.standing.gone <= 2022)).any()
    assert (city.standing.gone > city.standing.built).all()


def test_buildings_standing_together_do_not_overlap(city: City) -> None:
    standing = city.footprints[(city.standing.built <= 2022) & (city.standing.gone > 2022)]
    union = shapely.union_all(standing).area
    assert shapely.area(standing).sum() == pytest.approx(union, rel=0.003)


def test_seed_and_look_decide_the_city(city: City) -> None:
    again = plan_city(5, "default", 2560.0, 2017, 2022)
    assert shapely.to_wkb(again.footprints).tolist() == shapely.to_wkb(city.footprints).tolist()
    assert np.array_equal(again.natural, city.natural)
    other = plan_city(6, "default", 2560.0, 2017, 2022)
    assert len(other.footprints) != len(city.footprints)


def test_training_looks_leave_out_the_default() -> None:
    assert "default" not in TRAINING_LOOKS
    assert len(TRAINING_LOOKS) >= 6
    assert look_named("random-3") == look_named("random-3") != look_named("random-4")
    soils = [LOOKS[name].soil_brightness for name in TRAINING_LOOKS]
    assert min(soils) < LOOKS["default"].soil_brightness < max(soils)
    with pytest.raises(InputError, match="look atlantis"):
        look_named("atlantis")


def test_corner_is_on_pixels_but_not_on_tiles() -> None:
    assert WEST % 10 == NORTH % 10 == 0
    assert (WEST / 10) % 256 != 0
    assert ((10_000_000 - NORTH) / 10) % 256 != 0


def test_painting_equals_rasterio(city: City) -> None:
    frame = Frame(300.0, 2200.0, 3.0, 400, 300)
    shapes = city.shapes.geometry
    ours = painted(flattened(shapes), np.ones(len(shapes), bool), frame)
    transform = Affine(3, 0, 300, 0, -3, 2200)
    drawn = ((shape, number) for number, shape in enumerate(shapes) if not shape.is_empty)
    theirs = rasterize(drawn, (400, 300), fill=-1, transform=transform, dtype="int32")
    assert (ours != theirs).mean() < 2e-4


def test_label_is_half_of_the_pixel_under_footprints_and_sealed_ground(city: City) -> None:
    land = land_in(city, 2020, whole(city.size_m, CELL_M))
    bare = land_in(city, 2020, whole(city.size_m, CELL_M), shadows=False).built
    counted = np.add.reduceat(np.add.reduceat(bare.astype(int), np.arange(0, 1280, 5), 0), np.arange(0, 1280, 5), 1)
    assert np.array_equal(built_label(city, 2020), counted >= 13)
    # Roofs and sealed ground are seen unless a tree hides them.
    seen = np.isin(land.cover, [COVER[name] for name in ROOFS] + list(SEALED))
    assert (seen <= land.built).all()
    assert (land.cover[land.built & ~seen] == COVER["tree"]).all()


def test_building_label_covers_the_footprint_area(city: City) -> None:
    label = building_label(city, (200.0, 400.0, 2200.0, 2000.0), 2022, 1.0)
    standing = city.footprints[(city.standing.built <= 2022) & (city.standing.gone > 2022)]
    inside = shapely.area(shapely.intersection(standing, shapely.box(200, 400, 2200, 2000))).sum()
    assert label.shape == (1600, 2000)
    assert label.sum() == pytest.approx(inside, rel=0.01)
