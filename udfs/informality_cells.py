"""Shells of `informality`: planned tiles with their maps to sums of cells, these to rows of the table."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely

from conf.errors import PASSING
from udfs.channels import Channels
from udfs.compositing import Region
from udfs.earth import grid_origin, ground_resolution_m, to_lonlat
from udfs.grid import Grid, Tile, tile_id
from udfs.images import ImagePool
from udfs.informality import BANDS, MEASURES, SUMS, Anchors, cell_sums, measures_of, pixel_terms, score_of
from udfs.lanes import read_by_rules
from udfs.lonlat import lonlat_polygons
from udfs.mapping import Plan, first_failure, plan_of, planned_composite
from udfs.pixel_areas import MM2_PER_M2, tile_areas_mm2
from udfs.rasters import NO_DATA, decode_raster
from udfs.urban_extent import row_sides_m

Frames = Iterable[pd.DataFrame]
LEAST_SEEN = 0.5
"""Share of a cell's pixels: of a few, edges always have a direction in common."""
ALL_SUMS = (*SUMS, "built_mm2")
_CELL_DDL = "epoch string, grid string, crs string, origin array<double>, cell_px int, row int, col int, "
SUMS_DDL = _CELL_DDL + ", ".join(f"{name} bigint" for name in ALL_SUMS)
CELLS_DDL = (
    "epoch string, cell_id string, grid string, cell_px int, row int, col int, geometry binary, xmin double, ymin double, xmax double, "
    "ymax double, pixels int, built_m2 double, ndvi double, swir_ratio double, contrast double, alignment double, score double, "
    "informal boolean"
)


@dataclass(frozen=True)
class CellReading:
    """How images are read for cells: plain values, so that it can travel to a worker. `reading`: as `reading_of` gives it."""

    composite: str
    looks: float
    cell_m: float
    reading: dict[str, Any]


class _Work(NamedTuple):
    row: Any
    plan: Plan


def cell_px_of(pixel_height: float, cell_m: float) -> int:
    """Pixels along a cell's side, from a pixel's height in CRS units."""
    return max(1, round(cell_m / ground_resolution_m(pixel_height)))


def sums_frames(frames: Frames, how: CellReading) -> Iterator[pd.DataFrame]:
    """Done tiles, as planned, with `probability` and `threshold`, to rows of SUMS_DDL: partial sums of the cells that a tile meets."""
    given = how.reading
    works = (
        _Work(row, plan_of(row, given["scenes"], given["sensors"], given["references"])) for frame in frames for row in frame.itertuples()
    )

    def read(pool: ImagePool, work: _Work) -> Region:
        part = Channels(work.plan.sensor, BANDS, how.composite)
        return planned_composite(pool, work.plan, (part,), work.plan.tile.pixels.grown(1), how.looks)

    for work, region in read_by_rules(works, read, given["scenes"], given["rules"], given["readers"]):
        passing = {name: error for name, error in region.failed.items() if error.kind in PASSING}
        if passing:  # it may be there another time: never another answer
            raise first_failure(passing)
        found = _sums_frame(work, region, how.cell_m)
        if len(found):  # of an empty frame the types are not known
            yield found


def _sums_frame(work: _Work, region: Region, cell_m: float) -> pd.DataFrame:
    row, tile = work.row, work.plan.tile
    origin = grid_origin(tuple(float(value) for value in row.transform), *tile.pixels[:2])
    grid = Grid(row.grid, row.crs, *origin)
    values = decode_raster(row.probability, tile.pixels.shape_yx)
    sides = row_sides_m(grid, tile.pixels.top, tile.pixels.bottom)
    terms = pixel_terms(region.values, values != NO_DATA, sides[:, 1:] / sides[:, :1])
    built = np.where((values != NO_DATA) & (values >= row.threshold), tile_areas_mm2(grid, tile), 0)
    cell_px = cell_px_of(grid.pixel_height, cell_m)
    rows, columns, sums = cell_sums(np.concatenate([terms, built[None]]), *tile.pixels[:2], cell_px)
    met = (sums != 0).any(axis=1)
    rows, columns, sums = rows[met], columns[met], sums[met]
    placed = {"epoch": row.epoch, "grid": row.grid, "crs": row.crs, "origin": [list(origin)] * len(rows), "cell_px": cell_px}
    return pd.DataFrame(sums, columns=list(ALL_SUMS)).assign(**placed, row=rows, col=columns)


def cell_frames(frames: Frames, anchors: Anchors, threshold: float) -> Iterator[pd.DataFrame]:
    """Rows of SUMS_DDL, one for each cell, to rows of CELLS_DDL."""
    for frame in frames:
        yield _cell_frame(frame.reset_index(drop=True), anchors, threshold)


def _cell_frame(sums: pd.DataFrame, anchors: Anchors, threshold: float) -> pd.DataFrame:
    measures = measures_of(sums)
    seen = sums["pixels"] >= LEAST_SEEN * sums["cell_px"] ** 2
    score = np.where(seen, score_of(measures, anchors), np.nan)
    named = pd.DataFrame(measures, columns=list(MEASURES)).assign(score=score).astype(object)
    named = named.where(named.notna(), None)  # Spark takes a NaN in a double column for a number
    same = sums[["epoch", "grid", "cell_px", "row", "col"]]
    told = {
        **_outlines(sums), "pixels": sums["pixels"].astype("int32"), "built_m2": sums["built_mm2"] / MM2_PER_M2,
        "informal": [None if np.isnan(one) else bool(one >= threshold) for one in score],
    }  # fmt: skip
    return pd.concat([same, named], axis=1).assign(**told)[[part.split()[0] for part in CELLS_DDL.split(", ")]]


def _outlines(sums: pd.DataFrame) -> dict[str, Any]:
    """Columns cell_id, geometry and its box."""
    rows: Iterable[Any] = list(sums.itertuples())
    grids = [Grid(one.grid, one.crs, *map(float, one.origin)) for one in rows]
    tiles = [Tile(int(one.row), int(one.col), int(one.cell_px)) for one in rows]
    shapes = [_outline(grid, tile) for grid, tile in zip(grids, tiles, strict=True)]
    boxes = shapely.bounds(np.array(shapes, object)).reshape(-1, 4)
    return {
        "cell_id": [tile_id(grid, tile) for grid, tile in zip(grids, tiles, strict=True)], "geometry": shapely.to_wkb(shapes),
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), boxes.T, strict=True)),
    }  # fmt: skip


def _outline(grid: Grid, cell: Tile) -> Any:
    top, left, bottom, right = cell.pixels
    x, y = np.array([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], np.float64).T
    east, north = grid.origin_x + x * grid.pixel_width, grid.origin_y - y * grid.pixel_height
    longitude, latitude = to_lonlat(grid.crs).transform(east, north)
    return lonlat_polygons(longitude[None], latitude[None])[0]
