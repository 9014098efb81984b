"""Labels that belong to their images are told from those of other images, from shuffled ones and from one half of a town."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from models.agreement import chance_of_agreement
from models.augmentation import Normaliser
from models.windows import Window

SHAPE = (60, 84)
NORMALISE = Normaliser([0.3, 0.3], [0.2, 0.2], 5.0)


def ground(number: int) -> Window:
    """A rough town in a corner, faintly brighter in the second band than the land around."""
    random = np.random.default_rng(number)
    town = ndimage.gaussian_filter(random.normal(size=SHAPE), 3) > 0.05
    noise = ndimage.gaussian_filter(random.normal(size=(2, *SHAPE)), (0, 3, 3))
    values = 0.3 + noise + np.stack([np.zeros(SHAPE), 0.08 * town])
    weights = np.full(SHAPE, 10, np.uint8)
    weights[:7] = 0
    return Window(f"t{number}", "train", 1.0, values.astype(np.float16), np.where(town, 250, 0).astype(np.uint8), weights)


def chance(windows: list[Window], maps: NDArray[np.uint8] | None = None) -> float:
    blank = [np.full(SHAPE, 9, np.uint8)] * len(windows) if maps is None else list(maps)
    return chance_of_agreement(windows, blank, 4, NORMALISE, 1)


def test_labels_that_show_in_the_bands_or_in_the_map_agree() -> None:
    windows = [ground(number) for number in range(8)]
    assert chance(windows) <= 0.01
    bare = [window._replace(values=np.full_like(window.values, 0.3)) for window in windows]
    assert chance(bare, np.stack([window.labels // 5 * 2 + 40 for window in windows])) <= 0.01


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_other_images_and_shuffled_ones_do_not(seed: int) -> None:
    windows = [ground(10 * seed + number) for number in range(8)]
    others = [window._replace(labels=other.labels) for window, other in zip(windows, windows[1:] + windows[:1], strict=True)]
    assert chance(others) > 0.01
    random = np.random.default_rng(seed)
    assert chance([window._replace(labels=random.permutation(window.labels.ravel()).reshape(SHAPE)) for window in windows]) > 0.01


def test_labels_of_one_kind_tell_nothing() -> None:
    windows = [ground(number)._replace(labels=np.full(SHAPE, 250, np.uint8)) for number in range(8)]
    assert chance(windows) == 1
    assert chance([window._replace(weights=np.zeros(SHAPE, np.uint8)) for window in windows[:4]] + [ground(9)]) == 1
