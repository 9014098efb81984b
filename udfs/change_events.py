"""Where a tile's series turns: which pixels, from which date to which, and whether they appeared, vanished or were rebuilt."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.series_states import BUILT_FROM
from udfs.rasters import NO_DATA, ONE, decode_raster, encode_raster

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]

APPEARED, VANISHED, REBUILT = "appeared", "vanished", "rebuilt"
SEPARATOR = "|"
"""Between kind and epochs in the name under which pieces of an event are known; no epoch's name has it."""
TURNS_DDL = (
    "layer string, epoch string, grid string, crs string, tile_px int, row int, col int, transform array<double>, probability binary, "
    "depth binary, threshold int, first_date timestamp, last_date timestamp, model_sha256 string"
)
_CARRIED = ("layer", "grid", "crs", "tile_px", "row", "col", "transform")


class Turn(NamedTuple):
    """Pixels that turn from date `before` to `after`, numbers from 0. `sure` (height, width): of these the less sure state's probability,
    125-250, of others 0, and 255 where either date is not known."""

    kind: str
    before: int
    after: int
    sure: Raster


def turns_of(values: Raster) -> Iterator[Turn]:
    """Every change of state in a series (T, height, width) as `Series` has it, from the last date that shows the one to the first that
    shows the other."""
    last, at = values[0].copy(), np.zeros(values.shape[1:], np.int16)
    ever = _built(last)
    for after in range(1, len(values)):
        now = values[after]
        turned = (now != NO_DATA) & (last != NO_DATA) & (_built(now) != _built(last))
        for before in np.unique(at[turned]).tolist():
            here = turned & (at == before)
            unknown = (now == NO_DATA) | (values[before] == NO_DATA)
            sure = np.where(unknown, NO_DATA, np.minimum(_sure(last), _sure(now))).astype(np.uint8)
            for kind, pixels in _kinds(here, _built(now), ever):
                if pixels.any():
                    yield Turn(kind, before, after, np.where(pixels | unknown, sure, 0).astype(np.uint8))
        shown = now != NO_DATA
        last, at = np.where(shown, now, last), np.where(shown, np.int16(after), at)
        ever |= _built(now)


def _kinds(turned: Mask, built: Mask, ever: Mask) -> tuple[tuple[str, Mask], ...]:
    return (APPEARED, turned & built & ~ever), (VANISHED, turned & ~built), (REBUILT, turned & built & ever)


def _built(values: Raster) -> Mask:
    return np.asarray((values >= BUILT_FROM) & (values != NO_DATA))


def _sure(values: Raster) -> Raster:
    return np.where(_built(values), values, ONE - values.astype(np.int16)).clip(BUILT_FROM, ONE).astype(np.uint8)


def turn_frames(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Shell: done rows of `urban_series` to rows of TURNS_DDL, one a turn: what is traced like a map, with its name for an epoch."""
    for frame in frames:
        for row in frame.itertuples():
            yield from _turn_frames(row)


def _turn_frames(row: Any) -> Iterator[pd.DataFrame]:
    for turn in turns_of(series_values(row.series, int(row.tile_px))):
        yield pd.DataFrame([_turn_row(row, turn)])


def series_values(series: Sequence[bytes | None], tile_px: int) -> Raster:
    """(T, tile_px, tile_px) of column `series`."""
    shape = (tile_px, tile_px)
    return np.stack([np.full(shape, NO_DATA, np.uint8) if one is None else decode_raster(one, shape) for one in series])


def _turn_row(row: Any, turn: Turn) -> dict[str, Any]:
    """Dressed as a row of `built_up`, which is what tracing takes."""
    return {
        **{name: getattr(row, name) for name in _CARRIED},
        "epoch": SEPARATOR.join((turn.kind, row.epochs[turn.before], row.epochs[turn.after])),
        "probability": encode_raster(turn.sure),
        "depth": None,
        "threshold": 1,
        "first_date": pd.Timestamp(row.dates[turn.before]),
        "last_date": pd.Timestamp(row.dates[turn.after]),
        "model_sha256": "",
    }


CHANGES_DDL = (
    "epoch string, grid string, crs string, tile_px int, row int, col int, transform array<double>, strip string, status string, "
    "threshold int, probability binary"
)
NEW, LOST = "new", "lost"


def change_frames(frames: Iterable[pd.DataFrame], pairs: Sequence[tuple[str, str]]) -> Iterator[pd.DataFrame]:
    """Shell: rows of `urban_series` to two maps for each pair of epochs, of what is new and of what is lost at the second: 250 or 0, 255
    where either is not known. Their `epoch` is NEW or LOST and the pair, joined. A tile without series has maps without pixels."""
    for frame in frames:
        for row in frame.itertuples():
            if rows := [one for pair in pairs for one in _change_rows(row, pair)]:
                yield pd.DataFrame(rows)


def _change_rows(row: Any, pair: tuple[str, str]) -> list[dict[str, Any]]:
    names, side = list(row.epochs), int(row.tile_px)
    placed = {**{name: getattr(row, name) for name in (*_CARRIED[1:], "strip")}, "threshold": BUILT_FROM}
    if row.status != "done" or not set(pair) <= set(names):
        return [{**placed, "epoch": SEPARATOR.join((kind, *pair)), "status": "nodata", "probability": None} for kind in (NEW, LOST)]
    before, after = series_values([row.series[names.index(name)] for name in pair], side)
    unknown = (before == NO_DATA) | (after == NO_DATA)
    maps = {NEW: _built(after) & ~_built(before), LOST: _built(before) & ~_built(after)}
    pixels = {kind: np.where(unknown, NO_DATA, np.where(turned, ONE, 0)).astype(np.uint8) for kind, turned in maps.items()}
    return [
        {**placed, "epoch": SEPARATOR.join((kind, *pair)), "status": "done", "probability": encode_raster(values)}
        for kind, values in pixels.items()
    ]
