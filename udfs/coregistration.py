"""Images of one ground that lie a pixel or two beside each other: by how much, told by their edges, and laid upon each other."""

import itertools

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]

REACH_PX = 2
"""Offsets further than this are not looked for: they are no matter of registration."""
LEAST_LIKENESS, LEAST_GAIN = 0.25, 0.05
"""Correlation of edges that an offset must reach, and by which it must be above that of lying as they do: else the images stay."""


def offsets(images: Images, scale: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows and columns (T, 2) by which the image of each date lies beside that of the reference: the date with most data, of equals the
    first. Images (T, bands, height, width), NaN = no data; `scale` (bands,): what makes bands alike."""
    return offsets_from(int(np.isfinite(images).all(1).sum((1, 2)).argmax()), images, scale)


def offsets_from(reference: int, images: Images, scale: NDArray[np.float32]) -> NDArray[np.int64]:
    """The same, of a reference by its number."""
    edges = [_edges(image, scale) for image in images]
    return np.array([_offset(edges[reference], each) for each in edges], np.int64)


def aligned(images: Images, beside: NDArray[np.int64]) -> Images:
    """The images laid upon the reference; what comes in from outside has no data."""
    result = np.full_like(images, np.nan)
    height, width = images.shape[2:]
    for moved, image, (down, right) in zip(result, images, beside, strict=True):
        to = np.s_[:, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
        source = np.s_[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
        moved[to] = image[source]
    return result


def _edges(image: Images, scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """How steep the mean of the bands is (height - 2, width - 2); NaN beside no data."""
    mean = (image / scale[:, None, None]).mean(0)
    down, right = mean[2:, 1:-1] - mean[:-2, 1:-1], mean[1:-1, 2:] - mean[1:-1, :-2]
    return np.asarray(np.hypot(down, right), np.float32)


def _offset(reference: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[int, int]:
    steps = range(-REACH_PX, REACH_PX + 1)
    inner = reference[REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    height, width = inner.shape
    likeness = {
        (down, right): _likeness(inner, other[REACH_PX + down :][:height, REACH_PX + right :][:, :width])
        for down, right in itertools.product(steps, steps)
    }
    best = max(likeness, key=lambda step: (likeness[step], -abs(step[0]) - abs(step[1])))
    sure = likeness[best] >= max(LEAST_LIKENESS, likeness[0, 0] + LEAST_GAIN)
    return best if sure else (0, 0)


def _likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Correlation where both are known; 0 where little is."""
    known = np.isfinite(one) & np.isfinite(other)
    if known.sum() < one.size / 10:
        return 0.0
    first, second = (each[known].astype(np.float64) for each in (one, other))
    spread = float(first.std() * second.std())
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread if spread > 0 else 0.0
