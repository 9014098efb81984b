"""Training on image series: states of every date and changes along edges, from one network."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from conf.errors import InputError
from conf.rasters import NO_DATA, ONE
from conf.windows import CHANGES, CHOOSE, TRAIN, UNLABELLED
from models.augmentation import Normaliser
from models.change_integration import edges_of
from models.change_metrics import change_block_counts, shown_changes
from models.course import Course, in_half
from models.inference import present
from models.losses import power_jaccard, segmentation_loss
from models.metrics import scores
from models.series import ImageSeries
from models.series_crops import Seen, SeriesCrops, SeriesDraw, draw_series_crops
from models.series_network import Edges
from models.series_states import BUILT_FROM, USUAL, Told, needed_edges, series_of_maps
from models.windows import Window


class SeriesLesson:
    """Crops of labelled series and, where sensors are to agree on ground without labels, some of that. Edges: of neighbours, and first to
    last."""

    def __init__(self, series: list[ImageSeries], normalise: Normaliser, course: Course, draw: SeriesDraw) -> None:
        parts = ([each for each in series if each.split == name] for name in (TRAIN, CHOOSE, UNLABELLED))
        self._learning, self._choosing, self._unlabelled = parts
        if course.consistency and not course.augmentation.beside:
            raise InputError(f"course.consistency {course.consistency} of one sensor: give augmentation.beside, the bands of a second")
        self._normalise, self._course = normalise, course
        self._seen = Seen(course.side, normalise, course.augmentation, draw)

    def draw(self, held: list[Window], share: int, random: np.random.Generator) -> list[Any]:
        parts = (self._learning, self._unlabelled) if self._course.consistency else (self._learning,)
        return [draw_series_crops(part, share, self._seen, random) for part in parts]

    def loss(self, network: nn.Module, crops: list[Any]) -> torch.Tensor:
        labelled, course = crops[0], self._course
        edges = edges_of("cyclic", labelled.images.shape[1])
        with in_half(labelled.images.device.type, course):
            states, changes = network(labelled.images, labelled.days, edges)
            agreement = [series_agreement(network, each, course.augmentation.beside) for each in crops[1:]]
        loss = series_loss(states.float(), changes.float(), labelled, edges, course.jaccard_share)
        return loss + course.consistency * sum(agreement)

    def judge(self, network: nn.Module) -> tuple[float, float]:
        """F1 of change between neighbouring dates, of the series that network and integration give."""
        told = [predicted_series(network, each, self._normalise) for each in self._choosing]
        counts = [series_counts(said, each, 0.5) for said, each in zip(told, self._choosing, strict=True)]
        return scores(*np.concatenate(counts).sum(0).tolist()).f1, 0.5


def series_loss(states: torch.Tensor, changes: torch.Tensor, crops: SeriesCrops, edges: Edges, jaccard_share: float) -> torch.Tensor:
    """Of states (n, T, h, w) and of changes (n, E, h, w), equal weights (Hafner et al. 2025)."""
    first, second = ([edge[end] for edge in edges] for end in (0, 1))
    built = (crops.labels >= 0.5).float()
    changed = (built[:, second] != built[:, first]).float()
    known = crops.weights[:, first] * crops.weights[:, second]
    told = crops.weights * crops.states[:, None, None, None]
    of_states = segmentation_loss(states, crops.labels, told, jaccard_share) if crops.states.any() else torch.zeros(())
    return of_states + segmentation_loss(changes, changed, known, jaccard_share)


def series_agreement(network: nn.Module, crops: SeriesCrops, beside: int) -> torch.Tensor:
    """How far what each sensor alone says of a series is from what both say, which teaches and does not learn from that: mean power Jaccard
    of states and changes. The last `beside` channels are the second's (Hafner et al. 2022, RSE 280, 113192, along time)."""
    edges, own = edges_of("cyclic", crops.images.shape[1]), crops.images.shape[2] - beside
    with torch.no_grad():
        both = network(crops.images, crops.days, edges)
    far = []
    for hidden in (slice(own), slice(own, None)):
        images = crops.images.clone()
        images[:, :, hidden] = 0
        seen = present(images.flatten(0, 1)).reshape(both[0].shape)
        weights = (seen, torch.stack([seen[:, first] & seen[:, second] for first, second in edges], 1))
        for alone, together, weight in zip(network(images, crops.days, edges), both, weights, strict=True):
            far.append(power_jaccard(torch.sigmoid(alone.float()), torch.sigmoid(together.float()), weight.float()))
    return torch.stack(far).mean()


class Said(NamedTuple):
    """A network's probabilities of a series: of states (T, height, width) and of changes along `edges` (E, height, width), uint8, 0-250;
    states are 255 where a date shows nothing."""

    states: NDArray[np.uint8]
    changes: NDArray[np.uint8]
    edges: Edges


def predicted_series(network: nn.Module, series: ImageSeries, normalise: Normaliser, edges: Edges | None = None) -> Said:
    """Of a series seen whole, padded to a multiple of 32; edges: those that its states need, where none are given."""
    shown = series.shown
    edges = needed_edges(shown) if edges is None else edges
    height, width = series.labels.shape[1:]
    images = normalise(torch.from_numpy(series.values.astype(np.float32)))[None]
    device = next(network.parameters()).device
    images = functional.pad(images, (0, -width % 32, 0, -height % 32)).to(device)
    network.eval()
    with torch.inference_mode():
        days = torch.from_numpy(series.days.astype(np.float32))[None].to(device)
        parts = [torch.sigmoid(each[0, :, :height, :width]).mul(ONE).round().byte().cpu().numpy() for each in network(images, days, edges)]
    states, changes = parts
    return Said(np.where(shown, states, NO_DATA).astype(np.uint8), changes, edges)


def series_counts(said: Said, series: ImageSeries, threshold: float, weight: float = 1.0, side: int = 64) -> NDArray[np.int64]:
    """Hits, false alarms and misses of change between dates that show a pixel in turn (n, 3), block by block, of the integrated series."""
    found, _ = shown_changes(built_states(said, series, threshold, weight), series.known)
    return change_block_counts(found, *shown_changes(series.built, series.known), side)


def built_states(said: Said, series: ImageSeries, threshold: float, weight: float) -> NDArray[np.bool_]:
    """The integrated series (T, height, width); of one whose labels only tell changes, from what is said of these alone."""
    if series.tells == CHANGES:
        said, threshold = said._replace(states=np.where(said.states == NO_DATA, NO_DATA, ONE // 2).astype(np.uint8)), 0.5
    thresholds = [round(threshold * ONE)] * len(series.days)
    told = Told(said.edges, said.changes, weight)
    values = series_of_maps(said.states, thresholds, series.dates, USUAL, told).values
    return np.asarray((values >= BUILT_FROM) & (values != NO_DATA))
