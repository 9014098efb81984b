"""How an epoch's dates become one image, pixel by pixel: kernels, and the words by which places name them."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from conf.errors import InputError
from udfs.scenes import Scene
from udfs.speckle import REACH_PX, Despeckled, inner, to_decibels, to_power

Values = NDArray[np.float32]
Stack = list[Values]
"""Dates in order, each (bands, height, width), NaN in all bands where the date is not valid."""
Shape = tuple[int, ...]
CompositeName = Literal["median", "mean", "clear_mean", "latest", "best_date", "temporal_mean", "despeckled"]
"""Those of one image."""
MapCompositeName = Literal["median", "mean", "clear_mean", "latest", "best_date", "temporal_mean", "despeckled", "dates"]
"""Also several dates one upon the other, for networks that see them so."""
READING_BYTES = 400
"""Per pixel, while a scene is read onto another CRS, bands of three sizes; and up to 8 more per band (measured: 355 with 12)."""
SORTED_FROM = 24
"""From this many dates on a sort is faster than the exchange of neighbours."""
CHUNK_VALUES = 2**19
"""Values of all dates that are ordered at once: what fits in a core's cache."""
CLEAR_PX = 8
"""Pixels this far from cloud, shadow, nodata and the image's edge have their full weight."""
CLOUDIEST = 0.05
"""Weight of a scene that its metadata call all cloud: where it alone is valid it still counts."""


