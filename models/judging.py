"""Judging a finished network on held-out windows, through the same predictor that makes maps."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
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
SQUARE_PX = 128
"""Side of the squares that are shown as the worst, pixels."""

DENSITIES = {"sparse": (0.0, 0.05), "medium": (0.05, 0.3), "dense": (0.3, 1.01)}
"""Class of settlement density to the shares of built ground, from and below."""


Groups = Mapping[str, Sequence[str]]
"""Kind of group, such as `region`, to the name of each window's; an empty name is none."""


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


class Square(NamedTuple):
    """A part of a window: image (bands, height, width), the rest as in Judged; `wrong`: how many of its judged pixels are."""

    name: str
    image: NDArray[np.float32]
    judged: Judged
    wrong: int

    @property
    def share(self) -> float:
        """Of judged pixels that are wrong."""
        return self.wrong / int(self.judged.valid.sum())


def worst_squares(judged: Sequence[Judged], windows: Sequence[Window], threshold: float, most: int = 8) -> list[Square]:
    """The squares of SQUARE_PX with most wrong pixels, worst first, at most two of a window."""
    found = []
    for item, window in zip(judged, windows, strict=True):
        found += sorted(_squares(item, window, threshold), key=lambda square: -square.wrong)[:2]
    return sorted(found, key=lambda square: (-square.wrong, square.name))[:most]


def _squares(item: Judged, window: Window, threshold: float) -> Iterator[Square]:
    """Those that are judged on half of their ground or more."""
    height, width = item.truth.shape
    for row, col in itertools.product(range(0, height, SQUARE_PX), range(0, width, SQUARE_PX)):
        block = np.s_[row : row + SQUARE_PX, col : col + SQUARE_PX]
        part = Judged(item.probability[block], item.truth[block], item.valid[block])
        if part.valid.mean() >= 0.5:
            wrong = ((part.probability >= threshold * ONE) != part.truth)[part.valid].sum()
            yield Square(f"{window.source}, row {row}, column {col}", window.values[:, *block].astype(np.float32), part, int(wrong))


def counts_of(judged: Sequence[Judged], threshold: float) -> list[NDArray[np.int64]]:
    """Of each window, hits, false alarms, misses (n, 3) of its blocks."""
    return [block_counts(item.probability >= threshold * ONE, item.truth, item.valid, BLOCK_PX) for item in judged]


def pixel_figures(judged: Sequence[Judged], threshold: float, seed: int) -> dict[str, float]:
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


def has_built(judged: Sequence[Judged]) -> bool:
    """Whether any judged pixel is truly built: without one there is no F1."""
    return any((item.truth & item.valid).any() for item in judged)


def grouped_figures(judged: Sequence[Judged], groups: Groups, threshold: float, seed: int) -> dict[str, float]:
    """Pixel F1 with bounds, `pixel_f1_<kind>_<name>`, and calibration error, `calibration_error_<kind>_<name>`, of each group of windows;
    and F1 of blocks of ground by the share that is truly built, `pixel_f1_density_<class>`. Groups without any built or found pixel have
    no F1, those without judged pixels no figure."""
    counts = counts_of(judged, threshold)
    shares = np.concatenate([_built_shares(item) for item in judged])
    blocks, sizes = np.concatenate(counts), [len(each) for each in counts]
    chosen = {f"{kind}_{name}": np.repeat(mask, sizes) for kind, name, mask in masks_of(groups)}
    chosen |= {f"density_{name}": (shares >= least) & (shares < most) for name, (least, most) in DENSITIES.items()}
    figures: dict[str, float] = {}
    for name, mask in chosen.items():
        told = blocks[mask & (blocks.sum(1) > 0)]
        if len(told):
            figures |= with_bounds(f"pixel_f1_{name}", bootstrap_f1(told, seed))
    return figures | grouped_calibration(judged, groups)


def grouped_calibration(judged: Sequence[Judged], groups: Groups) -> dict[str, float]:
    """The expected calibration error of each group that has judged pixels."""
    figures = {}
    for kind, name, mask in masks_of(groups):
        own = [item for item, chosen in zip(judged, mask, strict=True) if chosen and item.valid.any()]
        if own:
            figures[f"calibration_error_{kind}_{name}"] = reliability_of(own).error
    return figures


def own_threshold_figures(judged: Sequence[Judged], regions: Sequence[str], thresholds: Mapping[str, float], seed: int) -> dict[str, float]:
    """Of each world region with a threshold of its own and built ground: that, pixel F1 with bounds and mapped over true area there."""
    figures: dict[str, float] = {}
    for region in sorted(set(regions) & set(thresholds)):
        own = [item for item, name in zip(judged, regions, strict=True) if name == region]
        if not has_built(own):
            continue
        found = pixel_figures(own, thresholds[region], seed)
        kept = ("pixel_f1", "pixel_f1_lower", "pixel_f1_upper", "area_ratio")
        figures |= {f"own_threshold_{name}_region_{region}": found[name] for name in kept}
        figures[f"own_threshold_region_{region}"] = thresholds[region]
    return figures


def masks_of(groups: Groups) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Kind, name and windows of each group."""
    for kind, names in groups.items():
        for name in sorted(set(names) - {""}):
            yield kind, name, np.array([each == name for each in names])


def _built_shares(item: Judged) -> NDArray[np.float64]:
    """Of each block's judged pixels, the share that is truly built, in the order of `block_counts`."""
    nothing = np.zeros_like(item.truth)
    built = block_counts(nothing, item.truth, item.valid, BLOCK_PX)[:, 2]
    judged = block_counts(nothing, np.ones_like(item.truth), item.valid, BLOCK_PX)[:, 2]
    return np.asarray(built / np.maximum(judged, 1))


def reliability_of(judged: Sequence[Judged]) -> Reliability:
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
