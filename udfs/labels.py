"""Labels from footprints: rasterised, moved onto the image where they lie beside it, weighted by how sure they are."""

import datetime as dt
import math
from typing import Literal, NamedTuple

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from conf.windows import FULL_LABEL, FULL_WEIGHT

Rule = Literal["fraction", "centre", "any_touch"]
Shapes = NDArray[np.object_]
FINER = 8
"""Points along a pixel's side by which its covered share is counted."""
CHI_SQUARED_95 = 5.991
PER_DAY = 1 / (5 * 365.25)
"""Share of labels that a day between image and label makes doubtful: none is trusted after five years."""


class Shift(NamedTuple):
    """How far labels are to be moved, pixels down and right, to lie on the image; `fit`: R2 of the labels there, `fit_at_rest`: unmoved.

    `at_edge`: the best lies at the end of the search, so that the true one is not known."""

    down: float
    right: float
    fit: float
    fit_at_rest: float
    at_edge: bool

    def is_sure(self, footprints: int) -> bool:
        """Whether the labels fit better there than unmoved beyond what chance explains: a likelihood ratio with each footprint as one
        observation, against the 95 % quantile of chi-squared with two degrees of freedom (Wilks 1938)."""
        return footprints * math.log((1 - self.fit_at_rest) / max(1 - self.fit, 1e-9)) >= CHI_SQUARED_95

    @property
    def at_rest(self) -> "Shift":
        return Shift(0.0, 0.0, self.fit_at_rest, self.fit_at_rest, False)


def rasterised(shapes: Shapes, shape_yx: tuple[int, int], rule: Rule) -> NDArray[np.uint8]:
    """Labels 0-250 (height, width) of polygons in pixels (x right, y down) of a window: the share that they cover together, or whole
    where they hold the pixel's centre or touch it."""
    if not len(shapes):
        return np.zeros(shape_yx, np.uint8)
    if rule != "fraction":
        held = rasterio.features.rasterize(shapes, shape_yx, all_touched=rule == "any_touch", default_value=FULL_LABEL, dtype="uint8")
        return np.asarray(held)
    height, width = shape_yx
    finer = shapely.transform(shapes, lambda xy: xy * FINER)
    points = rasterio.features.rasterize(finer, (height * FINER, width * FINER), dtype="uint8")
    share = points.reshape(height, FINER, width, FINER).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(np.rint(share * FULL_LABEL), np.uint8)


