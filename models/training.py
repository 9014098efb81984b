"""Training: windows in, the best network on the choosing windows out. The same seed and threads give the same network."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from conf.windows import CHOOSE, FULL_LABEL, FULL_WEIGHT, TRAIN, UNLABELLED
from models.aids import aid_loss
from models.augmentation import Augmentation, Crops, Normaliser, draw_crops
from models.inference import chosen, seen_by
from models.losses import consistency_loss, dual_loss, segmentation_loss
from models.metrics import scores, threshold_of_best_f1
from models.networks import DualStream
from models.streaming import WindowStream
from models.windows import Window

Report = Callable[[str], None]


@dataclass(frozen=True)
class Course:
    """How a network is trained. Ends after `steps`, or earlier after `cpu_minutes`, which then depends on the machine."""

    seed: int = 1
    steps: int = 1000
    cpu_minutes: float = 12.0
    batch: int = 8
    side: int = 192
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warm_share: float = 0.1
    jaccard_share: float = 0.5
    average: float = 0.99
    """Share of the running mean of weights that each step keeps."""
    fresh: int = 1
    """Windows of a stream that each step brings into memory."""
    looks: int = 6
    """How often the choosing windows are looked at."""
    keep: str = "best"
    """`best`: the network with the best F1 on the choosing windows. `last`: that at the course's end, where the choosing ground is
    too small to choose by."""
    aid_share: float = 0.3
    """Weight of what the network also learns (models/aids.py), where its architecture names any."""
    consistency: float = 0.0
    """Of a network of two sensors: weight of their agreement on windows of split `unlabelled`, of which each step draws a batch."""
    half: bool = True
    """Convolve in bfloat16 where the processor has it, 1.6 times as fast; it is ten times as slow where it has not."""
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep {self.keep}: use best or last")


class Trained(NamedTuple):
    """The kept network and how the course went: (step, F1 on choosing windows, threshold)."""

    network: nn.Module
    history: list[tuple[int, float, float]]
    steps: int
    cpu_seconds: float


def train(
    network: nn.Module, windows: list[Window], normalise: Normaliser, course: Course, report: Report, stream: WindowStream | None = None
) -> Trained:
    """Train on windows of split `train` and on those of a stream; keep the running mean of weights, the best on those of split `choose`
    or the last."""
    torch.manual_seed(course.seed)
    random = np.random.default_rng(course.seed)
    learning, choosing, unlabelled = ([window for window in windows if window.split == name] for name in (TRAIN, CHOOSE, UNLABELLED))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=course.weight_decay)
    best, best_state, history = -1.0, copy.deepcopy(mean.state_dict()), []
    start, step, done, next_look = time.process_time(), 0, 0.0, 1 / course.looks
    while done < 1:
        for group in optimizer.param_groups:
            group["lr"] = course.learning_rate * _pace(done, course.warm_share)
        drawn = [*learning, *(stream.windows() if stream else ())]
        crops = [
            draw_crops(part, course.batch, course.side, normalise, course.augmentation, random)
            for part in ((drawn, unlabelled) if course.consistency else (drawn,))
        ]
        loss = _step(network, optimizer, crops, course)
        if stream:
            stream.move_on(course.fresh)
        _follow(mean, network, min(course.average, (1 + step) / (10 + step)))
        step += 1
        done = max(step / course.steps, (time.process_time() - start) / 60 / course.cpu_minutes)
        if done >= next_look:
            next_look += 1 / course.looks
            f1, threshold = _look(mean, choosing, normalise)
            history.append((step, f1, threshold))
            report(f"step {step}: loss {loss:.4f}, F1 {f1:.4f} at {threshold:.2f}, {time.process_time() - start:.0f} CPU s")
            if f1 > best:
                best, best_state = f1, copy.deepcopy(mean.state_dict())
    if course.keep == "best":
        mean.load_state_dict(best_state)
    return Trained(mean.eval(), history, step, time.process_time() - start)


def predict_map(network: nn.Module, values: NDArray[np.float16] | NDArray[np.float32], normalise: Normaliser) -> NDArray[np.float32]:
    """Logits (height, width) of one image (bands, height, width) seen whole, padded to a multiple of 32."""
    height, width = values.shape[1:]
    image = normalise(torch.from_numpy(values.astype(np.float32)))[None]
    image = functional.pad(image, (0, -width % 32, 0, -height % 32))
    network.eval()
    with torch.inference_mode():
        given = network(image.contiguous(memory_format=torch.channels_last))
        if isinstance(network, DualStream):
            given = chosen(given, image[:, : network.split], image[:, network.split :])
        logits: NDArray[np.float32] = given[0, 0, :height, :width].numpy()
    return logits


def labelled_logits(network: nn.Module, windows: list[Window], normalise: Normaliser) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Logits and labels (n,) of all fully weighted pixels of windows."""
    logits, labels = [], []
    for window in windows:
        sure = window.weights >= FULL_WEIGHT
        logits.append(predict_map(network, window.values, normalise)[sure])
        labels.append(window.labels[sure] >= FULL_LABEL / 2)
    return np.concatenate(logits).astype(np.float64), np.concatenate(labels)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, crops: list[Crops], course: Course) -> float:
    """`crops`: labelled ones and, where sensors are to agree on ground without labels, some of that."""
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=course.half and _has_bfloat16()):
        images = torch.cat([each.images for each in crops])
        logits = network(images.contiguous(memory_format=torch.channels_last)).float()
    loss = _loss(network, crops, logits, course)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


def _loss(network: nn.Module, crops: list[Crops], logits: torch.Tensor, course: Course) -> torch.Tensor:
    labelled, count = crops[0], len(crops[0].images)
    if not isinstance(network, DualStream):
        loss = segmentation_loss(logits[:, :1], labelled.labels, labelled.weights, course.jaccard_share)
        aids = getattr(network, "aids", ())
        return loss + course.aid_share * aid_loss(logits[:, 1:], labelled.labels, labelled.weights, aids) if aids else loss
    seen = torch.cat([seen_by(each.images[:, : network.split], each.images[:, network.split :]) for each in crops])
    loss = dual_loss(logits[:count], labelled.labels, labelled.weights, seen[:count], course.jaccard_share)
    return loss + course.consistency * consistency_loss(logits[count:], seen[count:]) if len(crops) > 1 else loss


def _has_bfloat16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _pace(done: float, warm_share: float) -> float:
    """Share of the full learning rate: up in a line, then down along a cosine."""
    if done < warm_share:
        return max(done / warm_share, 0.02)
    return 0.5 + 0.5 * math.cos(math.pi * (done - warm_share) / (1 - warm_share))


def _follow(mean: nn.Module, network: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for kept, now in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - keep)
            else:
                kept.copy_(now)


def _look(network: nn.Module, choosing: list[Window], normalise: Normaliser) -> tuple[float, float]:
    logits, labels = labelled_logits(network, choosing, normalise)
    probabilities = 1 / (1 + np.exp(-logits))
    threshold = threshold_of_best_f1(probabilities, labels)
    found = probabilities >= threshold
    return scores(float((found & labels).sum()), float((found & ~labels).sum()), float((~found & labels).sum())).f1, threshold
