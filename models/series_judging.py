"""Judging what is said of change on held-out series: the network of series beside other ways to tell change, on the same ground."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.rasters import ONE
from conf.windows import CHANGES
from models.change_metrics import Mask, change_block_counts, change_figures, mean_figures, shown_changes
from models.judging import BLOCK_PX, with_bounds
from models.metrics import bootstrap_difference, bootstrap_f1, scores
from models.predictor import Predictor
from models.series import ImageSeries
from models.series_states import USUAL, series_of_maps
from models.series_teaching import maps_of
from models.series_training import Said, built_states

STATES = ("segmentation", "segmentation_first_last", "date_error_days", "flicker")
"""Figures of ChangeFigures that only answers with states have."""


class Answer(NamedTuple):
    """What one way tells of a series: changes (T - 1, height, width), each from the date before that shows a pixel, the change from the
    first to the last date that do (1, height, width), and states (T, height, width), if it has any."""

    changes: Mask
    first_last: Mask
    states: Mask | None = None


def of_states(states: Mask, seen: Mask) -> Answer:
    """Post-classification: what its states differ in."""
    return Answer(shown_changes(states, seen)[0], shown_changes(*first_and_last(states, seen))[0], states)


def first_and_last(states: Mask, seen: Mask) -> tuple[Mask, Mask]:
    """Of states (T, ...) those at the first and at the last date that show a pixel (2, ...), and where these are two dates."""
    first, last = seen.argmax(0), len(seen) - 1 - seen[::-1].argmax(0)
    ends = np.stack([np.take_along_axis(states, date[None], 0)[0] for date in (first, last)])
    return ends, np.stack([seen.any(0) & (first < last)] * 2)


def of_pairs(said: Said, seen: Mask, threshold: float) -> Answer:
    """Bi-temporal: what is said of a pair of dates alone. `said` needs all edges."""
    number = {edge: changed >= threshold * ONE for edge, changed in zip(said.edges, said.changes, strict=True)}
    changes, before = np.zeros((len(seen) - 1, *seen.shape[1:]), bool), np.where(seen[0], 0, -1)
    first, ends = np.full(seen.shape[1:], -1), np.zeros((1, *seen.shape[1:]), bool)
    first[seen[0]] = 0
    for date in range(1, len(seen)):
        for earlier in range(date):
            changed = number[earlier, date]
            changes[date - 1] |= changed & seen[date] & (before == earlier)
            ends[0] = np.where(seen[date] & (first == earlier), changed, ends[0])
        before, first = np.where(seen[date], date, before), np.where(seen[date] & (first < 0), date, first)
    return Answer(changes, ends)


def thinned(series: ImageSeries, dates: int) -> ImageSeries:
    """The series at so many of its dates, evenly spread from the first to the last."""
    return series.at(np.linspace(0, len(series.days) - 1, dates).round().astype(int))


def with_missing(series: ImageSeries, share: float, seed: int) -> ImageSeries:
    """The series without this share of squares of BLOCK_PX, drawn for each date anew: they show nothing."""
    random, (height, width) = np.random.default_rng([seed, *series.days.tolist()]), series.labels.shape[1:]
    gone = random.random((len(series.days), -(-height // BLOCK_PX), -(-width // BLOCK_PX))) < share
    hidden = gone.repeat(BLOCK_PX, 1).repeat(BLOCK_PX, 2)[:, None, :height, :width]
    return series._replace(values=np.where(hidden, np.float16(np.nan), series.values))


def without(series: ImageSeries, channels: slice) -> ImageSeries:
    """The series as if these channels, of a sensor, had no data."""
    values = series.values.copy()
    values[:, channels] = np.nan
    return series._replace(values=values)


def map_answers(predictor: Predictor, series: ImageSeries) -> dict[str, Answer]:
    """Of a network of single images: its maps, each at its threshold, and the series that its maps make."""
    seen, threshold = series.known, predictor.spec.threshold
    shown = series.shown
    maps = maps_of(predictor, series)
    integrated = series_of_maps(maps, [round(threshold * ONE)] * len(maps), series.dates, USUAL).values
    return {
        "maps": of_states((maps >= threshold * ONE) & shown, seen),
        "maps_series": of_states((integrated >= ONE // 2) & shown, seen),
    }


def network_answers(said: Said, series: ImageSeries, threshold: float, weight: float) -> dict[str, Answer]:
    """Of a network of series: the integrated series, and its states alone."""
    seen = series.known
    alone = states_alone(said, threshold)
    return {"network": of_states(built_states(said, series, threshold, weight), seen), "network_states": of_states(alone, seen)}


def states_alone(said: Said, threshold: float) -> Mask:
    """What is said of each date by itself, not integrated."""
    return np.asarray((said.states >= threshold * ONE) & (said.states <= ONE))


def index_states(series: ImageSeries, green: tuple[int, int, int]) -> Mask:
    """Per-date threshold: Otsu's, of NDBI less NDVI; `green`: numbers of the bands red, near and short-wave infrared."""
    from skimage.filters import threshold_otsu

    red, near, short = (series.values[:, band].astype(np.float32) for band in green)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = (short - near) / (short + near) - (near - red) / (near + red)
    known = np.isfinite(index)
    cuts = [threshold_otsu(one[shown]) if shown.any() else 0.0 for one, shown in zip(index, known, strict=True)]  # type: ignore[no-untyped-call]
    return np.asarray(known & (np.nan_to_num(index) > np.reshape(cuts, (-1, 1, 1))))


