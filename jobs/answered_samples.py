"""Reference samples whose points people have answered: read from their folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from conf.errors import InputError
from udfs.interpretation import Interpreted, interpreted, read_answers

POINTS, STRATA_FILE = "points.csv", "strata.csv"
POINT_COLUMNS = {"point_id": int, "stratum": str, "grid": str, "row": int, "col": int, "layer": str, "epoch": str}
"""Names are text, also where they look like numbers."""
STRATUM_COLUMNS = {"stratum": str, "pixels": int, "area_m2": float}


class AnsweredSample(NamedTuple):
    """Points [point_id, stratum, grid, row, col, ...], strata [stratum, pixels, area_m2], and what was answered."""

    points: pd.DataFrame
    strata: pd.DataFrame
    interpreted: Interpreted


def answered_sample(folder: Path, layer: str | None, epoch: str, answers: Sequence[str], resolved: str | None) -> AnsweredSample:
    """`answers`, `resolved`: files of the folder. Raises InputError where a file of the sample is missing or is none, where it is of other
    ground, or an answer does not fit."""
    points, strata = _table(folder / POINTS, POINT_COLUMNS), _table(folder / STRATA_FILE, STRATUM_COLUMNS)
    drawn = points.loc[0, "layer"], points.loc[0, "epoch"]
    if drawn != (layer, epoch):
        raise InputError(f"{folder / POINTS} is of layer {drawn[0]}, epoch {drawn[1]}, not of {layer}, {epoch}; name these")
    passes = [read_answers(folder / name, points["point_id"]) for name in answers]
    settled = read_answers(folder / resolved, points["point_id"], every=False) if resolved else None
    return AnsweredSample(points, strata, interpreted(passes, settled))


def _table(path: Path, columns: dict[str, type]) -> pd.DataFrame:
    again = "draw the sample first, by reference_sample without answers"
    try:
        table = pd.read_csv(path, dtype=columns)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {again}") from None
    except ValueError as error:
        raise InputError(f"{path} is no table of points or strata: {str(error).splitlines()[0]}; {again}") from None
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"{path} has no column {missing[0]}; it needs {', '.join(columns)}; {again}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        raise InputError(f"{path} has no row, or one without a value; {again}")
    return table
