"""Training on single images: windows in, the best network on the choosing windows out."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from conf.windows import CHOOSE, FULL_LABEL, TRAIN, UNLABELLED
from models.aids import aid_loss
from models.augmentation import Crops, Normaliser, draw_crops
from models.course import Course, Machine, Report, Trained, in_half, run_course
from models.distributed import itself
from models.inference import chosen, seen_by
from models.losses import consistency_loss, dual_loss, segmentation_loss
from models.metrics import scores, threshold_of_best_f1
from models.networks import DualStream
from models.streaming import WindowStream
from models.windows import Window


def train(
    network: nn.Module,
    windows: list[Window],
    normalise: Normaliser,
    course: Course,
    report: Report,
    stream: WindowStream | None = None,
    machine: Machine | None = None,
    number: int = 1,
) -> Trained:
    """Train on windows of split `train` and on those of a stream; keep the best network on those of split `choose`, or the last: as
    `run_course`."""
    return run_course(network, ImageLesson(windows, normalise, course), course, report, stream, machine, number)


class ImageLesson:
    """Crops of labelled windows and, where sensors are to agree on ground without labels, some of that."""

    def __init__(self, windows: list[Window], normalise: Normaliser, course: Course) -> None:
        parts = ([window for window in windows if window.split == name] for name in (TRAIN, CHOOSE, UNLABELLED))
        self._learning, self._choosing, self._unlabelled = parts
        self._normalise, self._course = normalise, course

    def draw(self, held: list[Window], share: int, random: np.random.Generator) -> list[Any]:
        labelled, course = [*self._learning, *held], self._course
        parts = (labelled, self._unlabelled) if course.consistency else (labelled,)
        return [draw_crops(part, share, course.side, self._normalise, course.augmentation, random) for part in parts]

    def loss(self, network: nn.Module, crops: list[Any]) -> torch.Tensor:
        images = torch.cat([each.images for each in crops])
        with in_half(images.device.type, self._course):
            logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        return _loss(itself(network), crops, logits, self._course)

    def judge(self, network: nn.Module) -> tuple[float, float]:
        logits, labels = labelled_logits(network, self._choosing, self._normalise)
        probabilities = 1 / (1 + np.exp(-logits))
        threshold = threshold_of_best_f1(probabilities, labels)
        found = probabilities >= threshold
        return scores(float((found & labels).sum()), float((found & ~labels).sum()), float((~found & labels).sum())).f1, threshold


def predict_map(network: nn.Module, values: NDArray[np.float16] | NDArray[np.float32], normalise: Normaliser) -> NDArray[np.float32]:
    """Logits (height, width) of one image (bands, height, width) seen whole, padded to a multiple of 32."""
    height, width = values.shape[1:]
    image = normalise(torch.from_numpy(values.astype(np.float32)))[None]
    image = functional.pad(image, (0, -width % 32, 0, -height % 32))
    image = image.to(next(network.parameters(), image).device)
    network.eval()
    with torch.inference_mode():
        given = network(image.contiguous(memory_format=torch.channels_last))
        if isinstance(network, DualStream):
            given = chosen(given, image[:, : network.split], image[:, network.split :])
        logits: NDArray[np.float32] = given[0, 0, :height, :width].cpu().numpy()
    return logits


def labelled_logits(network: nn.Module, windows: list[Window], normalise: Normaliser) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logits and labels (n,) of all labelled pixels of windows."""
    logits, labels = [], []
    for window in windows:
        known = window.weights > 0
        logits.append(predict_map(network, window.values, normalise)[known])
        labels.append(window.labels[known] >= FULL_LABEL / 2)
    return np.concatenate(logits).astype(np.float64), np.concatenate(labels)


def _loss(network: nn.Module, crops: list[Crops], logits: torch.Tensor, course: Course) -> torch.Tensor:
    labelled, count = crops[0], len(crops[0].images)
    if not isinstance(network, DualStream):
        loss = segmentation_loss(logits[:, :1], labelled.labels, labelled.weights, course.jaccard_share)
        aids = getattr(network, "aids", ())
        return loss + course.aid_share * aid_loss(logits[:, 1:], labelled.labels, labelled.weights, aids) if aids else loss
    seen = torch.cat([seen_by(each.images[:, : network.split], each.images[:, network.split :]) for each in crops])
    loss = dual_loss(logits[:count], labelled.labels, labelled.weights, seen[:count], course.jaccard_share)
    return loss + course.consistency * consistency_loss(logits[count:], seen[count:]) if len(crops) > 1 else loss
