"""Strata of an image, from its own bands and never from a map: so a sample drawn before a map was made can judge any map."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.weak_labels import difference

Values = NDArray[np.float32]
Bins = NDArray[np.int64]
Counts = NDArray[np.int64]
Bands = Mapping[str, Values]
"""By common name."""

STRATA = ("vegetation", "edge", "dry", "wet")
EXPECTED = {"vegetation": 0.03, "edge": 0.5, "dry": 0.8, "wet": 0.2}
"""Built-up shares that allocation assumes: guesses cost precision, never truth."""
MARGIN = 1
"""Pixels around a pixel that decide whether it lies on an edge."""
INDEX_BINS, WET_BINS = 1024, 128
"""Of indices from -2 to 2, and from -1 to 1. Thresholds are edges of bins, so that counts and classes agree to the pixel."""
INDICES = ("ndbi_ndvi", "ndvi")


class Binned(NamedTuple):
    """Bins (height, width) of pixels, -1 without data: of the index that is high on built-up ground, and of wetness."""

    built: Bins
    wet: Bins


class Cuts(NamedTuple):
    """First bin of what looks built, and first bin of what is wet of that."""

    built: int
    wet: int


def built_index(bands: Bands, name: str) -> Values:
    """`ndbi_ndvi`: (swir1 - nir) / (swir1 + nir) - (nir - red) / (nir + red), after Zha et al. 2003; `ndvi`: the latter part alone.

    float32 -2 to 2, high where little grows; NaN where a band has none.
    """
    ndvi = _known_difference(bands["nir"], bands["red"])
    return -ndvi if name == "ndvi" else np.asarray(_known_difference(bands["swir1"], bands["nir"]) - ndvi, np.float32)


def wetness(bands: Bands) -> Values:
    """(green - swir1) / (green + swir1), Xu 2006, or with nir instead, McFeeters 1996, where there is no short-wave infrared."""
    return _known_difference(bands["green"], bands["swir1"] if "swir1" in bands else bands["nir"])


def _known_difference(first: Values, second: Values) -> Values:
    return np.where(np.isfinite(first + second), difference(first, second), np.float32(np.nan))


def bins_of(values: Values, limit: float, bins: int) -> Bins:
    """Which of `bins` equal parts of -limit to limit; -1 for NaN."""
    known = np.isfinite(values)
    scaled = (np.where(known, values, 0).astype(np.float64) + limit) * (bins / (2 * limit))
    return np.where(known, np.clip(np.floor(scaled), 0, bins - 1), -1).astype(np.int64)


def binned(bands: Bands, name: str) -> Binned:
    """Of bands with or without values."""
    return Binned(bins_of(built_index(bands, name), 2.0, INDEX_BINS), bins_of(wetness(bands), 1.0, WET_BINS))


def counted(found: Binned, valid: NDArray[np.bool_]) -> Counts:
    """Valid pixels by bins, flat (INDEX_BINS * WET_BINS)."""
    known = valid & (found.built >= 0) & (found.wet >= 0)
    return np.bincount(found.built[known] * WET_BINS + found.wet[known], minlength=INDEX_BINS * WET_BINS)


def cuts_of(counts: Counts) -> Cuts:
    """Otsu's thresholds: of the index over all pixels, and of wetness over those above it."""
    joint = counts.reshape(INDEX_BINS, WET_BINS)
    index = otsu(joint.sum(axis=1))
    return Cuts(index, otsu(joint[index:].sum(axis=0)))


def otsu(counts: Counts) -> int:
    """First bin of the upper class where the variance between two classes is largest; of equal ones the lowest. Otsu 1979."""
    numbers = np.arange(len(counts))
    below, total = np.cumsum(counts), counts.sum()
    moments = np.cumsum(counts * numbers)
    above = total - below
    apart = moments[-1] * below.astype(np.float64) - total * moments.astype(np.float64)
    between = np.divide(apart**2, below.astype(np.float64) * above, out=np.zeros(len(counts)), where=(below > 0) & (above > 0))
    return int(between.argmax()) + 1


def stratified(found: Binned, cuts: Cuts) -> NDArray[np.int64]:
    """Index into STRATA, -1 without data, (height - 2, width - 2): the image without its MARGIN.

    Edge: of the pixels with data in 3 x 3 some look built and others do not.
    """
    known = (found.built >= 0) & (found.wet >= 0)
    like = known & (found.built >= cuts.built)
    mixed = ndimage.maximum_filter(like, 2 * MARGIN + 1) & ndimage.maximum_filter(known & ~like, 2 * MARGIN + 1)
    number = {name: number for number, name in enumerate(STRATA)}
    plain = np.where(like, np.where(found.wet >= cuts.wet, number["wet"], number["dry"]), number["vegetation"])
    result = np.where(known, np.where(mixed, number["edge"], plain), -1)
    return np.asarray(result[MARGIN:-MARGIN, MARGIN:-MARGIN], np.int64)


def allocated(pixels: Mapping[str, int], points: int, least: int) -> dict[str, int]:
    """Points of each stratum, `points` in all: `least` each, the rest so that the sum is Neyman's, in proportion to pixels and
    sqrt(p (1 - p)) of EXPECTED. Cochran 1977, (5.26); Olofsson et al. 2014. Never more than it has pixels."""
    spread = {name: count * np.sqrt(EXPECTED[name] * (1 - EXPECTED[name])) for name, count in pixels.items() if count}
    given = {name: min(least, pixels[name]) for name in spread}
    while sum(given.values()) < min(points, sum(pixels.values())):
        # One by one to the stratum furthest below its share: integers without rounding rules.
        open_ = [name for name in spread if given[name] < pixels[name]]
        given[min(open_, key=lambda name: (given[name] + 0.5) / spread[name])] += 1
    return given
