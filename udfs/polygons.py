"""Buildings on the grid: whole components as polygons, regular or raw, sieved and named."""

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from udfs.earth import GridOrigin, area_of_pixel_m2, pixel_sides_m
from udfs.footprints import footprints_on_earth, origin_of
from udfs.merging import CELL_BITS, COLUMN_BITS, COLUMN_ZERO, cell_number, unpacked_corners
from udfs.overlaps import RAW, REGULARISED, precedence, without_overlaps
from udfs.rasters import ONE
from udfs.regularisation import Regular, least_detail_px, regular_polygons
from udfs.shared_walls import grown_together
from udfs.splitting import split_frame
from udfs.tracing import Ints, Rings, polygons_chosen, polygons_of_rings, rings_of_corners, united

Shapes = NDArray[np.object_]
Mask = NDArray[np.bool_]
_FIELD = ("layer", "epoch", "grid")

CLEARLY = 0.1
"""Components whose pixels have this share more or less than the least area are not measured on the earth before they are sieved."""
PLANAR_DDL = (
    "layer string, epoch string, grid string, crs string, origin_x double, origin_y double, pixel_width double, pixel_height double, "
    "cell bigint, beyond array<bigint>, component bigint, pixels bigint, building_id string, planar binary, confidence double, "
    "shape string, open_edge boolean, first_date timestamp, last_date timestamp, model_sha256 string"
)
_TOTALS = {
    "pixels": "sum", "probability_sum": "sum", "open_edge": "max", "first_date": "min", "last_date": "max", "model_sha256": "min",
    "parted": "max",
}  # fmt: skip


class Outline(NamedTuple):
    """How outlines are made: components of at least `min_area_m2`; regular unless `detail_m` is 0."""

    min_area_m2: float
    detail_m: float
    tolerance_m: float


def planar_frame(frame: pd.DataFrame, outline: Outline) -> pd.DataFrame:
    """Pieces of one layer, epoch, grid and cell, with `component` and `open_edge`, to rows of PLANAR_DDL, one a building: `planar` is WKB
    in grid pixels, `beyond` the other cells that its box touches. All pieces of a component must be there. Memory: about 300 bytes per
    corner; while a component is split, 60 per pixel of its box."""
    one = frame.iloc[0]
    frame = split_frame(frame)
    origin = origin_of(one)
    _, owner = np.unique(frame["component"].to_numpy(), return_inverse=True)
    rings = rings_of_corners(united(unpacked_corners(list(frame["corners"]), owner)))
    totals = frame.groupby("component", sort=True).agg(_TOTALS).reset_index()
    middle = _middle(int(one["cell"]))
    large = _large(rings, totals["pixels"].to_numpy(), middle, origin, one["crs"], outline.min_area_m2)
    rings, totals = polygons_chosen(rings, large), totals[large]
    width_m, height_m = pixel_sides_m(one["crs"], origin, np.array([middle[::-1]]))[0]
    found = _outlined(rings, totals, (float(width_m), float(height_m)), outline)
    rows = totals.assign(
        **{name: one[name] for name in (*_FIELD, "crs", *origin._fields, "cell")},
        building_id=np.array([building_id(_field(one), content) for content in _contents(rings)], object),  # text also where none is left
        planar=shapely.to_wkb(found.polygons),
        beyond=pd.Series(_cells_beyond(found.polygons, int(one["cell"])), totals.index, object),
        confidence=totals["probability_sum"] / (ONE * totals["pixels"]),
        shape=np.where(found.regular, REGULARISED, RAW),
    )
    names = [column.split()[0] for column in PLANAR_DDL.split(", ")]
    kept: pd.DataFrame = rows.loc[~shapely.is_empty(found.polygons), names]
    return kept


def _middle(cell: int) -> tuple[int, int]:
    """Row and column of the pixel in the middle of a cell."""
    half, columns = 1 << (CELL_BITS - 1), COLUMN_BITS - CELL_BITS
    return ((cell >> columns) << CELL_BITS) + half, ((cell & ((1 << columns) - 1)) << CELL_BITS) - COLUMN_ZERO + half


def _large(rings: Rings, pixels: Ints, at: tuple[int, int], origin: GridOrigin, crs: str, least_m2: float) -> Mask:
    """Which components have `least_m2` or more: by their pixels, of the area of one `at` a row and column, near the limit by their
    geodesic area."""
    share = pixels * area_of_pixel_m2(crs, origin, *at) / max(least_m2, 1e-9)
    doubtful = np.abs(share - 1) < CLEARLY
    large = np.asarray(share >= 1)
    large[doubtful] = footprints_on_earth(polygons_of_rings(polygons_chosen(rings, doubtful)), origin, crs).area_m2 >= least_m2
    return large


def _outlined(rings: Rings, totals: pd.DataFrame, sides: tuple[float, float], outline: Outline) -> Regular:
    if not outline.detail_m:
        return Regular(polygons_of_rings(rings), np.zeros(len(totals), bool))
    found = regular_polygons(rings, sides, outline.detail_m, outline.tolerance_m)
    rank = precedence(found.regular, totals["pixels"].to_numpy(), totals["component"].to_numpy())
    polygons, parted = found.polygons.copy(), totals["parted"].to_numpy(bool)
    raw = polygons_of_rings(polygons_chosen(rings, parted))
    polygons[parted] = grown_together(polygons[parted], raw, rank[parted], found.regular[parted], least_detail_px(sides, outline.detail_m))
    return found._replace(polygons=without_overlaps(polygons, rank, found.regular))


def _contents(rings: Rings) -> list[bytes]:
    """The rings of each component in whole grid pixels."""
    xy = rings.xy.astype("<i8")
    return [xy[start:end].tobytes() for start, end in pairwise(rings.ring_offsets[rings.polygon_offsets])]


def _cells_beyond(polygons: Shapes, cell: int) -> list[list[int]]:
    """Other cells that each polygon's box touches; none of an empty one."""
    boxes = np.nan_to_num(np.floor(shapely.bounds(polygons))).astype(np.int64) + np.array([COLUMN_ZERO, 0, COLUMN_ZERO, 0])
    touched = [
        np.ravel(cell_number(np.arange(top, bottom + 1)[:, None], np.arange(left, right + 1)))
        for left, top, right, bottom in (boxes >> CELL_BITS).tolist()
    ]
    return [numbers[numbers != cell].tolist() for numbers in touched]


def _field(one: pd.Series) -> str:
    return f"{one['layer']}\n{one['epoch']}\n{one['grid']}\n{float(one['pixel_width'])!r}"


def building_id(field: str, content: bytes) -> str:
    """20 hexadecimal digits over layer, epoch, grid and resolution (`field`) and the rings in whole grid pixels."""
    return hashlib.sha256(field.encode() + b"\n" + content).hexdigest()[:20]
