"""Job `indicators` on a small table: City A through Spark, any partitioning, and every setting used."""

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conf.errors import InputError
from conf.place import Epoch, Layer, Place
from conf.tables import INDICATORS, UNIT_STATISTICS
from conf.views import VIEWS
from jobs.job import Context
from jobs.sdg11.indicators import IndicatorsSettings, indicators, repeats_source, shell_of
from jobs.table_checks import check_rows, in_declared_order
from tests.udfs.test_indicator_rows import period
from udfs.repeats import Scatter

KEY = ["unit_id", "indicator", "formula_id", "period_start", "period_end"]


def epoch(year):
    return Epoch(name=str(year), start=dt.date(year, 1, 1), end=dt.date(year, 12, 31), reference=dt.date(year, 7, 1))


PLACE = Place(
    name="city", epochs=tuple(epoch(year) for year in (2000, 2010, 2020)), layers={"b": Layer(sensor="rgb", model="m", resolution=10)}
)
ROWS = [
    ("A", "2000", 50e6, 90e6, 90e6, None, 310e3, "2000"),
    ("A", "2010", 53e6, 90e6, 90e6, None, 320e3, "2010"),
    ("A", "2020", 61.5e6, 90e6, 90e6, None, 330e3, "2020"),
    ("empty", "2000", 0.0, 0.0, 5e6, None, 0.0, "2000"),
    ("empty", "2010", 0.0, 0.0, 5e6, None, 0.0, "2010"),
    ("empty", "2020", 0.0, 0.0, 5e6, None, 0.0, "2020"),
    ("'); --", "2000", 2e6, 4e6, 5e6, None, 9e3, "2008"),
    ("'); --", "2010", 3e6, 4e6, 5e6, None, 9.5e3, "2008-2012"),
    ("'); --", "2020", 3e6, 4.4e6, 5e6, None, 9.9e3, "2018"),
]


@pytest.fixture(scope="module")
def made(spark):
    """Rows of the job for settings and a number of partitions, sorted."""

    @cache
    def make(partitions=2, **settings):
        statistics = spark.createDataFrame(ROWS, UNIT_STATISTICS.ddl).repartition(partitions)
        context = Context(spark, PLACE, "run", Path("nowhere"))
        frame = indicators.run({"unit_statistics": statistics}, IndicatorsSettings(**settings), context)
        return frame, frame.toPandas().sort_values(KEY, ignore_index=True)

    return make


def _shell(settings):
    return shell_of(settings, Scatter(settings.growth_errors.patch_m2) if settings.growth_errors else None)


def test_city_a_rows_pass_the_tables_checks(made):
    frame, rows = made()
    # 4 + 2 + 1 formulas of a period x 3 periods, and a state x 3 epochs, of 3 units.
    assert check_rows(in_declared_order(frame, INDICATORS), INDICATORS) == 3 * (6 * 3 + 3)
    city_a = rows[(rows.unit_id == "A") & (rows.period_start == "2010") & (rows.indicator == "11.3.1")]
    assert city_a.value.tolist() == pytest.approx([4.833839569, 5.211852901], rel=2e-10)
    assert rows[rows.unit_id == "empty"].value.isna().all()


def test_the_same_with_one_and_seven_partitions(made):
    frames = [made(partitions, built_sd=0.05, people_sd=0.1, draws=100)[1] for partitions in (1, 7)]
    assert frames[0].equals(frames[1])


@pytest.mark.parametrize(
    "change",
    [
        {"min_valid_share": 0.85}, {"max_valid_gap": 0.2}, {"max_people_gap_years": 9}, {"built_sd": 0.1}, {"people_sd": 0.2},
        {"built_correlation": 0.5}, {"people_correlation": 0.5}, {"cross_correlation": 0.5}, {"draws": 9000},
        {"growth_errors": {"patch_m2": 1e5}},
    ],
)  # fmt: skip
def test_every_setting_changes_rows(change):
    base = {"built_sd": 0.05, "people_sd": 0.1, "draws": 100}
    pairs = pd.concat([period(), period("cut", valid_end=70e6), period("counted late", people_year_start="2014")], ignore_index=True)
    before, after = (next(_shell(IndicatorsSettings(**settings))(iter([pairs]))) for settings in (base, {**base, **change}))
    assert not before.equals(after)


