"""How good a series is: its maps and its changes, at every date and between the first and last, its dates, and how steady it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics import block_counts, pixel_counts, scores

Mask = NDArray[np.bool_]
Days = Sequence[int]


class ChangeFigures(NamedTuple):
    """F1 of the four families; `date_error_days`: median over pixels that appear once in both series, between the middles of the
    intervals in which they do; `flicker`: turns of a pixel beyond one."""

    segmentation: float
    segmentation_first_last: float
    change: float
    change_first_last: float
    date_error_days: float
    flicker: float


def change_figures(found: Mask, truth: Mask, known: Mask, days: Days) -> ChangeFigures:
    """Of states (T, height, width) at days: segmentation where each date is `known`, all else on pixels that are at all dates; NaN where
    there is nothing to be found."""
    kept = np.asarray(known.all(0))
    ends = [0, -1]
    turns = changes(found)[:, kept].sum(0)
    return ChangeFigures(
        _f1(found, truth, known),
        _f1(found[ends], truth[ends], known[ends]),
        _f1(changes(found), changes(truth), kept),
        _f1(changes(found[ends]), changes(truth[ends]), kept),
        _date_error(found[:, kept], truth[:, kept], days),
        float(np.maximum(turns - 1, 0).mean()) if kept.any() else float("nan"),
    )


def mean_figures(each: Sequence[ChangeFigures]) -> dict[str, float]:
    """Means over series, by name, of those that tell a figure; without figures that none tells."""
    told = {name: [value for one in each if not np.isnan(value := getattr(one, name))] for name in ChangeFigures._fields}
    return {name: float(np.mean(values)) for name, values in told.items() if values}


def changes(states: Mask) -> Mask:
    """Of (T, ...): which differ from one date to the next, (T - 1, ...)."""
    return np.asarray(states[1:] != states[:-1])


def shown_changes(states: Mask, seen: Mask) -> tuple[Mask, Mask]:
    """Of states (T, ...) at dates that show a pixel or not: which differ from the date before that shows it, (T - 1, ...), and where both
    are shown, so that there is something to tell."""
    last, known = states[0], seen[0]
    differs, told = [], []
    for state, shown in zip(states[1:], seen[1:], strict=True):
        told.append(known & shown)
        differs.append(told[-1] & (state != last))
        last, known = np.where(shown, state, last), known | shown
    return np.stack(differs), np.stack(told)


def change_block_counts(found: Mask, truth: Mask, told: Mask, side: int) -> NDArray[np.int64]:
    """Hits, false alarms and misses of changes, all (T - 1, height, width), where they are told, (n, 3) in square blocks of ground: what
    a paired bootstrap draws from."""
    return np.asarray(np.sum([block_counts(*each, side) for each in zip(found, truth, told, strict=True)], axis=0))


def _f1(found: Mask, truth: Mask, kept: Mask) -> float:
    return scores(*pixel_counts(found, truth, np.broadcast_to(kept, found.shape)).tolist()).f1


def _date_error(found: Mask, truth: Mask, days: Days) -> float:
    if len(days) < 2:
        return float("nan")
    middles = (np.asarray(days[1:], float) + np.asarray(days[:-1], float)) / 2
    once = _appears_once(found) & _appears_once(truth)
    apart = np.abs(middles[changes(found)[:, once].argmax(0)] - middles[changes(truth)[:, once].argmax(0)])
    return float(np.median(apart)) if once.any() else float("nan")


def _appears_once(states: Mask) -> Mask:
    return np.asarray((changes(states).sum(0) == 1) & states[-1])
