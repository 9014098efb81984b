"""Job `adjusted_areas` on made tiles: shares written out in pandas, units without data, samples that do not fit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conf.errors import InputError
from conf.place import Place
from conf.tables import ADJUSTED_AREAS, BUILT_UP, UNIT_STATISTICS
from jobs.answered_samples import answered_sample
from jobs.job import Context
from jobs.sdg11.adjusted_areas import AdjustedAreasSettings, adjusted_areas, no_samples, samples_answered
from jobs.table_checks import check_rows, in_declared_order
from tests.done_tiles import PLACE, TILE, built_up_rows, filled, pixels
from udfs.rasters import NO_DATA

STRATA = pd.DataFrame({"stratum": ["edge", "wet"], "pixels": [3000, 9000], "area_m2": [3e5, 9e5]})
SUMS = [("A", "2018", 4e5, 9e5, 1e6), ("empty", "2018", 0.0, 0.0, 1e6), ("A", "2021", 5e5, 9e5, 1e6)]


def drawn() -> tuple[pd.DataFrame, "pd.Series[bool]"]:
    """Eighty points of 2018 and the truth at them: as mapped, but for every fifth."""
    random = np.random.default_rng(2)
    rows, cols = random.integers(0, 2 * TILE, (2, 80))
    points = pd.DataFrame({"point_id": np.arange(1, 81), "row": rows, "col": cols, "grid": "utm36s", "layer": "a", "epoch": "2018"})
    points["stratum"] = np.where(cols % 3 == 0, "edge", "wet")
    return points, pd.Series((values_at(points) >= 100) ^ (points["point_id"] % 5 == 0), name="built")


def values_at(points: pd.DataFrame) -> "pd.Series[int]":
    return points.apply(lambda p: int(pixels("2018", p["row"] // TILE, p["col"] // TILE)[p["row"] % TILE, p["col"] % TILE]), axis=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    points, built = drawn()
    points.to_csv(tmp_path / "points.csv", index=False)
    STRATA.to_csv(tmp_path / "strata.csv", index=False)
    points[["point_id"]].assign(answer=np.where(built, "built", "not_built")).to_csv(tmp_path / "one.csv", index=False)
    return tmp_path


def settings(folder: Path, epoch: str = "2018", answers: str = "one.csv") -> AdjustedAreasSettings:
    return AdjustedAreasSettings.model_validate({"samples": [{"epoch": epoch, "folder": str(folder), "answers": [answers]}]})


def test_every_unit_has_an_area_by_the_shares_of_the_sample(spark, folder):
    statistics = spark.createDataFrame([(*row, None, None, None) for row in SUMS], UNIT_STATISTICS.ddl)
    tables = {"built_up": spark.createDataFrame(filled(BUILT_UP, built_up_rows()), BUILT_UP.ddl), "unit_statistics": statistics}
    frame = adjusted_areas.run(tables, settings(folder), Context(spark, PLACE, "run", folder))
    assert check_rows(in_declared_order(frame, ADJUSTED_AREAS), ADJUSTED_AREAS) == 2
    points, built = drawn()
    known = points.assign(value=values_at(points), built=built)
    known = known[known["value"] != NO_DATA]
    weight = known["stratum"].map(STRATA.set_index("stratum")["area_m2"] / known["stratum"].value_counts())
    shares = {
        name: np.average(known.built[on], weights=weight[on])
        for name, on in (("users", known.value >= 100), ("omitted", known.value < 100))
    }
    rows = frame.toPandas().set_index("unit_id")
    assert rows.loc["A", ["users", "omitted"]].to_dict() == pytest.approx(shares)
    assert rows.adjusted_m2["A"] == pytest.approx(4e5 * shares["users"] + 5e5 * shares["omitted"])
    assert rows.loc["empty", ["adjusted_m2", "lower_m2", "upper_m2"]].tolist() == [0, 0, 0]
    assert set(rows.points) == {len(known)} and len(known) < len(points)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"epoch": "2021"}, "is of layer a, epoch 2018, not of a, 2021"), ({"epoch": "1999"}, "epoch 1999 is not one of the place's"),
     ({"answers": "two.csv"}, "no such file")],
)  # fmt: skip
def test_samples_that_do_not_fit_are_refused(folder, change, said):
    with pytest.raises(InputError, match=said):
        samples_answered(PLACE, settings(folder, **change))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [("points.csv", None, "no such file; draw the sample first"), ("strata.csv", None, "no such file; draw the sample first"),
     ("points.csv", "", "no table of points or strata"), ("points.csv", "point_id,stratum,grid,row,col,layer,epoch\n", "has no row"),
     ("points.csv", "point_id,grid,row,col,layer,epoch\n1,g,2,3,a,2018\n", "has no column stratum"),
     ("strata.csv", "stratum,pixels,area_m2\nedge,many,9\n", "no table of points or strata"),
     ("strata.csv", "stratum,pixels,area_m2\nedge,9,\n", "or one without a value")],
)  # fmt: skip
def test_files_of_a_sample_that_are_none_are_refused(folder, file, content, said):
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    with pytest.raises(InputError, match=f"{file}.*{said}"):
        samples_answered(PLACE, settings(folder))


def test_a_layer_may_be_named_like_a_number(folder):
    points = pd.read_csv(folder / "points.csv", dtype=str).assign(layer="10")
    points.to_csv(folder / "points.csv", index=False)
    assert answered_sample(folder, "10", "2018", ["one.csv"], None).points.loc[0, "layer"] == "10"


def test_where_the_job_is_absent(folder):
    with_units = Place.model_validate({**PLACE.model_dump(exclude={"sections"}), "sections": {"units": {"path": "x"}}})
    assert no_samples(with_units, AdjustedAreasSettings()) == "no adjusted_areas.samples are declared"
    assert no_samples(with_units, settings(folder)) is None
