"""Pieces of buildings per tile, and which of them belong together: whole across tiles, exactly."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.components import connected, label_components
from udfs.cores import cores_of
from udfs.earth import grid_origin, pixel_area_m2
from udfs.grid import Tile
from udfs.rasters import NO_DATA, decode_raster, encode_raster
from udfs.tracing import Corners, Ints, corners_of_labels

Raster = NDArray[np.uint8]

NORTH, EAST, SOUTH, WEST = 1, 2, 4, 8
"""Bits of the tile borders that a piece touches."""

EXTENT = 2**30
"""Pixel lines lie within +-EXTENT of the grid's origin, so that two of them fit one 64-bit key."""

SIEVE_MARGIN = 0.9
"""Inside a tile only what is clearly too small is dropped before tracing; the exact area decides later."""

PIECES_DDL = (
    "layer string, epoch string, grid string, crs string, tile_px int, row int, col int, origin_x double, origin_y double, "
    "pixel_width double, pixel_height double, piece bigint, corners binary, pixels bigint, probability_sum bigint, sides int, "
    "beside_blank boolean, seams array<bigint>, cores int, inside binary, first_date timestamp, last_date timestamp, model_sha256 string"
)
_CARRIED = ("layer", "epoch", "grid", "crs", "tile_px", "row", "col")


class Borders(NamedTuple):
    """How components of one tile, by number from 0, meet what lies around them."""

    sides: Ints
    beside_blank: NDArray[np.bool_]
    """Which touch a pixel of the tile without data, behind which they may go on."""
    seam_owner: Ints
    seam_key: Ints
    """Crossings of the tile's border at their pixels: the same key for the two pixels on both sides of a border."""

    @property
    def seams(self) -> list[Ints]:
        """The keys of each."""
        return _grouped(self.seam_owner, self.seam_key, len(self.sides))


class Pieces(NamedTuple):
    """Components of one tile by number from 0; `corners` in grid pixels, sorted by owner, y, x."""

    corners: Corners
    pixels: Ints
    probability_sum: Ints
    borders: Borders
    cores: Ints
    """Cores of buildings in each, or at its tile's border; 0 where the network tells no depth."""
    inside: list[bytes | None]
    """Of each that may be of several buildings, encoded probability and depth (2, n) of its pixels, by row and column; empty where the
    network tells no depth."""


def pieces_of_tile(probability: Raster, threshold: int, top: int, left: int, min_px: float, depth: Raster | None = None) -> Pieces:
    """Components of pixels >= threshold of an array (height, width) whose first pixel is (top, left) of the grid; `depth` as in table
    `built_up`.

    255 (no data) is never built. Components under `min_px` pixels that touch no border are left out.
    """
    labels, count = label_components((probability >= threshold) & (probability != NO_DATA))
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    border = _border_sides(labels, count)
    keep = (pixels >= min_px) | (border > 0)
    keep[0] = False
    if not keep[1:].all():
        labels = np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]
    sums = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=1).astype(np.int64)
    traced = corners_of_labels(labels)
    order = np.lexsort((traced.x, traced.y, traced.owner))
    corners = Corners(traced.owner[order] - 1, traced.y[order] + top, traced.x[order] + left, traced.turn[order])
    count = len(pixels[keep])
    borders = borders_of(labels, count, probability == NO_DATA, top, left)
    cores = cores_of(depth, labels, count) if depth is not None else np.zeros(count, np.int64)
    inside = _inside(probability, depth, labels, (cores > 1) | (border[keep] > 0)) if depth is not None else []
    return Pieces(corners, pixels[keep], sums[1:], borders, cores, inside)


def borders_of(labels: NDArray[np.int32], count: int, blank: NDArray[np.bool_], top: int, left: int) -> Borders:
    """Of labels 1 to `count` of an array whose first pixel is (top, left) of the grid; `blank`: pixels without data."""
    owner, key = _seam_keys(labels, top, left)
    return Borders(_border_sides(labels, count)[1:], _beside(blank, labels, count), owner - 1, key)


def _inside(probability: Raster, depth: Raster, labels: NDArray[np.int32], wanted: NDArray[np.bool_]) -> list[bytes | None]:
    """Encoded probability and depth (2, n) of the pixels, by row and column, of the wanted ones of labels from 1."""
    chosen = np.flatnonzero(np.append(False, wanted)[labels].ravel())
    owner = labels.ravel()[chosen]
    order = np.argsort(owner, kind="stable")
    values = np.stack([probability.ravel()[chosen], depth.ravel()[chosen]])[:, order]
    starts = np.searchsorted(owner[order], np.flatnonzero(wanted) + 1)
    packed = iter([encode_raster(part) for part in np.split(values, starts[1:], axis=1)] if len(starts) else [])
    return [next(packed) if each else None for each in wanted]


def _border_sides(labels: NDArray[np.int32], count: int) -> Ints:
    """Bits of the borders that each label touches."""
    sides = np.zeros(count + 1, np.int64)
    for side, line in ((NORTH, labels[0]), (EAST, labels[:, -1]), (SOUTH, labels[-1]), (WEST, labels[:, 0])):
        sides[np.unique(line)] |= side
    return sides


