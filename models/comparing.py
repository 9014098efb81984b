"""Two networks on the same held-out ground: by how much one is better, by world region and by sensor, and whether that may be chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging import Groups, Judged, counts_of, judged_window, masks_of
from models.metrics import Interval, bootstrap_difference, bootstrap_f1
from models.predictor import Predictor
from models.windows import Window

EVERYWHERE = "all"


class Comparison(NamedTuple):
    """Pixel F1 of the champion and the challenger on a group's ground, and their difference (challenger less champion)."""

    kind: str
    """`region`, `sensor`, or `all`."""
    name: str
    champion: Interval
    challenger: Interval
    difference: Interval

    @property
    def title(self) -> str:
        """For people."""
        return self.name if self.kind == EVERYWHERE else f"{self.kind} {self.name}"

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is worse beyond what chance explains: the whole 95 % interval lies below 0."""
        return self.difference.upper < 0


class Maps(NamedTuple):
    """What a network made of held-out windows, and the threshold that it is used with."""

    judged: Sequence[Judged]
    threshold: float


def maps_of(predictor: Predictor, windows: Sequence[Window]) -> Maps:
    """At the threshold of all ground."""
    return Maps([judged_window(predictor, window) for window in windows], predictor.spec.threshold)


def compared(champion: Maps, challenger: Maps, groups: Groups, seed: int) -> list[Comparison]:
    """A comparison for each group of windows on which anything was to be found, and one for all ground."""
    counts = [counts_of(*maps) for maps in (champion, challenger)]
    sizes = [len(each) for each in counts[0]]
    one, other = map(np.concatenate, counts)
    told = (one.sum(1) > 0) | (other.sum(1) > 0)
    chosen = [(kind, name, told & np.repeat(mask, sizes)) for kind, name, mask in masks_of(groups)]
    found = [(kind, name, mask) for kind, name, mask in chosen if mask.any()]
    return [_comparison(kind, name, one[mask], other[mask], seed) for kind, name, mask in [*found, (EVERYWHERE, EVERYWHERE, told)]]


def _comparison(kind: str, name: str, one: NDArray[np.int64], other: NDArray[np.int64], seed: int) -> Comparison:
    return Comparison(kind, name, bootstrap_f1(one, seed), bootstrap_f1(other, seed), bootstrap_difference(one, other, seed))
