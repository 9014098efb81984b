"""Two networks on the same held-out ground: by how much one is better, in each world region, and whether that may be chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.judging import BLOCK_PX, Judged
from models.metrics import Interval, block_counts, bootstrap_difference, bootstrap_f1

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

    def counts(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        """Hits, false alarms, misses (n, 3) of all blocks of some windows."""
        picked = [self.judged[number] for number in chosen]
        return np.concatenate([block_counts(item.probability >= self.threshold * 250, item.truth, item.valid, BLOCK_PX) for item in picked])


def compared(champion: Maps, challenger: Maps, regions: Sequence[str], seed: int) -> list[Comparison]:
    """A comparison for each region, by name, and one for all ground. `regions`: of the windows."""
    groups = {name: [number for number, region in enumerate(regions) if region == name] for name in sorted(set(regions))}
    return [_comparison(name, champion, challenger, chosen, seed) for name, chosen in {**groups, EVERYWHERE: range(len(regions))}.items()]


def _comparison(name: str, champion: Maps, challenger: Maps, chosen: Sequence[int], seed: int) -> Comparison:
    one, other = champion.counts(chosen), challenger.counts(chosen)
    told = (one.sum(1) > 0) | (other.sum(1) > 0)
    one, other = one[told], other[told]
    return Comparison(name, bootstrap_f1(one, seed), bootstrap_f1(other, seed), bootstrap_difference(one, other, seed))
