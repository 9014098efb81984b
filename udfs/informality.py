"""How informal a quarter looks from above: what an image of 10 to 30 m shows of cells of about 100 m. A proxy of morphology; how people
live there it cannot tell.

Kernels. Each measure follows from sums over a cell's pixels, so that a cell may lie in any number of tiles. Signs of deprived quarters as
in Kohli et al. 2012, An ontology of slums for image-based classification: small houses, packed, without green and without order."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BANDS = ("red", "nir", "swir1", "swir2")
"""Common names of the bands that are asked, in order."""
MEASURES = ("ndvi", "swir_ratio", "contrast", "alignment")
SUMS = ("pixels", *BANDS, "swir1_steep", "red_steep", "red_cos", "red_sin")
"""Of a cell: pixels with data; sums of the bands; of squared gradients of swir1 and red, per pixel; of those of red times cosine and sine
of four times their direction."""
FIXED_POINT = 2.0**30
"""Sums are whole numbers, so that the order of additions cannot matter."""


class Anchors(NamedTuple):
    """Of each measure the value that speaks against an informal quarter, 0, and for it, 1."""

    ndvi: tuple[float, float]
    swir_ratio: tuple[float, float]
    contrast: tuple[float, float]
    alignment: tuple[float, float]


def pixel_terms(image: Values, known: NDArray[np.bool_], aspect: float | Floats) -> Ints:
    """Terms of SUMS of each pixel, int64 (9, height, width), 0 where it or a neighbour has no data or it is not `known` (height, width).

    `image` float32 (4, height + 2, width + 2): BANDS, with a pixel around, NaN = no data. `aspect`: height of a pixel over its width, of
    all or (height, 1) of the rows."""
    inner = image[:, 1:-1, 1:-1].astype(np.float64)
    (red_x, red_y), (swir_x, swir_y) = (_gradient(image[band], aspect) for band in (0, 2))
    steep = red_x**2 + red_y**2
    # cos 4a and sin 4a of a direction (x, y), times its squared length.
    cosine = np.divide(red_x**4 - 6 * red_x**2 * red_y**2 + red_y**4, steep, out=np.zeros_like(steep), where=steep > 0)
    sine = np.divide(4 * red_x * red_y * (red_x**2 - red_y**2), steep, out=np.zeros_like(steep), where=steep > 0)
    terms = np.stack([*inner, swir_x**2 + swir_y**2, steep, cosine, sine])
    counted = known & np.isfinite(terms).all(axis=0)
    whole = np.rint(np.where(counted, terms, 0) * FIXED_POINT).astype(np.int64)
    return np.concatenate([counted[None].astype(np.int64), whole])


def _gradient(band: Values, aspect: float | Floats) -> tuple[Floats, Floats]:
    """Central differences eastwards and southwards, per width of a pixel; NaN beside no data."""
    values = band.astype(np.float64)
    return (values[1:-1, 2:] - values[1:-1, :-2]) / 2, (values[2:, 1:-1] - values[:-2, 1:-1]) / (2 * aspect)


def cell_sums(terms: Ints, top: int, left: int, cell_px: int) -> tuple[Ints, Ints, Ints]:
    """Sums of terms (n, height, width), whose first pixel is (top, left) of the grid, over fixed cells: rows and columns of cells (m,), and
    (m, n)."""
    rows, row_starts = _cells_along(top, terms.shape[1], cell_px)
    columns, column_starts = _cells_along(left, terms.shape[2], cell_px)
    sums = np.add.reduceat(np.add.reduceat(terms, row_starts, axis=1), column_starts, axis=2)
    return np.repeat(rows, len(columns)), np.tile(columns, len(rows)), sums.reshape(len(terms), -1).T


def _cells_along(start: int, length: int, cell_px: int) -> tuple[Ints, Ints]:
    """Numbers of the cells that pixels [start, start + length) meet, and where each begins among them."""
    numbers = np.arange(start // cell_px, (start + length - 1) // cell_px + 1)
    return numbers, np.maximum(numbers * cell_px - start, 0)


def measures_of(sums: pd.DataFrame) -> Floats:
    """MEASURES of cells, (n, 4), from columns SUMS; NaN where a band is 0 or below, or nothing has an edge.

    ndvi: (nir - red) / (nir + red). swir_ratio: swir2 / swir1, high over roofs and bare ground, low where green or moist. contrast: root of
    the mean squared gradient of swir1 over its mean, low where houses are smaller than a pixel. alignment: length of the mean of squared
    gradients of red turned to four times their direction, over their mean: 1 where all edges are at right angles, 0 where none prevail."""
    red, nir, swir1, swir2, swir_steep, steep, cosine, sine = (sums[name].to_numpy(np.float64) / FIXED_POINT for name in SUMS[1:])
    count = sums["pixels"].to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.stack(
            [(nir - red) / (nir + red), swir2 / swir1, np.sqrt(swir_steep / count) / (swir1 / count), np.hypot(cosine, sine) / steep],
            axis=1,
        )
    lit = (red > 0) & (nir > 0) & (swir1 > 0) & (swir2 > 0)
    return np.where(lit[:, None] & np.isfinite(found), found, np.nan)


def score_of(measures: Floats, anchors: Anchors) -> Floats:
    """Geometric mean of the measures (n, 4), each scaled between its anchors and cut at 0 and 1: one that speaks against it is enough. NaN
    where a measure is not known."""
    low, high = np.array(anchors, np.float64).T
    scaled = np.clip((measures - low) / (high - low), 0, 1)
    return np.asarray(np.prod(scaled, axis=1) ** (1 / len(MEASURES)), np.float64)