def with_sealed(labels: NDArray[np.uint8], sealed: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Labels 0-250 of the share that footprints and sealed surfaces (0-1, NaN: not told) cover together; both (height, width)."""
    added = np.rint(np.nan_to_num(sealed, nan=0.0).clip(0, 1) * FULL_LABEL)
    return np.asarray(np.minimum(labels + added, FULL_LABEL), np.uint8)


def unsure_beside(covered: NDArray[np.uint8], reach: int) -> NDArray[np.bool_]:
    """Pixels (height, width) within `reach` of a footprint that footprints, 0-250, cover by less than a half: yards and streets, which
    may be sealed or not."""
    if reach == 0 or not covered.any():
        return np.zeros(covered.shape, bool)
    near = ndimage.distance_transform_edt(covered == 0) <= reach
    return np.asarray(near & (covered < FULL_LABEL / 2))


def estimated_shift(values: NDArray[np.float32], labels: NDArray[np.uint8], most: int) -> Shift | None:
    """Where labels (height, width) fit the image (bands, height, width; NaN = no data) best, up to `most` pixels away.

    Of every whole shift, the R2 of a linear regression of the labels on the bands and their gradients; a parabola through the best and
    its neighbours gives the rest. None where image or labels are the same all over, or less than a quarter has data.
    """
    known = np.asarray(np.isfinite(values).all(axis=0))
    inner = np.s_[most : known.shape[0] - most, most : known.shape[1] - most]
    sound = known[inner]
    if sound.mean() < 0.25 or not labels.any():
        return None
    features = _features(values, known)[:, *inner][:, sound]
    features = features - features.mean(axis=1, keepdims=True)
    basis = _orthonormal(features)
    if not len(basis):
        return None
    span = range(-most, most + 1)
    fits = np.array([[_fit(basis, np.roll(labels, (down, right), (0, 1))[inner][sound]) for right in span] for down in span])
    row, column = np.unravel_index(int(np.argmax(fits)), fits.shape)
    at_edge = row in (0, 2 * most) or column in (0, 2 * most)
    down = row - most + (0.0 if at_edge else _peak(fits[row - 1 : row + 2, column]))
    right = column - most + (0.0 if at_edge else _peak(fits[row, column - 1 : column + 2]))
    # Rounded, so that the last digits of a sum never show in a label.
    return Shift(round(float(down), 2), round(float(right), 2), float(fits[row, column]), float(fits[most, most]), bool(at_edge))


def _features(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bands, and how steep each is: (2 bands, height, width)."""
    filled = np.where(known, values, 0).astype(np.float64)
    steep = [ndimage.gaussian_gradient_magnitude(band, 1.0) for band in filled]
    return np.concatenate([filled, np.stack(steep)])


def _orthonormal(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """An orthonormal basis (k, n) of the span of centred features (m, n)."""
    size, turned = np.linalg.eigh(features @ features.T)
    kept = size > 1e-9 * max(size.max(), 1e-30)
    return np.asarray((turned[:, kept].T @ features) / np.sqrt(size[kept])[:, None])


def _fit(basis: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """R2 of labels (n,) on a centred orthonormal basis (k, n)."""
    centred = labels - labels.mean(dtype=np.float64)
    total = float(centred @ centred)
    return float(np.sum((basis @ centred) ** 2)) / total if total > 0 else 0.0


def _peak(three: NDArray[np.float64]) -> float:
    """Of the parabola through values at -1, 0, 1, the greatest in the middle."""
    below, middle, above = (float(value) for value in three)
    bend = below - 2 * middle + above
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (below - above) / bend, -0.5, 0.5))


def label_weights(labels: NDArray[np.uint8], sure: NDArray[np.float32], known: NDArray[np.bool_], days: float | None) -> NDArray[np.uint8]:
    """Tenths (height, width). Built ground counts by `sure` (0-1, of the footprints there); `days` from label to image: after the label
    buildings may have been added, before it they may not have stood yet; None: not known. 0 where the image has no data."""
    added, missing = (1.0, 1.0) if days is None else (max(0.0, 1 - PER_DAY * max(days, 0)), max(0.0, 1 - PER_DAY * max(-days, 0)))
    weights = np.where(labels > 0, sure * np.float32(missing), np.float32(added))
    return np.where(known, np.rint(FULL_WEIGHT * weights), 0).astype(np.uint8)


def days_from_label(image: dt.date, labels: list[dt.date | None]) -> float | None:
    """Days from the middle label date to the image; None where no label has one."""
    known = [day.toordinal() for day in labels if day is not None]
    return float(image.toordinal() - np.median(known)) if known else None


def perceptual_hash(values: NDArray[np.float32]) -> int | None:
    """64 bits that stay much the same under other light and little shifts: where the mean of the bands (bands, height, width) falls
    from left to right, in 8 x 9 cells (dHash). None where an eighth of it or more has no data, or all cells are alike."""
    brightness = values.mean(axis=0)
    if np.isnan(brightness).mean() >= 1 / 8:
        return None
    filled = np.where(np.isnan(brightness), np.nanmean(brightness), brightness)
    rows, columns = (np.linspace(0, size, count + 1).astype(int) for size, count in zip(filled.shape, (8, 9), strict=True))
    sums = np.add.reduceat(np.add.reduceat(filled, rows[:-1], 0), columns[:-1], 1)
    cells = sums / np.outer(np.diff(rows), np.diff(columns))
    if np.ptp(cells) < 1e-6 * max(abs(float(cells.mean())), 1e-6):
        return None
    bits = np.packbits(cells[:, 1:] < cells[:, :-1])
    return int.from_bytes(bits.tobytes(), "big", signed=True)
