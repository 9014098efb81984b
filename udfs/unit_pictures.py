"""Built-up land of one unit as one picture, from the pictures of every grid that it lies on."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.warp import reproject

from udfs.map_figures import projected
from udfs.map_pixels import MapGrid, Shares
from udfs.rasters import NO_DATA, ONE

MARGIN = 0.03
"""Beyond the unit's bounds, of the longer side."""
Colour = tuple[float, float, float]


def unit_grid(parts: Sequence[MapGrid], outline: bytes, most_px: int) -> MapGrid:
    """North-up pixels around a unit (WKB, EPSG:4326), at most `most_px` and a few a side: those of the only part, or, of parts with several
    CRSs, in Lambert's equal-area projection about the unit."""
    crs = parts[0].crs if len({part.crs for part in parts}) == 1 else _equal_area(outline)
    shape = projected([outline], crs)[0]
    west, south, east, north = shape.bounds
    longest = max(east - west, north - south)
    coarsest = max(parts, key=lambda part: part.pixel_width)
    times = max(1, int(np.ceil(longest / (most_px * coarsest.pixel_width))))
    width, height = coarsest.pixel_width * times, coarsest.pixel_height * times
    left = coarsest.left + np.floor((west - MARGIN * longest - coarsest.left) / width) * width
    top = coarsest.top + np.ceil((north + MARGIN * longest - coarsest.top) / height) * height
    columns, rows = np.ceil((east + MARGIN * longest - left) / width), np.ceil((top - south + MARGIN * longest) / height)
    return MapGrid(crs, float(left), float(top), width, height, int(columns), int(rows), coarsest.step * times)


def _equal_area(outline: bytes) -> str:
    # A point inside is on the right side of the 180th meridian, the middle of the bounds may not be.
    inside = shapely.point_on_surface(shapely.from_wkb(outline))
    return f"+proj=laea +lat_0={inside.y:.4f} +lon_0={inside.x:.4f} +datum=WGS84 +units=m"


def onto(grid: MapGrid, parts: Sequence[tuple[MapGrid, Shares]]) -> Shares:
    """Shares (0-250, 255 no data) of all parts on `grid`, averaged over its pixels; (grid.height, grid.width)."""
    result = np.full((grid.height, grid.width), NO_DATA, np.uint8)
    for part, shares in parts:
        moved = np.full_like(result, NO_DATA)
        reproject(
            shares, moved, src_transform=part.transform, src_crs=part.crs, src_nodata=NO_DATA, dst_transform=grid.transform,
            dst_crs=grid.crs, dst_nodata=NO_DATA, resampling=Resampling.average,
        )  # fmt: skip
        result = np.where(moved == NO_DATA, result, moved)
    return result


def change_colours(first: Shares, last: Shares, kept: Colour, new: Colour, gone: Colour, no_data: Colour) -> NDArray[np.float64]:
    """RGB 0-1 (height, width, 3): white ground, mixed with each colour by the share of a pixel that was built-up at both ends, at the last
    only, at the first only. The shares of a coarse pixel are taken to overlap as far as they can."""
    before, after = first.astype(np.float64) / ONE, last.astype(np.float64) / ONE
    both = np.minimum(before, after)
    parts = [(both, kept), (after - both, new), (before - both, gone)]
    rgb = 1.0 - sum(share[..., None] * (1.0 - np.asarray(colour)) for share, colour in parts)
    unknown = (first == NO_DATA) | (last == NO_DATA)
    return np.asarray(np.where(unknown[..., None], np.asarray(no_data), rgb), np.float64)
