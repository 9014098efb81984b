"""Job `country_sheet` on the invented place of the report's test, and the tiles that a unit's map is made of."""

import datetime as dt
import json
import re

import numpy as np
import pytest
from pyspark.sql import functions as F

from conf.errors import InputError
from conf.tables import BUILT_UP, RUNS, TILES
from jobs.job import Context
from jobs.sdg11.country_sheet import CountrySheetSettings, country_sheet, pdf_wanted
from jobs.unit_maps import tiles_near, unit_shares
from tests import done_tiles
from tests.done_tiles import filled
from tests.jobs.sdg11.test_report import EVIL, PLACE, box, city, tables
from udfs.report_page import escaped

__all__ = ["tables"]
WORLD = {"xmin": -180.0, "ymin": -90.0, "xmax": 180.0, "ymax": 90.0}


def placed(frame, **changes):
    return frame.withColumns({**{name: F.lit(edge) for name, edge in WORLD.items()}, **changes})


@pytest.fixture(scope="module")
def read(spark, tables):
    """The report's tables with boxes, as it needs none, an odd id, and the run that made the indicators."""
    runs = [
        {"job": "indicators", "state": "done", "rows": 9, "started": dt.datetime(2026, 5, day), "code_version": f"0.1.0+{day}",
         "input_versions": '{"unit_statistics": 4}',
         "settings": json.dumps({"min_valid_share": 0.5, "max_valid_gap": 0.05, "max_people_gap_years": 1.5})}
        for day in (1, 3, 2)
    ]  # fmt: skip
    made = {**tables, "runs": spark.createDataFrame(filled(RUNS, runs), RUNS.ddl)}
    renamed = {name: F.when(F.col(name) == "all", "a/b").otherwise(F.col(name)) for name in ("unit_id", "parent_id")}
    for name in ("unit_statistics", "indicators"):
        made[name] = made[name].withColumn("unit_id", renamed["unit_id"])
    return {**made, "tiles": placed(tables["tiles"]), "units": placed(tables["units"], **renamed)}


def written(spark, read, folder, **settings):
    country_sheet.run(read, CountrySheetSettings(**settings), Context(spark, PLACE, "run", folder))
    return {path.name: path.read_text() for path in sorted((folder / "country_sheet").iterdir())}


@pytest.fixture(scope="module")
def sheets(spark, read, tmp_path_factory):
    return written(spark, read, tmp_path_factory.mktemp("place"))


def test_the_coarsest_unit_has_a_sheet_with_the_tables_numbers(sheets, read):
    assert list(sheets) == ["a%2Fb.html"]
    text = sheets["a%2Fb.html"]
    (ratio,) = read["indicators"].where(
        "unit_id = 'a/b' AND indicator = '11.3.1' AND formula_id = 'un-2021' AND period_start = '2016' AND period_end = '2021'"
    ).collect()  # fmt: skip
    assert f"(LCRPGR, formula un-2021) is {ratio.value:,.2f}" in text and f"Regime {ratio.regime}:" in text
    assert "no built-up area at 2016" in text and "code 0.1.0+3, from unit_statistics 4" in text
    assert "(weights abababababab)" in text and "was not adapted to this place" in text
    for year in (2016, 2018, 2021):
        assert re.search(rf"<td>{year}</td>.*?<td>sensor|<td>{year}</td>.*?sentinel2_l2a", text)


def test_names_of_places_units_and_licences_stay_text(sheets):
    text = sheets["a%2Fb.html"]
    assert "<script" not in text and text.count(escaped(EVIL)) > 5
    assert len(re.findall(r'<img src="data:image/png;base64,[^"]+" alt="[^"]{20,}"', text)) == 2


def test_the_same_again(spark, read, sheets, tmp_path):
    assert written(spark, read, tmp_path) == sheets


def test_one_unit_without_parts(spark, read, tmp_path):
    (text,) = written(spark, read, tmp_path, unit="west").values()
    assert "Parts of the unit" not in text and f"west {escaped(EVIL)}</h1>" in text
    with pytest.raises(InputError, match=r"country_sheet\.unit = 'nowhere': no such unit; .*SELECT unit_id"):
        written(spark, read, tmp_path, unit="nowhere")


def test_pdf_without_the_library_is_refused_in_a_line(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("udfs.sheet_pdf.importlib.import_module", missing)
    with pytest.raises(InputError, match=r"^country_sheet\.pdf needs WeasyPrint; pip install 'urbantrace\[pdf\]'.*$"):
        pdf_wanted(PLACE, CountrySheetSettings(pdf=True))
    pdf_wanted(PLACE, CountrySheetSettings())


def test_a_unit_map_holds_the_units_pixels(read):
    """Of the western half every pixel of the city, and no other tile than those that the box of the unit touches."""
    near = tiles_near(read["built_up"], read["tiles"], (-180, -90, 180, 90), ["2016", "2021"])
    grid, shares = unit_shares(near, "built_up_10m", box(0, 0, 256, 256), 500)
    assert sorted(shares) == ["2016", "2021"] and grid.pixel_width == 10.0
    col, row = round((452_000 - grid.left) / 10), round((grid.top - 38_000) / 10)
    for epoch, found in shares.items():
        inside = found[row : row + 256, col : col + 256]
        np.testing.assert_array_equal(inside == 250, city(int(epoch))[:, :256] >= 125)


def test_tiles_beside_the_box_are_left_out(spark):
    built_up = spark.createDataFrame(filled(BUILT_UP, done_tiles.built_up_rows()), BUILT_UP.ddl)
    tiles = spark.createDataFrame(filled(TILES, done_tiles.tile_rows()), TILES.ddl)
    lower = done_tiles.placed("2018", 1, 0)
    middle = ((lower["xmin"] + lower["xmax"]) / 2, (lower["ymin"] + lower["ymax"]) / 2)
    near = tiles_near(built_up, tiles, (*middle, *middle), ["2018"])
    assert [(row.epoch, row.tile_id) for row in near.collect()] == [("2018", done_tiles.tile_id(1, 0))]
    assert unit_shares(near.where("status = 'nodata'"), "a", lower["geometry"], 500) is None
