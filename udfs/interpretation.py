"""Answers of visual interpretation: one file a pass, what two passes agree on, and what settles the rest."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from sklearn.metrics import cohen_kappa_score

from conf.errors import InputError

BUILT, NOT_BUILT, UNSURE = "built", "not_built", "unsure"
ANSWERS = (BUILT, NOT_BUILT, UNSURE)


class Interpreted(NamedTuple):
    """`built` by point_id, of the points that have an answer; the ids that were in disagreement or unsure, and of these the ids that
    nothing settled; Cohen's kappa of two passes over all three answers, None where it means nothing."""

    built: pd.Series
    disputed: list[int]
    left_out: list[int]
    kappa: float | None


def read_answers(path: Path, points: pd.Series, every: bool = True) -> pd.Series:
    """Answers by point_id of a CSV [point_id, answer, note]. Raises InputError for a point that is not in the sample, comes twice, has
    no answer or another than ANSWERS, and, with `every`, for one that is missing."""
    table = _table(path)
    unknown = table.loc[~table["point_id"].isin(points.astype(str)), "point_id"]
    twice = table.loc[table["point_id"].duplicated(), "point_id"]
    wrong = table.loc[~table["answer"].isin(ANSWERS)]
    missing = points[~points.astype(str).isin(table["point_id"])] if every else points[:0]
    if len(unknown):
        raise InputError(f"{path.name}: point {unknown.iloc[0]!r} is not in the sample; give the answers of its points.csv")
    if len(twice):
        raise InputError(f"{path.name}: point {twice.iloc[0]} is answered twice; keep one row")
    if len(wrong):
        first = wrong.iloc[0]
        raise InputError(f"{path.name}: point {first['point_id']} has answer {first['answer']!r}; write {', '.join(ANSWERS)}")
    if len(missing):
        raise InputError(
            f"{path.name}: point {missing.iloc[0]} has no answer ({len(missing)} in all); write {UNSURE} where it cannot be told"
        )
    return pd.Series(table["answer"].to_numpy(), index=table["point_id"].astype(int)).sort_index()


def _table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; name answers by reference_sample.answers, files of reference_sample.folder") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is no CSV: {str(error).splitlines()[0]}") from None
    if not {"point_id", "answer"} <= set(table.columns):
        raise InputError(f"{path.name} has columns {', '.join(table.columns)}; it needs point_id and answer")
    return table.assign(answer=table["answer"].str.strip().str.lower(), point_id=table["point_id"].str.strip())


def interpreted(passes: list[pd.Series], resolved: pd.Series | None) -> Interpreted:
    """What one or two passes, and answers that settle their disputes, say. Raises InputError where a settled point was not disputed.

    Disputed: the passes differ, or cannot tell. What nothing settles is left out, not guessed.
    """
    first, last = passes[0], passes[-1]
    disputed = first.index[(first != last) | (first == UNSURE)]
    settled = pd.Series(dtype=object) if resolved is None else resolved
    if len(calm := settled.index.difference(disputed)):
        raise InputError(f"resolved: point {calm[0]} is not in dispute, its answer is {first[calm[0]]}; remove its row")
    final = first.drop(disputed)
    final = pd.concat([final, settled[settled != UNSURE]]).sort_index()
    left_out = [int(point) for point in disputed.difference(final.index)]
    kappa = _kappa(first, last) if len(passes) > 1 else None
    return Interpreted((final == BUILT).rename("reference"), [int(point) for point in disputed], left_out, kappa)


def _kappa(first: pd.Series, last: pd.Series) -> float | None:
    """None where both give one answer to all."""
    if len(set(first) | set(last)) < 2:
        return None
    return float(cohen_kappa_score(first, last))
