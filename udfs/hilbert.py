"""Where polygons lie along a Hilbert curve. Neighbours on it are neighbours on the ground: readers skip what a box does not touch."""

import numpy as np
import pandas as pd
import shapely
from geopandas.geoseries import GeoSeries
from numpy.typing import NDArray

LEVEL, BUCKET_BITS = 16, 12
"""The curve fills 2^16 x 2^16 cells; its buckets are 2^12 equal parts of it."""


def hilbert_numbers(boxes: NDArray[np.float64], within: tuple[float, float, float, float]) -> NDArray[np.int64]:
    """0 to 2^32 - 1 of the middles of boxes (n, 4: xmin, ymin, xmax, ymax) in the box `within`."""
    middles = shapely.points((boxes[:, :2] + boxes[:, 2:]) / 2)
    numbers = GeoSeries(middles).hilbert_distance(total_bounds=within, level=LEVEL)  # type: ignore[no-untyped-call]
    return np.asarray(numbers, np.int64)


def files_of_buckets(sizes: pd.DataFrame, most: float) -> pd.DataFrame:
    """Rows (group, bucket, bytes) with `file`: consecutive buckets of a group are in one file until it has `most` bytes."""
    ordered = sizes.sort_values(["group", "bucket"], ignore_index=True)
    before = ordered.groupby("group")["bytes"].cumsum() - ordered["bytes"]
    return ordered.assign(file=(before // most).astype(int))
