"""From windows to a bundle: train, learn from unlabelled ground, calibrate, choose thresholds, judge."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.windows import CHOOSE, FULL_LABEL, FULL_WEIGHT, TRAIN, UNLABELLED
from models.augmentation import Normaliser
from models.bundle import UNCALIBRATED, ModelSpec, Tensors
from models.calibration import calibrated, fitted_calibration, reliability
from models.checkpoints import Look
from models.course import Course, Machine, Report, Trained
from models.halo import halo_figures
from models.judging import Judged, Square, judged_window, worst_squares
from models.library_networks import as_shipped
from models.metrics import scores
from models.networks import build_network, folded_tensors
from models.predictor import ONE, predictor_of
from models.streaming import WindowStream
from models.thresholds import THRESHOLDS, region_thresholds
from models.training import predict_map, train
from models.windows import Window, region_of


@dataclass(frozen=True)
class Teaching:
    """Self-training: what the last network says of unlabelled ground, the mean over its dates, becomes a label where it is sure, or where
    a doubtful rule (of less than full weight) says the same. A rule of full weight stands unless the network is sure of the opposite, one
    of more whatever it says. Each bound is a probability."""

    rounds: int = 0
    """Further courses, each taught by the network before; 0 = none."""
    steps: int = 0
    """Of each."""
    built_from: float = 0.8
    """From here on the network is sure that ground is built, ..."""
    other_to: float = 0.2
    """... up to here that it is not."""
    ruled_built_from: float = 0.5
    """The same where a doubtful rule says built, ..."""
    ruled_other_to: float = 0.5
    """... and where one says not built."""
    share: float = 1.0
    """How often such windows are drawn, relative to what they declare."""

    def __post_init__(self) -> None:
        if (self.rounds > 0) != (self.steps > 0):
            raise ValueError(f"teaching: rounds {self.rounds}, steps {self.steps}: give both, or neither for no further course")


class Fitted(NamedTuple):
    """A trained network as it is shipped, its figures and worst squares on the choosing windows, and how its courses went."""

    spec: ModelSpec
    tensors: dict[str, NDArray[np.float32]]
    figures: dict[str, float]
    worst: list[Square]
    looks: list[Look]
    """Steps of further courses are counted on from those of the first."""


def fit(
    spec: ModelSpec,
    windows: list[Window],
    course: Course,
    teaching: Teaching,
    rule: str,
    report: Report,
    stream: WindowStream | None = None,
    machine: Machine | None = None,
) -> Fitted:
    """Train the spec's architecture on windows, and on those of a stream; calibrate it and choose its thresholds by `rule` (a key of
    THRESHOLDS) on those of split `choose`."""
    normalise = normaliser(spec)
    network = build_network(spec.architecture, course.seed)
    trained = train(network, windows, normalise, course, report, stream, machine)
    for number in range(1, teaching.rounds + 1):
        taught = pseudo_labelled(trained.network, windows, normalise, teaching)
        further = replace(course, steps=teaching.steps, seed=course.seed + number, learning_rate=course.learning_rate / 2)
        trained = _joined(trained, train(trained.network, taught, normalise, further, report, stream, machine, number + 1))
    choosing = [window for window in windows if window.split == CHOOSE]
    made = finished(spec, folded_tensors(trained.network), choosing, rule)
    shipped = replace(made.spec, architecture=as_shipped(spec.architecture))
    figures = made.figures | {"cpu_minutes": trained.cpu_seconds / 60, "steps": float(trained.steps)}
    figures |= halo_figures(predictor_of(spec, made.tensors), [window.values for window in choosing])
    return Fitted(shipped, made.tensors, figures, made.worst, trained.looks)


def finished(spec: ModelSpec, tensors: Tensors, choosing: list[Window], rule: str) -> Fitted:
    """A network with its calibration and its thresholds by `rule` (a key of THRESHOLDS) on windows to choose on, and how good that is
    there."""
    predictor = predictor_of(replace(spec, calibration=dict(UNCALIBRATED)), dict(tensors))
    maps = [judged_window(predictor, window) for window in choosing]
    raw, labels = _labelled_pixels(maps)
    calibration = fitted_calibration(np.concatenate(raw), np.concatenate(labels))
    each = [calibrated(values, calibration) for values in raw]
    probabilities, known = np.concatenate(each), np.concatenate(labels)
    threshold = round(THRESHOLDS[rule](probabilities, known), 2)
    thresholds = region_thresholds(each, labels, [region_of(window.source) for window in choosing], rule, threshold)
    figures = judged(probabilities, known, threshold) | {"calibration_error": reliability(probabilities, known).error}
    figures["raw_calibration_error"] = reliability(np.concatenate(raw), known).error
    mended = [item._replace(probability=np.rint(ONE * calibrated(item.probability / ONE, calibration)).astype(np.uint8)) for item in maps]
    chosen = replace(spec, threshold=threshold, calibration=calibration, thresholds=thresholds)
    return Fitted(chosen, dict(tensors), figures, worst_squares(mended, choosing, threshold), [])


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


def pseudo_labelled(network: Any, windows: list[Window], normalise: Normaliser, teaching: Teaching) -> list[Window]:
    """Unlabelled windows as ones to train on; others as they are."""
    dates: dict[str, list[NDArray[np.float32]]] = {}
    for window in windows:
        if window.split == UNLABELLED:
            dates.setdefault(window.place, []).append(_probability(network, window, normalise))
    means = {ground: np.stack(seen).mean(0) for ground, seen in dates.items()}
    return [_told(window, means[window.place], teaching) if window.split == UNLABELLED else window for window in windows]


def _probability(network: Any, window: Window, normalise: Normaliser) -> NDArray[np.float32]:
    """0-1 (height, width); NaN without data."""
    logits = predict_map(network, window.values, normalise)
    return np.where(np.isfinite(window.values[0]), 1 / (1 + np.exp(-logits)), np.float32(np.nan))


def _told(window: Window, probability: NDArray[np.float32], teaching: Teaching) -> Window:
    said, doubtful = window.labels >= FULL_LABEL / 2, (window.weights > 0) & (window.weights < FULL_WEIGHT)
    built = probability >= np.where(doubtful & said, teaching.ruled_built_from, teaching.built_from)
    other = ~built & (probability <= np.where(doubtful & ~said, teaching.ruled_other_to, teaching.other_to))
    overruled = np.where(said, other, built) | np.isnan(probability)
    stands = (window.weights > FULL_WEIGHT) | ((window.weights == FULL_WEIGHT) & ~overruled)
    labels = np.where(stands, window.labels, np.where(built, FULL_LABEL, 0)).astype(np.uint8)
    weights = np.where(stands, window.weights, np.where(built | other, FULL_WEIGHT, 0)).astype(np.uint8)
    return window._replace(split=TRAIN, share=window.share * teaching.share, labels=labels, weights=weights)


def _joined(before: Trained, after: Trained) -> Trained:
    """A further course, its looks and steps counted on."""
    looks = [*before.looks, *(look._replace(step=before.steps + look.step) for look in after.looks)]
    return Trained(after.network, looks, before.steps + after.steps, before.cpu_seconds + after.cpu_seconds)


def _labelled_pixels(maps: list[Judged]) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    """Of each window, probabilities, as maps hold them, and labels (n,) of all labelled pixels: also of doubtful ones, for a label older
    than its image leaves what is built full weight, and all the rest less."""
    return [item.probability[item.valid] / ONE for item in maps], [item.truth[item.valid] for item in maps]
