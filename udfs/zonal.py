"""Zonal sums: built-up, valid and total area of units over fixed blocks, by exact pixel coverage, in whole mm2."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from udfs.coverage import Cuts, Outlines, centre_cuts, edges_of, exact_cuts, outlines_on_grid
from udfs.grid import BLOCK_PX, Grid, PixelBounds, Tile, blocks_of
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import NO_DATA, decode_raster
from udfs.zones import Zone, area_on, strip_polygon

BLOCK_YX = (BLOCK_PX, BLOCK_PX)

POLAR_M = 1.0
"""Four times as far as a unit's edges may lie from their straight lines in degrees, around a pole."""

METHODS = {"exact": exact_cuts, "fast": centre_cuts}
"""exact: pixels are shared by area. fast: a pixel belongs whole to the units that hold its centre."""


class Layer(NamedTuple):
    """One epoch's pixels of a tile: uint8 probability (tile_px, tile_px) or None where there are none."""

    probability: NDArray[np.uint8] | None
    threshold: int


class Sums(NamedTuple):
    """Areas in mm2 of a unit inside a tile, of one epoch."""

    built: int
    valid: int
    total: int


def on_block(outlines: Outlines, grid: Grid, block: Tile) -> Outlines:
    """Edges from the grid's CRS to pixels of a block, y downwards."""
    a, _, x, _, e, y = grid.transform(block.pixels.top, block.pixels.left)[:6]
    return Outlines((outlines.edges - np.array([x, y, x, y])) / np.array([a, e, a, e]), outlines.owner)


