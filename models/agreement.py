"""Do labels belong to the ground they lie on? Labels of other places, or shuffled ones, agree with no image of theirs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conf.windows import FULL_LABEL
from models.augmentation import Normaliser
from models.windows import Window

DRAWS = 999
MOST_PIXELS = 200_000
"""Enough for a line through the bands and the map; pixels are taken at even distances."""
Floats = NDArray[np.float64]


def chance_of_agreement(
    windows: Sequence[Window], maps: Sequence[NDArray[np.uint8]], learned: int, normalise: Normaliser, seed: int
) -> float:
    """Probability 0-1 that labels foreign to their images would agree with them as well as these do.

    A logistic regression on the bands and a network's map is learned from the first `learned` windows; in the others its probability
    is compared with the labels, where they lie and moved round each window at random, its edges joined (a test by toroidal shifts).
    1 where the first or the others hold labels of one kind only."""
    features = [_features(*pair, normalise) for pair in zip(windows, maps, strict=True)]
    told = _regressed(windows, features, learned)
    fits = [_fits(window, values) for window, values in zip(windows[learned:], told, strict=True)]
    random = np.random.default_rng(seed)
    at_rest = sum(float(fit[0, 0]) for fit in fits)
    drawn = np.sum([fit[tuple(random.integers(0, size, DRAWS) for size in fit.shape)] for fit in fits], axis=0)
    return float(1 + (drawn >= at_rest).sum()) / (1 + DRAWS)


def _features(window: Window, mapped: NDArray[np.uint8], normalise: Normaliser) -> Floats:
    """(height, width, bands + 1)."""
    import torch

    bands = normalise(torch.from_numpy(window.values.astype(np.float32))).numpy()
    return np.asarray(np.concatenate([bands, mapped[None] / np.float32(FULL_LABEL)]).transpose(1, 2, 0), np.float64)


def _regressed(windows: Sequence[Window], features: list[Floats], learned: int) -> list[Floats]:
    """Of the windows from number `learned` on, probabilities (height, width) by what the others tell."""
    from sklearn.linear_model import LogisticRegression

    known = [window.weights > 0 for window in windows[:learned]]
    values = np.concatenate([each[mask] for each, mask in zip(features, known, strict=False)])
    built = np.concatenate([window.labels[mask] >= FULL_LABEL / 2 for window, mask in zip(windows, known, strict=False)])
    step = max(1, len(built) // MOST_PIXELS)
    if built[::step].all() or not built[::step].any():
        return [np.zeros(window.labels.shape) for window in windows[learned:]]
    line = LogisticRegression(max_iter=1000).fit(values[::step], built[::step])  # type: ignore[no-untyped-call]
    return [line.predict_proba(each.reshape(-1, each.shape[2]))[:, 1].reshape(each.shape[:2]) for each in features[learned:]]


def _fits(window: Window, told: Floats) -> Floats:
    """Covariance (height, width) of labels with `told`, for each shift of the labels round the window."""
    known = window.weights > 0
    if not known.any():
        return np.zeros(known.shape)
    labels, values = ((each - each[known].mean()) * known for each in (window.labels / FULL_LABEL, told))
    return np.asarray(np.fft.irfft2(np.fft.rfft2(labels).conj() * np.fft.rfft2(values), labels.shape))
