"""Which ground is learned from, which chosen on, which judged on: by world region and by distance, the same whenever it is asked."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from conf.windows import CHOOSE, JUDGE, TRAIN

EQUAL_AREA = "EPSG:6933"
"""EASE-Grid 2.0, cylindrical."""
METRES_PER_DEGREE = 110_574.0
"""Of latitude, where it is shortest: at the equator of WGS 84."""
PRIORITY = (JUDGE, CHOOSE, TRAIN)
"""Ground near another split's is dropped from the later of the two."""
SPLITS_DDL = "tile_id string, region string, split string, reason string"
REACH_DDL = "tile_id string, split string, reach binary"


@dataclass(frozen=True)
class Splitting:
    """Squares of `block_m` metres go to splits by shares of a hash; ground nearer than `gap_m` to another split's is dropped.
    Whole `judged` regions are only judged on."""

    block_m: float = 20_000.0
    gap_m: float = 1_000.0
    choose: float = 0.15
    judge: float = 0.15
    seed: int = 1
    judged: tuple[str, ...] = ()


Regions = dict[str, Any]
"""Name of a world region to its ground, polygons in EPSG:4326."""


class Split(NamedTuple):
    """`name` is a split, or `dropped` with the reason."""

    name: str
    reason: str | None


def regions_of(outlines: NDArray[np.object_], regions: Regions) -> list[str | None]:
    """The world region in which the middle of each square lies, the first of several; None: in none."""
    middles = shapely.centroid(outlines)
    found: list[str | None] = [None] * len(middles)
    for name, ground in reversed(regions.items()):
        shapely.prepare(ground)
        for number in np.flatnonzero(shapely.covers(ground, middles)):
            found[number] = name
    return found


def splits_of(outlines: NDArray[np.object_], regions: Regions, how: Splitting) -> list[Split]:
    """Of squares of ground (polygons, EPSG:4326)."""
    inside = regions_of(outlines, regions)
    judged = shapely.union_all([regions[name] for name in how.judged])
    near_judged = shapely.intersects(judged, reach_of(outlines, how.gap_m))
    middles, boxes = _on_blocks(outlines, how)
    return [
        Split(JUDGE, None) if name in how.judged else _dropped(JUDGE, how) if near else _split(middle, box, how)
        for name, near, middle, box in zip(inside, near_judged, middles, boxes, strict=True)
    ]


def reach_of(outlines: NDArray[np.object_], gap_m: float) -> NDArray[np.object_]:
    """Boxes, EPSG:4326, that hold all ground within `gap_m` metres of squares."""
    west, south, east, north = shapely.bounds(outlines).T
    up = gap_m / METRES_PER_DEGREE
    along = up / np.cos(np.radians(np.clip(np.maximum(np.abs(south), np.abs(north)) + up, 0, 89)))
    return np.asarray(shapely.box(west - along, south - up, east + along, north + up), dtype=object)


def _on_blocks(outlines: NDArray[np.object_], how: Splitting) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles (n, 2), and boxes around what lies near (n, 4), in blocks."""
    own, near = (_box_on_blocks(shapes, how.block_m) for shapes in (outlines, reach_of(outlines, how.gap_m)))
    half = (own[:, 2:] - own[:, :2]) / 2
    # A neighbour sticks out of its own block by up to half its size.
    return own[:, :2] + half, np.concatenate([near[:, :2] - half, near[:, 2:] + half], axis=1)


def _box_on_blocks(shapes: NDArray[np.object_], block_m: float) -> NDArray[np.float64]:
    """West, south, east, north (n, 4) on the equal-area grid, in blocks."""
    to_metres = Transformer.from_crs("EPSG:4326", EQUAL_AREA, always_xy=True)
    return np.asarray(shapely.bounds(shapely.transform(shapes, to_metres.transform, interleaved=False)) / block_m)


def _split(middle: NDArray[np.float64], near: NDArray[np.float64], how: Splitting) -> Split:
    own = _of_block(int(np.floor(middle[0])), int(np.floor(middle[1])), how)
    others = {_of_block(column, row, how) for column, row in _blocks(near)}
    before = [name for name in PRIORITY[: PRIORITY.index(own)] if name in others]
    return _dropped(before[0], how) if before else Split(own, None)


def _dropped(near: str, how: Splitting) -> Split:
    return Split("dropped", f"within {how.gap_m:g} m of ground of split {near}")


def _blocks(box: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    left, bottom, right, top = (int(np.floor(edge)) for edge in box)
    return ((column, row) for row in range(bottom, top + 1) for column in range(left, right + 1))


def _of_block(column: int, row: int, how: Splitting) -> str:
    drawn = int.from_bytes(hashlib.sha256(f"{how.seed}:{how.block_m:g}:{column}:{row}".encode()).digest()[:8], "big") / 2**64
    return JUDGE if drawn < how.judge else CHOOSE if drawn < how.judge + how.choose else TRAIN


def split_batches(frames: Iterable[pd.DataFrame], regions: Regions, how: Splitting) -> Iterator[pd.DataFrame]:
    """Shell: frames of tile_id and geometry (WKB) to rows of SPLITS_DDL."""
    for frame in frames:
        outlines = np.asarray(shapely.from_wkb(frame["geometry"].to_numpy(object)), object)
        found = splits_of(outlines, regions, how)
        yield pd.DataFrame({
            "tile_id": frame["tile_id"], "region": regions_of(outlines, regions),
            "split": [split.name for split in found], "reason": [split.reason for split in found],
        })  # fmt: skip


def reach_batches(frames: Iterable[pd.DataFrame], gap_m: float) -> Iterator[pd.DataFrame]:
    """Shell: frames of tile_id, split and geometry (WKB) to rows of REACH_DDL."""
    for frame in frames:
        outlines = np.asarray(shapely.from_wkb(frame["geometry"].to_numpy(object)), object)
        yield frame[["tile_id", "split"]].assign(reach=shapely.to_wkb(reach_of(outlines, gap_m)))
