"""Zonal sums: built-up, valid and total area of units over one fixed block, by exact pixel coverage, in whole mm2."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.features import rasterize

from udfs.grid import BLOCK_PX, Grid, PixelBounds, Tile, blocks_of
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import NO_DATA, decode_raster

EDGE_DEGREES = 0.001
"""Longest edge, in degrees, that is projected as one: a straight edge in EPSG:4326 then bends by less than 1 mm."""

Edges = NDArray[np.float64]
"""(n, 4): x0, y0, x1, y1 of directed edges, exteriors counter-clockwise, holes clockwise, in the CRS named beside it."""


class Layer(NamedTuple):
    """One epoch's pixels of a tile: uint8 probability (tile_px, tile_px) or None where there are none."""

    probability: NDArray[np.uint8] | None
    threshold: int


class Sums(NamedTuple):
    """Areas in mm2 of a unit inside a block or tile, of one epoch."""

    built: int
    valid: int
    total: int

    def plus(self, other: "Sums") -> "Sums":
        return Sums(self.built + other.built, self.valid + other.valid, self.total + other.total)


def outlines_on_grid(geometries: Any, crs: str) -> Any:
    """Polygons (array of shapely geometries, EPSG:4326) in the grid's CRS, oriented as `Edges` needs.

    Edges are straight lines in EPSG:4326. Raises ValueError where a vertex cannot be projected.
    """
    if CRS.from_user_input(crs) != CRS.from_epsg(4326):
        transformer = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
        dense = shapely.segmentize(geometries, EDGE_DEGREES)
        geometries = shapely.transform(dense, transformer.transform, interleaved=False)
        back = transformer.transform(*shapely.get_coordinates(geometries).T, direction="INVERSE")
        if not np.allclose(np.transpose(back), shapely.get_coordinates(dense), rtol=0, atol=1e-6):
            raise ValueError(f"a unit lies outside of what {crs[:40]} can show; give the place a grid that fits its units")
    return shapely.orient_polygons(geometries, exterior_cw=False)


def edges_of(outline: Any) -> Edges:
    """The directed edges of an oriented (multi)polygon."""
    rings = shapely.get_rings(shapely.get_parts(outline))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return np.hstack([points[:-1][same], points[1:][same]])


