"""Where a probability begins to count: for all ground, and for a world region that has enough of its own to tell."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.judging import BLOCK_PX
from models.metrics import threshold_of_best_f1, threshold_of_equal_area

THRESHOLDS: dict[str, Callable[[NDArray[np.float64], NDArray[np.bool_]], float]] = {
    "best_f1": threshold_of_best_f1,
    "equal_area": threshold_of_equal_area,
    "half": lambda probabilities, labels: 0.5,
}
ENOUGH, PRIOR = 16, 64
"""Squares of BLOCK_PX pixels: a region with fewer labelled ones has no threshold of its own; all ground together counts as PRIOR."""


def region_thresholds(
    probabilities: Sequence[NDArray[np.float64]], labels: Sequence[NDArray[np.bool_]], regions: Sequence[str], rule: str, everywhere: float
) -> dict[str, float]:
    """World region to its threshold by `rule`, drawn towards that of all ground: (n own + PRIOR everywhere) / (n + PRIOR), n its squares.

    Sequences are over windows, arrays (n,) over their labelled pixels. Regions that have too little, or one kind only, are left out."""
    found = {}
    for region in sorted(set(regions)):
        chosen = [number for number, name in enumerate(regions) if name == region]
        own, known = (np.concatenate([arrays[number] for number in chosen]) for arrays in (probabilities, labels))
        squares = known.size / BLOCK_PX**2
        if squares >= ENOUGH and known.any() and not known.all():
            found[region] = round((squares * THRESHOLDS[rule](own, known) + PRIOR * everywhere) / (squares + PRIOR), 2)
    return found
