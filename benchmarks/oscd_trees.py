"""Boosted trees on what two dates show at and around a pixel: what a learner without a network makes of the same labels."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import HistGradientBoostingClassifier

from models.series import ImageSeries

WIDTHS, ROUGHNESS = (1.0, 2.0, 4.0, 8.0), (1.5, 4.0)
"""Of Gaussians over differences, and over which values vary, pixels."""
MOST_CHANGED, MOST_UNCHANGED = 8_000, 20_000
"""Pixels of a city that are learned from; each stands for so many as were drawn from."""


def by_trees(others: list[ImageSeries], held: ImageSeries) -> NDArray[np.float64]:
    """Probability of change of the held pair (height, width)."""
    random = np.random.default_rng(0)
    parts = zip(*(_drawn(pair, random) for pair in others), strict=True)
    features, labels, weights = (np.concatenate(part) for part in parts)
    trees = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=200, l2_regularization=10, max_features=0.2, random_state=0
    ).fit(features, labels, sample_weight=weights)
    found = _features(held)
    return np.asarray(trees.predict_proba(found.reshape(len(found), -1).T)[:, 1].reshape(found.shape[1:]))


def _drawn(pair: ImageSeries, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    """Features, labels and weights of some of its pixels."""
    found, changed, known = _features(pair), pair.built[1], pair.known.all(0)
    numbers, weights = [], []
    for pixels, most in ((changed & known, MOST_CHANGED), (~changed & known, MOST_UNCHANGED)):
        every = np.flatnonzero(pixels)
        some = random.choice(every, min(most, len(every)), replace=False)
        numbers.append(some)
        weights.append(np.full(len(some), len(every) / max(len(some), 1)))
    picked = np.concatenate(numbers)
    return found.reshape(len(found), -1)[:, picked].T, changed.reshape(-1)[picked], np.concatenate(weights)


def _features(pair: ImageSeries) -> NDArray[np.float32]:
    """(features, height, width): the bands of both dates, their differences at several scales, how rough each date is."""
    first, second = np.nan_to_num(pair.values.astype(np.float32))
    apart = second - first
    far = np.linalg.norm(apart, axis=0)
    smooth = [part for width in WIDTHS for part in (*_blurred(apart, width), gaussian_filter(far, width))]
    rough = [
        np.sqrt(np.maximum(_blurred(date**2, width) - _blurred(date, width) ** 2, 0)) for width in ROUGHNESS for date in (first, second)
    ]
    return np.concatenate([first, second, apart, np.stack(smooth), *rough]).astype(np.float32)


def _blurred(bands: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    return np.stack([gaussian_filter(band, width) for band in bands])
