"""Labels without a labeller: what spectral rules are sure of, cleaned by morphology; the rest stays unlabelled.

After the idea of WSF Evolution (Marconcini et al. 2021): indices of vegetation, water and built-up, then morphology.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from conf.windows import FULL_LABEL, FULL_WEIGHT

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Bands = Mapping[str, Values]


DOUBTFUL_WEIGHT = FULL_WEIGHT // 2
"""What a rule says that a network should say, too."""
SURE_WEIGHT, DRY_FLAT_WEIGHT = 2, 4
"""How much ground counts of which the rules are sure: water; and what was water at another date, which is little and the hardest to tell
from roofs."""
SETTLED_PX = 21
"""Side of the square whose share of bare rough ground tells a settlement."""


class WeakLabels(NamedTuple):
    """uint8 (height, width): labels 0 or 250; weights 0 where no rule tells, 10 where one does, less where it is doubtful, more where it
    is sure."""

    labels: NDArray[np.uint8]
    weights: NDArray[np.uint8]


def difference(first: Values, second: Values) -> Values:
    """Normalised difference (first - second) / (first + second), -1 to 1; 0 where both are 0."""
    total = first + second
    ratio = np.divide(first - second, total, out=np.zeros_like(total), where=np.abs(total) > 1e-6)
    return np.asarray(ratio.clip(-1, 1), np.float32)


def sentinel2_rules(series: Sequence[Bands], index: int) -> WeakLabels:
    """Of reflectances. Built, but doubtful: bare, dry, rough ground amid more of the same at every date; rough bare hills pass for it.
    Not built: water of any date; what is green at any date, smooth over 70 m at every date, or far from settlements; and, but doubtful,
    what is green now, mud, or out of settlements, where gardens and lone houses lie."""
    bands = series[index]
    wet_at = [_wet(date) for date in series]
    wet = np.any(wet_at, axis=0)
    rough = [_bare_rough(date) & ~wet for date in series]
    settled = [_share(mask, SETTLED_PX) for mask in rough]
    green_at = [difference(date["B8A"], date["B04"]) for date in series]
    smooth = _opened(np.max([_spread(_visible(date), 3) for date in series], axis=0) < 0.005, 3)
    shores = ndimage.binary_dilation(_opened(wet, 1), iterations=2)
    open_ground = smooth | (np.max(green_at, axis=0) > 0.5)
    built = rough[index] & (np.min(settled, axis=0) > 0.3) & ~shores & ~open_ground
    firm = open_ground | (np.max(settled, axis=0) < 0.08)
    doubtful = built | (green_at[index] > 0.42) | _mud(bands, rough[index]) | (np.max(settled, axis=0) < 0.25)
    surely_wet = _cleaned(wet, 1)
    sure = np.where(wet_at[index], SURE_WEIGHT, DRY_FLAT_WEIGHT) * FULL_WEIGHT
    weights = np.select([surely_wet, firm, doubtful], [sure, FULL_WEIGHT, DOUBTFUL_WEIGHT], 0)
    return _weak(built, np.where(np.isfinite(bands["B03"]), weights, 0))


def landsat_rules(series: Sequence[Bands], index: int) -> WeakLabels:
    """Of stretched values: built where short-wave infrared outshines a weak near infrared, amid more of the same, and stays so.

    Rivers move and cities stay: what is water at any date of the series is never built, what is built is so at all later dates.
    """
    ever_water = np.any([_water(bands) for bands in series], axis=0)
    banks = ndimage.binary_dilation(_opened(ever_water, 1), iterations=2)
    dense = np.min([_density(bands) for bands in series[index:]], axis=0)
    built = _opened(_built_like(series[index]) & ~banks & (dense > 0.4), 1)
    bands = series[index]
    not_built = _cleaned(bands["nir"] - bands["red"] > 0.3, 0) | banks | (dense < 0.1)
    return _weak(built, np.where((built | not_built) & np.isfinite(bands["green"]), FULL_WEIGHT, 0))


RULES: dict[str, Callable[[Sequence[Bands], int], WeakLabels]] = {"sentinel2": sentinel2_rules, "landsat": landsat_rules}


def _wet(bands: Bands) -> Mask:
    return np.asarray((difference(bands["B03"], bands["B11"]) > 0.1) & (bands["B11"] < 0.07))


def _visible(bands: Bands) -> Values:
    return (bands["B02"] + bands["B03"] + bands["B04"]) / np.float32(3)


def _bare_rough(bands: Bands) -> Mask:
    """Without much green, no shade, and unlike its neighbours in visible light, as roofs, streets and yards side by side are."""
    bare = difference(bands["B8A"], bands["B04"]) < 0.28
    return np.asarray(bare & (_spread(_visible(bands), 9) > 0.008) & (bands["B11"] > 0.08))


def _mud(bands: Bands, rough: Mask) -> Mask:
    """Dark and alike over 90 m, with little rough ground around."""
    dark = (_spread(bands["B08"], 9) < 0.009) & (_spread(bands["B04"], 9) < 0.007) & (bands["B04"] < 0.16)
    return _opened(dark & (_share(rough, 31) < 0.25), 1)


def _water(bands: Bands) -> Mask:
    return (bands["nir"] < 0.25) & (bands["swir1"] < 0.3)


def _built_like(bands: Bands) -> Mask:
    bright = (bands["green"] + bands["red"]) / 2
    return (bands["nir"] - bands["red"] < 0.12) & (bands["swir1"] - bands["nir"] > -0.05) & (bright > 0.25) & ~_water(bands)


def _density(bands: Bands) -> Values:
    """Share of built-like pixels in 7 x 7."""
    return _share(_built_like(bands), 7)


def _spread(band: Values, side: int) -> Values:
    """Standard deviation in side x side pixels."""
    mean = ndimage.uniform_filter(band, side)
    return np.asarray(np.sqrt(np.maximum(ndimage.uniform_filter(band**2, side) - mean**2, 0)), np.float32)


def _share(mask: Mask, side: int) -> Values:
    """Share of the mask in side x side pixels."""
    return np.asarray(ndimage.uniform_filter(mask.astype(np.float32), side))


def _opened(mask: Mask, steps: int) -> Mask:
    return np.asarray(ndimage.binary_opening(mask, iterations=steps))


def _cleaned(mask: Mask, margin: int) -> Mask:
    """Without specks, and without its outer `margin` pixels, where pixels are mixed."""
    opened = _opened(mask, 1)
    return np.asarray(ndimage.binary_erosion(opened, iterations=margin)) if margin else opened


def _weak(built: Mask, weights: NDArray[np.int64]) -> WeakLabels:
    return WeakLabels(np.where(built, FULL_LABEL, 0).astype(np.uint8), weights.astype(np.uint8))
