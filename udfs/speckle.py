"""Radar in linear units: the mean of dates in power instead of decibels, and speckle filters that hold against any cut of the work."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from conf.errors import InputError
from udfs.scenes import Scene

Values = NDArray[np.float32]
Power = NDArray[np.float64]
WINDOW_PX = 7
"""Side of the window of local means, pixels; odd."""
REACH_PX = WINDOW_PX // 2
"""Pixels around that a filtered pixel depends on."""
LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 IW GRD, high resolution (ESA, Sentinel-1 user guide, level-1 GRD resolutions)."""
MOST_DB = 100.0
"""No ground gives more, or less than its negative: undeclared fill values are taken for that, and sums stay finite."""


def to_power(decibels: NDArray[np.floating]) -> Power:
    """10^(dB/10), NaN kept. float64, so that a last bit that differs between processors is lost when results become float32."""
    return np.asarray(10.0 ** (np.clip(np.ascontiguousarray(decibels, np.float64), -MOST_DB, MOST_DB) / 10))


def to_decibels(power: Power) -> Values:
    """10 log10 of linear values > 0, NaN kept."""
    return (10 * np.log10(power)).astype(np.float32)


def local_mean(values: Power) -> Power:
    """Mean of the valid pixels in the window around each, (..., height, width), of one pattern of NaN; NaN where the pixel is.

    Outside the array nothing is valid. Every sum is taken in one order: a running one would depend on where the array begins.
    """
    valid = ~np.isnan(values)
    total = _window_sum(np.where(valid, values, 0.0))
    return np.asarray(np.divide(total, _window_sum(valid.astype(np.float64)), out=np.full(values.shape, np.nan), where=valid))


def _window_sum(values: Power) -> Power:
    ones = np.ones(WINDOW_PX)
    return np.asarray(correlate1d(correlate1d(values, ones, axis=-1, mode="constant"), ones, axis=-2, mode="constant"))


def lee(power: Power, looks: float = LOOKS) -> Power:
    """Lee's filter of one date, linear (..., height, width), NaN kept: mean + k (value - mean) of the window around each pixel.

    k = var(x) / var(I) with var(x) = (var(I) - mean^2 / looks) / (1 + 1 / looks), the least mean square error under multiplicative
    noise: Lee 1980, IEEE TPAMI 2(2), 165-168. Even ground becomes its mean, a lone bright target stays. Raises InputError.
    """
    if not looks > 0:
        raise InputError(f"looks {looks!r} is no number of looks; give one above 0, e.g. {LOOKS} for Sentinel-1 GRD")
    mean = local_mean(power)
    variance = np.maximum(local_mean(power**2) - mean**2, 0)
    signal = np.maximum(variance - mean**2 / looks, 0) / (1 + 1 / looks)
    share = np.divide(signal, variance, out=np.zeros(power.shape), where=variance > 0)
    return np.asarray(mean + share * (power - mean))


def inner(array: NDArray[Any], margin: int) -> NDArray[Any]:
    """(..., height, width) without `margin` pixels on every side."""
    return array[..., margin : array.shape[-2] - margin, margin : array.shape[-1] - margin]


class Despeckled:
    """Mean over dates of multitemporally filtered images, date by date, dB in and out; where one date is valid, Lee's filter of it.

    Quegan & Yu 2001, IEEE TGRS 39(11), 2373-2379: J_k = E[I_k] / N sum_i I_i / E[I_i], over the N dates valid at the pixel, E the local
    mean. The mean of the J_k is (sum_k E[I_k] / N) (sum_i I_i / E[I_i] / N): two running sums, so dates need not be held.
    """

    def __init__(self, shape: tuple[int, ...], looks: float) -> None:
        """`shape` (bands, height, width) of the result; what is added is REACH_PX larger on every side."""
        self._looks = looks
        self._means, self._ratios, self._single = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
        self._count = np.zeros(shape[1:], np.int32)

    def add(self, decibels: Values, scene: Scene) -> None:
        """Counts one more date, NaN in all bands where it is not valid."""
        valid = ~np.isnan(inner(decibels[0], REACH_PX))
        first = valid & (self._count == 0)
        for band, values in enumerate(decibels):
            power = to_power(values)
            mean = inner(local_mean(power), REACH_PX)
            self._means[band] += np.where(valid, mean, 0)
            self._ratios[band] += np.divide(inner(power, REACH_PX), mean, out=np.zeros(valid.shape), where=valid)
            if first.any():
                np.copyto(self._single[band], inner(lee(power, self._looks), REACH_PX), where=first)
        self._count += valid

    def result(self) -> Values:
        """dB, float32 (bands, height, width), NaN where no date is valid."""
        dates = np.maximum(self._count, 1)
        filtered = (self._means / dates) * (self._ratios / dates)
        return to_decibels(np.where(self._count > 1, filtered, self._single))
