"""Two networks on the same held-out ground: by how much one is better, in each world region, and whether that may be chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging import Judged, counts_of
from models.metrics import Interval, bootstrap_difference, bootstrap_f1

EVERYWHERE = "all"


class Comparison(NamedTuple):
    """Pixel F1 of the champion and the challenger on a region's ground, and their difference (challenger less champion)."""

    region: str
    champion: Interval
    challenger: Interval
    difference: Interval

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is worse beyond what chance explains: the whole 95 % interval lies below 0."""
        return self.difference.upper < 0


class Maps(NamedTuple):
    """What a network made of held-out windows, and the threshold that it is used with."""

    judged: Sequence[Judged]
    threshold: float


def compared(champion: Maps, challenger: Maps, regions: Sequence[str], seed: int) -> list[Comparison]:
    """A comparison for each region, by name, and one for all ground. `regions`: of the windows."""
    counts = [counts_of(*maps) for maps in (champion, challenger)]
    named = np.repeat(regions, [len(each) for each in counts[0]])
    one, other = map(np.concatenate, counts)
    told = (one.sum(1) > 0) | (other.sum(1) > 0)
    groups = {**{name: told & (named == name) for name in sorted(set(regions))}, EVERYWHERE: told}
    return [_comparison(name, one[chosen], other[chosen], seed) for name, chosen in groups.items()]


def _comparison(name: str, one: NDArray[np.int64], other: NDArray[np.int64], seed: int) -> Comparison:
    return Comparison(name, bootstrap_f1(one, seed), bootstrap_f1(other, seed), bootstrap_difference(one, other, seed))
