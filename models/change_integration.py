"""The one series of states that what is seen at each date, and between dates, tells best: exact, whatever the number of dates.

Per pixel, states s_t (0 or 1) maximise sum_t s_t logit(p_t) + sum_e [s_i != s_j] logit(c_e): the mode of a binary Markov network with the
potentials [1 - p, p] and [1 - c, c, c, 1 - c] (Hafner et al. 2025, arXiv 2406.17458). Terms are whole steps of 1/1024, so sums are exact,
in any order, and ties are ties: they go to the least number, in which the state of date t is bit t. Arrays have dates first, pixels last.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Terms = NDArray[np.int32]
States = NDArray[np.bool_]
Scores = NDArray[np.int64]
Edges = Sequence[tuple[int, int]]
EdgeSet = Literal["adjacent", "cyclic", "dense", "firstlast"]

STEP = 1024
"""Steps of a natural-logarithm unit."""
LEAST = 1e-4
"""Probabilities are kept this far from 0 and 1."""
MOST_DATES = 12
"""Of which all 2^T series are compared."""
BYTES_AT_ONCE = 8_000_000
"""Of scores held at once; few enough to stay near the processor."""
NEVER = -(2**24)
"""A term that forbids: less than all others together."""


class Rule(NamedTuple):
    """Which series are allowed: `monotone`, what is built stays; `least_dates`, a state lasts so many dates, but at both ends."""

    monotone: bool = False
    least_dates: int = 1


FREE = Rule()


def terms(probability: ArrayLike) -> Terms:
    """Log-odds in whole steps of probabilities 0-1, of any shape; 0, nothing known, where NaN."""
    kept = np.clip(np.asarray(probability, np.float64), LEAST, 1 - LEAST)
    steps: Terms = np.nan_to_num(np.rint(STEP * (np.log(kept) - np.log1p(-kept)))).astype(np.int32)
    return steps


def edges_of(kind: EdgeSet, dates: int) -> list[tuple[int, int]]:
    """Pairs of dates, the earlier one first."""
    if kind == "dense":
        return list(combinations(range(dates), 2))
    if kind == "firstlast":
        return [(0, dates - 1)] if dates > 1 else []
    adjacent = [(date, date + 1) for date in range(dates - 1)]
    return [*adjacent, (0, dates - 1)] if kind == "cyclic" and dates > 2 else adjacent


def integrated(unary: Terms, change: Terms, edges: Edges, rule: Rule = FREE) -> States:
    """States (T, n) from terms of dates (T, n) and of `edges` (E, n). Raises ValueError where neither all series can be compared, of more
    than 12 dates unless monotone, nor `edges` are adjacent or cyclic ones."""
    dates = len(unary)
    if not rule.monotone and list(edges) == edges_of("adjacent", dates):
        return _chain(unary, change, rule.least_dates)
    if rule.monotone or dates <= MOST_DATES:
        return _best(unary, change, edges, allowed_series(dates, rule))
    if rule.least_dates == 1 and list(edges) == edges_of("cyclic", dates):
        return _cycle(unary, change)
    raise ValueError(f"{dates} dates with {len(edges)} edges: above {MOST_DATES} use adjacent edges, or the monotone rule")


def allowed_series(dates: int, rule: Rule) -> States:
    """Every allowed series (S, T), by its number."""
    if rule.monotone:
        every = np.tri(dates + 1, dates, -1, dtype=bool)[:, ::-1]
    else:
        every = (np.arange(2**dates)[:, None] >> np.arange(dates) & 1).astype(bool)
    return every[[_lasts(series, rule.least_dates) for series in every]] if rule.least_dates > 1 else every


def _lasts(series: States, least_dates: int) -> bool:
    turns = np.flatnonzero(series[1:] != series[:-1])
    return bool((np.diff(turns) >= least_dates).all())


def _best(unary: Terms, change: Terms, edges: Edges, series: States) -> States:
    known, told = _matrices(unary, change, edges, series)
    at_once = max(1, BYTES_AT_ONCE // (known.itemsize * len(series)))
    parts = [series[(told[:, part : part + at_once].T @ known).argmax(1)] for part in range(0, told.shape[1], at_once)]
    return np.concatenate(parts).T if parts else np.zeros(unary.shape, bool)


def _matrices(unary: Terms, change: Terms, edges: Edges, series: States) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What a series has of each term, 0 or 1, (T + E, S), and the terms (T + E, n), of a type in which sums of whole numbers are exact."""
    changes = [series[:, first] != series[:, second] for first, second in edges]
    told = np.concatenate([unary, change]) if len(edges) else unary
    exact = np.abs(told).sum(0, dtype=np.int64).max(initial=0) < 2**24
    kind = np.float32 if exact else np.float64
    return np.stack([*series.T, *changes]).astype(kind), told.astype(kind)


