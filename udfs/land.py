"""The land surface of the earth: which tiles of a zone hold land. From the GLOBE elevation model, 30 arc seconds."""

import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conf.errors import InputError
from udfs.zones import Zone, from_lonlat, strip_polygon, tiles_in, zone_grid

CELLS_PER_DEGREE = 120
"""NOAA GLOBE Project 1999: 30 arc seconds; smaller islands are missing. As packed by the package global-land-mask: True is sea."""
ROWS, COLUMNS = 180 * CELLS_PER_DEGREE, 360 * CELLS_PER_DEGREE
SAMPLES = 9
"""Points along a side of a tile by which its box in degrees is found."""


@lru_cache(maxsize=1)
def _land_bits() -> NDArray[np.uint8]:
    """Eight cells in a byte (ROWS, COLUMNS / 8), rows from 90 N, columns from 180 W: 117 MB, kept in each process that asks.

    Read row by row: the file unpacks to 930 MB.
    """
    spec = find_spec("global_land_mask")
    if spec is None or spec.origin is None:
        raise InputError("area land needs the package global-land-mask; install it on every worker, or give the area as a file")
    bits = np.empty((ROWS, COLUMNS // 8), np.uint8)
    with zipfile.ZipFile(Path(spec.origin).with_name("globe_combined_mask_compressed.npz")) as archive, archive.open("mask.npy") as file:
        np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
        for row in range(ROWS):
            bits[row] = np.packbits(np.frombuffer(file.read(COLUMNS), np.uint8) == 0)
    return bits


def land_tiles(zone: Zone, resolution: float, tile_px: int) -> NDArray[np.int32]:
    """Row and column (n, 2), sorted, of the tiles of the zone's grid that hold a cell of land and ground the zone owns."""
    tiles = tiles_in(zone, strip_polygon(zone), resolution, tile_px)
    kept = [part[_hold_land(zone, resolution, tile_px, part)] for part in np.array_split(tiles, max(1, len(tiles) // 20_000))]
    return np.concatenate(kept) if kept else tiles


def _hold_land(zone: Zone, resolution: float, tile_px: int, tiles: NDArray[np.int32]) -> NDArray[np.bool_]:
    west, south, east, north = _boxes(zone, resolution, tile_px, tiles)
    sums, left, top = _sums(float(west.min()), float(south.min()), float(east.max()), float(north.max()))
    columns = [np.clip(np.floor((lon + 180) * CELLS_PER_DEGREE).astype(int) - left + more, 0, sums.shape[1] - 1)
               for lon, more in ((west, 0), (east, 1))]  # fmt: skip
    rows = [np.clip(np.floor((90 - lat) * CELLS_PER_DEGREE).astype(int) - top + more, 0, sums.shape[0] - 1)
            for lat, more in ((north, 0), (south, 1))]  # fmt: skip
    inside = sums[rows[1], columns[1]] - sums[rows[0], columns[1]] - sums[rows[1], columns[0]] + sums[rows[0], columns[0]]
    return np.asarray(inside > 0, bool)


def _sums(west: float, south: float, east: float, north: float) -> tuple[NDArray[np.int32], int, int]:
    """Cells of land above and left of each corner within a box of degrees; and the box' first column and row."""
    left = max(int(np.floor((west + 180) * CELLS_PER_DEGREE)) // 8 * 8, 0)
    right = min(int(np.ceil((east + 180) * CELLS_PER_DEGREE)) + 8, COLUMNS)
    top = max(int(np.floor((90 - north) * CELLS_PER_DEGREE)), 0)
    bottom = min(int(np.ceil((90 - south) * CELLS_PER_DEGREE)) + 1, ROWS)
    land = np.unpackbits(_land_bits()[top:bottom, left // 8 : -(-right // 8)], axis=1)
    sums = np.zeros((land.shape[0] + 1, land.shape[1] + 1), np.int32)
    np.cumsum(np.cumsum(land, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    return sums, left, top


def _boxes(zone: Zone, resolution: float, tile_px: int, tiles: NDArray[np.int32]) -> tuple[NDArray[np.float64], ...]:
    """West, south, east, north of tiles in degrees; near 180 degrees in UTM beyond it is cut off: that land is another zone's."""
    grid = zone_grid(zone, resolution)
    steps = np.linspace(0, tile_px, SAMPLES)
    first, last = np.zeros(SAMPLES), np.full(SAMPLES, tile_px)
    x = grid.origin_x + (tiles[:, 1, None] * tile_px + np.concatenate([steps, steps, first, last])) * grid.pixel_width
    y = grid.origin_y - (tiles[:, 0, None] * tile_px + np.concatenate([first, last, steps, steps])) * grid.pixel_height
    lon, lat = from_lonlat(zone.crs).transform(x, y, direction="INVERSE")
    if zone.polar:
        wide = np.ptp(lon, axis=1) > 180
        lon = np.where(wide[:, None], np.where(np.arange(lon.shape[1]) % 2, -180.0, 180.0), lon)
        lat = np.where((np.abs(lat).max(axis=1) > 89.9)[:, None], np.sign(lat) * 90.0, lat)
        return lon.min(axis=1), lat.min(axis=1), lon.max(axis=1), lat.max(axis=1)
    middle = (zone.west + zone.east) / 2
    lon = np.clip(middle + (lon - middle + 180) % 360 - 180, zone.west, zone.east)
    return lon.min(axis=1), lat.min(axis=1), lon.max(axis=1), lat.max(axis=1)
