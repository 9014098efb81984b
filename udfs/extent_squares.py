"""Shells of urban extents: maps to the fixed squares that they are classified in, squares to what is joined, traced and summed."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from udfs.earth import grid_origin, ground_resolution_m
from udfs.grid import Grid, PixelBounds, Tile, tiles_over
from udfs.merging import borders_of
from udfs.pixel_areas import tile_areas_mm2
from udfs.rasters import NO_DATA, ONE, decode_raster, encode_raster
from udfs.urban_extent import (
    CITY,
    SQUARE_PX,
    UNKNOWN,
    class_areas,
    classes_of,
    grown,
    margin_of,
    rest_of,
    with_captured,
)

Raster = NDArray[np.uint8]
Frames = Iterable[pd.DataFrame]

LEAST_SIDE_M = 8.0
"""Finer pixels are put together until they are as large: a walk across would be thousands of them."""
SHAPE = (SQUARE_PX, SQUARE_PX)
_FIELD = ("layer", "epoch", "grid", "crs")
_FIELD_DDL = "layer string, epoch string, grid string, crs string, "
PARTS_DDL = _FIELD_DDL + "row int, col int, origin array<double>, top int, left int, height int, width int, state binary"
SQUARES_DDL = _FIELD_DDL + "tile_px int, row int, col int, transform array<double>, classes binary"
REST_DDL = (
    "layer string, epoch string, grid string, tile_px int, row int, col int, piece bigint, open_mm2 bigint, sides int, "
    "beside_blank boolean, seams array<bigint>"
)
BLANKS_DDL = "layer string, epoch string, grid string, seam bigint"
CITY_DDL = SQUARES_DDL + (
    ", probability binary, depth binary, threshold int, first_date timestamp, last_date timestamp, model_sha256 string"
)
AREA_NAMES = ("urban_mm2", "suburban_mm2", "fringe_mm2", "captured_mm2")
AREAS_DDL = "layer string, epoch string, grid string, piece bigint, " + ", ".join(f"{name} bigint" for name in AREA_NAMES)


def part_frames(frames: Frames, method: str) -> Iterator[pd.DataFrame]:
    """Done rows of `built_up` to rows of PARTS_DDL: what each tile shows of every square and its margin."""
    for frame in frames:
        for row in frame.itertuples(index=False):
            yield pd.DataFrame(list(_parts(row, method)))


def _parts(row: Any, method: str) -> Iterator[dict[str, Any]]:
    tile = Tile(int(row.row), int(row.col), int(row.tile_px))
    values = decode_raster(row.probability, tile.pixels.shape_yx)
    state = np.where(values == NO_DATA, UNKNOWN, values >= row.threshold).astype(np.uint8)
    grid, tile, state = coarsened(_grid_of(row, tile), tile, state)
    reach = margin_of(grid, Tile(tile.pixels.top // SQUARE_PX, tile.pixels.left // SQUARE_PX, SQUARE_PX), method)
    reached = grown(tile, reach._replace(tall=2 * reach.tall, wide=2 * reach.wide))  # more than squares beside ask for
    for square in tiles_over(reached, SQUARE_PX):
        seen = common(tile.pixels, grown(square, margin_of(grid, square, method)))
        if seen:
            part = state[
                seen.top - tile.pixels.top : seen.bottom - tile.pixels.top, seen.left - tile.pixels.left : seen.right - tile.pixels.left
            ]
            yield {
                **{name: getattr(row, name) for name in _FIELD}, "row": square.row, "col": square.col, "origin": list(grid[2:]),
                "top": seen.top, "left": seen.left, "height": part.shape[0], "width": part.shape[1], "state": encode_raster(part),
            }  # fmt: skip


def coarsened(grid: Grid, tile: Tile, state: Raster) -> tuple[Grid, Tile, Raster]:
    """The grid, tile and states of pixels put together, a power of two of them, until they are LEAST_SIDE_M high: built where half or
    more of what is known is."""
    times = 1
    while times * ground_resolution_m(grid.pixel_height) < LEAST_SIDE_M and times < tile.tile_px:
        times *= 2
    if times == 1:
        return grid, tile, state
    cells = state.reshape(len(state) // times, times, -1, times)
    known, built = ((one).sum((1, 3)) for one in (cells != UNKNOWN, cells == 1))
    coarse = np.where(known == 0, UNKNOWN, 2 * built >= known).astype(np.uint8)
    larger = grid._replace(pixel_width=grid.pixel_width * times, pixel_height=grid.pixel_height * times)
    return larger, tile._replace(tile_px=tile.tile_px // times), coarse


def common(first: PixelBounds, second: PixelBounds) -> PixelBounds | None:
    """The pixels of both, if any."""
    both = PixelBounds(*(max(first[n], second[n]) for n in (0, 1)), *(min(first[n], second[n]) for n in (2, 3)))
    return both if both.top < both.bottom and both.left < both.right else None


def square_frame(parts: pd.DataFrame, method: str) -> pd.DataFrame:
    """All rows of PARTS_DDL of one square to its row of SQUARES_DDL; none where nothing of the square itself is known."""
    one = parts.iloc[0]
    square = Tile(int(one["row"]), int(one["col"]), SQUARE_PX)
    grid = Grid(one["grid"], one["crs"], *map(float, one["origin"]))
    bounds = grown(square, margin_of(grid, square, method))
    state = np.full(bounds.shape_yx, UNKNOWN, np.uint8)
    rows: Iterable[Any] = parts.itertuples()
    for part in rows:
        y, x = part.top - bounds.top, part.left - bounds.left
        state[y : y + part.height, x : x + part.width] = decode_raster(part.state, (part.height, part.width))
    classes = classes_of(state, grid, square, method)
    row = {
        **{name: one[name] for name in _FIELD}, "tile_px": SQUARE_PX, "row": square.row, "col": square.col,
        "transform": list(grid.transform(square.pixels.top, square.pixels.left))[:6], "classes": encode_raster(classes),
    }  # fmt: skip
    return pd.DataFrame([] if (classes == UNKNOWN).all() else [row], columns=[column.split()[0] for column in SQUARES_DDL.split(", ")])


def rest_frames(frames: Frames) -> Iterator[pd.DataFrame]:
    """Rows of SQUARES_DDL to rows of REST_DDL: components of what is neither urban, suburban nor fringe."""
    for frame in frames:
        for row in frame.itertuples():
            yield _rest_frame(row)


def _rest_frame(row: Any) -> pd.DataFrame:
    square, grid = _placed(row)
    rest = rest_of(decode_raster(row.classes, SHAPE), tile_areas_mm2(grid, square), *square.pixels[:2])
    told = {
        "piece": rest.piece, "open_mm2": rest.open_mm2, "sides": rest.borders.sides.astype(np.int32),
        "beside_blank": rest.borders.beside_blank, "seams": rest.borders.seams,
    }  # fmt: skip
    return pd.DataFrame(told).assign(**{name: getattr(row, name) for name in ("layer", "epoch", "grid", "tile_px", "row", "col")})


def blank_frames(frames: Frames) -> Iterator[pd.DataFrame]:
    """Rows of SQUARES_DDL to rows of BLANKS_DDL: crossings of a square's border at pixels where nothing is known."""
    for frame in frames:
        for row in frame.itertuples():
            yield _blanks_frame(row)


