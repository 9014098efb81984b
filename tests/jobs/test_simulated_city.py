"""The job: tables equal the kernels', files where the place's other jobs look for them; bad settings are refused."""

from pathlib import Path
from typing import Any

import pystac
import pytest
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place, load_place
from conf.tables import TABLES
from jobs.job import Context
from jobs.mapping.simulated_city import SimulatedCitySettings, city_files, city_sources, not_declared, simulated_city
from jobs.sdg11.units import UnitsSettings, units_sources
from udfs.simulation.city import plan_city
from udfs.simulation.truth import unit_truth

SECTIONS = frozenset({"simulated_city", "scenes", "units", "population", "indicators"})
SMALL = ("simulated_city.seed=3", "simulated_city.size_m=1280", "simulated_city.rgb_m=100")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return load_place("simulated", (*SMALL, f"warehouse={tmp_path_factory.mktemp('warehouse')}"), SECTIONS)


@pytest.fixture(scope="module")
def tables(spark: SparkSession, place: Place) -> dict[str, Any]:
    settings = place.section(SimulatedCitySettings, "simulated_city")
    return dict(simulated_city.run({}, settings, Context(spark, place, "test", place.folder)))


def test_truth_of_each_epoch_is_that_of_its_year(tables: dict[str, Any]) -> None:
    rows = tables["truth_unit_statistics"].toPandas()
    city = plan_city(3, "default", 1280.0, 2017, 2022)
    expected = unit_truth(city, 2019)
    found = rows[rows["epoch"] == "2019"].set_index("unit_id").loc[expected["unit_id"]]
    assert list(rows.columns) == list(TABLES["truth_unit_statistics"].names)
    assert len(rows) == 6 * len(expected)
    assert found["built_m2"].tolist() == expected["built_m2"].tolist()
    assert found["people"].tolist() == expected["people"].tolist()


def test_buildings_have_their_columns_and_one_row_each(tables: dict[str, Any]) -> None:
    rows = tables["truth_buildings"].toPandas()
    assert list(rows.columns) == list(TABLES["truth_buildings"].names)
    assert rows["building_id"].is_unique
    assert len(rows) == len(plan_city(3, "default", 1280.0, 2017, 2022).footprints)


def test_files_lie_where_the_place_reads_them(place: Place, tables: dict[str, Any]) -> None:
    catalog = pystac.Catalog.from_file(str(place.folder / "imagery" / "catalog.json"))
    years = {item.datetime.year for item in catalog.get_items() if item.properties["urbantrace:sensor"] == "sentinel2_l2a"}
    assert years == {2017, 2018, 2019, 2020, 2021, 2022}
    found = units_sources(place, place.section(UnitsSettings, "units"))
    assert len(found["sha256"]) == 64
    assert not list(Path(place.folder).rglob(".*.tif"))


def test_other_places_have_no_simulated_city(place: Place) -> None:
    assert not_declared(place, SimulatedCitySettings()) is None
    assert "section" in str(not_declared(place.model_copy(update={"sections": {}}), SimulatedCitySettings()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"look": "atlantis"}, "look atlantis"), ({"rgb_m": 20_000.0}, "rgb_m = 20000"), ({"rgb_gsd": 0.3}, "rgb_gsd = 0.3")],
)
def test_settings_that_cannot_be_are_refused(place: Place, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        city_sources(place, SimulatedCitySettings(**changes))


def test_every_setting_reaches_the_files(spark: SparkSession, place: Place) -> None:
    context = Context(spark, place, "test", place.folder)
    changes = {"seed": 4, "look": "arid", "size_m": 2560.0, "rgb_m": 200.0, "rgb_gsd": 0.25}
    plain = city_files(SimulatedCitySettings(), context)
    assert {
        getattr(plain, name) == getattr(city_files(SimulatedCitySettings(**{name: value}), context), name)
        for name, value in changes.items()
    } == {False}
