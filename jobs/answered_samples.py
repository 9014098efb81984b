"""Reference samples whose points people have answered: read from their folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from conf.errors import InputError
from udfs.interpretation import Interpreted, interpreted, read_answers

POINTS, STRATA_FILE = "points.csv", "strata.csv"


class AnsweredSample(NamedTuple):
    """Points [point_id, stratum, grid, row, col, ...], strata [stratum, pixels, area_m2], and what was answered."""

    points: pd.DataFrame
    strata: pd.DataFrame
    interpreted: Interpreted


def answered_sample(folder: Path, layer: str | None, epoch: str, answers: Sequence[str], resolved: str | None) -> AnsweredSample:
    """`answers`, `resolved`: files of the folder. Raises InputError where the sample is of other ground, or an answer does not fit."""
    if not (folder / POINTS).is_file():
        raise InputError(f"{folder / POINTS}: no such file; draw the sample first, by reference_sample without answers")
    points, strata = pd.read_csv(folder / POINTS, dtype={"epoch": str}), pd.read_csv(folder / STRATA_FILE)
    drawn = points.loc[0, "layer"], points.loc[0, "epoch"]
    if drawn != (layer, epoch):
        raise InputError(f"{folder / POINTS} is of layer {drawn[0]}, epoch {drawn[1]}, not of {layer}, {epoch}; name these")
    passes = [read_answers(folder / name, points["point_id"]) for name in answers]
    settled = read_answers(folder / resolved, points["point_id"], every=False) if resolved else None
    return AnsweredSample(points, strata, interpreted(passes, settled))
