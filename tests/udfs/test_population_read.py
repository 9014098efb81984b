"""People: census files, rasters, and the date between two censuses."""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine

from conf.errors import InputError
from udfs.population import People, people_at, people_batches, people_in_outline, read_population

CENSUS = {2000: 1000.0, 2010: 4000.0}


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (dt.date(2005, 7, 1), People(pytest.approx(1000 * 4 ** (1826 / 3652)), "2000-2010")),
        (dt.date(2010, 7, 1), People(4000.0, "2010")),
        (dt.date(1990, 1, 1), People(1000.0, "2000")),
        (dt.date(2021, 3, 1), People(4000.0, "2010")),
    ],
)  # fmt: skip
def test_people_between_and_beyond_censuses(date: dt.date, expected: People) -> None:
    assert people_at(CENSUS, date) == expected


def test_people_without_or_with_zero_counts() -> None:
    assert people_at({}, dt.date(2005, 7, 1)) is None
    assert people_at({2000: 0.0, 2010: 365.2}, dt.date(2001, 7, 1)) == People(pytest.approx(36.5), "2000-2010")


def test_shell_gives_whole_millionths() -> None:
    frame = pd.DataFrame({"unit_id": ["a", "b"], "years": [[2010, 2000], []], "people": [[4000.0, 1000.0], []]})
    dates = {"early": dt.date(2000, 7, 1), "late": dt.date(2005, 7, 1)}
    (rows,) = people_batches([frame], dates)
    assert rows.to_numpy().tolist() == [["a", "early", 1_000_000_000, "2000"], ["a", "late", 2_000_000_000, "2000-2010"]]


def test_table_is_read_and_sorted(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("unit_id,year,people\nb,2010,3\na,2010,2.5\na,2000,1\n")
    assert read_population(path, "unit_id", "people", "year").to_numpy().tolist() == [["a", 2000, 1.0], ["a", 2010, 2.5], ["b", 2010, 3.0]]
    with pytest.raises(InputError, match="'a' has two rows for 1999"):
        read_population(path, "unit_id", "people", 1999)


@pytest.mark.parametrize("row", ["a,2010,-1", "a,2010,", "a,,4", ",2010,4", "a,2010.5,4", "a,2010,many"])
def test_bad_rows_are_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"unit_id,year,people\nz,2000,1\n{row}\n")
    with pytest.raises(InputError, match="row 2 has no proper"):
        read_population(path, "unit_id", "people", "year")


def test_raster_people_are_shared_by_area_and_no_data_counts_zero(tmp_path: Path) -> None:
    """Half of the pixel with 8, all of the one with 4, none of the missing one; the unit ends outside the raster."""
    path = tmp_path / "people.tif"
    values = np.array([[8, 4, -1], [100, 100, 100]], np.float32)
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": -1}
    with rasterio.open(path, "w", transform=Affine(0.1, 0, 30, 0, -0.1, 5), **profile) as target:
        target.write(values, 1)
    assert people_in_outline(str(path), shapely.box(30.05, 4.9, 31, 5.2)) == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("file", "unit", "people", "total"),
    [("mumbai/wards.geojson", "PRABHAG_NO", "POPULATION", 12_442_373), ("olinda/olinda1.shp", "CD_GEOCODI", "V014", 377_779)],
)
def test_real_people_add_up(real_data: Path, file: str, unit: str, people: str, total: int) -> None:
    assert read_population(real_data / file, unit, people, 2010)["people"].sum() == total


@pytest.mark.parametrize("people", ["nan", "inf", "-inf", "1e400", "-1", "", "abc", "=1+1"])
def test_44_people_that_are_no_number_are_refused(tmp_path: Path, people: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(f"unit_id,year,people\na,2020,5\nb,2020,{people}\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2 has no proper people"):
        read_population(path, "unit_id", "people", "year")
