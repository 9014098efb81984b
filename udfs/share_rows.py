"""Rows of `indicators` that are parts of a whole, of units in their own bounds: from rows of unit_shares, and from surveys."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from conf.indicators import SHARES, SURVEYED, Share
from udfs.indicator_rows import PAIR_COLUMNS, pair_of, table_rows
from udfs.lcrpgr import Values
from udfs.null_reasons import MIDYEAR, Limits, Sums, Texts, is_null, null_reasons
from udfs.share_maps import PUBLIC_SPACE

SHARE_COLUMNS = (*PAIR_COLUMNS, "what", "part_m2", "whole_m2", "part_people")
"""States of units, each beside one of its rows of unit_shares."""
SURVEY_COLUMNS = (*PAIR_COLUMNS, "surveys")
"""States of units, each with its rows of `deprivation`, (year, share, standard_error); null: none."""
Z_95 = 1.959964
"""Of the standard normal distribution, between which and its negative 95 % lie."""


def share_batches(frames: Iterable[pd.DataFrame], limits: Limits) -> Iterator[pd.DataFrame]:
    """Shell: frames with SHARE_COLUMNS to frames of `indicators`."""
    for frame in frames:
        parts = [_share_rows(frame[frame["what"] == declared.what].reset_index(drop=True), declared, limits) for declared in SHARES]
        found = [part for part in parts if len(part)]  # an empty part would make pandas guess types
        yield pd.concat(found or parts[:1], ignore_index=True)


def _share_rows(states: pd.DataFrame, declared: Share, limits: Limits) -> pd.DataFrame:
    names = ("part_m2", "whole_m2") if declared.of == "land" else ("part_people", "people_end")
    sums = Sums(states, pair_of(states), limits)
    part, whole = (states[name].to_numpy(np.float64) for name in names)
    if declared.what == PUBLIC_SPACE:  # known of all of the unit: what is built in all of it
        whole = sums.pair.built_end
    seen = (states["whole_m2"].to_numpy(np.float64) > 0) & (whole > 0)
    value = np.divide(part, whole, out=np.full(len(part), np.nan), where=seen)
    reasons = null_reasons(sums, ("land",) if declared.of == "land" else ("land", "people"))
    reasons[np.isnan(value) & is_null(reasons)] = "no built-up land of which that is known"
    return table_rows(states, declared, _without_bounds(np.where(is_null(reasons), value, np.nan)), reasons)


def _without_bounds(value: Values) -> Values:
    return np.stack([value, np.full_like(value, np.nan), np.full_like(value, np.nan)])


def survey_batches(frames: Iterable[pd.DataFrame], most_years: float) -> Iterator[pd.DataFrame]:
    """Shell: frames with SURVEY_COLUMNS to frames of `indicators`; of each state the survey nearest to its date, not further than
    `most_years`."""
    for frame in frames:
        states = frame.reset_index(drop=True)
        told = [
            _told(surveys, date, epoch, most_years)
            for surveys, date, epoch in zip(states["surveys"], states["year_end"], states["period_end"], strict=True)
        ]
        numbers = np.array([one for one, _ in told], np.float64).reshape(-1, 3).T
        reasons: Texts = np.array([*(reason for _, reason in told), None], dtype=object)[:-1]
        yield table_rows(states, SURVEYED, numbers, reasons)


def _told(surveys: Any, date: float, epoch: str, most_years: float) -> tuple[tuple[float, float, float], str | None]:
    """Value and bounds, or the reason why there are none."""
    nothing = (np.nan, np.nan, np.nan)
    if surveys is None or not len(surveys):
        return nothing, "no household of the unit answered"
    nearest = min(surveys, key=lambda one: (abs(one["year"] + MIDYEAR - date), one["year"]))
    if abs(nearest["year"] + MIDYEAR - date) > most_years:
        return nothing, f"the survey nearest to {epoch} is of {nearest['year']}, too far from its date"
    share, error = nearest["share"], nearest["standard_error"]
    if error is None or np.isnan(error):
        return (share, np.nan, np.nan), None
    return (share, max(share - Z_95 * error, 0.0), min(share + Z_95 * error, 1.0)), None
