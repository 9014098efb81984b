"""Which scenes a window is made from: chosen per fixed block of the global grid, so that no tile's edge can show."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from udfs.grid import BLOCK_PX, PixelBounds

REACH_BLOCKS = 2
"""Blocks around a tile that its windows can see into: 512 pixels, more than the reach of planning."""
NEAR_PX = 2.0
WHOLE = 1 - 1e-3
"""A block is covered from this share on: outlines are right to 1/10 pixel only."""
LATE = 0.5
"""What a scene at the far end of the epoch counts beside one of the reference date."""


@dataclass(frozen=True)
class Candidates:
    """Scenes of an epoch that may be seen in a cell, by scene_id: their outlines in pixels of the grid, share of cloud (NaN: unknown),
    days from the epoch's reference date, digest of their content."""

    scene_id: NDArray[np.object_]
    outline: NDArray[np.object_]
    cloud: NDArray[np.float64]
    days: NDArray[np.int64]
    digest: NDArray[np.object_]


class Blocks(NamedTuple):
    """Blocks (height, width) of the grid from block row `top` and column `left` on."""

    top: int
    left: int
    shape_yx: tuple[int, int]

    def boxes(self) -> NDArray[np.object_]:
        """Their outlines in pixels, row by row."""
        rows, columns = np.indices(self.shape_yx).reshape(2, -1)
        y, x = (self.top + rows) * BLOCK_PX, (self.left + columns) * BLOCK_PX
        return np.asarray(shapely.box(x, y, x + BLOCK_PX, y + BLOCK_PX), dtype=object)


def blocks_around(bounds: PixelBounds, reach: int = REACH_BLOCKS) -> Blocks:
    """The blocks of some pixels, whose bounds lie on block lines, and `reach` blocks further."""
    top, left, bottom, right = (edge // BLOCK_PX for edge in bounds)
    return Blocks(top - reach, left - reach, (bottom - top + 2 * reach, right - left + 2 * reach))


class Shown(NamedTuple):
    """Of each scene and block, (scenes, height, width): the share that it covers, 0-1, in whole 1e-6; and whether any pixel of it may
    lie there: outlines are right to a pixel, so that counts from NEAR_PX beyond."""

    share: NDArray[np.float64]
    near: NDArray[np.bool_]


def shown(outlines: NDArray[np.object_], blocks: Blocks) -> Shown:
    """What outlines, in pixels of the grid, cover of blocks; each block by itself, so that it is the same whichever are asked with it."""
    boxes = blocks.boxes()
    # Images of several dates often have one outline.
    _, first, which = np.unique(shapely.to_wkb(outlines), return_index=True, return_inverse=True)
    share, near = np.zeros((len(first), len(boxes))), np.zeros((len(first), len(boxes)), bool)
    for number, outline in enumerate(outlines[first]):
        shapely.prepare(outline)
        within = shapely.contains_properly(outline, boxes)
        edge = ~within & shapely.dwithin(outline, boxes, NEAR_PX)
        share[number, within] = 1.0
        share[number, edge] = shapely.area(shapely.intersection(boxes[edge], outline)) / BLOCK_PX**2
        near[number] = within | edge
    shape = len(outlines), *blocks.shape_yx
    return Shown(np.round(share[which].reshape(shape), 6), near[which].reshape(shape))


def chosen(candidates: Candidates, seen: Shown, blocks: Blocks, span: int, most: int) -> NDArray[np.bool_]:
    """Which scenes each block of one epoch is made from, (scenes, height, width): at most `most`, the best by clear share x
    overlap x nearness in time; and more where those leave ground uncovered that others show. `span`: days from the reference
    date to the far end of the epoch. Ties go to the first by scene_id."""
    share, result = seen.share, seen.near.copy()
    crowded = np.argwhere(result.sum(axis=0) > most)
    if not len(crowded):
        return result
    clear = 1 - np.nan_to_num(candidates.cloud)
    near = 1 - (1 - LATE) * np.minimum(candidates.days / max(span, 1), 1)
    boxes = blocks.boxes().reshape(blocks.shape_yx)
    for row, column in crowded:
        score = np.round(share[:, row, column] * clear * near, 9)
        ranked = [number for number in np.argsort(-score, kind="stable") if seen.near[number, row, column]]
        kept = _covering(ranked, most, share[:, row, column], candidates.outline, boxes[row, column])
        result[:, row, column] = np.isin(np.arange(len(score)), kept)
    return result


def _covering(ranked: list[Any], most: int, share: NDArray[np.float64], outlines: NDArray[np.object_], box: Any) -> list[Any]:
    """The first `most`, then those that show ground which none before them does."""
    kept = ranked[:most]
    if share[kept].max() >= WHOLE:
        return kept
    seen = shapely.intersection(shapely.union_all(outlines[kept]), box)
    for number in ranked[most:]:
        more = shapely.union(seen, shapely.intersection(outlines[number], box))
        if more.area > seen.area + (1 - WHOLE) * box.area:
            kept, seen = [*kept, number], more
    return kept


def packed(blocks: NDArray[np.bool_]) -> int:
    """Up to 64 blocks, row by row, as the bits of a signed 64-bit number; the first is the lowest."""
    return int.from_bytes(np.packbits(blocks.ravel(), bitorder="little").tobytes().ljust(8, b"\0"), "little", signed=True)


def unpacked(number: int, side: int) -> NDArray[np.bool_]:
    """The inverse of `packed` for side x side blocks."""
    data = np.frombuffer(number.to_bytes(8, "little", signed=True), np.uint8)
    return np.unpackbits(data, count=side * side, bitorder="little").astype(bool).reshape(side, side)


def tile_blocks(tile_px: int) -> int:
    """Side, in blocks, of a tile with its reach."""
    return math.ceil(tile_px / BLOCK_PX) + 2 * REACH_BLOCKS
