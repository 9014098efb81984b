"""A town of houses at all angles on a grid of 0.5 m, drawn piece by piece: any bounds show the same pixels of the same houses."""

import numpy as np
import shapely
from numpy.typing import NDArray
from pandas.util import hash_array
from rasterio.features import rasterize
from scipy import ndimage

from udfs.grid import PixelBounds
from udfs.rasters import ONE

PITCH, VACANT = 26, 0.03
"""Pixels from house to house, and the share of plots that have none: some 375 houses in a tile of 512 pixels."""
REACH = 20
"""Pixels around that a pixel may depend on: half a house and its shift, or what filters see."""
STEEPNESS, NOISE = 3.0, 0.08
DEEPEST = 10
DEVIATION = (1 / 12) ** 0.5 / (2 * np.pi**0.5 * 2.5)
"""Of numbers between 0 and 1 that a Gaussian of 2.5 pixels has smoothed."""
Raster = NDArray[np.uint8]
Floats = NDArray[np.float64]


def drawn(bounds: PixelBounds) -> tuple[Raster, Raster]:
    """Probability and depth of pixels, as networks tell them: outlines blurred and ragged; depth 250 from ten pixels inside."""
    around = bounds.grown(REACH)
    house = _numbered(around)
    soft = ndimage.gaussian_filter((house > 0).astype(float), 1.5) + NOISE * _noise(around)
    probability = np.rint(ONE * np.clip(STEEPNESS * (soft - 0.5) + 0.5, 0, 1)).astype(np.uint8)
    plus = ndimage.generate_binary_structure(2, 1)
    within = (house > 0) & (ndimage.minimum_filter(house, footprint=plus) == ndimage.maximum_filter(house, footprint=plus))
    inside = np.where(house > 0, ndimage.distance_transform_edt(within) + 1, 0)
    depth = np.rint(ONE / DEEPEST * np.minimum(inside, DEEPEST)).astype(np.uint8)
    own = np.s_[REACH:-REACH, REACH:-REACH]
    return probability[own], depth[own]


def count_of_houses(bounds: PixelBounds) -> int:
    """How many have their middle in the bounds."""
    _, middles = houses(bounds)
    x, y = middles.real, middles.imag
    return int(((x >= bounds.left) & (x < bounds.right) & (y >= bounds.top) & (y < bounds.bottom)).sum())


def houses(bounds: PixelBounds) -> tuple[NDArray[np.object_], NDArray[np.complex128]]:
    """All that reach into the bounds, and some beside, in pixels of the grid: polygons and middles x + iy."""
    near = bounds.grown(PITCH)
    row, col = (
        axis.ravel() for axis in np.mgrid[near.top // PITCH : near.bottom // PITCH + 1, near.left // PITCH : near.right // PITCH + 1]
    )
    vacant, angle, width, depth, notch, x, y = (_random(row, col, number) for number in range(1, 8))
    built = vacant >= VACANT
    half_width, half_depth, notch = 7 + 5 * width, 6 + 4 * depth, np.where(notch < 0.5, 0, 8 * notch - 3)
    outline = np.stack(
        [
            -half_width - 1j * half_depth, half_width - 1j * half_depth, half_width + 1j * (half_depth - notch),
            half_width - notch + 1j * (half_depth - notch), half_width - notch + 1j * half_depth, -half_width + 1j * half_depth,
        ], axis=1,
    )  # fmt: skip
    middle = PITCH * (col + 0.5) + 5 * (x - 0.5) + 1j * (PITCH * (row + 0.5) + 5 * (y - 0.5))
    corners = (outline * np.exp(1j * np.pi * angle)[:, None] + middle[:, None])[built]
    polygons: NDArray[np.object_] = shapely.polygons(np.stack([corners.real, corners.imag], axis=2))
    return polygons, middle[built]


def _numbered(bounds: PixelBounds) -> NDArray[np.int32]:
    """Of each pixel the house, later ones over earlier ones; 0 outside."""
    polygons, _ = houses(bounds)
    here = shapely.transform(polygons, lambda xy: xy - (bounds.left, bounds.top))
    found: NDArray[np.int32] = rasterize(zip(here, range(1, len(here) + 1), strict=True), bounds.shape_yx, dtype="int32")
    return found


def _noise(bounds: PixelBounds) -> Floats:
    """Neighbouring pixels share it; standard deviation 1."""
    rows, cols = np.mgrid[bounds.top : bounds.bottom, bounds.left : bounds.right]
    smooth: Floats = ndimage.gaussian_filter(_random(rows, cols, 0) - 0.5, 2.5)
    return smooth / DEVIATION


def _random(row: NDArray[np.int64], col: NDArray[np.int64], number: int) -> Floats:
    """0 to 1 by place; `number` (0 to 15) makes several at each."""
    place = (row << 34) + (col << 4) + number
    return (hash_array(place.ravel()) / 2.0**64).reshape(place.shape)
