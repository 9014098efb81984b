"""What the page prints: nulls with reasons, numbers that sort, nothing that runs."""

import numpy as np
import pandas as pd

from tests.udfs.test_indicator_rows import LIMITS, NO_ERRORS, period
from udfs.indicator_rows import indicator_rows
from udfs.report_page import Number, page, paragraph, table
from udfs.report_provenance import settings_text
from udfs.report_sections import indicator_table, number

EVIL = '"><img src=x onerror=alert(1)>'


def test_texts_are_escaped_wherever_they_stand():
    text = page(EVIL, EVIL, [("a", EVIL, paragraph(EVIL) + table([EVIL], [[EVIL], [Number(1.0, EVIL)]], EVIL, searchable=True))])
    assert "<img" not in text and text.count("&lt;img") >= 9


def test_numbers_sort_by_value_and_nulls_are_dashes():
    assert number(1234.5678, 2) == Number(1234.5678, "1,234.57")
    assert number(None, 2).text == number(np.nan, 2).text == "–"
    assert 'data-value="0.5"' in table(["n"], [[number(0.5, 1)], [number(None, 1)]], "t")


def test_an_indicator_line_has_both_formulas_regimes_and_each_reason_once():
    pairs = pd.concat([period(), period("B", people_end=320e3), period("C", valid_end=0.0, built_end=0.0)], ignore_index=True)
    rows = indicator_rows(pairs, LIMITS, NO_ERRORS)
    text = indicator_table(rows, {"A": "Stadt <A>"}, "t")
    assert "5.212" in text and "4.834" in text and "Stadt &lt;A&gt; (A)" in text
    assert text.count("R1, inefficient") == 2 and text.count("R4, inefficient") == 2
    assert text.count("no population growth: the ratio is not defined") == 1 and text.count("no data at 2020") == 1


def test_settings_carry_no_key_of_an_address():
    text = settings_text({"stac": "https://user:pass@host/a.json?sig=CANARY", "plain": "a/b.json", "own": "/srv/us/c.tif"})
    assert "CANARY" not in text and "pass" not in text and "host/a.json" in text and "a/b.json" in text
    assert "srv" not in text and "c.tif" in text
