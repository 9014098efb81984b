"""Image series with labels, out of windows that show the same ground at several dates."""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError
from conf.windows import FULL_LABEL
from models.windows import Window


class ImageSeries(NamedTuple):
    """Ground of any size at T dates, by date. `days` (T,): of the proleptic Gregorian calendar; `values` float16 (T, bands, height, width),
    NaN = no data; `labels` 0-250 and `weights` in tenths, uint8 (T, height, width)."""

    source: str
    split: str
    share: float
    days: NDArray[np.int64]
    values: NDArray[np.float16]
    labels: NDArray[np.uint8]
    weights: NDArray[np.uint8]
    tells: str = ""
    """CHANGES where labels only tell what differs between dates."""

    @property
    def dates(self) -> list[dt.date]:
        return [dt.date.fromordinal(int(day)) for day in self.days]

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Where each date has data (T, height, width)."""
        return np.asarray(np.isfinite(self.values).any(1))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where each date shows labelled ground (T, height, width)."""
        return self.shown & (self.weights > 0)

    @property
    def built(self) -> NDArray[np.bool_]:
        """What labels call built (T, height, width)."""
        return np.asarray(self.labels >= FULL_LABEL / 2)

    @property
    def backwards(self) -> "ImageSeries":
        """Its dates in the other order, as far apart as they are."""
        return self.at(slice(None, None, -1))._replace(days=self.days[0] + self.days[-1] - self.days[::-1])

    def at(self, chosen: NDArray[np.int64] | slice) -> "ImageSeries":
        """The series of some of its dates."""
        return self._replace(days=self.days[chosen], values=self.values[chosen], labels=self.labels[chosen], weights=self.weights[chosen])


def series_of(windows: Iterable[Window]) -> list[ImageSeries]:
    """One of each ground, in the order of their sources. Raises InputError where a window tells no date or no ground, or two of a ground
    have one date or unlike sizes."""
    grounds: dict[str, list[Window]] = {}
    for window in windows:
        if not window.ground or not window.date:
            raise InputError(f"window {window.source}: series are made of windows with ground and date; give its group `years`")
        grounds.setdefault(window.ground, []).append(window)
    stacked = {min(window.source for window in each): _stacked(ground, each) for ground, each in grounds.items()}
    return [stacked[source] for source in sorted(stacked)]


def _stacked(ground: str, unordered: list[Window]) -> ImageSeries:
    windows = sorted(unordered, key=lambda window: window.date)
    dates, shapes = {window.date for window in windows}, {window.values.shape for window in windows}
    if len(dates) < len(windows) or len(shapes) > 1:
        raise InputError(f"ground {ground}: {len(windows)} windows, {len(dates)} dates, sizes {sorted(shapes)}; give each its own date")
    days = np.array([dt.date.fromisoformat(window.date).toordinal() for window in windows])
    values, labels, weights = (np.stack([getattr(window, name) for window in windows]) for name in ("values", "labels", "weights"))
    return ImageSeries(ground, windows[0].split, windows[0].share, days, values, labels, weights, windows[0].tells)
