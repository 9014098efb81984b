"""The sheet of hand-made units: names stay text, tables are short and say so, print fits two pages."""

import datetime as dt
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import shapely

from tests.udfs.test_indicator_rows import LIMITS, period, state
from udfs.indicator_rows import indicator_rows
from udfs.map_pixels import MapGrid
from udfs.sheet_figures import bar_length, chart_picture, curve_rows, map_picture
from udfs.sheet_method import bounds_text, built_up_text, formula_text, method, owner_text, versions_text
from udfs.sheet_page import SheetLimits, sheet
from udfs.sheet_pdf import pdf_of
from udfs.sheet_unit import SheetUnit
from udfs.uncertainty import Errors

EVIL = "'); --<script>alert(1)</script>"
LIMITS_OF_SHEET = SheetLimits(parts=3, periods=4, epochs=4)
MODELS = pd.DataFrame([{
    "model_name": "built_up_10m", "model_version": "3", "model_sha256": "cd" * 32, "model_labels": "weak", "threshold": 125,
}])  # fmt: skip
SETTINGS = {"growth_errors": "repeats", "people_sd": 0.01, "min_valid_share": 0.5, "max_valid_gap": 0.05, "max_people_gap_years": 1.5}
RUNS = pd.DataFrame([{
    "job": "indicators", "started": dt.datetime(2026, 3, 4), "code_version": "0.1.0+ab", "input_versions": '{"unit_statistics": 7}',
    "settings": json.dumps(SETTINGS),
}])  # fmt: skip
NOT_ADJUSTED = pd.DataFrame(columns=["adjusted_m2", "lower_m2", "upper_m2", "points", "sample"])


def unit(pairs, epochs=("2010", "2020"), name=EVIL, children=5, **sums):
    """A unit X of a square degree, its `children` A0, A1 …, and the rows that `pairs` give."""
    rows = indicator_rows(pd.concat(pairs, ignore_index=True), LIMITS, Errors(people_sd=0.01, built_sd=0.02))
    grown = {"built_m2": np.linspace(53e6, 61.5e6, len(epochs)), "people": np.linspace(320e3, 330e3, len(epochs))}
    of_epochs = {**grown, "valid_m2": 90e6, "total_m2": 90e6, "people_year": "2010", **sums}
    images = {"images": 4, "sensors": "sentinel2_l2a", "first_date": pd.Timestamp(2010, 2, 1), "last_date": pd.Timestamp(2010, 11, 30)}
    strips = [shapely.to_wkb(shapely.box(33 + k / children, 0, 33 + (k + 1) / children, 1)) for k in range(children)]
    ids = [f"A{k}" for k in range(children)]
    return SheetUnit(
        {"unit_id": "X", "name": name, "level": 0, "area_m2": 90e6, "note": None, "geometry": shapely.to_wkb(shapely.box(33, 0, 34, 1))},
        pd.DataFrame({"unit_id": ids, "name": [f"{name}{k}" for k in ids], "geometry": strips}),
        pd.DataFrame({**of_epochs, **images}, index=list(epochs)),
        pd.DataFrame({"unit_id": ids, "built_m2": [1e6 * (k % 4) for k in range(children)]}), rows,
    )  # fmt: skip


def whole(told, adjusted=NOT_ADJUSTED, limits=LIMITS_OF_SHEET):
    grid = MapGrid("EPSG:4326", 32.9, 1.1, 0.01, 0.01, 120, 120, 1)
    first = np.zeros((120, 120), np.uint8)
    first[20:50, 30:90] = 250
    shares = {epoch: np.roll(first, 5 * k, 1) for k, epoch in enumerate(dict.fromkeys(told.period or told.sums.index[-1:]))}
    dates = {epoch: float(epoch) + 0.5 for epoch in told.sums.index}
    years = {epoch: date - min(dates.values()) for epoch, date in dates.items()}
    pictures = [map_picture(grid, shares, told, limits.parts, EVIL), chart_picture(told, adjusted, told.sums.index[0], years, dates)]
    return sheet(told, EVIL, pictures, method(told, MODELS, "10 m", "built_up", RUNS, adjusted, [EVIL]), limits)