Judged = Sequence[Mapping[str, Answer]]
"""Of each series, answers by name."""


def answer_figures(answers: Judged, series: Sequence[ImageSeries], seed: int) -> dict[str, float]:
    """Of each way `change_f1_<name>` with bounds, `change_first_last_f1_<name>`, and means of STATES where it has any."""
    figures: dict[str, float] = {}
    for name in answers[0]:
        own = [each[name] for each in answers]
        figures |= with_bounds(f"change_f1_{name}", bootstrap_f1(_counts(own, series), seed))
        figures[f"change_first_last_f1_{name}"] = _f1(_first_last_counts(own, series))
        if own[0].states is not None and series[0].tells != CHANGES:
            figures |= {f"{figure}_{name}": value for figure, value in _state_figures(own, series).items()}
    return figures


def better_by(answers: Judged, series: Sequence[ImageSeries], ours: str, others: Sequence[str], seed: int) -> dict[str, float]:
    """By how much F1 of continuous change of one way is above the best of others, `better_by`, with bounds from drawing ground."""
    counts = {name: _counts([each[name] for each in answers], series) for name in (ours, *others)}
    best = max(others, key=lambda name: _f1(counts[name]))
    return with_bounds(f"better_than_{best}_by", bootstrap_difference(counts[best], counts[ours], seed))


def _f1(counts: NDArray[np.int64]) -> float:
    return scores(*counts.sum(0).tolist()).f1


def _counts(own: Sequence[Answer], series: Sequence[ImageSeries]) -> NDArray[np.int64]:
    parts = [
        change_block_counts(one.changes, *shown_changes(each.built, each.known), BLOCK_PX) for one, each in zip(own, series, strict=True)
    ]
    return np.concatenate(parts)


def _first_last_counts(own: Sequence[Answer], series: Sequence[ImageSeries]) -> NDArray[np.int64]:
    ends = [shown_changes(*first_and_last(each.built, each.known)) for each in series]
    return np.concatenate([change_block_counts(one.first_last, *end, BLOCK_PX) for one, end in zip(own, ends, strict=True)])


def _state_figures(own: Sequence[Answer], series: Sequence[ImageSeries]) -> dict[str, float]:
    each = [
        change_figures(one.states, item.built, item.known, item.days.tolist())
        for one, item in zip(own, series, strict=True)
        if one.states is not None
    ]
    return {name: value for name, value in mean_figures(each).items() if name in STATES}
