"""Points for visual interpretation: drawn from planned tiles by seeded hashes of their pixels, and read with the ground around them.

A stratum's points are its pixels of the smallest hashes: a simple random sample, the same for any partitioning.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conf.errors import InputError, ReadError
from conf.sensors import SENSORS
from udfs.channels import Channels
from udfs.compositing import Region
from udfs.earth import to_lonlat
from udfs.grid import PixelBounds, blocks_of
from udfs.images import ImagePool
from udfs.lanes import read_by_rules
from udfs.mapping import Plan, plan_of, planned_composite
from udfs.pixel_areas import block_areas_mm2
from udfs.rasters import decode_raster
from udfs.speckle import LOOKS
from udfs.strata import INDICES, MARGIN, STRATA, Cuts, binned, counted, stratified
from udfs.zone_pixels import owned
from udfs.zones import zone_called

Frames = Iterable[pd.DataFrame]
Keys = NDArray[np.int64]
Mask = NDArray[np.bool_]
Work = tuple[Any, Plan, PixelBounds]

COUNTS_DDL = "name string, bin int, pixels bigint"
PICKS_DDL = "stratum string, pixels bigint, area_mm2 bigint, picks array<struct<key: bigint, grid: string, row: int, col: int>>"
POINTS_DDL = "point_id int, crs string, lon double, lat double, scenes array<string>, dates array<date>, values binary"
MAP_DDL = "point_id int, probability int, threshold int"
NEEDED, SHOWN = ("green", "red", "nir"), ("blue", "green", "red", "nir", "swir1")
"""Common names of the bands that strata need, and of those that pictures show where there are such."""


@dataclass(frozen=True)
class Source:
    """How tiles are read: plain values, so that it can travel to a worker."""

    reading: dict[str, Any]
    """As `jobs.planned_scenes.reading_of` gives it."""
    composite: str = "median"
    looks: float = LOOKS


class Pick(NamedTuple):
    """A pixel of a grid."""

    key: int
    grid: str
    row: int
    col: int


def shown_bands(sensor: str) -> dict[str, str]:
    """Common name to band, of SHOWN. Raises InputError where strata cannot be told."""
    found = {name: band for name in SHOWN if (band := SENSORS[sensor].band_called(name))}
    if missing := [name for name in NEEDED if name not in found]:
        raise InputError(f"reference_sample: sensor {sensor} has no {missing[0]} band, which strata need; name another layer")
    return found


def indices_of(sensor: str) -> tuple[str, ...]:
    """Those of strata.INDICES that the sensor's bands give; strata are made with the first."""
    return INDICES if "swir1" in shown_bands(sensor) else INDICES[1:]


def pixel_keys(seed: int, grid: str, bounds: PixelBounds) -> Keys:
    """A hash of each pixel, 63 bits, int64 (height, width): of seed, grid, row and column alone."""
    start = np.uint64(int.from_bytes(hashlib.sha256(f"{seed} {grid}".encode()).digest()[:8], "big"))
    rows, cols = (np.arange(first, last).astype(np.uint64) for first, last in zip(bounds[:2], bounds[2:], strict=True))
    return (_mixed(_mixed(start + rows)[:, None] + cols) >> np.uint64(1)).astype(np.int64)


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A step of SplitMix64; Steele, Lea and Flood 2014."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def smallest(keys: Keys, mask: Mask, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the `most` smallest keys in a mask, smallest first; of equal ones by row, then column."""
    rows, cols = np.nonzero(mask)
    order = np.argsort(keys[rows, cols], kind="stable")[:most]
    return rows[order], cols[order]


def count_batches(frames: Frames, source: Source) -> Iterator[pd.DataFrame]:
    """Shell: planned tiles of one layer to rows of COUNTS_DDL: pixels by bins of each index, summed over the frames."""
    totals: dict[str, NDArray[np.int64]] = {}
    for plan, region in _tiles(frames, source):
        bands = {name: values[MARGIN:-MARGIN, MARGIN:-MARGIN] for name, values in _bands(plan, region).items()}
        for name in indices_of(plan.sensor):
            totals[name] = totals.get(name, np.int64(0)) + counted(binned(bands, name), _owned(plan))
    for name, counts in totals.items():
        found = np.flatnonzero(counts)
        yield pd.DataFrame({"name": name, "bin": found.astype(np.int32), "pixels": counts[found]})


@dataclass
class _Stratum:
    pixels: int
    area_mm2: int
    picks: list[Pick]


def pick_batches(frames: Frames, source: Source, cuts: Cuts, seed: int, most: int) -> Iterator[pd.DataFrame]:
    """Shell: planned tiles of one layer to rows of PICKS_DDL, one a stratum: its size over the frames and its `most` first pixels."""
    strata = {name: _Stratum(0, 0, []) for name in STRATA}
    for plan, region in _tiles(frames, source):
        found = stratified(binned(_bands(plan, region), indices_of(plan.sensor)[0]), cuts)
        found[~_owned(plan)] = -1
        keys, areas = pixel_keys(seed, plan.grid.name, plan.tile.pixels), _areas_mm2(plan)
        for number, stratum in enumerate(strata.values()):
            mask = found == number
            stratum.pixels += int(mask.sum())
            stratum.area_mm2 += int(areas[mask].sum())
            stratum.picks = sorted(stratum.picks + _picks(plan, keys, mask, most))[:most]
    rows = [(name, each.pixels, each.area_mm2, [pick._asdict() for pick in each.picks]) for name, each in strata.items() if each.pixels]
    yield pd.DataFrame(rows, columns=["stratum", "pixels", "area_mm2", "picks"])


