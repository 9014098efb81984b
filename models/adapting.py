"""Adapting a network to a place: a short course on its footprints, then only so far from what it knew as helps on ground to choose on.

Weights between those before and after a course keep what the short course would forget (Wortsman et al. 2022, CVPR, "Robust
fine-tuning of zero-shot models")."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.agreement import chance_of_agreement
from models.augmentation import Augmentation
from models.bundle import ModelSpec, Tensors
from models.course import Course, Report
from models.fitting import Fitted, finished, normaliser
from models.halo import halo_figures
from models.judging import predicted_map
from models.predictor import Predictor, predictor_of
from models.training import train
from models.windows import Window

AUGMENTATION = Augmentation(plain=0.5, gain=0.05, band_gain=0.02, noise=0.004)
"""Little: the place's own light is what is to be learned."""
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the way from the weights before to those after the course."""


class Ground(NamedTuple):
    """Labelled windows of a place, by split."""

    train: list[Window]
    choose: list[Window]
    judge: list[Window]


def adapt_network(spec: ModelSpec, tensors: Tensors, ground: Ground, course: Course, rule: str, report: Report) -> Fitted:
    """Train the network of a bundle on split `train`; its share of the way, calibration and threshold (`rule`, a key of THRESHOLDS) are
    those of the best F1 on split `choose`. Figures: those of `finished`, `share`, `steps`, `cpu_minutes`."""
    network: Any = predictor_of(spec, dict(tensors)).network
    trained = train(network, [*ground.train, *ground.choose], normaliser(spec), course, report)
    after = {name: values.numpy() for name, values in trained.network.state_dict().items()}
    tried = {share: finished(spec, mixed(tensors, after, share), ground.choose, rule) for share in SHARES}
    for share, fitted in tried.items():
        report(f"{share:.0%} of the way: F1 {fitted.figures['f1']:.4f} on ground to choose on")
    share, best = max(tried.items(), key=lambda item: item[1].figures["f1"])
    halo = halo_figures(predictor_of(best.spec, best.tensors), [window.values for window in ground.choose])
    figures = {**halo, "share": share, "steps": float(trained.steps), "cpu_minutes": trained.cpu_seconds / 60}
    return best._replace(figures=best.figures | figures)


def chance_of_foreign_labels(before: Predictor, ground: Ground, seed: int) -> float:
    """As models.agreement tells it of ground to choose and to judge on, from what is to be learned from."""
    windows = [*ground.train, *ground.choose, *ground.judge]
    maps = [predicted_map(before, window.values) for window in windows]
    return chance_of_agreement(windows, maps, len(ground.train), normaliser(before.spec), seed)


def mixed(before: Tensors, after: Tensors, share: float) -> dict[str, NDArray[np.float32]]:
    """Weights at a share of the way, 0-1."""
    return {name: ((1 - share) * before[name] + share * after[name]).astype(np.float32) for name in before}
