"""From series to a bundle: train, calibrate states and changes, choose the threshold and the changes' weight, judge."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conf.rasters import ONE
from conf.windows import CHANGES, CHOOSE
from models.bundle import ModelSpec, Tensors
from models.calibration import calibrated, fitted_calibration, reliability
from models.change_metrics import ChangeFigures, change_figures, mean_figures
from models.course import Course, Machine, Report, run_course
from models.fitting import Fitted, judged, normaliser
from models.judging import Judged, worst_squares
from models.metrics import scores
from models.predictor import Predictor
from models.series import ImageSeries
from models.series_crops import SeriesDraw
from models.series_network import build_series_network
from models.series_predictor import series_halo_figures, series_predictor_of
from models.series_teaching import SeriesTeaching, taught_series
from models.series_training import Said, SeriesLesson, built_states, predicted_series, series_counts
from models.thresholds import THRESHOLDS
from models.windows import Window

WEIGHTS = (0.25, 0.5, 0.75, 1.0)
"""Of what the network says of changes, beside what it says of states."""


def fit_series(
    spec: ModelSpec,
    series: list[ImageSeries],
    course: Course,
    draw: SeriesDraw,
    rule: str,
    report: Report,
    start: Predictor | None = None,
    machine: Machine | None = None,
    teaching: SeriesTeaching | None = None,
) -> Fitted:
    """Train the spec's architecture on series, from the weights of a network of single images where one is given, which then teaches what
    series without labels show, unless two sensors are to agree on these; calibrate it, choose threshold (`rule`, a key of THRESHOLDS) and
    weight on those of split `choose`."""
    network = build_series_network(spec.architecture, course.seed, weights_of(start))
    taught = series if course.consistency else taught_series(series, start, teaching or SeriesTeaching())
    trained = run_course(network, SeriesLesson(taught, normaliser(spec), course, draw), course, report, None, machine)
    choosing = [each for each in series if each.split == CHOOSE]
    made = finished_series(spec, trained.network, choosing, rule)
    figures = made.figures | {"cpu_minutes": trained.cpu_seconds / 60, "steps": float(trained.steps)}
    figures |= series_halo_figures(series_predictor_of(made.spec, made.tensors), [each.values[[0, -1]] for each in choosing])
    return made._replace(figures=figures, looks=trained.looks)


def weights_of(start: Predictor | None) -> Tensors | None:
    """Of the network of single images that one of series begins with."""
    network: Any = start and start.network
    return {name: value.numpy() for name, value in network.state_dict().items()} if network else None


def finished_series(spec: ModelSpec, network: Any, choosing: list[ImageSeries], rule: str) -> Fitted:
    """A network with what is chosen on series to choose on, and how good that is there."""
    raw = [predicted_series(network, each, normaliser(spec)) for each in choosing]
    calibration = fitted_calibration(*_joined([_known_states(*pair) for pair in zip(raw, choosing, strict=True)]))
    changed = _joined([_known_changes(*pair) for pair in zip(raw, choosing, strict=True)])
    of_changes = fitted_calibration(*changed)
    said = [calibrated_series(each, calibration, of_changes) for each in raw]
    probabilities, labels = _joined([_known_states(*pair) for pair in zip(said, choosing, strict=True)])
    threshold = round(THRESHOLDS[rule](probabilities, labels), 2) if len(labels) else 0.5
    weights = {weight: change_f1(said, choosing, threshold, weight) for weight in WEIGHTS}
    weight = max(weights, key=lambda each: weights[each])
    chosen = replace(
        spec, threshold=threshold, calibration=calibration, change={**of_changes, "weight": weight, "states": float(len(labels) > 0)}
    )
    figures: dict[str, float] = {}
    if len(labels):
        figures |= judged(probabilities, labels, threshold) | {"calibration_error": reliability(probabilities, labels).error}
    figures |= {"calibration_error_change": reliability(calibrated(changed[0], of_changes), changed[1]).error}
    figures |= series_figures(said, choosing, threshold, weight)
    tensors = {name: value.detach().contiguous().float().numpy() for name, value in network.state_dict().items()}
    return Fitted(chosen, tensors, figures, _worst(said, choosing, threshold), [])


def calibrated_series(said: Said, states: dict[str, float], changes: dict[str, float]) -> Said:
    """Probabilities as slope and shift of each mend them, where a date shows something."""
    tables = [np.rint(ONE * calibrated(np.arange(ONE + 1) / ONE, each)).astype(np.uint8) for each in (states, changes)]
    of_states = np.append(tables[0], np.arange(ONE + 1, 256, dtype=np.uint8))
    return said._replace(states=of_states[said.states], changes=tables[1][said.changes])


def change_f1(said: list[Said], series: list[ImageSeries], threshold: float, weight: float) -> float:
    """Of change between neighbouring dates, of the integrated series."""
    counts = [series_counts(one, each, threshold, weight) for one, each in zip(said, series, strict=True)]
    return scores(*np.concatenate(counts).sum(0).tolist()).f1


def series_figures(said: list[Said], series: list[ImageSeries], threshold: float, weight: float) -> dict[str, float]:
    """Of the integrated series, `change_f1` over all ground together, the other figures of ChangeFigures as means over series."""
    each = [
        change_figures(built_states(one, item, threshold, weight), item.built, item.known, item.days.tolist())
        for one, item in zip(said, series, strict=True)
    ]
    told = [name for name in ChangeFigures._fields if any(one.tells != CHANGES for one in series) or name.startswith("change")]
    means = {f"series_{name}": value for name, value in mean_figures(each).items() if name in told}
    return means | {"change_f1": change_f1(said, series, threshold, weight)}


Pixels = tuple[NDArray[np.float64], NDArray[np.bool_]]


def _known_states(said: Said, series: ImageSeries) -> Pixels:
    """None of a series whose labels only tell changes."""
    known = series.known & (series.tells != CHANGES)
    return said.states[known] / ONE, series.built[known]


def _known_changes(said: Said, series: ImageSeries) -> Pixels:
    first, second = ([edge[end] for edge in said.edges] for end in (0, 1))
    known, built = series.known, series.built
    both = known[first] & known[second]
    return said.changes[both] / ONE, (built[first] != built[second])[both]


def _joined(parts: list[Pixels]) -> Pixels:
    probabilities, labels = zip(*parts, strict=True)
    return np.concatenate(probabilities), np.concatenate(labels)


def _worst(said: list[Said], series: list[ImageSeries], threshold: float) -> Any:
    """Squares of the dates of every series."""
    windows, told = [], []
    for one, each in zip(said, series, strict=True):
        for date, day in enumerate(each.dates):
            windows.append(Window(f"{each.source} {day}", each.split, each.share, each.values[date], each.labels[date], each.weights[date]))
            known = each.known[date]
            told.append(Judged(np.where(known, one.states[date], 0).astype(np.uint8), each.built[date], known))
    return worst_squares(told, windows, threshold)
