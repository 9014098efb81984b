"""One image out of an epoch's dates; a date counts only where it is valid. Any number of dates, in bounded memory."""

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError, ReadError
from conf.sensors import SENSORS
from udfs.choosing import Blocks, blocks_around
from udfs.composites import COMPOSITES, Composite
from udfs.grid import BLOCK_PX, Grid, PixelBounds, Tile
from udfs.images import ImagePool
from udfs.masks import WaterDates, tells_water
from udfs.reading import read_scene, read_sound_part
from udfs.scenes import Scene
from udfs.speckle import LOOKS, inner

Values = NDArray[np.float32]
Found = dict[str, list[tuple[tuple[slice, slice], NDArray[np.uint8]]]]
"""Scene id to the parts of the result where it has valid pixels, and which those are, eight in a byte."""
HELD_BYTES = 256 * 2**20
"""Most bytes held at once while a composite is made, whatever the number of dates; besides them its result and a bit a scene and pixel."""


Chosen = Callable[[PixelBounds], NDArray[np.bool_]]
"""From bounds on the grid to the pixels (height, width) that a scene is chosen for."""


def chosen_pixels(tile: Tile, blocks: dict[str, NDArray[np.bool_]]) -> dict[str, Chosen]:
    """Scene id to its pixels, from the blocks of a tile and REACH_BLOCKS around it, (side, side), for which it is chosen."""
    corner = blocks_around(tile.pixels)
    return {name: partial(_pixels_of_blocks, chosen, corner) for name, chosen in blocks.items()}


def _pixels_of_blocks(chosen: NDArray[np.bool_], corner: Blocks, bounds: PixelBounds) -> NDArray[np.bool_]:
    rows = np.arange(bounds.top, bounds.bottom) // BLOCK_PX - corner.top
    columns = np.arange(bounds.left, bounds.right) // BLOCK_PX - corner.left
    return np.asarray(chosen[rows][:, columns])


class Region(NamedTuple):
    """A composite: `values` (bands, height, width), NaN without data; scene ids that gave pixels; scene id to its failure."""

    values: Values
    used: tuple[str, ...]
    failed: dict[str, ReadError]
    attempts: int
    sound: NDArray[np.bool_]
    """(height, width): pixels that scenes without any failure give."""
    pixels: dict[str, int]
    """Scene id, of all that were asked for, to the number of pixels for which it is valid."""
    water: NDArray[np.bool_] | None = None
    """(height, width): permanent water by the scenes' own classes; None: not asked for."""
    begins: tuple[int, ...] = (0,)
    """The first band of each sensor, and of each date where several lie one upon the other. One without data at a pixel is NaN there
    in all of its own."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(height, width): pixels of which a sensor has data."""
        return np.asarray(~np.isnan(self.values[list(self.begins)]).all(axis=0))


class _Work(NamedTuple):
    pool: ImagePool
    scenes: list[Scene]
    bands: tuple[str, ...]
    grid: Grid
    how: Composite
    looks: float
    chosen: dict[str, Chosen]
    failed: dict[str, ReadError]
    attempts: list[int]
    found: Found
    water_share: float | None
    water: NDArray[np.bool_] | None


