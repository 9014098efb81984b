"""Cores of buildings: what tells buildings side by side apart, where the network tells how deep inside a building a pixel lies."""

import numpy as np
from numpy.typing import NDArray

from udfs.components import label_components
from udfs.rasters import ONE

Labels = NDArray[np.int32]
Raster = NDArray[np.uint8]

DEEP = 50
"""Depth, of 250 for ten pixels, from which pixels are a core: two pixels."""
LEAST_CORE_PX = 4


def cores_of(depth: Raster, labels: Labels, count: int) -> NDArray[np.int64]:
    """Cores in each of `count` components of a label array (height, width); at the array's border also smaller ones, which may go on."""
    cores, number = label_components((depth >= DEEP) & (labels > 0))
    kept = _large(cores, number)
    for line in (cores[0], cores[-1], cores[:, 0], cores[:, -1]):
        kept[line] = True
    owner = np.zeros(number + 1, np.int64)
    owner[cores.ravel()] = labels.ravel()
    return np.bincount(owner[1:][kept[1:]], minlength=count + 1)[1:]


def parted(depth: Raster, inside: NDArray[np.bool_]) -> Labels:
    """Buildings of one component `inside` (height, width), numbered from 1 by their cores' first pixels: a watershed on depth (Meyer 1994,
    Signal Processing 38, 113). All 1 where there is one core or none; 0 outside."""
    from skimage.segmentation import watershed

    cores, count = label_components((depth >= DEEP) & inside)
    large = _large(cores, count)
    large[0] = False
    if large.sum() < 2:
        return inside.astype(np.int32)
    markers = np.where(large, np.cumsum(large), 0).astype(np.int32)[cores]
    found: Labels = watershed(ONE - depth, markers, connectivity=1, mask=inside)  # type: ignore[no-untyped-call]
    return found


def _large(cores: Labels, count: int) -> NDArray[np.bool_]:
    return np.asarray(np.bincount(cores.ravel(), minlength=count + 1) >= LEAST_CORE_PX)