def _beside(blank: NDArray[np.bool_], labels: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Which labels from 1 have a blank pixel above, below, left or right."""
    touched = np.zeros(count + 1, bool)
    if blank.any():
        for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :-1], np.s_[:, 1:])):
            touched[labels[here][blank[there]]] = True
    return touched[1:]


def _seam_keys(labels: NDArray[np.int32], top: int, left: int) -> tuple[Ints, Ints]:
    """Labels along the borders, and keys of (orientation, pixel line of the border, position along it)."""
    height, width = labels.shape
    rows, cols = np.arange(top, top + height), np.arange(left, left + width)
    lines = (
        (labels[0], _seam_key(0, top, cols)),
        (labels[-1], _seam_key(0, top + height, cols)),
        (labels[:, 0], _seam_key(1, left, rows)),
        (labels[:, -1], _seam_key(1, left + width, rows)),
    )
    owner = np.concatenate([line for line, _ in lines]).astype(np.int64)
    key = np.concatenate([keys for _, keys in lines])
    return owner[owner > 0], key[owner > 0]


def _seam_key(orientation: int, line: int, along: Ints) -> Ints:
    if not -EXTENT <= line < EXTENT or along[0] < -EXTENT or along[-1] >= EXTENT:
        raise ValueError(f"pixel line {line}: beyond {EXTENT} pixels from the grid's origin; use a coarser resolution or a nearer origin")
    return (orientation << 62) | ((line + EXTENT) << 31) | (along + EXTENT)


COLUMN_ZERO = 2**31
"""Added to a column, so that a pixel's number orders by row, then column."""
CELL_BITS, COLUMN_BITS = 12, 32
"""Whole components are finished by cells of 2^12 pixels that hold their first pixel: bounded groups, the same for any tiles. A component's
number is its first pixel's: row, then 32 bits of column."""


def pixel_number(y: Ints, x: Ints) -> Ints:
    """One 64-bit number per grid pixel, ordered by row, then column."""
    return (y << COLUMN_BITS) | (x + COLUMN_ZERO)


def cell_number(cell_y: Ints, cell_x: Ints) -> Ints:
    """Of cells by row and column; columns are counted as in pixel numbers, from 0."""
    return (cell_y << (COLUMN_BITS - CELL_BITS)) | cell_x


def piece_frames(frames: Iterator[pd.DataFrame], min_area_m2: float) -> Iterator[pd.DataFrame]:
    """Rows of `built_up` (status done) to rows of PIECES_DDL. Memory: about 40 bytes per pixel of one tile."""
    for frame in frames:
        for tile in frame.itertuples(index=False):
            pieces = _pieces_frame(tile, min_area_m2)
            if len(pieces):
                yield pieces


def _pieces_frame(tile: Any, min_area_m2: float) -> pd.DataFrame:
    pixels = Tile(tile.row, tile.col, tile.tile_px).pixels
    transform = tuple(float(value) for value in tile.transform)
    min_px = SIEVE_MARGIN * min_area_m2 / pixel_area_m2(tile.crs, transform, tile.tile_px)
    probability = decode_raster(tile.probability, pixels.shape_yx)
    depth = None if pd.isna(tile.depth) else decode_raster(tile.depth, pixels.shape_yx)
    pieces = pieces_of_tile(probability, tile.threshold, pixels.top, pixels.left, min_px, depth)
    count = len(pieces.pixels)
    first = np.searchsorted(pieces.corners.owner, np.arange(count))
    origin = grid_origin(transform, pixels.top, pixels.left)
    constants = {name: getattr(tile, name) for name in _CARRIED} | origin._asdict()
    return pd.DataFrame(
        {name: [value] * count for name, value in constants.items()}
        | {
            "piece": pixel_number(pieces.corners.y[first], pieces.corners.x[first]),
            "corners": packed_corners(pieces.corners, first),
            "pixels": pieces.pixels,
            "probability_sum": pieces.probability_sum,
            "sides": pieces.borders.sides.astype(np.int32),
            "beside_blank": pieces.borders.beside_blank,
            "seams": pieces.borders.seams,
            "cores": pieces.cores.astype(np.int32),
            "inside": pieces.inside or [None] * count,
            "first_date": [tile.first_date] * count,
            "last_date": [tile.last_date] * count,
            "model_sha256": [tile.model_sha256] * count,
        }
    )


def packed_corners(corners: Corners, first: Ints) -> list[bytes]:
    """Corners sorted by owner as bytes per owner: little-endian int32 (n, 3) of y, x, turn."""
    rows = np.stack(corners[1:], axis=1).astype("<i4")
    return [part.tobytes() for part in np.split(rows, first[1:])] if len(first) else []


def unpacked_corners(packed: list[bytes], owner: Ints) -> Corners:
    """Corners of `packed_corners`, the i-th bytes belonging to `owner[i]`."""
    rows = np.frombuffer(b"".join(packed), "<i4").reshape(-1, 3).astype(np.int64)
    counts = np.array([len(part) // 12 for part in packed], np.int64)
    return Corners(np.repeat(owner, counts), rows[:, 0], rows[:, 1], rows[:, 2])


def _grouped(owner: Ints, values: Ints, count: int) -> list[Ints]:
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(1, count))
    return list(np.split(values[order], starts)) if count else []


def connected_frame(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs (layer, epoch, grid, u, v) of one layer, epoch and grid to rows (layer, epoch, grid, piece, component)."""
    piece, component = connected(pairs["u"].to_numpy(), pairs["v"].to_numpy())
    field = {name: [pairs[name].iloc[0]] * len(piece) for name in ("layer", "epoch", "grid")}
    return pd.DataFrame(field | {"piece": piece, "component": component})