def composite_region(
    pool: ImagePool, scenes: tuple[Scene, ...], bands: tuple[str, ...], grid: Grid, bounds: PixelBounds, composite: str,
    *, reference: dt.date | None = None, looks: float = LOOKS, chosen: dict[str, Chosen] | None = None,
    water_share: float | None = None, dates: int = 1,
) -> Region:  # fmt: skip
    """The composite over `bounds`. A scene is left out of the pixels it cannot be read for and no other: cutting never shows.

    `chosen`: where scenes are not meant for all that they cover.
    `reference`: the epoch's reference date, for best_date and dates; `looks`: equivalent number of looks, for despeckled;
    `water_share`: of the clear dates of a pixel at which permanent water is water; `dates`: as many as composite dates lays one upon
    the other, bands of one after bands of the other. Holds at most HELD_BYTES besides the result. Raises InputError where the composite
    does not exist or does not suit the scenes.
    """
    how = suited(composite, {scene.sensor for scene in scenes})
    found: Found = {name: [] for name in sorted(scene.scene_id for scene in scenes)}
    water = None if water_share is None else np.zeros(bounds.shape_yx, bool)
    work = _Work(pool, how.order(scenes, reference), bands, grid, how, looks, chosen or {}, {}, [1], found, water_share, water)
    values = np.full((dates * len(bands), *bounds.shape_yx), np.nan, np.float32)
    for piece in pieces(bounds, HELD_BYTES // how.held(len(scenes), len(values)), how.margin):
        where = slice(piece.top - bounds.top, piece.bottom - bounds.top), slice(piece.left - bounds.left, piece.right - bounds.left)
        _make(work, piece, where, values[:, *where])
    pixels = {name: sum(int(np.bitwise_count(bits).sum()) for _, bits in parts) for name, parts in found.items()}
    used = tuple(name for name, count in pixels.items() if count)
    begins = tuple(range(0, len(values), len(bands)))
    return Region(values, used, work.failed, max(work.attempts), _sound(work, bounds.shape_yx), pixels, water, begins)


def suited(composite: str, sensors: set[str], setting: str = "composite") -> Composite:
    """The composite of that name; raises InputError where there is none or it does not suit a sensor."""
    how = COMPOSITES.get(composite)
    if how is None:
        raise InputError(f"{setting} {composite!r} is not known; use one of {', '.join(COMPOSITES)}")
    others = sorted(sensor for sensor in sensors if SENSORS[sensor].values != "decibel")
    if how.decibels and others:
        raise InputError(f"{setting} {composite} is for backscatter in dB, and {others[0]} has none; use median for it")
    return how


def _make(work: _Work, piece: PixelBounds, where: tuple[slice, slice], result: Values) -> None:
    """Makes `result`, the part `where` of the whole."""
    margin, running, dates = work.how.margin, work.how.start(result.shape, work.looks), 0
    seen = None if work.water is None else WaterDates(piece.shape_yx)
    for scene in work.scenes:
        meant = work.chosen[scene.scene_id](piece.grown(margin)) if scene.scene_id in work.chosen else None
        if meant is not None and not meant.any():
            continue
        water = np.zeros(piece.grown(margin).shape_yx, bool) if seen is not None and tells_water(scene) else None
        values = _readable(work, scene, piece.grown(margin), water)
        if meant is not None:
            values[:, ~meant] = np.nan
        valid = ~np.isnan(inner(values[0], margin))
        if valid.any():
            work.found[scene.scene_id].append((where, np.packbits(valid)))
            running.add(values, scene)
            dates += 1
            if seen is not None and water is not None:
                seen.add(valid, inner(water, margin))
    if dates:
        result[:] = running.result()
    if seen is not None and work.water is not None and work.water_share is not None:
        work.water[where] = seen.permanent(work.water_share)


def _sound(work: _Work, shape: tuple[int, int]) -> NDArray[np.bool_]:
    sound = np.zeros(shape, bool)
    for where, bits in (part for name, parts in work.found.items() if name not in work.failed for part in parts):
        sound[where] |= np.unpackbits(bits, count=sound[where].size).reshape(sound[where].shape).astype(bool)
    return sound


def _readable(work: _Work, scene: Scene, bounds: PixelBounds, water: NDArray[np.bool_] | None) -> Values:
    """What can be read of a scene, NaN for the rest; the tries it took and a failure are noted."""
    asked = work.pool, scene, work.bands, work.grid, bounds, water
    try:
        values, attempts = read_scene(*asked)
        work.attempts.append(attempts)
        return values
    except ReadError as error:
        work.failed.setdefault(scene.scene_id, error)
        work.attempts.append(error.tries)
    try:
        return read_sound_part(*asked)
    except ReadError:  # noted already: not one pixel of it can be read
        return np.full((len(work.bands), *bounds.shape_yx), np.nan, np.float32)


def pieces(bounds: PixelBounds, pixels: int, margin: int) -> Iterator[PixelBounds]:
    """`bounds`, if they are too many cut along fixed lines of the grid, whole blocks where they fit: with margins at most `pixels` each."""
    height, width = bounds.grown(margin).shape_yx
    if height * width <= pixels:
        yield bounds
        return

    def cut(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
        return pairwise([start, *range((start // step + 1) * step, stop, step), stop])

    side, width = BLOCK_PX, bounds.right - bounds.left
    while side > 1 and (side + 2 * margin) ** 2 > pixels:
        side //= 2
    most = pixels // (side + 2 * margin) - 2 * margin
    columns = [(bounds.left, bounds.right)] if width <= most else cut(bounds.left, bounds.right, max(side, most // side * side))
    for (top, bottom), (left, right) in product(cut(bounds.top, bounds.bottom, side), columns):
        yield PixelBounds(top, left, bottom, right)
