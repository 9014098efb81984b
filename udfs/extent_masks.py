"""Maps cut by urban extents: what a tile shows inside the cities of its epoch and of the first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray

from udfs.earth import to_lonlat
from udfs.rasters import NO_DATA, ONE, decode_raster, encode_raster

Raster = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FIXED, MOVING = "fixed", "moving"
"""Inside the cities of the first epoch, and of the epoch itself."""
BUILT, EXTENT = "built", "extent"
"""What is built there, and all land of the cities."""
SEPARATOR = "|"
MAPS_DDL = (
    "epoch string, grid string, crs string, tile_px int, row int, col int, transform array<double>, strip string, status string, "
    "threshold int, probability binary"
)
CARRIED = ("grid", "crs", "tile_px", "row", "col", "transform", "strip")


def map_name(boundary: str, what: str, epoch: str) -> str:
    """Under which a map stands in the place of an epoch."""
    return SEPARATOR.join((boundary, what, epoch))


def extent_map_frames(frames: Iterable[pd.DataFrame], first: str) -> Iterator[pd.DataFrame]:
    """Shell: rows of maps with `extents` (epoch, WKB EPSG:4326) to four maps each, of BUILT and EXTENT inside FIXED and MOVING cities: 250
    or 0, 255 where the map has no data; without pixels where it has none. `first`: the epoch whose cities stay."""
    for frame in frames:
        for row in frame.itertuples():
            yield pd.DataFrame(_map_rows(row, first))


def _map_rows(row: Any, first: str) -> list[dict[str, Any]]:
    placed = {name: getattr(row, name) for name in CARRIED} | {"status": row.status, "threshold": ONE}
    if row.status != "done":
        names = [map_name(boundary, what, row.epoch) for boundary in (FIXED, MOVING) for what in (BUILT, EXTENT)]
        return [{**placed, "epoch": name, "probability": None} for name in names]
    values = decode_raster(row.probability, (int(row.tile_px), int(row.tile_px)))
    given = [] if row.extents is None else row.extents
    masks = {FIXED: first, MOVING: row.epoch}
    maps: dict[str, bytes] = {}
    for boundary, epoch in masks.items():
        inside = mask_of([each["geometry"] for each in given if each["epoch"] == epoch], row, len(values))
        maps |= {
            map_name(boundary, what, row.epoch): encode_raster(one) for what, one in inside_maps(values, row.threshold, inside).items()
        }
    return [{**placed, "epoch": name, "probability": data} for name, data in maps.items()]


def inside_maps(values: Raster, threshold: int, inside: Mask) -> Mapping[str, Raster]:
    """Of a map (height, width) what is built inside, and all land inside."""
    chosen = {BUILT: inside & (values >= threshold), EXTENT: inside}
    return {what: np.where(values == NO_DATA, NO_DATA, np.where(one, ONE, 0)).astype(np.uint8) for what, one in chosen.items()}


def mask_of(geometries: list[bytes], row: Any, side: int) -> Mask:
    """Pixels (side, side) of a tile whose centres lie inside; outlines are straight on the grid, where they were traced. What a tile only
    touches meets its box in lines and points, which hold nothing."""
    parts = shapely.get_parts(shapely.get_parts(shapely.from_wkb(geometries)))
    areas = parts[shapely.get_dimensions(parts) == 2]
    if not len(areas):
        return np.zeros((side, side), bool)
    to_grid = to_lonlat(row.crs)
    shapes = shapely.transform(areas, lambda x, y: to_grid.transform(x, y, direction="INVERSE"), interleaved=False)
    return np.asarray(rasterio.features.rasterize(shapes, (side, side), transform=Affine(*row.transform), dtype="uint8") > 0)
