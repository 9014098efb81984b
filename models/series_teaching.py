"""Self-training of a network of series on images without labels: what the network of images that it begins with says of all dates of a
ground becomes its label, where it is sure, and there nothing changes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conf.rasters import NO_DATA, ONE
from conf.windows import FULL_LABEL, FULL_WEIGHT, TRAIN, UNLABELLED
from models.judging import predicted_map
from models.predictor import Predictor
from models.series import ImageSeries


@dataclass(frozen=True)
class SeriesTeaching:
    """Bounds on the mean probability over the dates that show a pixel."""

    built_from: float = 0.75
    other_to: float = 0.15


def taught_series(series: list[ImageSeries], predictor: Predictor | None, teaching: SeriesTeaching) -> list[ImageSeries]:
    """Series of split `unlabelled` as ones to learn from, others as they are; without a predictor those are left out."""
    labelled = [each for each in series if each.split != UNLABELLED]
    if predictor is None:
        return labelled
    return labelled + [_told(each, predictor, teaching) for each in series if each.split == UNLABELLED]


def maps_of(predictor: Predictor, series: ImageSeries) -> NDArray[np.uint8]:
    """Probabilities 0-250 of each date alone (T, height, width), NO_DATA where it has none, by a network of images, which sees the first
    channels."""
    own = series.values[:, : len(predictor.spec.channels)]
    return np.where(series.shown, np.stack([predicted_map(predictor, values) for values in own]), NO_DATA).astype(np.uint8)


def _told(series: ImageSeries, predictor: Predictor, teaching: SeriesTeaching) -> ImageSeries:
    shown = series.shown
    mean = np.where(shown, maps_of(predictor, series) / ONE, 0).sum(0) / np.maximum(shown.sum(0), 1)
    built, other = mean >= teaching.built_from, mean <= teaching.other_to
    labels = np.broadcast_to(np.where(built, FULL_LABEL, 0).astype(np.uint8), shown.shape)
    weights = np.where(shown & (built | other), FULL_WEIGHT, 0).astype(np.uint8)
    return series._replace(split=TRAIN, labels=labels, weights=weights)