def _blanks_frame(row: Any) -> pd.DataFrame:
    blank = (decode_raster(row.classes, SHAPE) == UNKNOWN).astype(np.int32)
    seams = borders_of(blank, 1, np.zeros_like(blank, bool), *_placed(row)[0].pixels[:2]).seam_key
    return pd.DataFrame({"seam": seams}).assign(**{name: getattr(row, name) for name in ("layer", "epoch", "grid")})


def city_frames(frames: Frames) -> Iterator[pd.DataFrame]:
    """Rows of SQUARES_DDL with `captured`, numbers of pieces of the rest or None, to rows of CITY_DDL: final classes, and the city dressed
    as a map, which is what tracing takes."""
    for frame in frames:
        yield pd.DataFrame([_city_row(row) for row in frame.itertuples()])


def _city_row(row: Any) -> dict[str, Any]:
    captured = np.asarray([] if row.captured is None else row.captured, np.int64)
    classes = with_captured(decode_raster(row.classes, SHAPE), captured, *_placed(row)[0].pixels[:2])
    city = np.where(classes == UNKNOWN, NO_DATA, np.where(np.isin(classes, CITY), ONE, 0)).astype(np.uint8)
    same = {name: getattr(row, name) for name in (*_FIELD, "tile_px", "row", "col", "transform")}
    dressed = {"depth": None, "threshold": 1, "first_date": pd.NaT, "last_date": pd.NaT, "model_sha256": ""}
    return {**same, "classes": encode_raster(classes), "probability": encode_raster(city), **dressed}


def area_frames(frames: Frames) -> Iterator[pd.DataFrame]:
    """Rows of CITY_DDL to rows of AREAS_DDL: areas of the classes in each piece of the city."""
    for frame in frames:
        for row in frame.itertuples():
            yield _areas_frame(row)


def _areas_frame(row: Any) -> pd.DataFrame:
    square, grid = _placed(row)
    piece, areas = class_areas(decode_raster(row.classes, SHAPE), tile_areas_mm2(grid, square), *square.pixels[:2])
    named = {name: getattr(row, name) for name in ("layer", "epoch", "grid")}
    return pd.DataFrame({"piece": piece, **dict(zip(AREA_NAMES, areas.T, strict=True))}).assign(**named)


def _placed(row: Any) -> tuple[Tile, Grid]:
    square = Tile(int(row.row), int(row.col), SQUARE_PX)
    return square, _grid_of(row, square)


def _grid_of(row: Any, tile: Tile) -> Grid:
    """The same for every tile: the last bits of a transform depend on where it was taken."""
    origin = grid_origin(tuple(float(value) for value in row.transform), tile.pixels.top, tile.pixels.left)
    return Grid(row.grid, row.crs, *origin)