def city(**changes):
    """The unit and its children over ten years, each with more growth."""
    pairs = [period("X"), *(period(f"A{k}", built_end=53e6 * (1 + k / 10)) for k in range(5)), state(unit_id="X")]
    return unit(pairs, **changes)


def test_names_stay_text_and_pictures_have_words():
    text = whole(city())
    assert "<script" not in text and "&#x27;); --&lt;script&gt;" in text and "default-src 'none'" in text
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", text)
    images = re.findall(r"<img[^>]+>", text)
    assert len(images) == 2 and all(re.search(r'alt="[^"]{20,}', image) for image in images)


def test_parts_are_the_largest_and_the_limit_is_said():
    text = whole(city())
    parts = re.search(r"<h2>Parts of the unit</h2>.*?</section>", text, re.DOTALL)[0]
    assert re.findall(r"<tr><td>(\d)</td><td>[^<]*(A\d)</td>", parts) == [("1", "A3"), ("2", "A2"), ("3", "A1")]
    assert "3 of 5 units are shown" in parts and "R1: both grow, land faster than people" in parts


def test_a_regime_that_the_bounds_do_not_settle_is_not_sure():
    told, unsure = city(), "R1: both grow, land faster than people (not sure: the bounds allow others)"
    rows = told.indicators.assign(lower=0.5, upper=1.5)
    assert unsure in whole(told._replace(indicators=rows))
    assert unsure not in whole(told._replace(indicators=rows.assign(lower=1.1)))
    assert unsure not in whole(told._replace(indicators=rows.assign(lower=None)))


def test_a_unit_without_people_says_why():
    nobody = {"people_start": np.nan, "people_end": np.nan, "people_year_start": None, "people_year_end": None}
    told = unit([period("X", **nobody), *(period(f"A{k}", **nobody) for k in range(5)), state(unit_id="X", **nobody)], people=np.nan)
    text = whole(told)
    assert "No value: 2010 to 2020: no population declared." in text and "No population is declared." in text
    assert text.count("<td>no population declared</td>") == 3
    wide = told.indicators.assign(lower=told.indicators["value"].where(told.indicators["value"].isna(), -1.0), upper=9.0)
    assert "allow others" not in whole(told._replace(indicators=wide))  # a rate may be unsure, a reason is not


def test_one_epoch_has_a_sheet():
    text = whole(unit([state(unit_id="X")], epochs=("2020",), children=0))
    assert "Growth needs a second epoch." in text and "Every period" not in text and "Parts of the unit" not in text
    assert "Built-up land, 2020. Bold line" in text


def test_no_map_and_no_images_are_said():
    unseen = city(children=0)
    unseen.sums[["images", "sensors", "first_date", "last_date", "people_year"]] = np.nan
    text = sheet(unseen, "p", [], [], LIMITS_OF_SHEET)
    assert "there is no map" in text and "nan" not in text.lower() and "<td>–</td><td>–</td></tr>" in text


def test_curve_has_the_bounds_of_growth_and_of_samples():
    told = city()
    adjusted = pd.DataFrame({"adjusted_m2": [5e7], "lower_m2": [4e7], "upper_m2": [6e7]}, index=["2020"])
    curve = curve_rows(told.sums[["built_m2", "people"]], adjusted, told.rows, "2010", {"2010": 0.0, "2020": 10.0})
    by_indicator = told.rows[told.rows["period_start"] == "2010"].set_index("indicator")
    assert curve.loc["2020", "built_high"] == pytest.approx(53e6 * (1 + by_indicator["upper"]["11.3.1-change"]))
    assert curve.loc["2020", "people_low"] == pytest.approx(320e3 * np.exp(10 * by_indicator["lower"]["11.3.1-pgr"]))
    assert curve.loc["2010", ["built_low", "people_low", "adjusted_m2"]].isna().all() and curve.loc["2020", "lower_m2"] == 4e7
    without = curve_rows(told.sums[["built_m2", "people"]], NOT_ADJUSTED, told.rows.assign(lower=None), "2010", {"2010": 0.0, "2020": 10.0})
    assert without[["built_low", "people_high", "adjusted_m2"]].isna().all(axis=None)