def coverage(edges: Edges, shape_yx: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each pixel inside the edges, 0-1, float64 (height, width); `edges` in pixels, y downwards.

    Every edge is cut at pixel lines; a piece adds its height times the share of the pixel to its right, and its whole
    height to all pixels further right (the signed-area sweep of font rasterisers). Exact to rounding, and linear:
    what two neighbours share cancels. No edges: zeros.
    """
    height, width = shape_yx
    x0, y0, x1, y1 = _pieces(_clipped(edges, height, width), width)
    x = (np.clip(x0, 0, width) + np.clip(x1, 0, width)) / 2
    col = np.minimum(np.floor(x), width).astype(np.int64)
    row = np.clip(np.floor((y0 + y1) / 2), 0, height - 1).astype(np.int64)
    rise, share, cell = y1 - y0, x - col, row * (width + 2) + col
    cells = np.concatenate([cell, cell + 1])
    added = np.bincount(cells, np.concatenate([rise * (1 - share), rise * share]), height * (width + 2))
    covered = np.cumsum(added.reshape(height, width + 2), axis=1)[:, :width]
    nearest = np.rint(covered)
    return np.asarray(np.clip(np.where(np.abs(covered - nearest) < 1e-10, nearest, covered), 0.0, 1.0), np.float64)


def _clipped(edges: Edges, height: int, width: int) -> Edges:
    """The parts of edges within 0 <= y <= height that are not wholly right of the pixels; level ones add nothing."""
    low, high = np.minimum(edges[:, 1], edges[:, 3]), np.maximum(edges[:, 1], edges[:, 3])
    x0, y0, x1, y1 = edges[(high > 0) & (low < height) & (low < high) & (np.minimum(edges[:, 0], edges[:, 2]) < width)].T
    slope = (x1 - x0) / (y1 - y0)
    top, bottom = np.clip(y0, 0, height), np.clip(y1, 0, height)
    return np.stack([x0 + (top - y0) * slope, top, x1 + (bottom - y1) * slope, bottom], axis=1)


def _pieces(edges: Edges, width: int) -> Sequence[NDArray[np.float64]]:
    """Edges cut at every pixel line: x0, y0, x1, y1, each piece within one pixel, or left or right of all."""
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
    order = np.lexsort((along, edge))
    edge, x, y = edge[order], x[order], y[order]
    same = edge[1:] == edge[:-1]
    return x[:-1][same], y[:-1][same], x[1:][same], y[1:][same]


def _crossed(start: NDArray[np.float64], end: NDArray[np.float64], last: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole numbers from 0 to `last` strictly between start and end: index of the pair, number."""
    first = np.maximum(np.floor(np.minimum(start, end)) + 1, 0)
    stop = np.minimum(np.ceil(np.maximum(start, end)), last + 1)
    count = np.maximum(stop - first, 0).astype(np.int64)
    index = np.repeat(np.arange(len(start)), count)
    step = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
    return index, first[index] + step


def edges_in_block(edges: Edges, grid: Grid, block: Tile) -> Edges:
    """Edges from the grid's CRS to pixels of a block."""
    a, _, x, _, e, y = grid.transform(block.pixels.top, block.pixels.left)[:6]
    return np.asarray((edges - np.array([x, y, x, y])) / np.array([a, e, a, e]), np.float64)


def _window(edges: Edges) -> PixelBounds:
    """The pixels of the block that edges (in its pixels) span."""
    low = np.floor(edges.reshape(-1, 2).min(axis=0)).clip(0, BLOCK_PX).astype(int)
    high = np.ceil(edges.reshape(-1, 2).max(axis=0)).clip(0, BLOCK_PX).astype(int)
    return PixelBounds(int(low[1]), int(low[0]), int(high[1]), int(high[0]))


def exact_sums(units: Sequence[Edges], layers: Sequence[Layer], grid: Grid, block: Tile) -> list[list[Sums]]:
    """Sums per unit and layer over a block, each pixel by the share of it that the unit covers; mm2."""
    areas = block_areas_mm2(grid, block.row, block.col)
    return [_exact_unit(edges_in_block(edges, grid, block), areas, layers) for edges in units]


def _exact_unit(edges: Edges, areas: NDArray[np.int64], layers: Sequence[Layer]) -> list[Sums]:
    window = _window(edges)
    if min(window.shape_yx) <= 0:
        return [Sums(0, 0, 0)] * len(layers)
    covered = coverage(edges - np.array([window.left, window.top] * 2), window.shape_yx)
    inside = slice(window.top, window.bottom), slice(window.left, window.right)
    weights = np.rint(covered * areas[inside]).astype(np.int64)
    return [_weighted(weights, layer, inside) for layer in layers]


def _weighted(weights: NDArray[np.int64], layer: Layer, inside: tuple[slice, slice]) -> Sums:
    total = int(weights.sum())
    if layer.probability is None:
        return Sums(0, 0, total)
    probability = layer.probability[inside]
    valid = weights * (probability != NO_DATA)
    return Sums(int((valid * (probability >= layer.threshold)).sum()), int(valid.sum()), total)


def fast_sums(units: Sequence[Any], layers: Sequence[Layer], grid: Grid, block: Tile) -> list[list[Sums]]:
    """As `exact_sums`, from outlines, each pixel whole to the unit (the last of several) that holds its centre."""
    transform = grid.transform(block.pixels.top, block.pixels.left)
    shapes = [(outline, index + 1) for index, outline in enumerate(units)]
    label = rasterize(shapes, (BLOCK_PX, BLOCK_PX), transform=transform, dtype="int32").ravel()
    areas = block_areas_mm2(grid, block.row, block.col).ravel()
    total = _by_label(label, areas, len(units))
    per_layer = [_counted(label, areas, layer, total) for layer in layers]
    return [[sums[unit] for sums in per_layer] for unit in range(len(units))]


def _counted(label: NDArray[np.int32], areas: NDArray[np.int64], layer: Layer, total: NDArray[np.int64]) -> list[Sums]:
    if layer.probability is None:
        return [Sums(0, 0, int(area)) for area in total]
    probability = layer.probability.ravel()
    valid = areas * (probability != NO_DATA)
    built = _by_label(label, valid * (probability >= layer.threshold), len(total))
    return [Sums(int(b), int(v), int(t)) for b, v, t in zip(built, _by_label(label, valid, len(total)), total, strict=True)]


def _by_label(label: NDArray[np.int32], areas: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    # A block's sum stays below 2^53 for pixels up to 350 m, so float64 adds whole numbers exactly.
    return np.bincount(label, areas, units + 1)[1:].astype(np.int64)


def tile_sums(units: Sequence[Any], layers: Sequence[Layer], grid: Grid, tile: Tile, method: str) -> list[list[Sums]]:
    """Sums per unit (outlines on the grid) and layer over a tile, block by block; `method` is exact or fast."""
    kernel, prepared = (exact_sums, [edges_of(outline) for outline in units]) if method == "exact" else (fast_sums, list(units))
    sums = [[Sums(0, 0, 0)] * len(layers) for _ in units]
    for block in blocks_of(tile):
        added = kernel(prepared, [_cut(layer, tile, block) for layer in layers], grid, block)
        sums = [[old.plus(new) for old, new in zip(*pair, strict=True)] for pair in zip(sums, added, strict=True)]
    return sums


def _cut(layer: Layer, tile: Tile, block: Tile) -> Layer:
    if layer.probability is None:
        return layer
    top, left = block.pixels.top - tile.pixels.top, block.pixels.left - tile.pixels.left
    return Layer(layer.probability[top : top + BLOCK_PX, left : left + BLOCK_PX], layer.threshold)


SUMS_DDL = "unit_id string, epoch string, built bigint, valid bigint, total bigint"
SUMS_SCHEMA = pa.schema([("unit_id", "string"), ("epoch", "string"), *((name, "int64") for name in Sums._fields)])


def sums_batches(
    batches: Iterable[pa.RecordBatch], grid: Grid, tile_px: int, epochs: Sequence[str], method: str
) -> Iterator[pa.RecordBatch]:
    """Shell: rows (row, col, units [unit_id, outline WKB], layers [epoch, threshold, probability]) to rows of sums.

    Every unit of a tile gets a row per epoch. In memory: a tile's decoded epochs and one block's areas.
    """
    for batch in batches:
        rows = [row for cell in batch.to_pylist() for row in _cell_rows(cell, grid, tile_px, epochs, method)]
        yield pa.RecordBatch.from_pylist(rows, schema=SUMS_SCHEMA)


def _cell_rows(cell: dict[str, Any], grid: Grid, tile_px: int, epochs: Sequence[str], method: str) -> list[dict[str, Any]]:
    tile = Tile(cell["row"], cell["col"], tile_px)
    units = sorted(cell["units"], key=lambda unit: str(unit["unit_id"]))
    given = {layer["epoch"]: layer for layer in cell["layers"] or ()}
    layers = [_decoded(given.get(epoch), tile_px) for epoch in epochs]
    outlines = shapely.from_wkb([unit["outline"] for unit in units])
    sums = tile_sums(list(outlines), layers, grid, tile, method)
    return [
        {"unit_id": unit["unit_id"], "epoch": epoch, **one._asdict()}
        for unit, of_unit in zip(units, sums, strict=True)
        for epoch, one in zip(epochs, of_unit, strict=True)
    ]


def _decoded(layer: dict[str, Any] | None, tile_px: int) -> Layer:
    if layer is None or layer["probability"] is None:
        return Layer(None, 0)
    return Layer(decode_raster(layer["probability"], (tile_px, tile_px)), layer["threshold"])


OUTLINES_DDL = "unit_id string, outline binary, top int, left int, bottom int, right int"


def outline_batches(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int) -> Iterator[pd.DataFrame]:
    """Shell: units (unit_id, geometry WKB EPSG:4326) to outlines on the grid and the half-open ranges of tiles they span."""
    for frame in frames:
        outlines = outlines_on_grid(shapely.from_wkb(frame["geometry"].to_numpy()), grid.crs)
        spans = [grid.pixels_over(*bounds) for bounds in shapely.bounds(outlines)]
        tiles = {name: [_tile_edge(span, name, tile_px) for span in spans] for name in PixelBounds._fields}
        yield pd.DataFrame({"unit_id": frame["unit_id"].to_numpy(), "outline": shapely.to_wkb(outlines), **tiles})


def _tile_edge(span: PixelBounds, name: str, tile_px: int) -> int:
    value = int(getattr(span, name))
    return value // tile_px if name in ("top", "left") else -(-value // tile_px)