def margins(unary: Terms, change: Terms, edges: Edges, rule: Rule = FREE) -> Terms:
    """By how much the best series with state 1 at a date is better than the best with state 0, (T, n), in steps; less than 0: state 0 is
    better; NEVER or its opposite: no other is allowed. Raises ValueError as `integrated`, and for cyclic edges of more than 12 dates."""
    dates = len(unary)
    if not rule.monotone and list(edges) == edges_of("adjacent", dates):
        return _chain_margins(unary, change, rule.least_dates)
    if not rule.monotone and dates > MOST_DATES:
        raise ValueError(f"{dates} dates with {len(edges)} edges: margins above {MOST_DATES} need adjacent edges, or the monotone rule")
    series = allowed_series(dates, rule)
    known, told = _matrices(unary, change, edges, series)
    at_once = max(1, BYTES_AT_ONCE // (known.itemsize * len(series)))
    result = np.empty(unary.shape, np.int32)
    for part in range(0, told.shape[1], at_once):
        scores = told[:, part : part + at_once].T @ known
        for date in range(dates):
            one, other = (scores[:, chosen].max(1, initial=2.0 * NEVER) for chosen in (series[:, date], ~series[:, date]))
            result[date, part : part + at_once] = (one - other).clip(NEVER, -NEVER)
    return result


class Chain:
    """A series of adjacent edges that grows: a further date costs as much as one, whatever came before. Holds the best score of every
    present state, and which state came before each."""

    def __init__(self, pixels: int, least_dates: int = 1) -> None:
        self._before_of = _before_of(least_dates)
        self._scores: Scores = _first_scores(pixels, least_dates)
        self._came_from: list[NDArray[np.uint8]] = []

    def append(self, unary: Terms, change: Terms | None) -> None:
        """One more date, with its terms (n,) and those of the edge from the date before, None of the first."""
        if change is None:
            self._scores[len(self._scores) // 2 :] += unary
            return
        scores, came_from = np.empty_like(self._scores), np.empty(self._scores.shape, np.uint8)
        for state, before in enumerate(self._before_of):
            told = [self._scores[one] + change if turned else self._scores[one] for one, turned in before]
            if len(told) == 1:
                scores[state], came_from[state] = told[0], before[0][0]
            else:
                scores[state] = np.maximum(*told)
                came_from[state] = np.where(told[1] > told[0], before[1][0], before[0][0])
        scores[len(scores) // 2 :] += unary
        self._scores = scores
        self._came_from.append(came_from)

    def states(self) -> States:
        """Of all dates so far, (T, n)."""
        least = len(self._scores) // 2
        # Of equal scores the least series: of state 0 the one that has lasted, of state 1 the one that has not.
        order = [*range(least - 1, -1, -1), *range(least, 2 * least)]
        now = np.asarray(order, np.uint8)[self._scores[order].argmax(0)]
        found = [now >= least]
        for came_from in reversed(self._came_from):
            now = np.take_along_axis(came_from, now[None].astype(np.intp), 0)[0]
            found.append(now >= least)
        return np.stack(found[::-1])


def _before_of(least_dates: int) -> list[list[tuple[int, bool]]]:
    """Of each state those that may come before, and whether that is a change; that of the lesser series first. A state is 0 or 1 with the
    number of dates for which it has lasted, from 1; the last number stands for as many or more."""
    last = least_dates - 1
    result = []
    for built in (0, 1):
        for age in range(least_dates):
            found = [(built * least_dates + last, False)] if age == last else []
            found += [(built * least_dates + age - 1, False)] if age else [((1 - built) * least_dates + last, True)]
            result.append(found[::-1] if built else found)
    return result


def _first_scores(pixels: int, least_dates: int) -> Scores:
    """What was before the first date may have lasted."""
    scores = np.full((2 * least_dates, pixels), NEVER * 64, np.int64)
    scores[least_dates - 1], scores[-1] = 0, 0
    return scores


def _chain(unary: Terms, change: Terms, least_dates: int) -> States:
    chain = Chain(unary.shape[1], least_dates)
    for date, term in enumerate(unary):
        chain.append(term, change[date - 1] if date else None)
    return chain.states()


def _chain_margins(unary: Terms, change: Terms, least_dates: int) -> Terms:
    """The best score of each state with what comes before, and with what comes after."""
    least, dates, pixels = least_dates, *unary.shape
    before_of = _before_of(least)
    ahead = [_first_scores(pixels, least)]
    for date in range(dates):
        if date:
            ahead.append(np.stack([_best_before(ahead[-1], before, change[date - 1]) for before in before_of]))
        ahead[date][least:] += unary[date]
    result, behind = np.empty(unary.shape, np.int32), np.zeros((2 * least, pixels), np.int64)
    for date in range(dates - 1, -1, -1):
        both = ahead[date] + behind
        result[date] = (both[least:].max(0) - both[:least].max(0)).clip(NEVER, -NEVER)
        if date:
            behind[least:] += unary[date]
            behind = _behind(behind, before_of, change[date - 1])
    return result


def _best_before(scores: Scores, before: list[tuple[int, bool]], change: Terms) -> Scores:
    best: Scores = np.maximum.reduce([scores[one] + change if turned else scores[one] for one, turned in before])
    return best


def _behind(after: Scores, before_of: list[list[tuple[int, bool]]], change: Terms) -> Scores:
    """Of each state the best of those that may follow."""
    result = np.full(after.shape, NEVER * 64, np.int64)
    for state, before in enumerate(before_of):
        for one, turned in before:
            np.maximum(result[one], after[state] + change if turned else after[state], out=result[one])
    return result


def _cycle(unary: Terms, change: Terms) -> States:
    """Cyclic edges: the best chain of either first state, with the edge that closes it."""
    (zero, score_zero), (one, score_one) = (_closed(unary, change, first) for first in (False, True))
    last_other = len(unary) - 1 - (zero != one)[::-1].argmax(0)
    one_is_less = np.take_along_axis(zero, last_other[None], 0)[0]
    return np.where((score_one > score_zero) | ((score_one == score_zero) & one_is_less), one, zero)


def _closed(unary: Terms, change: Terms, first: bool) -> tuple[States, NDArray[np.int64]]:
    bound = unary.copy()
    bound[0] = -NEVER if first else NEVER
    bound[-1] += -change[-1] if first else change[-1]
    states = _chain(bound, change[:-1], 1)
    score = (states * unary.astype(np.int64)).sum(0)
    for (i, j), term in zip(edges_of("cyclic", len(unary)), change, strict=True):
        score += np.where(states[i] != states[j], term, 0)
    return states, score
