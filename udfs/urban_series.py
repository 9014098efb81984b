"""A tile's series: what its maps show date by date, made one answer that never contradicts itself."""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conf.errors import PASSING
from udfs.change_integration import NEVER, STEP, Rule, States, Terms, edges_of, integrated, margins, terms
from udfs.rasters import NO_DATA, ONE, decode_raster, encode_raster

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


class Series(NamedTuple):
    """`values` (T, height, width): 0-250, built from BUILT_FROM on, 255 not known; `first_built` and `last_built` (height, width):
    numbers from 1 of the dates at which a pixel is first and last built, 0 never, 255 no date shows it."""

    values: Raster
    first_built: Raster
    last_built: Raster


def series_of_maps(probability: Raster, thresholds: Sequence[int], dates: Sequence[dt.date], held: Steadiness) -> Series:
    """The series of maps (T, height, width) of uint8 0-250, 255 no data, each with its threshold and date, earliest first.

    A single date shows what is at its threshold or above, as its map does. What a date does not show stays unknown there: to tell it only
    where the dates around it agree would hide change."""
    flat = probability.reshape(len(probability), -1)
    at_once = max(1024, BYTES_AT_ONCE // (len(flat) * 16 * (2 + held.rule.least_dates)))
    parts = [_values(flat[:, part : part + at_once], thresholds, dates, held) for part in range(0, flat.shape[1], at_once)]
    values = np.concatenate(parts, 1).reshape(probability.shape)
    return Series(values, *_built_dates(values))


def _values(probability: Raster, thresholds: Sequence[int], dates: Sequence[dt.date], held: Steadiness) -> Raster:
    seen = probability != NO_DATA
    # Of each pixel the dates that show it, earliest first, then the others, which only repeat the last of them.
    order = np.argsort(~seen, axis=0, kind="stable")
    unary = np.stack([_odds(threshold)[one] for one, threshold in zip(probability, thresholds, strict=True)])
    unary = np.take_along_axis(unary, order, 0)
    change = _change_terms(order, np.take_along_axis(seen, order, 0), dates, held)
    edges = edges_of("adjacent", len(dates))
    states, margin = integrated(unary, change, edges, held.rule), margins(unary, change, edges, held.rule)
    told = np.empty_like(probability)
    np.put_along_axis(told, order, _encoded(states, margin), 0)
    return np.where(seen, told, NO_DATA).astype(np.uint8)


def _odds(threshold: int) -> Terms:
    """Terms of the values 0-255 of a map: 0 lies between the threshold and the value below; no data says nothing."""
    value = np.arange(NO_DATA + 1, dtype=np.float64)
    found = terms((value + 0.5) / (ONE + 1)) - terms(threshold / (ONE + 1))
    return np.where(value == NO_DATA, 0, found).astype(np.int32)


def _change_terms(order: NDArray[np.intp], seen: States, dates: Sequence[dt.date], held: Steadiness) -> Terms:
    """Of each pixel, terms of a change from each of its dates to the next: of a process that turns either way so often."""
    days = np.array([date.toordinal() for date in dates])
    elapsed = np.diff(days[order], axis=0) / YEAR_DAYS
    turned = terms(-np.expm1(-2 * held.change_per_year * elapsed) / 2)
    return np.where(seen[1:], np.rint(held.weight * turned), NEVER).astype(np.int32)


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


COPIED = (
    "layer", "tile_id", "grid", "crs", "tile_px", "row", "col", "transform", "strip", "geometry", "xmin", "ymin", "xmax", "ymax",
    "settings_digest",
)  # fmt: skip


def series_batches(frames: Iterable[pd.DataFrame], dates: dict[str, dt.date], held: Steadiness) -> Iterator[pd.DataFrame]:
    """Shell: tiles with `maps`, their rows of `built_up`, to rows of `urban_series`. `dates` by epoch, in the order of the series.

    Memory: of one tile the decoded maps and series, 2 x epochs x tile_px^2 bytes, and some BYTES_AT_ONCE."""
    for frame in frames:
        for row in frame.itertuples():
            yield pd.DataFrame([_series_row(row, dates, held)])


def _series_row(row: Any, dates: dict[str, dt.date], held: Steadiness) -> dict[str, Any]:
    started = time.monotonic()
    maps = sorted((one for one in row.maps if one["epoch"] in dates), key=lambda one: list(dates).index(one["epoch"]))
    failed = [one for one in maps if one["status"] == "quarantined"]
    return {
        **{name: getattr(row, name) for name in COPIED},
        "epochs": [one["epoch"] for one in maps],
        "dates": [dates[one["epoch"]] for one in maps],
        "threshold": BUILT_FROM,
        "scenes_used": sorted({scene for one in maps for scene in one["scenes_used"]}),
        "epochs_failed": [one["epoch"] for one in failed],
        "model_sha256": sorted({one["model_sha256"] for one in maps}),
        "attempts": 1,
        **_outcome(maps, failed, int(row.tile_px), [dates[one["epoch"]] for one in maps], held),
        "seconds": time.monotonic() - started,
    }


def _outcome(maps: list[Any], failed: list[Any], side: int, dates: list[dt.date], held: Steadiness) -> dict[str, Any]:
    """Status and what goes with it. A map that waits for another run lets its series wait: a fault that passes never changes pixels."""
    waiting = [one for one in failed if one["error_class"] in PASSING]
    if waiting or not any(one["status"] == "done" for one in maps):
        error = (waiting or failed or [None])[0]
        nothing = {"valid_share": 0.0, "series": None, "first_built": None, "last_built": None}
        return {**nothing, "status": "quarantined" if error else "nodata", **_error(error)}
    blank = np.full((side, side), NO_DATA, np.uint8)
    rasters = [decode_raster(one["probability"], (side, side)) if one["status"] == "done" else blank for one in maps]
    found = series_of_maps(np.stack(rasters), [one["threshold"] for one in maps], dates, held)
    return {
        "status": "done",
        "valid_share": float((found.first_built != NO_DATA).mean()),
        "series": [None if (values == NO_DATA).all() else encode_raster(values) for values in found.values],
        "first_built": encode_raster(found.first_built),
        "last_built": encode_raster(found.last_built),
        **_error(None),
    }


def _error(one: Any) -> dict[str, Any]:
    if one is None:
        return {"error_class": None, "message": None}
    return {"error_class": one["error_class"], "message": f"epoch {one['epoch']}: {one['message']}"}
