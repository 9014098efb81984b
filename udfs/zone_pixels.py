"""Which pixels of an array a zone owns, by their centres, and which its strip touches."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from udfs.zones import Points, Zone, from_lonlat, wrapped

Spots = list[tuple[float, float]]
"""Rows and columns, in pixels, from a pixel's upper left corner."""
LEAF_PX = 32
"""Squares of pixels up to this side are projected pixel by pixel, larger ones only where the strip's edge may be."""
TOUCH_PX = 0.1
"""What pixels are grown by in `owned_or_touched`: an edge bends, or is tilted at a strip's corner, by less than that."""


def owned(crs: str, transform: Affine, shape_yx: tuple[int, int], zone: Zone) -> NDArray[np.bool_]:
    """Pixels whose centre the zone owns, bool (height, width), of an array on any grid; `transform`: pixel to CRS."""
    return _marked(crs, transform, shape_yx, zone, [(0.5, 0.5)])


def owned_or_touched(crs: str, transform: Affine, shape_yx: tuple[int, int], zone: Zone) -> NDArray[np.bool_]:
    """Pixels any part of whose square the zone owns, as `owned`, on the zone's own grid; none is missing, a few just touch.

    Judged by the centre and by corners TOUCH_PX outside: pixels must be narrower than the strip.
    """
    corners = list(product((-TOUCH_PX, 1 + TOUCH_PX), (-TOUCH_PX, 1 + TOUCH_PX)))
    return _marked(crs, transform, shape_yx, zone, [(0.5, 0.5), *corners])


def _marked(crs: str, transform: Affine, shape_yx: tuple[int, int], zone: Zone, spots: Spots) -> NDArray[np.bool_]:
    inside = np.zeros(shape_yx, np.bool_)
    _mark(inside, np.arange(shape_yx[0]), np.arange(shape_yx[1]), zone, partial(_lonlat, crs, transform), spots)
    return inside


def _mark(inside: NDArray[np.bool_], rows: Any, cols: Any, zone: Zone, lonlat: Any, spots: Spots) -> None:
    """Pixels of which the zone owns one of `spots`; an array is halved until it lies clearly in or out of the strip or is small."""
    if max(inside.shape) <= LEAF_PX:
        inside[...] = np.any([_owns(zone, *lonlat(rows + y, cols + x)) for y, x in spots], axis=0)
        return
    first, last = np.min(spots, axis=0), np.max(spots, axis=0)
    sides = [np.array([of[0] + low, of[len(of) // 2], of[-1] + high]) for of, low, high in zip((rows, cols), first, last, strict=True)]
    verdict = _verdict(zone, *lonlat(*sides))
    if verdict is not None:
        inside[...] = verdict
        return
    y, x = len(rows) // 2, len(cols) // 2
    for down, across in product((slice(y), slice(y, None)), (slice(x), slice(x, None))):
        if inside[down, across].size:
            _mark(inside[down, across], rows[down], cols[across], zone, lonlat, spots)


def _lonlat(crs: str, transform: Affine, rows: Points, cols: Points) -> Points:
    """Longitudes and latitudes (2, rows, cols) of a lattice of points in pixels; nan outside of what the CRS can show."""
    a, b, c, d, e, f = transform[:6]
    x, y = np.meshgrid(cols, rows)
    lon, lat = from_lonlat(crs).transform(a * x + b * y + c, d * x + e * y + f, direction="INVERSE")
    return np.where(np.isfinite(lon) & np.isfinite(lat), (lon, lat), np.nan)


def _owns(zone: Zone, longitude: Points, latitude: Points) -> NDArray[np.bool_]:
    lon = wrapped(longitude)
    return np.asarray((lon >= zone.west) & (lon < zone.east) & (latitude >= zone.south) & (latitude < zone.end))


def _verdict(zone: Zone, longitude: Points, latitude: Points) -> bool | None:
    """Whether all (True) or none (False) of a rectangle lies in the strip, from 3 x 3 of its points; None: unsure."""
    half = (zone.east - zone.west) / 2
    along = True if zone.polar else _between(wrapped(longitude - zone.west - half), -half, half)
    across = _between(latitude, zone.south, zone.end)
    if along and across:
        return True
    return False if along is False or across is False else None


def _between(values: Points, low: float, high: float) -> bool | None:
    """As `_verdict`, for one coordinate; between and beyond the points it varies by less than the points do."""
    least, most = 2 * values.min() - values.max(), 2 * values.max() - values.min()
    if least >= low and most < high:
        return True
    return False if most < low or least >= high else None
