"""Jobs units and population on an invented file: tables as declared, people as given, what is refused before Spark."""

import datetime as dt
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Epoch, Layer, Place
from conf.tables import POPULATION, UNITS
from jobs.job import Context
from jobs.sdg11.population import PopulationSettings, no_population, population, population_sources
from jobs.sdg11.units import UnitsSettings, no_units, units, units_sources
from jobs.table_checks import check_rows, in_declared_order


@pytest.fixture
def place(tmp_path: Path) -> Place:
    epoch = Epoch(name="2020", start=dt.date(2020, 1, 1), end=dt.date(2020, 12, 31), reference=dt.date(2020, 7, 1))
    layer = Layer(sensor="rgb", model="m", resolution=10, feeds="built_m2")
    return Place(name="invented", warehouse=str(tmp_path), epochs=(epoch,), layers={"l": layer})


def written(place: Place) -> UnitsSettings:
    """Three children of two parents; `b` overlaps `a` by a tenth."""
    place.folder.mkdir()
    boxes = {"a": (10, 50, 10.1, 50.1, "X"), "b": (10.09, 50, 10.19, 50.1, "X"), "c": (10.19, 50, 10.4, 50.3, "Y")}
    features = [
        {"type": "Feature", "properties": {"code": name, "in": parent}, "geometry": shapely.geometry.mapping(shapely.box(*edges))}
        for name, (*edges, parent) in boxes.items()
    ]
    (place.folder / "units.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return UnitsSettings(path="{storage}/units.geojson", id="code", parent="in")


def people(place: Place, text: str) -> PopulationSettings:
    (place.folder / "people.csv").write_text("unit_id,year,people\n" + text)
    return PopulationSettings(path="{storage}/people.csv")


def test_tables_are_as_declared(spark: SparkSession, place: Place) -> None:
    context = Context(spark, place, "run", place.folder)
    table = in_declared_order(units.run({}, written(place), context), UNITS).persist()
    assert check_rows(table, UNITS) == 5
    rows = {row.unit_id: row for row in table.collect()}
    assert {name: (row.parent_id, row.level) for name, row in rows.items()} == {
        "X": (None, 0), "Y": (None, 0), "a": ("X", 1), "b": ("X", 1), "c": ("Y", 1),
    }  # fmt: skip
    assert rows["X"].note == "dissolved from 2 units"
    assert rows["a"].note == "overlaps b by 0.1 of the smaller"
    assert (rows["b"].xmin, rows["b"].ymax) == (10.09, 50.1)
    assert context.figures["overlap_share"] == pytest.approx(0.01 * 0.1 / (0.019 + 0.21 * 0.3), rel=5e-3)

    settings = people(place, "a,2010,0.1\nb,2010,0.2\nc,2010,7\na,2020,5\nX,2020,99\n")
    given = in_declared_order(population.run({"units": table}, settings, context), POPULATION)
    assert check_rows(given, POPULATION) == 5
    found = {(row.unit_id, row.year): row.people for row in given.collect()}
    assert found == {("a", 2010): 0.1, ("b", 2010): 0.2, ("c", 2010): 7, ("a", 2020): 5, ("X", 2020): 99}

    with pytest.raises(InputError, match="unit 'z' is not among the units"):
        population.run({"units": table}, people(place, "z,2010,1\n"), context)


def test_sources_stand_for_the_file(place: Place) -> None:
    settings = UnitsSettings(path="{storage}/units.geojson", id="code", parent="in")
    assert units_sources(place, settings) == {"pending": True}
    before = units_sources(place, written(place))
    assert before["bounds"] == [10, 50, 10.4, 50.3]
    path = place.folder / "units.geojson"
    path.write_text(path.read_text().replace("10.4", "10.5"))
    assert units_sources(place, settings)["sha256"] != before["sha256"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id": "name"}, "no column 'name'; it has: code, in"),
        ({"path": "none.gpkg"}, "none.gpkg is missing"),
        ({"id": "in"}, "more than once"),
    ],
)
def test_bad_units_are_refused_without_spark(place: Place, settings: dict[str, Any], message: str) -> None:
    declared = written(place).model_copy(update=settings)
    with pytest.raises(InputError, match=message):
        units_sources(place, declared)