def test_errors_told_by_maps_that_scatter(spark):
    """Of smallest units alone: a parent adds them up. Three dates ten years apart: the middle one beside the mean of its neighbours."""
    random = np.random.default_rng(2)
    rows = [(f"u{n}", str(year), 1e6 + float(random.normal(0, 1e5)), 4e6, 4e6) for n in range(30) for year in (2000, 2010, 2020)]
    parents = [("top", str(year), 30e6 + each * 1e6, 120e6, 120e6) for each, year in enumerate((2000, 2010, 2020))]
    statistics = spark.createDataFrame([(*row, None, 9.0, "2000-2020") for row in rows + parents], UNIT_STATISTICS.ddl).repartition(3)
    units = spark.createDataFrame([("top", None), *((f"u{n}", "top") for n in range(30))], "unit_id string, parent_id string")
    context = Context(spark, PLACE, "run", Path("nowhere"))
    made = indicators.run({"unit_statistics": statistics, "units": units}, IndicatorsSettings(growth_errors="repeats"), context)
    first, middle, last = np.array([row[2] for row in rows]).reshape(30, 3).T
    scattered = ((first / 2 + last / 2 - middle) ** 2).sum()
    figures, squares = context.figures, (first**2 / 4 + last**2 / 4 + middle**2).sum()
    told = figures["patch_m2"] * (first / 4 + last / 4 + middle).sum() + figures["common_sd"] ** 2 * squares
    assert told == pytest.approx(scattered, rel=1e-6)
    assert made.where("indicator = '11.3.1-lcr' and unit_id = 'top' and (lower is null or upper is null)").count() == 0


@pytest.mark.parametrize(
    ("epochs", "source", "said"),
    [(2, "built_up", "2 epochs, 3 are needed"), (3, "urban_series", "dates of a series are not read apart")],
)
def test_errors_that_maps_cannot_tell_are_refused(epochs, source, said):
    layers = {"b": Layer(sensor="sentinel2_l2a", model="m", resolution=10, feeds="built_m2")}
    place = PLACE.model_copy(
        update={"epochs": PLACE.epochs[:epochs], "layers": layers, "sections": {"unit_statistics": {"source": source}}}
    )
    with pytest.raises(InputError, match=said):
        repeats_source(place, IndicatorsSettings(growth_errors="repeats"))
    repeats_source(place, IndicatorsSettings(growth_errors={"patch_m2": 100.0}))


def test_periods_are_those_asked_for(made):
    rows = made(periods="whole")[1]
    assert set(rows.period_start + "-" + rows.period_end) == {"2000-2020", "2000-2000", "2010-2010", "2020-2020"}


def test_all_settings_are_tried():
    marks = test_every_setting_changes_rows.pytestmark
    assert {"periods"} | {name for change in marks[0].args[1] for name in change} == set(IndicatorsSettings.model_fields)


def test_views_pivot_the_long_table(spark, made):
    made()[0].createOrReplaceTempView("indicators")
    wide = spark.sql(VIEWS["lcrpgr"].select).where("unit_id = 'A' and period_start = '2010'").first()
    assert (wide.lcrpgr_un_2021, wide.lcrpgr_ln_legacy) == pytest.approx((5.211852901, 4.833839569), rel=2e-10)
    assert (wide.regime, wide.lcrpgr_reason) == ("R1", None)
    assert spark.sql(VIEWS["lcrpgr"].select).count() == 9
    state = spark.sql(VIEWS["built_per_person"].select).where("unit_id = 'A' and epoch = '2020'").first()
    assert state.built_per_person_m2 == pytest.approx(186.363636364)
