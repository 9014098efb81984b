"""Rows of `indicators` in the layouts of portals: Open SDG's CSV, and SDMX's."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from conf.indicators import INDICATORS, SHARES, SURVEYED
from conf.portals import MISSING, NORMAL, SERIES, Series

NAMES = {(one.id, one.formula_id): one.name for one in (*INDICATORS, SURVEYED, *SHARES)}
OPEN_SDG = ("Year", "Series", "Units", "GeoCode", "Area", "Period", "Formula", "Boundary", "Basis", "Value")
"""Year first and Value last; between them a column for each disaggregation, empty where a row is not broken down by it."""
SDMX = (
    "FREQ", "SERIES", "REF_AREA", "TIME_PERIOD", "TIME_DETAIL", "BOUNDARY", "BASIS", "FORMULA", "OBS_VALUE", "LOWER_BOUND", "UPPER_BOUND",
    "UNIT_MEASURE", "UNIT_MULT", "OBS_STATUS", "COMMENT_OBS",
)  # fmt: skip
_NUMBERS = {"OBS_VALUE": "value", "LOWER_BOUND": "lower", "UPPER_BOUND": "upper"}
_TO_TEXT = {"unit": "", "built_up": ""}
"""Of boundary and basis what is not broken down: a unit in its own bounds, by its built-up land."""


_FORMULA = tuple("=+-@\t\r")


def without_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts that a spreadsheet would calculate, with an apostrophe before them, which it takes for "this is text"; numbers stay."""
    marked = rows.copy()
    for name in rows.select_dtypes("object").columns:
        marked[name] = rows[name].map(_marked)
    return marked


def _marked(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def portal_file(indicator: str) -> str:
    """Name of Open SDG's file of an indicator, e.g. `indicator_11-3-1.csv`; what is derived from it stands in the same file."""
    return f"indicator_{'-'.join(indicator.split('-')[0].split('.'))}.csv"


def open_sdg_rows(rows: pd.DataFrame, years: Mapping[str, int], headline: str | None) -> pd.DataFrame:
    """Rows with a value, joined with `name` of the unit, as OPEN_SDG. `years`: epoch to the year of its reference date; `headline`: the
    unit whose rows stand for the place, without GeoCode and Area."""
    told = rows[rows["value"].notna()].reset_index(drop=True)
    series = _series(told)
    whole = (told["unit_id"] == headline).to_numpy(bool)
    period = np.where(told["period_start"] == told["period_end"], "", told["period_start"] + "-" + told["period_end"])
    formulas = told.groupby("indicator")["formula_id"].transform("nunique") if len(told) else pd.Series(dtype=int)
    found = {
        "Year": told["period_end"].map(years), "Series": _names(told), "Units": [one.unit for one in series],
        "GeoCode": np.where(whole, "", told["unit_id"]), "Area": np.where(whole, "", told["name"].fillna(told["unit_id"])),
        "Period": period, "Formula": np.where(formulas > 1, told["formula_id"], ""), "Boundary": told["boundary"].replace(_TO_TEXT),
        "Basis": told["basis"].replace(_TO_TEXT), "Value": told["value"].astype(float) * [one.factor for one in series],
    }  # fmt: skip
    return pd.DataFrame(found, columns=list(OPEN_SDG)).sort_values(list(OPEN_SDG[:-1]), ignore_index=True)


def sdmx_rows(rows: pd.DataFrame, years: Mapping[str, int]) -> pd.DataFrame:
    """All rows as SDMX; a missing value has its reason in COMMENT_OBS."""
    told = rows.reset_index(drop=True)
    series = _series(told)
    factor = np.array([one.factor for one in series], np.float64)
    numbers = {name: told[column].astype(float) * factor for name, column in _NUMBERS.items()}
    found = {
        "FREQ": "A", "SERIES": [one.code for one in series], "REF_AREA": told["unit_id"], "TIME_PERIOD": told["period_end"].map(years),
        "TIME_DETAIL": told["period_start"] + "/" + told["period_end"], "BOUNDARY": told["boundary"], "BASIS": told["basis"],
        "FORMULA": told["formula_id"], **numbers, "UNIT_MEASURE": [one.unit for one in series], "UNIT_MULT": 0,
        "OBS_STATUS": np.where(told["value"].isna(), MISSING, NORMAL), "COMMENT_OBS": told["reason"].fillna(""),
    }  # fmt: skip
    return pd.DataFrame(found, columns=list(SDMX)).sort_values(list(SDMX[1:8]), ignore_index=True)


def _series(rows: pd.DataFrame) -> list[Series]:
    return [SERIES[key] for key in zip(rows["indicator"], rows["formula_id"], strict=True)]


def _names(rows: pd.DataFrame) -> list[str]:
    return [NAMES[key] for key in zip(rows["indicator"], rows["formula_id"], strict=True)]
