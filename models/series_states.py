"""The states of an image series: what each date shows, and what a network says of changes between dates, made one answer."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.rasters import NO_DATA, ONE
from models.change_integration import FREE, NEVER, STEP, Edges, Rule, States, Terms, edges_of, integrated, margins, terms

Raster = NDArray[np.uint8]

BUILT_FROM = ONE // 2
"""The least value of a pixel that is built; values stand for the probability that it is."""
YEAR_DAYS = 365.25
BYTES_AT_ONCE = 64_000_000
"""Of scores and orders of the pixels that are integrated together."""


class Steadiness(NamedTuple):
    """What is held of series before any image is seen. `change_per_year`: how often a pixel turns, per year, either way. `weight`: of
    that beside the maps; less than 1, since maps of one pixel err alike and their differences tell more than each of them."""

    change_per_year: float
    weight: float
    rule: Rule


USUAL = Steadiness(0.02, 0.25, FREE)
"""What is held where nothing else is said (docs/decisions/0022-maps-of-one-pixel-err-alike.md)."""


class Told(NamedTuple):
    """What a network says of changes: probabilities uint8 (E, height, width), 0-250, along edges, pairs of dates by their number; `weight`
    of their log-odds beside the maps'."""

    edges: Edges
    changes: Raster
    weight: float


def needed_edges(seen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Along which a network must tell changes: each date that shows a pixel and the next that does, of all pixels (T, height, width)."""
    found = set()
    for first in range(len(seen)):
        open_from = seen[first]
        for second in range(first + 1, len(seen)):
            if (open_from & seen[second]).any():
                found.add((first, second))
            open_from = open_from & ~seen[second]
    return sorted(found)


class Series(NamedTuple):
    """`values` (T, height, width): 0-250, built from BUILT_FROM on, 255 not known; `first_built` and `last_built` (height, width):
    numbers from 1 of the dates at which a pixel is first and last built, 0 never, 255 no date shows it."""

    values: Raster
    first_built: Raster
    last_built: Raster


def series_of_maps(
    probability: Raster, thresholds: Sequence[int], dates: Sequence[dt.date], held: Steadiness, told: Told | None = None
) -> Series:
    """The series of maps (T, height, width) of uint8 0-250, 255 no data, each with its threshold and date, earliest first. Where `told`
    says how likely a change is from one date that shows a pixel to the next, that stands, else what is `held`.

    A single date shows what is at its threshold or above, as its map does. What a date does not show stays unknown there: to tell it only
    where the dates around it agree would hide change."""
    flat = probability.reshape(len(probability), -1)
    at_once = max(1024, BYTES_AT_ONCE // (len(flat) * 16 * (2 + held.rule.least_dates)))
    says = told and told._replace(changes=told.changes.reshape(len(told.edges), -1))
    parts = []
    for start in range(0, flat.shape[1], at_once):
        part = np.s_[:, start : start + at_once]
        parts.append(_values(flat[part], thresholds, dates, held, says and says._replace(changes=says.changes[part])))
    values = np.concatenate(parts, 1).reshape(probability.shape)
    return as_series(values)


def as_series(values: Raster) -> Series:
    """Of its states (T, height, width)."""
    return Series(values, *_built_dates(values))


def _values(probability: Raster, thresholds: Sequence[int], dates: Sequence[dt.date], held: Steadiness, told: Told | None) -> Raster:
    seen = probability != NO_DATA
    # Of each pixel the dates that show it, earliest first, then the others, which only repeat the last of them.
    order = np.argsort(~seen, axis=0, kind="stable")
    unary = np.stack([_odds(threshold)[one] for one, threshold in zip(probability, thresholds, strict=True)])
    unary = np.take_along_axis(unary, order, 0)
    change = _held_terms(order, dates, held)
    if told:
        change = _told_terms(order, told, change)
    change = np.where(np.take_along_axis(seen, order, 0)[1:], change, NEVER).astype(np.int32)
    edges = edges_of("adjacent", len(dates))
    states, margin = integrated(unary, change, edges, held.rule), margins(unary, change, edges, held.rule)
    result = np.empty_like(probability)
    np.put_along_axis(result, order, _encoded(states, margin), 0)
    return np.where(seen, result, NO_DATA).astype(np.uint8)


def _odds(threshold: int) -> Terms:
    """Terms of the values 0-255 of a map: 0 lies between the threshold and the value below; no data says nothing."""
    value = np.arange(NO_DATA + 1, dtype=np.float64)
    found = terms((value + 0.5) / (ONE + 1)) - terms(threshold / (ONE + 1))
    return np.where(value == NO_DATA, 0, found).astype(np.int32)


def _held_terms(order: NDArray[np.intp], dates: Sequence[dt.date], held: Steadiness) -> Terms:
    """Of each pixel, terms of a change from each of its dates to the next: of a process that turns either way so often."""
    days = np.array([date.toordinal() for date in dates])
    elapsed = np.diff(days[order], axis=0) / YEAR_DAYS
    turned = terms(-np.expm1(-2 * held.change_per_year * elapsed) / 2)
    return np.asarray(np.rint(held.weight * turned), np.int32)


def _told_terms(order: NDArray[np.intp], told: Told, held: Terms) -> Terms:
    """Those of the network along its edges, `held` between other dates."""
    number = np.full((len(order), len(order)), -1)
    for edge, (first, second) in enumerate(told.edges):
        number[first, second] = edge
    along = number[order[:-1], order[1:]]
    said = np.rint(told.weight * terms((np.arange(ONE + 1) + 0.5) / (ONE + 1))).astype(np.int32)[told.changes]
    return np.where(along < 0, held, np.take_along_axis(said, along.clip(0), 0)) if len(said) else held


def _encoded(states: States, margin: Terms) -> Raster:
    """Probability that a pixel is built, 0-250, on the side of its state."""
    sure = np.rint(ONE / (1 + np.exp(-np.abs(margin) / STEP))).astype(np.int16)
    return np.where(states, sure, np.minimum(ONE - sure, BUILT_FROM - 1)).astype(np.uint8)


def _built_dates(values: Raster) -> tuple[Raster, Raster]:
    known = values != NO_DATA
    built = known & (values >= BUILT_FROM)
    dates = len(values)
    first = np.where(built.any(0), built.argmax(0) + 1, 0)
    last = np.where(built.any(0), dates - built[::-1].argmax(0), 0)
    shown = known.any(0)
    return np.where(shown, first, NO_DATA).astype(np.uint8), np.where(shown, last, NO_DATA).astype(np.uint8)
