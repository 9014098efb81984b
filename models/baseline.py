"""The yardstick: segmentation-models-pytorch's plain U-Net with a ResNet-18, no weights from elsewhere, trained in the usual way."""

import numpy as np
import torch
from numpy.typing import NDArray

from conf.windows import CHOOSE
from models.augmentation import Augmentation
from models.bundle import ModelSpec
from models.course import Course, Report
from models.fitting import normaliser
from models.metrics import threshold_of_best_f1
from models.networks import build_network
from models.training import labelled_logits, predict_map, train
from models.windows import Window


def train_baseline(
    spec: ModelSpec, windows: list[Window], judged: list[Window], cpu_minutes: float, report: Report, seed: int = 1
) -> tuple[list[NDArray[np.uint8]], float, dict[str, float]]:
    """Maps (0-250) of the judged windows, the threshold with the best F1 on the choosing ones, and what the course took."""
    torch.set_num_threads(1)
    normalise = normaliser(spec)
    network = build_network({"kind": "library", "encoder": "resnet18", "in_channels": len(spec.channels)}, seed)
    # Flips, quarter turns and mild light: what a plain recipe has.
    change = Augmentation(gain=0.1, band_gain=0.05, offset=0.03)
    course = Course(seed=seed, steps=10**9, cpu_minutes=cpu_minutes, batch=8, side=256, learning_rate=1e-3, looks=5, augmentation=change)
    trained = train(network, windows, normalise, course, report)
    logits, labels = labelled_logits(trained.network, [window for window in windows if window.split == CHOOSE], normalise)
    threshold = threshold_of_best_f1(1 / (1 + np.exp(-logits)), labels)
    maps = [np.rint(250 / (1 + np.exp(-predict_map(trained.network, window.values, normalise)))).astype(np.uint8) for window in judged]
    return maps, threshold, {"cpu_minutes": trained.cpu_seconds / 60, "steps": float(trained.steps), "threshold": threshold}
