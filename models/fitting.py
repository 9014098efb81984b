"""From windows to a bundle: train, learn from unlabelled ground, choose the threshold, judge, write."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.windows import CHOOSE, FULL_LABEL, FULL_WEIGHT, TRAIN, UNLABELLED
from models.augmentation import Normaliser
from models.bundle import ModelSpec
from models.calibration import calibrated, fitted_calibration, reliability
from models.halo import halo_figures
from models.judging import judged_window
from models.library_networks import as_shipped
from models.metrics import scores, threshold_of_best_f1, threshold_of_equal_area
from models.networks import build_network, folded_tensors
from models.predictor import ONE, Predictor, predictor_of
from models.streaming import WindowStream
from models.training import Course, Report, predict_map, train
from models.windows import Window

THRESHOLDS: dict[str, Callable[[NDArray[np.float64], NDArray[np.bool_]], float]] = {
    "best_f1": threshold_of_best_f1,
    "equal_area": threshold_of_equal_area,
    "half": lambda probabilities, labels: 0.5,
}


@dataclass(frozen=True)
class Teaching:
    """Self-training: where the first network is sure of unlabelled ground, its answer becomes a label."""

    steps: int = 0
    """Of the second course; 0 = no second course."""
    built_from: float = 0.8
    """Probability from which unlabelled ground counts as built."""
    other_to: float = 0.2
    """Probability up to which it counts as not built."""
    share: float = 1.0
    """How often such windows are drawn, as a share of the first course's."""


class Fitted(NamedTuple):
    """A trained network as it is shipped, and its figures on the choosing windows."""

    spec: ModelSpec
    tensors: dict[str, NDArray[np.float32]]
    figures: dict[str, float]


def fit(
    spec: ModelSpec,
    windows: list[Window],
    course: Course,
    teaching: Teaching,
    rule: str,
    report: Report,
    stream: WindowStream | None = None,
) -> Fitted:
    """Train the spec's architecture on windows, and on those of a stream, and choose its threshold by `rule` (a key of THRESHOLDS) on
    those of split `choose`."""
    normalise = normaliser(spec)
    network = build_network(spec.architecture, course.seed)
    trained = train(network, _as_labelled(windows), normalise, course, report, stream)
    cpu_seconds = trained.cpu_seconds
    if teaching.steps:
        taught = [pseudo_labelled(trained.network, window, normalise, teaching) for window in windows]
        second = replace(course, steps=teaching.steps, seed=course.seed + 1, learning_rate=course.learning_rate / 2)
        trained = train(trained.network, taught, normalise, second, report, stream)
        cpu_seconds += trained.cpu_seconds
    choosing = [window for window in windows if window.split == CHOOSE]
    tensors = folded_tensors(trained.network)
    predictor = predictor_of(spec, tensors)
    raw, labels = _mapped(predictor, choosing)
    calibration = fitted_calibration(raw, labels)
    probabilities = calibrated(raw, calibration)
    threshold = round(THRESHOLDS[rule](probabilities, labels), 2)
    figures = judged(probabilities, labels, threshold) | {"cpu_minutes": cpu_seconds / 60, "steps": float(trained.steps)}
    figures |= {"calibration_error": reliability(probabilities, labels).error, "raw_calibration_error": reliability(raw, labels).error}
    figures |= halo_figures(predictor, [window.values for window in choosing])
    shipped = replace(spec, threshold=threshold, calibration=calibration, architecture=as_shipped(spec.architecture))
    return Fitted(shipped, tensors, figures)


def normaliser(spec: ModelSpec) -> Normaliser:
    """The spec's normalisation on tensors."""
    values: dict[str, Any] = spec.normalisation
    return Normaliser(list(values["offset"]), list(values["scale"]), float(values["clip"]))


def judged(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], threshold: float) -> dict[str, float]:
    """Scores of pixels (n,) at a threshold, the ratio of predicted to labelled area, and what calling everything built scores."""
    found = probabilities >= threshold
    counts = (float((found & labels).sum()), float((found & ~labels).sum()), float((~found & labels).sum()))
    everything = scores(float(labels.sum()), float((~labels).sum()), 0.0)
    area = float(found.sum() / max(labels.sum(), 1))
    return {**scores(*counts)._asdict(), "area_ratio": area, "everything_f1": everything.f1}


def pseudo_labelled(network: Any, window: Window, normalise: Normaliser, teaching: Teaching) -> Window:
    """An unlabelled window with the network's sure answers as labels where no rule gave one; others as they are."""
    if window.split != UNLABELLED:
        return window
    probability = 1 / (1 + np.exp(-predict_map(network, window.values, normalise)))
    built, other = probability >= teaching.built_from, probability <= teaching.other_to
    ruled = window.weights > 0
    present = np.isfinite(window.values[0])
    labels = np.where(ruled, window.labels, np.where(built, FULL_LABEL, 0)).astype(np.uint8)
    weights = np.where(ruled, window.weights, np.where((built | other) & present, FULL_WEIGHT, 0)).astype(np.uint8)
    return window._replace(split=TRAIN, share=window.share * teaching.share, labels=labels, weights=weights)


def _mapped(predictor: Predictor, windows: list[Window]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities, as maps hold them, and labels (n,) of all fully weighted pixels of windows."""
    judged_windows = [judged_window(predictor, window) for window in windows]
    sure = [window.weights >= FULL_WEIGHT for window in windows]
    maps = [item.probability[mask] for item, mask in zip(judged_windows, sure, strict=True)]
    labels = [item.truth[mask] for item, mask in zip(judged_windows, sure, strict=True)]
    return np.concatenate(maps) / ONE, np.concatenate(labels)


def _as_labelled(windows: list[Window]) -> list[Window]:
    """In the first course unlabelled windows teach only what rules are sure of."""
    return [window._replace(split=TRAIN) if window.split == UNLABELLED and window.weights.any() else window for window in windows]
