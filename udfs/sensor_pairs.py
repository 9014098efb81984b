"""Which instruments see the same ground soon after each other, and what that is good for. Arithmetic on conf/instruments.py only."""

import datetime as dt
from itertools import product
from typing import NamedTuple

from conf.instruments import Instrument, Programme
from conf.sensors import SENSORS, Band

BUILDINGS_GSD = 2.0
"""Metres: from here on single buildings are outlined."""


class Pair(NamedTuple):
    """`gap_days`: see `gap_days`. `gsd_ratio`: the coarser finest pixel over the finer one. `until` None: both fly."""

    first: Instrument
    second: Instrument
    gap_days: float
    common: tuple[str, ...]
    gsd_ratio: float
    since: dt.date
    until: dt.date | None
    use: str


def pairs_within(days: float, first: Programme = "ESA", second: Programme = "China") -> list[Pair]:
    """Pairs of an instrument of each programme that flew at the same time and whose gap is at most `days`; by gap, then name."""
    chosen = product(_instruments(first), _instruments(second))
    found = [_pair(one, other) for one, other in chosen if gap_days(one, other) <= days and together(one, other) is not None]
    return sorted(found, key=lambda pair: (pair.gap_days, pair.first.name, pair.second.name))


def gap_days(one: Instrument, other: Instrument) -> float:
    """min(revisit) / 2: the most days between an image of the rarer instrument and the nearest, before or after, of the other.

    For equal steps of time, whatever their phase; an image that is not taken, or is cloudy, adds a revisit.
    """
    return min(one.revisit_days, other.revisit_days) / 2


def wait_days(other: Instrument) -> float:
    """The most days from any moment, so from any image of another instrument, to this one's next: its revisit."""
    return other.revisit_days


def together(one: Instrument, other: Instrument) -> tuple[dt.date, dt.date | None] | None:
    """First and last day on which a satellite of each flew; the last None: both still do; None: there is no such day."""
    spans = [(max(a.start, b.start), min(a.end or dt.date.max, b.end or dt.date.max)) for a, b in product(one.flights, other.flights)]
    shared = [span for span in spans if span[0] <= span[1]]
    if not shared:
        return None
    last = max(end for _, end in shared)
    return min(start for start, _ in shared), None if last == dt.date.max else last


def bands_of(instrument: Instrument) -> tuple[Band, ...]:
    """Every band that a sensor of this instrument has, by its common name once."""
    bands = [band for sensor in SENSORS.values() if sensor.instrument == instrument for band in sensor.bands]
    return tuple({band.common: band for band in reversed(bands)}.values())[::-1]


def finest_gsd(instrument: Instrument) -> float:
    """Metres."""
    return min(band.gsd for band in bands_of(instrument))


def _instruments(programme: Programme) -> list[Instrument]:
    known = {sensor.instrument.name: sensor.instrument for sensor in SENSORS.values() if sensor.instrument is not None}
    return [known[name] for name in sorted(known) if known[name].programme == programme]


def _pair(one: Instrument, other: Instrument) -> Pair:
    since, until = together(one, other) or (dt.date.max, None)
    names = {band.common for band in bands_of(other)}
    common = tuple(band.common for band in bands_of(one) if band.common in names)
    sizes = sorted((finest_gsd(one), finest_gsd(other)))
    return Pair(one, other, gap_days(one, other), common, sizes[1] / sizes[0], since, until, _use(one, other, sizes[0]))


def _use(one: Instrument, other: Instrument, finest: float) -> str:
    kinds = {one.kind, other.kind}
    detail = "buildings of the finer image inside built-up of the coarser" if finest <= BUILDINGS_GSD else "built-up"
    if "thermal" in kinds:
        return "surface temperature over built-up: heat of quarters"
    if "night light" in kinds:
        return "lights at night over built-up: which of it is lived in or used"
    if kinds == {"radar", "optical"}:
        return f"{detail}; radar through cloud, colour against radar's false alarms"
    if kinds == {"radar"}:
        return f"{detail}; a denser series of backscatter, each compared only with its own kind"
    return f"{detail}; a denser series of the shared colours, where one was cloudy"