def test_scale_bars_are_round_and_a_quarter_at_most():
    assert [bar_length(width) for width in (4.0, 3.99, 30, 0.9, 1000)] == pytest.approx([1, 0.5, 5, 0.2, 200])


def test_the_method_is_that_of_the_tables():
    assert "model built_up_10m, version 3 (weights cdcdcdcdcdcd), gives it a probability of 0.5" in built_up_text(MODELS, "9 m", "built_up")
    assert "table urban_series" in built_up_text(MODELS, "30 m", "urban_series")
    only = formula_text([("11.3.1", "un-2021")])
    assert "ln(P2 / P1)" in only and "ln-legacy" not in only
    assert "indicators 2026-03-04 (code 0.1.0+ab, from unit_statistics 7)" in versions_text(RUNS)
    owners = pd.DataFrame({"attribution": ["ESA", None], "licence": ["CC-BY-4.0", None]})
    assert owner_text(owners, "Us") == ["To be named with any use: Us; ESA, CC-BY-4.0."] and owner_text(owners.tail(1), "") == []


def test_bounds_are_said_to_hold_what_was_declared():
    repeats = bounds_text({"growth_errors": "repeats"})
    assert "smallest units scatter" in repeats and "people" not in repeats
    both = bounds_text({"built_sd": 0.05, "people_sd": 0.01})
    assert both == "95 % bounds hold errors of built-up area of 5 % and errors of people of 1 %."
    assert "patches of 9,000 m² and 3 %" in bounds_text({"growth_errors": {"patch_m2": 9000.0, "common_sd": 0.03}})
    assert "there are no bounds" in bounds_text({})


def test_the_pdf_has_two_tagged_pages_with_the_sheets_words():
    pytest.importorskip("weasyprint", reason="PDF: pip install 'urbantrace[pdf]'")
    pypdf = pytest.importorskip("pypdf")
    pairs = [period("X", period_start=str(y), period_end=str(y + 1)) for y in range(2010, 2019)]
    parts = [period(f"A{k}", period_start="2010", period_end="2019") for k in range(12)]
    told = unit([period("X", period_end="2019"), *pairs, *parts, state(unit_id="X")], [str(y) for y in range(2010, 2020)], children=12)
    text = whole(told, limits=SheetLimits(12, 8, 10))
    data = pdf_of(text)
    found = pypdf.PdfReader(io.BytesIO(data))
    assert len(found.pages) == 2 and data == pdf_of(text)
    size = found.pages[0].mediabox
    assert (float(size.width), float(size.height)) == pytest.approx((595.3, 841.9), abs=0.1)
    words = " ".join("".join(page.extract_text() for page in found.pages).split())
    assert "5.21" in words and EVIL in words and "How the numbers were made" in words
    assert found.trailer["/Root"]["/MarkInfo"]["/Marked"] and "Map of built-up land" in str(
        alternatives(found.trailer["/Root"]["/StructTreeRoot"])
    )


def alternatives(node):
    """/Alt of a structure tree's elements."""
    node = node.get_object()
    children = node.get("/K", []) if hasattr(node, "get") else []
    children = children if isinstance(children, list) else [children]
    own = [node["/Alt"]] if hasattr(node, "get") and "/Alt" in node else []
    return own + [alt for child in children if not isinstance(child, int) for alt in alternatives(child)]
