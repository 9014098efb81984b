"""SCOT: how well buildings are found, kept under one name and seen to appear, in a series of polygons (SpaceNet 7; Van Etten et al. 2021,
arXiv 2102.04420, 4.2)."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Name = Hashable

LEAST_IOU = 0.25
"""Above which a pair can match."""
BETA = 2.0
"""By which tracking weighs more than change in `combined`."""
PAIR = 100.0
"""What a pair is worth besides its IoU: as many pairs as can be, then the best ones."""


class Seen(NamedTuple):
    """Polygons (n,) of one date in one CRS, and the name of each, unique at the date."""

    names: tuple[Name, ...]
    polygons: NDArray[np.object_]


class Scot(NamedTuple):
    """Scores 0-1, and how many matches go against earlier ones."""

    combined: float
    tracking: float
    change: float
    mismatches: int


Series = Mapping[Any, Seen]
"""By date, which can be sorted."""
NOTHING = Seen((), np.empty(0, object))


def scot(truth: Series, found: Series, as_published: bool = False) -> Scot:
    """Of all dates of either series, where nothing appears at the first date of each; `as_published`: of those of `truth` only, as the
    reference code does, which lets what is found at others count nowhere."""
    dates = sorted(truth if as_published else {*truth, *found})
    matches = [_matched(truth.get(date, NOTHING), found.get(date, NOTHING)) for date in dates]
    known = sum(len(truth[date].names) for date in dates if date in truth)
    shown = sum(len(found[date].names) for date in dates if date in found)
    mismatches = _mismatches(matches)
    tracking = _f1(sum(map(len, matches)) - mismatches, known, shown)
    change = _change(dates, truth, found, matches)
    weighted = BETA**2 * change + tracking
    return Scot((1 + BETA**2) * change * tracking / weighted if weighted else 0.0, tracking, change, mismatches)


def _matched(truth: Seen, found: Seen) -> dict[Name, Name]:
    """Name of a true polygon to that of its match."""
    if not truth.names or not found.names:
        return {}
    here, there = shapely.STRtree(found.polygons).query(truth.polygons, predicate="intersects")
    common = shapely.area(shapely.intersection(truth.polygons[here], found.polygons[there]))
    iou = common / (shapely.area(truth.polygons[here]) + shapely.area(found.polygons[there]) - common)
    worth = np.zeros((len(truth.names), len(found.names)))
    worth[here, there] = np.where(iou > LEAST_IOU, PAIR + iou, 0)
    pairs = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    return {truth.names[one]: found.names[other] for one, other in pairs if worth[one, other]}


def _mismatches(matches: list[dict[Name, Name]]) -> int:
    """Matches of which either name was matched to another before, the last time."""
    partner: dict[Name, Name] = {}
    owner: dict[Name, Name] = {}
    count = 0
    for pairs in matches:
        count += sum(partner.get(one, other) != other or owner.get(other, one) != one for one, other in pairs.items())
        partner |= pairs
        owner |= {other: one for one, other in pairs.items()}
    return count


def _change(dates: list[Any], truth: Series, found: Series, matches: list[dict[Name, Name]]) -> float:
    """F1 of first appearances: a match whose names are both new is a hit, other new names are false alarms or misses."""
    old_true: set[Name] = set()
    old_found: set[Name] = set()
    hits, known, shown = 0, 0, 0
    first_true, first_found = (next((date for date in dates if date in series), None) for series in (truth, found))
    for date, pairs in zip(dates, matches, strict=True):
        names, others = set(truth.get(date, NOTHING).names), set(found.get(date, NOTHING).names)
        new, appear = names - old_true if date != first_true else set(), others - old_found if date != first_found else set()
        hits += sum(one in new and other in appear for one, other in pairs.items())
        known, shown = known + len(new), shown + len(appear)
        old_true, old_found = old_true | names, old_found | others
    return _f1(hits, known, shown)


def _f1(hits: int, known: int, shown: int) -> float:
    return 2 * hits / (known + shown) if known + shown else 0.0