def _picks(plan: Plan, keys: Keys, mask: Mask, most: int) -> list[Pick]:
    top, left = plan.tile.pixels[:2]
    found = zip(*smallest(keys, mask, most), strict=True)
    return [Pick(int(keys[y, x]), plan.grid.name, top + int(y), left + int(x)) for y, x in found]


def point_batches(frames: Frames, source: Source, margin: int) -> Iterator[pd.DataFrame]:
    """Shell: planned tiles of one layer with `points` [point_id, row, col] to rows of POINTS_DDL, one a point.

    `values`: the composite around it, float32 (bands of SHOWN that the sensor has, 2 margin + 1, 2 margin + 1), NaN without data.
    `scenes`, `dates`: of the images that gave these pixels.
    """
    works = ((point, plan, _around(point, margin)) for row, plan in _plans(frames, source) for point in row.points)
    for point, plan, region in _read_each(works, source):
        used = [scene for scene in plan.scenes if scene.scene_id in region.used]
        lon, lat = to_lonlat(plan.grid.crs).transform(*(plan.grid.transform(point["row"], point["col"]) @ (0.5, 0.5)))
        found = {
            "point_id": int(point["point_id"]), "crs": plan.grid.crs, "lon": lon, "lat": lat,
            "scenes": sorted(scene.scene_id for scene in used), "dates": sorted({scene.datetime.date() for scene in used}),
            "values": region.values.astype(np.float32).tobytes(),
        }  # fmt: skip
        yield pd.DataFrame([found])


def map_batches(frames: Frames) -> Iterator[pd.DataFrame]:
    """Shell: done rows of `built_up` with `points` [point_id, row, col] to rows of MAP_DDL."""
    for frame in frames:
        for row in frame.to_dict("records"):
            side = row["tile_px"]
            raster = decode_raster(row["probability"], (side, side))
            found = [(p["point_id"], raster[p["row"] % side, p["col"] % side], row["threshold"]) for p in row["points"]]
            yield pd.DataFrame(found, columns=["point_id", "probability", "threshold"]).astype("int32")


def _around(point: Any, margin: int) -> PixelBounds:
    return PixelBounds(point["row"], point["col"], point["row"] + 1, point["col"] + 1).grown(margin)


def _plans(frames: Frames, source: Source) -> Iterator[tuple[Any, Plan]]:
    told = source.reading
    for row in (row for frame in frames for row in frame.itertuples()):
        yield row, plan_of(row, told["scenes"], told["sensors"], told["references"])


def _tiles(frames: Frames, source: Source) -> Iterator[tuple[Plan, Region]]:
    """Each tile with its composite, MARGIN around it."""
    works = ((None, plan, plan.tile.pixels.grown(MARGIN)) for _, plan in _plans(frames, source))
    return ((plan, region) for _, plan, region in _read_each(works, source))


def _read_each(works: Iterator[Work], source: Source) -> Iterator[tuple[Any, Plan, Region]]:
    """Raises ReadError: a scene that cannot be read must not leave ground out unseen."""
    told = source.reading
    for (tag, plan, _), region in read_by_rules(works, partial(_read, source=source), told["scenes"], told["rules"], told["readers"]):
        for name in sorted(region.failed):
            raise ReadError(region.failed[name].kind, f"scene {name}: {region.failed[name]}")
        yield tag, plan, region


def _read(pool: ImagePool, work: Work, source: Source) -> Region:
    """Of the layer's own sensor: what lies beside it is for networks."""
    _, plan, bounds = work
    channels = Channels(plan.sensor, tuple(shown_bands(plan.sensor).values()), source.composite)
    return planned_composite(pool, plan, (channels,), bounds, source.looks)


def _bands(plan: Plan, region: Region) -> dict[str, NDArray[np.float32]]:
    return dict(zip(shown_bands(plan.sensor), region.values, strict=True))


def _owned(plan: Plan) -> Mask:
    """Pixels of the tile that are its zone's: each piece of ground counts once."""
    side = plan.tile.tile_px
    if plan.strip is None:
        return np.ones((side, side), bool)
    return owned(plan.grid.crs, plan.grid.transform(*plan.tile.pixels[:2]), (side, side), zone_called(plan.strip))


def _areas_mm2(plan: Plan) -> NDArray[np.int64]:
    top, left = plan.tile.pixels[:2]
    areas = np.empty((plan.tile.tile_px, plan.tile.tile_px), np.int64)
    for block in blocks_of(plan.tile):
        y, x = block.pixels.top - top, block.pixels.left - left
        areas[y : y + block.tile_px, x : x + block.tile_px] = block_areas_mm2(plan.grid, block.row, block.col)
    return areas
