"""How sure a map is of itself: pixels near the threshold."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.rasters import NO_DATA, ONE, decode_raster

NEAR = round(0.1 * ONE)
"""Probabilities within this of the threshold, in steps of 1/250, are unsure."""
CERTAINTY_DDL = "valid bigint, built bigint, unsure bigint"


def certainty(probability: NDArray[np.uint8], threshold: int) -> tuple[int, int, int]:
    """Pixels with data, built-up ones, and unsure ones, of a raster 0-250, 255 no data."""
    valid = probability != NO_DATA
    built = valid & (probability >= threshold)
    unsure = valid & (np.abs(probability.astype(np.int16) - threshold) <= NEAR)
    return int(valid.sum()), int(built.sum()), int(unsure.sum())


def certainty_batches(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Shell: rows of (probability, threshold, tile_px) to counts, a row each."""
    for frame in frames:
        yield pd.DataFrame([_counts(row) for row in frame.itertuples()], columns=["valid", "built", "unsure"], dtype="int64")


def _counts(row: Any) -> tuple[int, int, int]:
    return certainty(decode_raster(row.probability, (row.tile_px, row.tile_px)), int(row.threshold))