def row_sums(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums of the pixels left of each pixel line, (height, width + 1); whole numbers, so exact."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1), np.int64)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def summed(cuts: Cuts, sums: NDArray[np.int64], owners: int) -> NDArray[np.int64]:
    """What lies inside each outline, int64 (owners,): for each piece its rise times the pixels to its right.

    Green's theorem on pixels: one pass over the pixels (`row_sums`), then work along outlines only. The float64 sum of
    a block is right to 0.01 of a unit and always taken in the same order.
    """
    width = sums.shape[1] - 1
    col = np.minimum(cuts.x.astype(np.int64), width - 1)
    left = np.take(sums, cuts.row * (width + 1) + col)
    pixel = np.take(sums, cuts.row * (width + 1) + col + 1) - left
    right = (sums[cuts.row, -1] - left) - (cuts.x - col) * pixel
    return np.rint(np.bincount(cuts.owner, cuts.rise * right, owners)).astype(np.int64)


def block_sums(outlines: Outlines, owners: int, layers: Sequence[Layer], grid: Grid, block: Tile, method: str) -> NDArray[np.int64]:
    """Built, valid, total in mm2 of each outline and layer over a block, int64 (owners, layers, 3)."""
    areas = block_areas_mm2(grid, block.row, block.col)
    cuts = METHODS[method](on_block(outlines, grid, block), BLOCK_YX)
    result = np.zeros((owners, len(layers), 3), np.int64)
    result[:, :, 2] = np.maximum(summed(cuts, row_sums(areas), owners), 0)[:, None]
    for index, layer in enumerate(layers):
        if layer.probability is None:
            continue
        has_data = layer.probability != NO_DATA
        built = areas * (has_data & (layer.probability >= layer.threshold))
        # Each sum is rounded by itself; without the bounds built could exceed valid by 1 mm2.
        whole = result[:, index, 2]
        result[:, index, 1] = whole if has_data.all() else summed(cuts, row_sums(areas * has_data), owners).clip(0, whole)
        result[:, index, 0] = summed(cuts, row_sums(built), owners).clip(0, result[:, index, 1])
    return result


def tile_sums(units: Sequence[Any], layers: Sequence[Layer], grid: Grid, tile: Tile, method: str) -> list[list[Sums]]:
    """Sums per unit (outlines on the grid) and layer over a tile, block by block, so that they do not depend on the tile."""
    outlines = edges_of(units)
    total = np.zeros((len(units), len(layers), 3), np.int64)
    for block in blocks_of(tile):
        total += block_sums(outlines, len(units), [_cut(layer, tile, block) for layer in layers], grid, block, method)
    return [[Sums(*(int(area) for area in areas)) for areas in unit] for unit in total]


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
    """Shell: rows (row, col, units [unit_id, border WKB], layers [epoch, threshold, probability]) to rows of sums.

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
    sums = tile_sums(list(shapely.from_wkb([unit["border"] for unit in units])), layers, grid, tile, method)
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


def outline_batches(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int, strip: Zone | None = None) -> Iterator[pd.DataFrame]:
    """Shell: units (unit_id, geometry WKB EPSG:4326) to outlines on the grid and the half-open ranges of tiles they span.

    With `strip` only the part of a unit that this zone owns; units without any are left out.
    """
    for frame in frames:
        shapes, ids = shapely.from_wkb(frame["geometry"].to_numpy()), frame["unit_id"].to_numpy()
        if strip is not None:
            shapes = np.array([_owned_part(shape, strip) for shape in shapes], dtype=object)
            owned = ~shapely.is_empty(shapes)
            shapes, ids = shapes[owned], ids[owned]
        outlines = shapes if strip is not None and strip.polar else outlines_on_grid(shapes, grid.crs)
        spans = [grid.pixels_over(*bounds) for bounds in shapely.bounds(outlines)]
        tiles = {name: [_tile_edge(span, name, tile_px) for span in spans] for name in PixelBounds._fields}
        yield pd.DataFrame({"unit_id": ids, "outline": shapely.to_wkb(outlines), **tiles})


BORDERS_DDL = "unit_id string, row int, border binary"


def border_batches(frames: Iterable[pd.DataFrame], grid: Grid, tile_px: int) -> Iterator[pd.DataFrame]:
    """Shell: rows of OUTLINES_DDL to the parts of their borders (lines, WKB) that sums over tiles of one row need.

    Of a unit over many tiles each tile then gets a few edges, not all of them."""
    for frame in frames:
        rows = [
            (unit, row, border)
            for unit, outline, top, bottom in frame[["unit_id", "outline", "top", "bottom"]].itertuples(index=False)
            for row, border in borders(shapely.from_wkb(outline), range(top - 1, bottom + 1), grid, tile_px)
        ]
        yield pd.DataFrame(rows, columns=["unit_id", "row", "border"])


def borders(outline: Any, rows: range, grid: Grid, tile_px: int) -> Iterator[tuple[int, bytes]]:
    """Of each row of tiles the edges, in their order, that reach into it or within a pixel of it, as lines."""
    points, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(outline)), return_index=True)
    low, high = np.minimum(points[:-1, 1], points[1:, 1]), np.maximum(points[:-1, 1], points[1:, 1])
    is_edge = ring[1:] == ring[:-1]
    for row in rows:
        north = grid.origin_y - row * tile_px * grid.pixel_height
        near = is_edge & (high > north - (tile_px + 1) * grid.pixel_height) & (low < north + grid.pixel_height)
        if near.any():
            yield row, shapely.to_wkb(_lines(points, np.flatnonzero(near)))


def _lines(points: NDArray[np.float64], edges: NDArray[np.int64]) -> Any:
    """Edge k is from point k to point k + 1; those that follow each other become one line."""
    ends = np.append(np.diff(edges) > 1, True)
    line = np.cumsum(ends) - ends
    at, line = np.concatenate([edges, edges[ends] + 1]), np.concatenate([line, line[ends]])
    order = np.argsort(at, kind="stable")
    return shapely.multilinestrings(shapely.linestrings(points[at[order]], indices=line[order]))


def _owned_part(shape: Any, strip: Zone) -> Any:
    """In degrees; around a pole in the zone's own CRS, where it is no longer a matter of degrees."""
    if strip.polar:
        return shapely.orient_polygons(area_on(strip, shape, POLAR_M), exterior_cw=False)
    part = shapely.intersection(shape, strip_polygon(strip))
    polygons = [piece for piece in shapely.get_parts(part) if shapely.get_dimensions(piece) == 2]
    return shapely.multipolygons(polygons) if polygons else shapely.from_wkt("POLYGON EMPTY")


def _tile_edge(span: PixelBounds, name: str, tile_px: int) -> int:
    value = int(getattr(span, name))
    return value // tile_px if name in ("top", "left") else -(-value // tile_px)
