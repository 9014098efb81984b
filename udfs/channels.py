"""What a network sees of one or two sensors: a composite each, on one grid, one upon the other."""

import datetime as dt
from typing import NamedTuple

import numpy as np

from conf.sensors import SENSORS
from conf.windows import channel_names
from udfs.composites import CompositeName
from udfs.compositing import Chosen, Region, composite_region
from udfs.grid import Grid, PixelBounds
from udfs.images import ImagePool
from udfs.scenes import Scene

BESIDE_COMPOSITE: CompositeName = "temporal_mean"
"""Of a second sensor, unless told otherwise: most often it is radar."""


class Channels(NamedTuple):
    """Bands of one sensor, in the network's order, and how its dates become one image."""

    sensor: str
    bands: tuple[str, ...]
    composite: str
    dates: int = 1
    """Of composite `dates`: so many, all bands of one after all of the other."""

    @property
    def names(self) -> tuple[str, ...]:
        return channel_names(self.bands, self.dates)


def composite_channels(
    pool: ImagePool, scenes: tuple[Scene, ...], parts: tuple[Channels, ...], grid: Grid, bounds: PixelBounds,
    *, reference: dt.date | None, looks: float, chosen: dict[str, Chosen], water_share: float | None = None,
) -> Region:  # fmt: skip
    """The composites of `parts` over `bounds`, each from its own sensor's scenes, as one region. Arguments and errors as of
    `composite_region`."""
    found = [
        composite_region(
            pool, tuple(scene for scene in scenes if scene.sensor == part.sensor), _called(part), grid, bounds, part.composite,
            reference=reference, looks=looks, chosen=chosen, water_share=water_share, dates=part.dates,
        )
        for part in parts
    ]  # fmt: skip
    return found[0] if len(found) == 1 else _stacked(found)


def _called(part: Channels) -> tuple[str, ...]:
    return tuple(SENSORS[part.sensor].band_called(name) or name for name in part.bands)


def _stacked(regions: list[Region]) -> Region:
    """A pixel is sound where either sensor's is. A failure of either is one of the whole."""
    first, second = regions
    water = None if first.water is None or second.water is None else first.water | second.water
    return Region(
        values=np.concatenate([first.values, second.values]),
        used=tuple(sorted((*first.used, *second.used))),
        failed={**first.failed, **second.failed},
        attempts=max(first.attempts, second.attempts),
        sound=first.sound | second.sound,
        pixels={**first.pixels, **second.pixels},
        water=water,
        begins=(*first.begins, *(len(first.values) + begin for begin in second.begins)),
    )
