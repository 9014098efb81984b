"""Judging a finished network on held-out windows, through the same predictor that makes maps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.windows import FULL_LABEL
from models.bundle import ModelSpec
from models.calibration import Reliability, reliability
from models.metrics import Interval, block_counts, bootstrap_f1, scores
from models.predictor import ONE, Predictor
from models.windows import Window

BLOCK_PX = 64
"""Side of the squares of ground that the bootstrap draws, pixels."""


DENSITIES = {"sparse": (0.0, 0.05), "medium": (0.05, 0.3), "dense": (0.3, 1.01)}
"""Class of settlement density to the shares of built ground, from and below."""


class Judged(NamedTuple):
    """Probabilities 0-250, truth and the judged pixels of a window; bool and uint8 (height, width)."""

    probability: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def judged_window(predictor: Predictor, window: Window) -> Judged:
    """The network's map of a window beside its labels."""
    probability = predicted_map(predictor, window.values)
    return Judged(probability, window.labels >= FULL_LABEL / 2, window.weights > 0)


def predicted_map(predictor: Predictor, values: NDArray[Any]) -> NDArray[np.uint8]:
    """Probabilities 0-250 (height, width) of an image (bands, height, width), window by window; beyond the image is no data."""
    spec = predictor.spec
    height, width = values.shape[1:]
    after = [spec.halo + -size % spec.centre for size in (height, width)]
    padded = np.pad(values.astype(np.float32), ((0, 0), (spec.halo, after[0]), (spec.halo, after[1])), constant_values=np.nan)
    result = np.empty((height + after[0] - spec.halo, width + after[1] - spec.halo), np.uint8)
    for top in range(0, height, spec.centre):
        for left in range(0, width, spec.centre):
            window = padded[None, :, top : top + spec.window, left : left + spec.window]
            result[top : top + spec.centre, left : left + spec.centre] = predictor.predict(window)[0]
    return result[:height, :width]


def counts_of(judged: Sequence[Judged], threshold: float) -> list[NDArray[np.int64]]:
    """Of each window, hits, false alarms, misses (n, 3) of its blocks."""
    return [block_counts(item.probability >= threshold * ONE, item.truth, item.valid, BLOCK_PX) for item in judged]


def pixel_figures(judged: list[Judged], threshold: float, seed: int) -> dict[str, float]:
    """F1 with bounds, precision, recall, IoU, area ratio, calibration error, and what calling everything built scores."""
    counts = np.concatenate(counts_of(judged, threshold))
    counts = counts[counts.sum(1) > 0]
    truth = float(sum((item.truth & item.valid).sum() for item in judged))
    valid = float(sum(item.valid.sum() for item in judged))
    hits, false_alarms, misses = counts.sum(0)
    total = scores(hits, false_alarms, misses)
    everything = scores(truth, valid - truth, 0.0)
    figures = {"pixel_precision": total.precision, "pixel_recall": total.recall, "pixel_iou": total.iou}
    figures |= with_bounds("pixel_f1", bootstrap_f1(counts, seed))
    figures["calibration_error"] = reliability_of(judged).error
    return figures | {"area_ratio": (hits + false_alarms) / truth, "everything_f1": everything.f1, "everything_iou": everything.iou}


def grouped_figures(judged: list[Judged], regions: list[str], threshold: float, seed: int) -> dict[str, float]:
    """Pixel F1 with bounds of each world region, `pixel_f1_region_<name>`, and of blocks of ground by the share that is truly built,
    `pixel_f1_density_<class>`; groups without any built or found pixel are left out. `regions`: of the windows."""
    counts = counts_of(judged, threshold)
    shares = np.concatenate([_built_shares(item) for item in judged])
    blocks, named = np.concatenate(counts), np.repeat(regions, [len(each) for each in counts])
    groups = {f"region_{name}": named == name for name in sorted(set(regions))}
    groups |= {f"density_{name}": (shares >= least) & (shares < most) for name, (least, most) in DENSITIES.items()}
    figures: dict[str, float] = {}
    for name, chosen in groups.items():
        told = blocks[chosen & (blocks.sum(1) > 0)]
        if len(told):
            figures |= with_bounds(f"pixel_f1_{name}", bootstrap_f1(told, seed))
    return figures


def _built_shares(item: Judged) -> NDArray[np.float64]:
    """Of each block's judged pixels, the share that is truly built, in the order of `block_counts`."""
    nothing = np.zeros_like(item.truth)
    built = block_counts(nothing, item.truth, item.valid, BLOCK_PX)[:, 2]
    judged = block_counts(nothing, np.ones_like(item.truth), item.valid, BLOCK_PX)[:, 2]
    return np.asarray(built / np.maximum(judged, 1))


def reliability_of(judged: list[Judged]) -> Reliability:
    """Of all judged pixels."""
    probabilities = np.concatenate([item.probability[item.valid] for item in judged]) / ONE
    return reliability(probabilities, np.concatenate([item.truth[item.valid] for item in judged]))


def object_figures(found: NDArray[np.bool_], known: NDArray[np.bool_], seed: int) -> dict[str, float]:
    """F1 of objects with bounds from drawing objects: `found` says which predicted, `known` which true ones have a partner."""
    rows = [np.stack([found * 0, ~found, found * 0], 1), np.stack([known, known * 0, ~known], 1)]
    counts = np.concatenate(rows).astype(np.int64)
    hits, false_alarms, misses = counts.sum(0)
    total = scores(hits, false_alarms, misses)
    figures = {"object_precision": total.precision, "object_recall": total.recall, "objects_true": float(len(known))}
    return figures | with_bounds("object_f1", bootstrap_f1(counts, seed)) | {"objects_found": float(len(found))}


def with_bounds(name: str, interval: Interval) -> dict[str, float]:
    """A figure and its 95 % bounds by name."""
    return {name: interval.value, f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def has_objects(spec: ModelSpec) -> bool:
    """Whether single buildings can be told apart: pixels of 2 m or finer."""
    return spec.gsd_range[1] <= 2
