"""The page of indicators is that of the declarations."""

from conf.indicators import INDICATORS, SHARES, SURVEYED
from conf.portals import SERIES
from docs.indicator_page import PAGE, page
from udfs.null_reasons import CONDITIONS


def test_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m docs.indicator_page"


def test_declarations_are_distinct_and_need_known_conditions():
    assert len({declared.key for declared in INDICATORS}) == len(INDICATORS)
    assert {need for declared in INDICATORS for need in declared.needs} == set(CONDITIONS)


def test_portals_know_every_indicator():
    assert set(SERIES) == {(declared.id, declared.formula_id) for declared in (*INDICATORS, SURVEYED, *SHARES)}
    assert len({series.code for series in SERIES.values()}) == len(SERIES)
