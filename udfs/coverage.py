"""Exact pixel coverage: outlines as directed edges, cut where they cross the pixels of a block."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

EDGE_DEGREES = 0.001
"""Longest edge, in degrees, that is projected as one: a straight edge in EPSG:4326 then bends by less than 1 mm."""

Edges = NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1 of directed edges, exteriors counter-clockwise, holes clockwise, in the CRS named beside it."""


class Outlines(NamedTuple):
    """Edges of several outlines, and which outline (from 0) each edge belongs to."""

    edges: Edges
    owner: NDArray[np.int64]


class Cuts(NamedTuple):
    """Pieces of edges within a pixel row: owner, row, mean x in pixels (0 to width), rise in rows (signed, y downwards).

    The area right of a piece, signed by its rise, added over an outline's pieces is the outline's own area.
    """

    owner: NDArray[np.int64]
    row: NDArray[np.int64]
    x: NDArray[np.float64]
    rise: NDArray[np.float64]


def outlines_on_grid(geometries: Any, crs: str) -> Any:
    """Polygons (array of shapely geometries, EPSG:4326) in the grid's CRS, oriented as `Edges` needs.

    Edges are straight lines in EPSG:4326. Raises ValueError where a vertex cannot be projected.
    """
    if CRS.from_user_input(crs) != CRS.from_epsg(4326):
        transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        dense = shapely.segmentize(geometries, EDGE_DEGREES)
        geometries = shapely.transform(dense, transformer.transform, interleaved=False)
        x, y = shapely.get_coordinates(geometries).T
        back = transformer.transform(x, y, direction="INVERSE")
        if not np.allclose(np.transpose(back), shapely.get_coordinates(dense), rtol=0, atol=1e-6):
            raise ValueError(f"a unit lies outside of what {crs[:40]} can show; give the place a grid that fits its units")
    return shapely.orient_polygons(geometries, exterior_cw=False)


def edges_of(outlines: Sequence[Any]) -> Outlines:
    """The directed edges of oriented (multi)polygons; or of (multi)lines, parts of the borders of such."""
    parts, part_owner = shapely.get_parts(np.array(outlines, dtype=object), return_index=True)
    areal = (shapely.get_dimensions(parts) == 2).any()
    rings, ring_part = shapely.get_rings(parts, return_index=True) if areal else (parts, np.arange(len(parts)))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return Outlines(np.hstack([points[:-1][same], points[1:][same]]), part_owner[ring_part[ring[:-1][same]]])


def exact_cuts(outlines: Outlines, shape_yx: tuple[int, int]) -> Cuts:
    """Every edge cut at every pixel line; `outlines` in pixels, y downwards."""
    height, width = shape_yx
    edges, owner = _clipped(outlines, height, width)
    x0, y0, x1, y1, edge = _pieces(edges, width)
    x = (np.clip(x0, 0, width) + np.clip(x1, 0, width)) / 2
    row = np.clip(np.floor((y0 + y1) / 2), 0, height - 1).astype(np.int64)
    return Cuts(owner[edge], row, x, y1 - y0)


def centre_cuts(outlines: Outlines, shape_yx: tuple[int, int]) -> Cuts:
    """Where edges pass the middle of pixel rows, moved to the next pixel line: a pixel is inside if its centre is."""
    height, width = shape_yx
    edges, owner = _clipped(outlines, height, width)
    x0, y0, x1, y1 = edges.T
    edge, row = _crossed(y0 - 0.5, y1 - 0.5, height - 1, ends=True)
    x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1 - x0) / (y1 - y0))[edge]
    return Cuts(owner[edge], row.astype(np.int64), np.clip(np.ceil(x - 0.5), 0, width), np.sign(y1 - y0)[edge])


def coverage(outlines: Outlines, shape_yx: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each pixel inside, 0-1, float64 (height, width); `outlines` in pixels, y downwards. No edges: zeros."""
    height, width = shape_yx
    cuts = exact_cuts(outlines, shape_yx)
    col = np.minimum(np.floor(cuts.x), width).astype(np.int64)
    cell, share = cuts.row * (width + 2) + col, cuts.x - col
    added = np.bincount(
        np.concatenate([cell, cell + 1]), np.concatenate([cuts.rise * (1 - share), cuts.rise * share]), height * (width + 2)
    )
    covered = np.cumsum(added.reshape(height, width + 2), axis=1)[:, :width]
    return np.asarray(np.clip(covered, 0.0, 1.0), np.float64)


def _clipped(outlines: Outlines, height: int, width: int) -> Outlines:
    """The parts of edges within 0 <= y <= height that are not wholly right of the pixels; level ones add nothing."""
    edges, owner = outlines
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    near = (high > 0) & (low < height) & (low < high) & (np.minimum(edges[:, 0], edges[:, 2]) < width)
    x0, y0, x1, y1 = edges[near].T
    slope = (x1 - x0) / (y1 - y0)
    top, bottom = np.clip(y0, 0, height), np.clip(y1, 0, height)
    return Outlines(np.stack([x0 + (top - y0) * slope, top, x1 + (bottom - y1) * slope, bottom], axis=1), owner[near])


def _pieces(edges: Edges, width: int) -> Sequence[Any]:
    """Edges cut at every pixel line: x0, y0, x1, y1, edge; each piece is within one pixel, or left or right of all."""
    x0, y0, x1, y1 = edges.T
    by_y, y_line = _crossed(y0, y1, np.inf)
    by_x, x_line = _crossed(x0, x1, width)
    along_y = (y_line - y0[by_y]) / (y1 - y0)[by_y]
    along_x = (x_line - x0[by_x]) / (x1 - x0)[by_x]
    every = np.arange(len(edges))
    edge = np.concatenate([every, by_y, by_x, every])
    along = np.concatenate([np.zeros(len(edges)), along_y, along_x, np.ones(len(edges))])
    x = np.concatenate([x0, x0[by_y] + along_y * (x1 - x0)[by_y], x_line, x1])
    y = np.concatenate([y0, y_line, y0[by_x] + along_x * (y1 - y0)[by_x], y1])
    order = np.argsort(2 * edge + along, kind="stable")
    edge, x, y = edge[order], x[order], y[order]
    same = edge[1:] == edge[:-1]
    return x[:-1][same], y[:-1][same], x[1:][same], y[1:][same], edge[:-1][same]


def _crossed(
    start: NDArray[np.float64], end: NDArray[np.float64], last: float, ends: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole numbers from 0 to `last` strictly between start and end: index of the pair, number.

    With `ends` the smaller end counts as between, so that a line through a vertex crosses one of its two edges.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.maximum(np.ceil(low) if ends else np.floor(low) + 1, 0)
    stop = np.minimum(np.ceil(high), last + 1)
    count = np.maximum(stop - first, 0).astype(np.int64)
    index = np.repeat(np.arange(len(start)), count)
    step = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
    return index, first[index] + step
