"""Sheets: the outlined pixel is the point's, colours are comparable between points, what has no data is grey."""

import io

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray

from udfs.sample_sheets import CELL_INCHES, DOTS, HEAD_INCHES, NEAR_PX, Shown, colours_of, picture, sheets, stretches

SIDE = 33
A = np.zeros((3, 3), np.float32)


def point(number: int, seed: int) -> Shown:
    """Dark ground by chance; the point's own pixel is red, the next ones green (right) and blue (below)."""
    random = np.random.default_rng(seed)
    values = random.uniform(0, 0.1, (3, SIDE, SIDE)).astype(np.float32)
    middle = SIDE // 2
    values[:, middle, middle], values[:, middle, middle + 1], values[:, middle + 1, middle] = np.eye(3)
    return Shown(number, dict(zip(("red", "green", "blue"), values, strict=True)))


def colour_at(sheet: NDArray[np.float32], left: float, top: float, right: int, down: int) -> NDArray[np.float32]:
    """The colour in the middle of a pixel `right` and `down` of the point's in the near view whose cell starts there, inches."""
    step = CELL_INCHES * 0.98 / NEAR_PX
    x, y = left + (NEAR_PX / 2 + right) * step, top + (NEAR_PX / 2 + down) * step + CELL_INCHES * 0.02
    return sheet[round(y * DOTS), round(x * DOTS), :3]


def test_the_outlined_pixel_is_the_point_s() -> None:
    (png,) = sheets([point(1, 3), point(2, 4)], 12, 2)
    sheet = imread(io.BytesIO(png))
    for left in (0.0, sheet.shape[1] / DOTS / 2):
        for (right, down), wanted in {(0, 0): [1, 0, 0], (1, 0): [0, 1, 0], (0, 1): [0, 0, 1]}.items():
            found = colour_at(sheet, left, HEAD_INCHES, right, down)
            assert (np.abs(found - wanted) < 0.3).all(), (left, right, down, found)
    yellow = (np.abs(sheet[:, : sheet.shape[1] // 2, :3] - [1, 1, 0]) < 0.02).all(axis=2)
    rows, cols = np.nonzero(yellow[: round((HEAD_INCHES + CELL_INCHES) * DOTS), : round(CELL_INCHES * DOTS)])
    step = CELL_INCHES * 0.98 * DOTS / NEAR_PX
    assert np.ptp(rows) < 1.3 * step and np.ptp(cols) < 1.3 * step


def test_sheets_hold_all_points_and_the_same_bytes_each_time() -> None:
    points = [point(number, number) for number in range(5)]
    first, second = (list(sheets(points, 2, 2)) for _ in range(2))
    assert len(first) == 3 and first == second and len(set(first)) == 3


def test_colours_follow_the_bands_and_one_stretch() -> None:
    assert list(colours_of({"swir1": A, "nir": A, "red": A, "green": A})) == ["SWIR, NIR, red", "NIR, red, green"]
    assert list(colours_of(dict.fromkeys(("blue", "green", "red", "nir", "swir1"), A))) == ["true colour", "SWIR, NIR, red"]
    dark, bright = (Shown(n, {b: np.full((3, 3), v, np.float32) for b in ("red", "green", "blue")}) for n, v in ((1, 0.1), (2, 0.3)))
    ends = stretches([dark, bright])
    names = ("red", "green", "blue")
    assert picture(dark.bands, names, ends).max() == 0 and picture(bright.bands, names, ends).min() == 1
    unknown = {**dark.bands, "green": np.full((3, 3), np.nan, np.float32)}
    assert (picture(unknown, names, ends) == 0.5).all()
