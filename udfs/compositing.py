"""One image out of an epoch's dates, pixel by pixel; a date counts only where it is valid."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import ReadError
from udfs.grid import BLOCK_PX, Grid, PixelBounds
from udfs.images import ImagePool
from udfs.reading import read_scene, read_sound_part, strips
from udfs.scenes import Scene

Values = NDArray[np.float32]
Stack = list[Values]
"""Dates in order, each (bands, height, width), NaN in all bands where the date is not valid."""

CompositeName = Literal["median", "mean", "latest"]
STACK_PIXELS = 64 * 2**20
"""Values held at once while a composite is made: 256 MiB of float32."""


def median(dates: Stack) -> Values:
    """Median of the valid dates, of an even number the mean of the middle two; NaN where there is none."""
    if len(dates) == 1:
        return dates[0]
    count = np.asarray(np.sum([~np.isnan(values[0]) for values in dates], axis=0, dtype=np.int32))
    ordered = _sorted([np.where(np.isnan(values), np.float32(np.inf), values) for values in dates])
    result = np.full(dates[0].shape, np.nan, np.float32)
    for valid in np.unique(count[count > 0]):
        middle = (ordered[(valid - 1) // 2] + ordered[valid // 2]) * np.float32(0.5)
        np.copyto(result, middle, where=count == valid)
    return result


def _sorted(planes: Stack) -> Stack:
    """Planes in order at every pixel, by exchanging neighbours: for the few dates of an epoch faster than a sort along them."""
    for start in range(len(planes)):
        for lower in range(start % 2, len(planes) - 1, 2):
            below, above = planes[lower], planes[lower + 1]
            planes[lower], planes[lower + 1] = np.minimum(below, above), np.maximum(below, above)
    return planes


def mean(dates: Stack) -> Values:
    """Mean of the valid dates, summed in order of date; NaN where there is none."""
    total = np.zeros(dates[0].shape)
    count = np.zeros(dates[0].shape, np.int32)
    for values in dates:
        valid = ~np.isnan(values)
        total += np.where(valid, values, 0)
        count += valid
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def latest(dates: Stack) -> Values:
    """The last valid date's value; NaN where there is none."""
    result = dates[0].copy()
    for values in dates[1:]:
        np.copyto(result, values, where=~np.isnan(values))
    return result


COMPOSITES: dict[str, Callable[[Stack], Values]] = {"median": median, "mean": mean, "latest": latest}


class Region(NamedTuple):
    """A composite: `values` (bands, height, width), NaN without data; scene ids that gave pixels; scene id to its failure."""

    values: Values
    used: tuple[str, ...]
    failed: dict[str, ReadError]
    attempts: int
    sound: NDArray[np.bool_]
    """(height, width): pixels that scenes without any failure give."""


class _Inputs(NamedTuple):
    pool: ImagePool
    bands: tuple[str, ...]
    grid: Grid
    failed: dict[str, ReadError]


def composite_region(
    pool: ImagePool, scenes: tuple[Scene, ...], bands: tuple[str, ...], grid: Grid, bounds: PixelBounds, composite: str
) -> Region:
    """The composite over `bounds`. A scene is left out of the pixels it cannot be read for and no other: cutting never shows."""
    inputs = _Inputs(pool, bands, grid, {})
    values = np.full((len(bands), *bounds.shape_yx), np.nan, np.float32)
    valid = {scene.scene_id: np.zeros(bounds.shape_yx, bool) for scene in scenes}
    tries = 1
    by_date = sorted(scenes, key=lambda scene: (scene.datetime, scene.scene_id))
    for strip in strips(bounds, _rows_at_once(len(scenes), len(bands), bounds.shape_yx[1])):
        rows = slice(strip.top - bounds.top, strip.bottom - bounds.top)
        dates: Stack = []
        for scene in by_date:
            read, attempts = _readable(inputs, scene, strip)
            tries = max(tries, attempts)
            valid[scene.scene_id][rows] = ~np.isnan(read[0])
            if valid[scene.scene_id][rows].any():
                dates.append(read)
        if dates:
            values[:, rows] = COMPOSITES[composite](dates)
    used = tuple(sorted(name for name, pixels in valid.items() if pixels.any()))
    sound = [pixels for name, pixels in valid.items() if name not in inputs.failed]
    return Region(values, used, inputs.failed, tries, np.any(sound, axis=0) if sound else np.zeros(bounds.shape_yx, bool))


def _readable(inputs: _Inputs, scene: Scene, strip: PixelBounds) -> tuple[Values, int]:
    """What can be read of a scene, NaN for the rest, and the tries it took; a failure is noted."""
    pool, bands, grid, failed = inputs
    try:
        return read_scene(pool, scene, bands, grid, strip)
    except ReadError as error:
        failed.setdefault(scene.scene_id, error)
        tries = error.tries
    try:
        return read_sound_part(pool, scene, bands, grid, strip), tries
    except ReadError:  # noted already: not one pixel of it can be read
        return np.full((len(bands), *strip.shape_yx), np.nan, np.float32), tries


def _rows_at_once(scenes: int, bands: int, width: int) -> int:
    """Rows per strip: up to the blocks' height, fewer when many dates would not fit."""
    return max(16, min(BLOCK_PX, STACK_PIXELS // max(1, scenes * bands * width)))