def median(dates: Stack) -> Values:
    """Median of the valid dates, of an even number the mean of the middle two; NaN where there is none."""
    if len(dates) == 1:
        return dates[0]
    ordered_median = _median_of_few if len(dates) < SORTED_FROM else _median_of_many
    bands, height, width = dates[0].shape
    result = np.empty(dates[0].shape, np.float32)
    rows = max(1, CHUNK_VALUES // (len(dates) * bands * width))
    for top in range(0, height, rows):
        chunk = slice(top, top + rows)
        result[:, chunk] = ordered_median([values[:, chunk] for values in dates])
    return result


def _median_of_few(dates: Stack) -> Values:
    count = np.asarray(np.sum([~np.isnan(values[0]) for values in dates], axis=0, dtype=np.int32))
    ordered = _sorted([np.where(np.isnan(values), np.float32(np.inf), values) for values in dates])
    result = np.full(dates[0].shape, np.nan, np.float32)
    for valid in np.unique(count[count > 0]):
        middle = (ordered[(valid - 1) // 2] + ordered[valid // 2]) * np.float32(0.5)
        np.copyto(result, middle, where=count == valid)
    return result


def _sorted(planes: Stack) -> Stack:
    """Planes in order at every pixel, by exchanging neighbours: for the few dates of an epoch faster than a sort along them."""
    for start in range(len(planes)):
        for lower in range(start % 2, len(planes) - 1, 2):
            below, above = planes[lower], planes[lower + 1]
            planes[lower], planes[lower + 1] = np.minimum(below, above), np.maximum(below, above)
    return planes


def _median_of_many(dates: Stack) -> Values:
    ordered = np.stack(dates, axis=-1)
    ordered.sort(axis=-1)  # NaN last
    count = np.count_nonzero(~np.isnan(ordered), axis=-1)[..., None]
    below, above = (np.take_along_axis(ordered, place, -1)[..., 0] for place in (np.maximum(count - 1, 0) // 2, count // 2 % len(dates)))
    return np.asarray(np.where(count[..., 0] > 0, (below + above) * np.float32(0.5), np.float32(np.nan)))


class Running(Protocol):
    """A composite in the making: dates are added one after the other, each with its margin around the result's pixels."""

    def add(self, values: Values, scene: Scene) -> None: ...
    def result(self) -> Values: ...


class _Median:
    def __init__(self, shape: Shape, looks: float) -> None:
        self._dates: Stack = []

    def add(self, values: Values, scene: Scene) -> None:
        self._dates.append(values)

    def result(self) -> Values:
        return median(self._dates)


class _Mean:
    """Mean by `weigh`, in float64, in the order in which dates are added; of `power`, dB in and out, where that is set."""

    def __init__(self, shape: Shape, looks: float, weigh: Callable[[Values, Scene], NDArray[np.float64]], power: bool = False) -> None:
        self._total, self._weight, self._weigh, self._power = np.zeros(shape), np.zeros(shape[1:]), weigh, power

    def add(self, values: Values, scene: Scene) -> None:
        weights = self._weigh(values, scene)
        for total, band in zip(self._total, inner(values, (values.shape[1] - len(weights)) // 2), strict=True):
            total += np.where(weights > 0, to_power(band) if self._power else band, 0) * weights
        self._weight += weights

    def result(self) -> Values:
        mean = np.divide(self._total, self._weight, out=np.full(self._total.shape, np.nan), where=self._weight > 0)
        return to_decibels(mean) if self._power else mean.astype(np.float32)


class _First:
    """The first valid of the dates added."""

    def __init__(self, shape: Shape, looks: float) -> None:
        self._values = np.full(shape, np.nan, np.float32)

    def add(self, values: Values, scene: Scene) -> None:
        np.copyto(self._values, values, where=np.isnan(self._values))

    def result(self) -> Values:
        return self._values


class _Dates:
    """At each pixel the first valid of the dates added, one upon the other, as many as the result has room for."""

    def __init__(self, shape: Shape, looks: float) -> None:
        self._values, self._count = np.full(shape, np.nan, np.float32), np.zeros(shape[1:], np.uint8)

    def add(self, values: Values, scene: Scene) -> None:
        bands = len(values)
        valid = ~np.isnan(values[0])
        for number in range(len(self._values) // bands):
            np.copyto(self._values[number * bands :][:bands], values, where=valid & (self._count == number))
        self._count += valid

    def result(self) -> Values:
        return self._values


def _one_each(values: Values, scene: Scene) -> NDArray[np.float64]:
    return np.asarray(~np.isnan(values[0]), np.float64)


def clear_weights(values: Values, scene: Scene) -> NDArray[np.float64]:
    """Weight of a date, 0-1, (height, width) less CLEAR_PX on every side: 0 where not valid, never 0 elsewhere.

    min(1, distance to the nearest pixel that is not valid / CLEAR_PX), the distance Euclidean in pixels, times the scene's clear share.
    Distance to cloud as a weight: Griffiths et al. 2013, IEEE JSTARS 6(5), 2088-2101; no further than CLEAR_PX, so that no cut shows.
    """
    valid = ~np.isnan(values[0])
    scene_weight = max(CLOUDIEST, 1 - (scene.cloud or 0.0))
    if valid.all():  # no distance is defined then
        return np.full(inner(valid, CLEAR_PX).shape, scene_weight)
    distance: NDArray[np.float64] = inner(distance_transform_edt(valid), CLEAR_PX)
    return np.asarray(np.minimum(distance / CLEAR_PX, 1) * scene_weight)


def by_date(scenes: tuple[Scene, ...], reference: dt.date | None) -> list[Scene]:
    return sorted(scenes, key=lambda scene: (scene.datetime, scene.scene_id))


def nearest_first(scenes: tuple[Scene, ...], reference: dt.date | None) -> list[Scene]:
    """By days from the reference date, UTC, then the earlier first. Raises InputError without one."""
    if reference is None:
        raise InputError("composite best_date needs the epoch's reference date; give it as `reference`")
    day = reference.toordinal()
    return sorted(by_date(scenes, reference), key=lambda scene: abs(scene.datetime.astimezone(dt.UTC).toordinal() - day))


@dataclass(frozen=True)
class Composite:
    """How dates become one image. `kind` stack: all dates of a piece are held; streaming: sums, date by date."""

    kind: Literal["stack", "streaming"]
    start: Callable[[Shape, float], Running]
    """From the result's (bands, height, width) and the number of looks."""
    value_bytes: int
    """Held per pixel and band: of each date where `kind` is stack, else in all."""
    margin: int = 0
    """Pixels around that a pixel of the result depends on."""
    order: Callable[[tuple[Scene, ...], dt.date | None], list[Scene]] = by_date
    decibels: bool = False
    """Only for values in dB."""

    def held(self, scenes: int, bands: int) -> int:
        """Bytes per pixel while a piece is made."""
        return READING_BYTES + bands * (8 + self.value_bytes * (scenes + 2 if self.kind == "stack" else 1))


COMPOSITES: dict[str, Composite] = {
    "median": Composite("stack", _Median, 4),
    "mean": Composite("streaming", partial(_Mean, weigh=_one_each), 32),
    "clear_mean": Composite("streaming", partial(_Mean, weigh=clear_weights), 32, margin=CLEAR_PX),
    "latest": Composite("streaming", _First, 16, order=lambda scenes, reference: by_date(scenes, reference)[::-1]),
    "best_date": Composite("streaming", _First, 16, order=nearest_first),
    "dates": Composite("streaming", _Dates, 16, order=nearest_first),
    "temporal_mean": Composite("streaming", partial(_Mean, weigh=_one_each, power=True), 32, decibels=True),
    "despeckled": Composite("streaming", Despeckled, 64, margin=REACH_PX, decibels=True),
}

MARGIN_PX = max(composite.margin for composite in COMPOSITES.values())