def test_bad_people_are_refused_without_spark(place: Place) -> None:
    written(place)
    with pytest.raises(InputError, match="no proper people"):
        population_sources(place, people(place, "a,2010,-4\n"))
    with pytest.raises(InputError, match="a raster has no columns"):
        (place.folder / "people.tif").write_bytes(b"x")
        population_sources(place, PopulationSettings(path="{storage}/people.tif"))


def test_people_are_in_a_table_or_in_rasters_that_can_be_read(place: Place) -> None:
    written(place)
    for settings, said in (
        (PopulationSettings(path="a.csv", rasters={2020: "a.tif"}), "leave one out"),
        (PopulationSettings(rasters={2020: str(place.folder / "none.tif")}), "none.tif cannot be read"),
        (PopulationSettings(rasters={2020: str(place.folder / "units.geojson")}), "cannot be read"),
        (PopulationSettings(rasters={2020: str(raster(place.folder / "bare.tif", 1.0, crs=None))}), "bare.tif has no CRS"),
    ):
        with pytest.raises(InputError, match=said):
            population_sources(place, settings)


def test_places_without_units_or_people_say_so(place: Place) -> None:
    assert no_units(place, UnitsSettings()) == "no units.path is declared"
    assert no_population(place, PopulationSettings()) == "neither population.path nor population.rasters is declared"


def raster(path: Path, each: float, crs: str | None = "EPSG:4326") -> Path:
    """Four by two pixels of a degree with `each` people."""
    profile = {"driver": "GTiff", "width": 4, "height": 2, "count": 1, "dtype": "float32", "crs": crs}
    with rasterio.open(path, "w", transform=Affine(1, 0, 10, 0, -1, 52), **profile) as file:
        file.write(np.full((1, 2, 4), each, "float32"))
    return path


def test_rasters_of_several_years_are_summed_by_workers_of_any_folder(
    spark: SparkSession, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(place.warehouse)
    for year, each in ((2015, 2000.0), (2020, 3000.0)):
        raster(folder / f"people_{year}.tif", each)
    monkeypatch.chdir(folder)
    boxes = {"a": ("z", shapely.box(10, 50, 12, 52)), "b": ("z", shapely.box(12, 50, 12.5, 52)), "z": (None, shapely.box(10, 50, 12.5, 52))}
    rows = [(name, parent, int(parent is not None), None, box.wkb) for name, (parent, box) in boxes.items()]
    table = spark.createDataFrame(rows, "unit_id string, parent_id string, level int, name string, geometry binary")
    settings = PopulationSettings(rasters={2020: "people_2020.tif", 2015: "people_2015.tif"})
    assert set(population_sources(place, settings)["sha256"]) == {2015, 2020}
    frame = in_declared_order(population.run({"units": table}, settings, Context(spark, place, "run", place.folder)), POPULATION)
    assert check_rows(frame, POPULATION) == 4, "of smallest units"
    assert [tuple(row) for row in frame.orderBy("unit_id", "year").collect()] == [
        ("a", 2015, 8000.0, "people_2015.tif", None), ("a", 2020, 12000.0, "people_2020.tif", None),
        ("b", 2015, 2000.0, "people_2015.tif", None), ("b", 2020, 3000.0, "people_2020.tif", None),
    ]  # fmt: skip


def test_odd_counts_are_noted_and_said(spark: SparkSession, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    context = Context(spark, place, "run", place.folder)
    table = in_declared_order(units.run({}, written(place), context), UNITS).persist()
    settings = people(place, "a,2010,10\nb,2010,20\nX,2010,31\nc,2010,2000\nc,2020,2000\n")
    with caplog.at_level(logging.WARNING, "jobs"):
        rows = population.run({"units": table}, settings, context).where("note is not null").collect()
    assert {(row.unit_id, row.year): row.note for row in rows} == {
        ("X", 2010): "its 2 units have 30 together", ("c", 2020): "the same number as in 2010",
    }  # fmt: skip
    assert context.figures["odd_counts"] == 2
    assert [record.getMessage() for record in caplog.records] == [
        "population: 2020: 3 of 4 units have no count, but have one in another year",
        "population: 2 odd counts (see population.note); X in 2010: its 2 units have 30 together",
    ]
