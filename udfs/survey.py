"""Households of a survey: which of them lack what SDG 11.1.1 asks for, and the share of people who live in such, with its error."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conf.errors import InputError
from udfs.units import identifiers, read_attributes

DEPRIVATIONS = ("water", "sanitation", "space", "durability", "tenure")
"""Of which one is enough; UN-Habitat, metadata of SDG indicator 11.1.1."""
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


class SurveyColumns(NamedTuple):
    """Of a household: its unit, year (column or number), weight and people (None: 1 each), and columns that say 1 where it lacks
    something, by DEPRIVATIONS."""

    unit_id: str
    year: int | str
    weight: str | None
    people: str | None
    lacks: Mapping[str, str]


def read_survey(path: Path, columns: SurveyColumns) -> pd.DataFrame:
    """Rows unit_id, year, weight (that of the household times its people) and deprived (True, False, or None: not all was answered, and
    nothing of what was is lacking). Raises InputError on a missing column, key, or a value that is neither yes nor no."""
    names = [columns.unit_id, *(name for name in (columns.year, columns.weight, columns.people) if isinstance(name, str))]
    frame, _ = read_attributes(path, list(dict.fromkeys([*names, *columns.lacks.values()])), geometry=False)
    year = pd.to_numeric(frame[columns.year], errors="coerce") if isinstance(columns.year, str) else pd.Series(columns.year, frame.index)
    weight, people = (
        pd.Series(1.0, frame.index) if name is None else pd.to_numeric(frame[name], errors="coerce")
        for name in (columns.weight, columns.people)
    )
    rows = pd.DataFrame({"unit_id": identifiers(frame[columns.unit_id]), "year": year, "weight": weight * people})
    for column, ok in (
        ("unit_id", rows["unit_id"].notna()),
        ("year", (rows["year"] % 1 == 0) & rows["year"].between(1000, 9999)),
        ("weight or people", (rows["weight"] >= 0) & np.isfinite(rows["weight"])),
    ):
        if not ok.all():
            raise InputError(f"{path.name}: row {int(np.flatnonzero(~ok)[0]) + 1} has no proper {column}; correct or remove the row")
    answers = np.stack([_answers(frame[name], path) for name in columns.lacks.values()])
    deprived = np.full(len(rows), None, dtype=object)
    deprived[(answers == 0).all(axis=0)], deprived[(answers == 1).any(axis=0)] = False, True
    if not any(one is not None for one in deprived):
        raise InputError(f"{path.name}: no household answered {', '.join(columns.lacks.values())}; give a file with answers")
    return rows.assign(year=rows["year"].astype("int32"), deprived=deprived)


def _answers(column: pd.Series, path: Path) -> NDArray[np.float64]:
    """1, 0, or NaN where nothing was answered."""
    text = column.astype("string").str.strip().str.lower().str.removesuffix(".0")
    wrong = ~(text.isin([*YES, *NO, ""]) | text.isna())
    if wrong.any():
        raise InputError(f"{path.name}: {column.name} = {column[wrong].iloc[0]!r} is neither 1 nor 0; give 1 where a household lacks it")
    return np.where(text.isin(YES), 1.0, np.where(text.isin(NO), 0.0, np.nan))


def deprivation_rows(households: pd.DataFrame, parents: Mapping[str, str | None], design_effect: float) -> pd.DataFrame:
    """Rows unit_id, year, households, people, deprived_people, share, standard_error of each unit with an answer, and of all above it.

    Households as `read_survey` gives them, those without an answer left out. The error is that of a ratio of weighted sums, households
    drawn with replacement (Cochran 1977, Sampling techniques, 6.4), times the root of the `design_effect` of clusters and strata; NaN of
    one household."""
    answered = households[households["deprived"].notna()]
    chains = {unit: _chain(unit, parents) for unit in answered["unit_id"].unique()}
    above = answered.assign(unit_id=answered["unit_id"].map(chains)).explode("unit_id")
    weight, lacking = above["weight"].to_numpy(np.float64), above["deprived"].to_numpy(bool)
    terms = {"households": np.ones(len(above)), "people": weight, "deprived_people": weight * lacking,
             "squared": weight**2, "squared_deprived": weight**2 * lacking}  # fmt: skip
    sums = above[["unit_id", "year"]].assign(**terms).groupby(["unit_id", "year"], as_index=False).sum()
    sums = sums[sums["people"] > 0].reset_index(drop=True)
    share = sums["deprived_people"] / sums["people"]
    spread = sums["squared_deprived"] * (1 - 2 * share) + sums["squared"] * share**2
    count = sums["households"]
    error = np.sqrt(design_effect * spread.clip(lower=0) * (count / (count - 1)).where(count > 1)) / sums["people"]
    kept = sums[["unit_id", "year", "households", "people", "deprived_people"]].assign(share=share, standard_error=error)
    return kept.astype({"households": "int64"})


def _chain(unit: str, parents: Mapping[str, str | None]) -> list[str]:
    """A unit and all above it."""
    chain = [unit]
    while (parent := parents.get(chain[-1])) is not None:
        chain.append(parent)
    return chain
