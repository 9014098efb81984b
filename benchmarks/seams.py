"""Tiles traced and merged ÷ the whole scene traced at once, one core, both without Spark: the same bytes."""

from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray

from benchmarks.pairs import Measure, speed_ratio
from benchmarks.polygonize import Polygons, town
from udfs.components import connected
from udfs.merging import packed_corners, pieces_of_tile, pixel_number, unpacked_corners
from udfs.tracing import polygons_of_rings, rings_of_corners, united

SIDE, TILE_PX = 4096, 512
Raster = NDArray[np.uint8]


def whole(scene: Raster) -> Polygons:
    """The scene as one tile."""
    return polygons_of_rings(rings_of_corners(pieces_of_tile(scene, 125, 0, 0, 0).corners))


def tiled(scene: Raster, tile_px: int) -> Polygons:
    """Tile by tile, pieces as bytes between, as the job does it."""
    numbers, packed, seam_numbers, keys = [], [], [], []
    for top in range(0, scene.shape[0], tile_px):
        for left in range(0, scene.shape[1], tile_px):
            pieces = pieces_of_tile(scene[top : top + tile_px, left : left + tile_px], 125, top, left, 0)
            first = np.searchsorted(pieces.corners.owner, np.arange(len(pieces.pixels)))
            number = pixel_number(pieces.corners.y[first], pieces.corners.x[first])
            numbers.append(number)
            packed += packed_corners(pieces.corners, first)
            seam_numbers.append(number[pieces.borders.seam_owner])
            keys.append(pieces.borders.seam_key)
    piece = np.concatenate(numbers)
    nodes, component = connected(*_pairs(np.concatenate(keys), np.concatenate(seam_numbers)))
    owner = piece.copy()
    place = np.minimum(np.searchsorted(nodes, piece), len(nodes) - 1)
    joined = nodes[place] == piece
    owner[joined] = component[place[joined]]
    _, dense = np.unique(owner, return_inverse=True)
    return polygons_of_rings(rings_of_corners(united(unpacked_corners(packed, dense))))


def _pairs(keys: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pieces with equal border keys."""
    order = np.argsort(keys)
    keys, numbers = keys[order], numbers[order]
    same = keys[1:] == keys[:-1]
    return numbers[1:][same], numbers[:-1][same]


def agree(ours: Polygons, theirs: Polygons) -> None:
    """Raises ValueError unless the WKB bytes are equal in order and the symmetric difference has no area."""
    if (shapely.to_wkb(ours) != shapely.to_wkb(theirs)).any() or shapely.area(shapely.symmetric_difference(ours, theirs)).any():
        raise ValueError("merged tiles differ from the whole scene")


def measure() -> list[Measure]:
    """A clean town, and one with 2 % noise."""
    measures = []
    for name, noise in (("clean", 0.0), ("2 % noise", 0.02)):
        scene = np.where(town(SIDE, noise), 200, 0).astype(np.uint8)
        note = f"{SIDE} px in tiles of {TILE_PX}"
        measures.append(speed_ratio(f"seams {name}", partial(tiled, scene, TILE_PX), partial(whole, scene), agree, 0.8, note=note))
    return measures
