"""Crops of image series as a network sees them in training: the same ground turned as one, each date in its own light."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from conf.windows import CHANGES, FULL_LABEL, FULL_WEIGHT
from models.augmentation import Augmentation, Normaliser, lost_sensor, quarter_turned, relit, square_of, under_snow
from models.series import ImageSeries


@dataclass(frozen=True)
class SeriesDraw:
    """How crops of series are drawn."""

    least_dates: int = 3
    most_dates: int = 6
    """Dates of a crop, as many in all crops of a step."""
    missing: float = 0.15
    """Share of dates that show nothing."""
    shifted: float = 0.0
    """Share of dates whose image lies a pixel beside the labels, as images do that are not matched to each other well."""
    backwards: float = 0.0
    """Share of crops whose dates run backwards: what appeared vanishes. Where few grounds are learned from, a season that comes second in
    all of them would pass for a sign of change."""
    withheld: float = 0.0
    """Share of crops that one of two sensors does not show at any date, and of those that the other does not."""
    tries: int = 6
    """Places of which one is drawn, the more likely the more pixels change there."""


class SeriesCrops(NamedTuple):
    """A batch: normalised images (n, T, bands, side, side), days (n, T), labels 0-1 and weights (n, T, side, side); `states` (n,): 0 where
    labels only tell what differs between dates, else 1."""

    images: torch.Tensor
    days: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    states: torch.Tensor


class Seen(NamedTuple):
    """How crops look: their side, pixels, and what is done to them."""

    side: int
    normalise: Normaliser
    change: Augmentation
    draw: SeriesDraw


def draw_series_crops(series: list[ImageSeries], count: int, seen: Seen, random: np.random.Generator) -> SeriesCrops:
    """`count` crops, series drawn by share times pixels."""
    odds = np.array([each.share * each.labels[0].size for each in series], np.float64)
    picks = [series[number] for number in random.choice(len(series), count, p=odds / odds.sum())]
    most = min(seen.draw.most_dates, *(len(each.days) for each in picks))
    dates = int(random.integers(min(seen.draw.least_dates, most), most + 1))
    parts = [_crop(_fewer(each, dates, random), seen, random) for each in picks]
    return SeriesCrops(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _fewer(series: ImageSeries, dates: int, random: np.random.Generator) -> ImageSeries:
    return series.at(np.sort(random.choice(len(series.days), dates, replace=False)))


def _crop(series: ImageSeries, seen: Seen, random: np.random.Generator) -> SeriesCrops:
    if seen.draw.backwards and random.uniform() < seen.draw.backwards:
        series = series.backwards
    block = _place(series.labels, seen.side, seen.draw.tries, random)
    turns, flip = int(random.integers(4)), bool(random.integers(2))
    gone = _withheld(series.values.shape[1], seen, random)
    shown = [_date(series, date, block, gone, seen, random) for date in range(len(series.days))]
    images, labels, weights = (quarter_turned(torch.stack(part), turns, flip) for part in zip(*shown, strict=True))
    days, states = torch.from_numpy(series.days.astype(np.float32)), torch.tensor(float(series.tells != CHANGES))
    return SeriesCrops(images, days, labels[:, 0], weights[:, 0], states)


def _place(labels: NDArray[np.uint8], side: int, tries: int, random: np.random.Generator) -> tuple[slice, slice]:
    """A square, drawn of a few by how much changes in it."""
    corners = [[int(random.integers(0, max(size - side, 0) + 1)) for size in labels.shape[1:]] for _ in range(tries)]
    blocks = [(slice(top, top + side), slice(left, left + side)) for top, left in corners]
    changed = np.array([1 + np.diff(labels[:, *block] >= FULL_LABEL / 2, axis=0).sum() for block in blocks], np.float64)
    return blocks[int(random.choice(tries, p=changed / changed.sum()))]


def _beside(block: tuple[slice, slice], share: float, shape_yx: tuple[int, ...], random: np.random.Generator) -> tuple[slice, slice]:
    """The block, of so many a pixel further along rows, columns or both, where the image goes on."""
    steps = random.integers(-1, 2, 2) if random.uniform() < share else (0, 0)
    moved = [(part.start + int(step), part.stop + int(step)) for part, step in zip(block, steps, strict=True)]
    inside = all(first >= 0 and last <= size for (first, last), size in zip(moved, shape_yx, strict=True))
    return (slice(*moved[0]), slice(*moved[1])) if inside else block


def _withheld(channels: int, seen: Seen, random: np.random.Generator) -> slice:
    """The channels of a sensor that a crop does without; of one that has both, and of one sensor's images, none."""
    if not seen.draw.withheld:
        return slice(0)
    own = channels - seen.change.beside
    return (slice(own), slice(own, channels), slice(0))[lost_sensor(seen.draw.withheld, random)]


def _date(
    series: ImageSeries, date: int, block: tuple[slice, slice], gone: slice, seen: Seen, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One date's image, labels and weights; what it does not show teaches nothing."""
    values = square_of(series.values[date][:, *_beside(block, seen.draw.shifted, series.labels.shape[1:], random)], seen.side, np.nan)
    labels, weights = (square_of(part[date][block][None], seen.side, 0) for part in (series.labels, series.weights))
    values, labels, weights = under_snow(values, labels / FULL_LABEL, weights / FULL_WEIGHT, seen.change, random)
    values = relit(values, seen.change, random)
    values[gone] = torch.nan
    if random.uniform() < seen.draw.missing:
        values = torch.full_like(values, torch.nan)
    return seen.normalise(values), labels, weights * values.isfinite().any(0)
