"""Planning by cells: fixed squares of the grid, larger than any tile, in which scenes are looked up once for all tiles."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from conf.place import Epoch
from udfs.choosing import REACH_BLOCKS, Blocks, Candidates, Shown, blocks_around, chosen, packed, shown
from udfs.grid import BLOCK_PX, Grid, PixelBounds, Tile, tile_id
from udfs.land import land_tiles
from udfs.planning import REACH_PX, on_grid, outlines, predicted_bytes, predicted_seconds, tiles_touching
from udfs.zones import tiles_in, zone_called, zones_of

CELL_PX = 4096
"""Side of a cell: a multiple of every tile's, so that which scenes a cell sees does not depend on `tile_px`."""
CELLS_AT_ONCE = 50_000
"""Tiles whose cells travel together; a cell that is split comes together again."""
CELLS_DDL = "grid string, cell_row int, cell_col int, inside array<int>, reach binary"
TILE_COLUMNS = (
    "tile_id", "epoch", "grid", "crs", "row", "col", "transform", "scenes", "scenes_digest", "strip", "predicted_seconds",
    "predicted_bytes", "geometry", "xmin", "ymin", "xmax", "ymax",
)  # fmt: skip


class Work(NamedTuple):
    """What the cells of a layer have in common. `sensors`: each has its own scenes; `grids` by name; `cut`: whether zones' strips cut
    them; `every`: whether tiles that no scene covers are planned, too."""

    sensors: tuple[str, ...]
    grids: dict[str, Grid]
    cut: bool
    every: bool
    tile_px: int
    most_scenes: int
    epochs: tuple[Epoch, ...]


class Cell(NamedTuple):
    """A cell and the numbers of the tiles to plan in it, row by row."""

    row: int
    col: int
    inside: tuple[int, ...]

    @property
    def pixels(self) -> PixelBounds:
        return Tile(self.row, self.col, CELL_PX).pixels

    def tiles(self, tile_px: int) -> list[Tile]:
        side = CELL_PX // tile_px
        return [Tile(self.row * side + number // side, self.col * side + number % side, tile_px) for number in self.inside]


def cell_rows(grid: Grid, tiles: NDArray[Any], tile_px: int) -> pd.DataFrame:
    """Tiles (n, 2), row and column, as rows of CELLS_DDL, by cell."""
    side = CELL_PX // tile_px
    cells, where = np.unique(tiles // side, axis=0, return_inverse=True)
    numbers = (tiles % side) @ np.array([side, 1])
    inside = [np.unique(numbers[where.ravel() == number]).astype(np.int32) for number in range(len(cells))]
    squares = [Tile(int(row), int(col), CELL_PX) for row, col in cells]
    reach: Any = shapely.to_wkb(outlines(grid, squares, REACH_PX + BLOCK_PX)) if squares else []
    return pd.DataFrame({
        "grid": grid.name, "cell_row": cells[:, 0].astype(np.int32), "cell_col": cells[:, 1].astype(np.int32),
        "inside": pd.Series(inside, dtype=object), "reach": pd.Series(list(reach), dtype=object),
    })  # fmt: skip


def touched_cells(frames: Iterable[pd.DataFrame], work: Work) -> Iterator[pd.DataFrame]:
    """Shell: images' `footprint` (WKB, EPSG:4326) to the cells of the tiles they may touch, a cell again for each frame."""
    for frame in frames:
        tiles: dict[str, list[NDArray[Any]]] = {name: [] for name in work.grids}
        for footprint in frame["footprint"].unique():
            for name, found in _touched(bytes(footprint), work):
                tiles[name].append(found)
        for name, parts in tiles.items():
            if parts:
                yield cell_rows(work.grids[name], np.unique(np.concatenate(parts), axis=0), work.tile_px)


def _touched(footprint: bytes, work: Work) -> Iterator[tuple[str, NDArray[Any]]]:
    if not work.cut:
        (grid,) = work.grids.values()
        yield grid.name, np.array([tile[:2] for tile in tiles_touching(footprint, grid, work.tile_px)], int).reshape(-1, 2)
        return
    shape = shapely.from_wkb(footprint)
    for zone in zones_of(shape):
        if zone.name in work.grids:
            yield zone.name, tiles_in(zone, shape, work.grids[zone.name].pixel_width, work.tile_px)


def area_cells(frames: Iterable[pd.DataFrame], work: Work, area: bytes | None) -> Iterator[pd.DataFrame]:
    """Shell: names of grids (`grid`) to the cells of their tiles that meet an area (WKB, EPSG:4326), None: the land of the earth."""
    for frame in frames:
        for name in frame["grid"]:
            tiles = _tiles_of_area(work.grids[name], work, area)
            for part in np.array_split(tiles, max(1, len(tiles) // CELLS_AT_ONCE)):
                yield cell_rows(work.grids[name], part, work.tile_px)


def _tiles_of_area(grid: Grid, work: Work, area: bytes | None) -> NDArray[Any]:
    if grid.name.startswith("native") and area is not None:
        boxed = tiles_touching(area, grid, work.tile_px)
        meets = shapely.intersects(outlines(grid, boxed), shapely.from_wkb(area)) if boxed else []
        return np.array([tile[:2] for tile, is_met in zip(boxed, meets, strict=True) if is_met], int).reshape(-1, 2)
    if area is None:
        return land_tiles(zone_called(grid.name), grid.pixel_width, work.tile_px)
    return tiles_in(zone_called(grid.name), shapely.from_wkb(area), grid.pixel_width, work.tile_px, work.cut)


def planned_cells(frames: Iterable[pd.DataFrame], work: Work) -> Iterator[pd.DataFrame]:
    """Shell: cells with `candidates` [scene_id, sensor, epoch, datetime, cloud, content_digest, footprint] to rows of tiles."""
    for frame in frames:
        for row in frame.itertuples():
            if planned := _planned_row(row, work):
                yield pd.DataFrame(planned, columns=list(TILE_COLUMNS))


def _planned_row(row: Any, work: Work) -> list[dict[str, Any]]:
    cell = Cell(int(row.cell_row), int(row.cell_col), tuple(sorted({int(number) for number in row.inside})))
    given = sorted(row.candidates if row.candidates is not None else (), key=lambda one: (one["scene_id"], one["epoch"]))
    return planned_cell(work.grids[row.grid], cell, given, work)


def planned_cell(grid: Grid, cell: Cell, given: Sequence[Any], work: Work) -> list[dict[str, Any]]:
    """Rows of `tiles` of a cell, every tile times every epoch, with the scenes chosen for its blocks, each sensor's for itself."""
    tiles = cell.tiles(work.tile_px)
    around = blocks_around(cell.pixels)
    by_epoch = {epoch.name: [_picks(grid, sensor, given, around, epoch, work) for sensor in work.sensors] for epoch in work.epochs}
    placed = _placed(grid, tiles, work)
    rows = []
    for number, tile in enumerate(tiles):
        own = {name: [_of_tile(tile, around, picks) for picks in each] for name, each in by_epoch.items()}
        if work.every or any((choice.covers > 0).any() for choices in own.values() for choice in choices):
            rows += [{**placed[number], "epoch": name, **_described(choices, work.tile_px)} for name, choices in own.items()]
    return rows


class _Picks(NamedTuple):
    """An epoch's scenes of one sensor around a cell: which blocks show them, and for which they are chosen."""

    sensor: str
    found: Candidates
    seen: Shown
    picked: NDArray[np.bool_]


def _picks(grid: Grid, sensor: str, given: Sequence[Any], around: Blocks, epoch: Epoch, work: Work) -> _Picks:
    found = _candidates(grid, [one for one in given if (one["sensor"], one["epoch"]) == (sensor, epoch.name)], epoch)
    seen = shown(found.outline, around)
    return _Picks(sensor, found, seen, chosen(found, seen, around, _span(epoch), work.most_scenes))


def _candidates(grid: Grid, given: Sequence[Any], epoch: Epoch) -> Candidates:
    days = [abs((pd.Timestamp(one["datetime"]).date() - epoch.reference).days) for one in given]
    return Candidates(
        np.array([one["scene_id"] for one in given], object),
        _in_pixels(grid, [bytes(one["footprint"]) for one in given]),
        np.array([np.nan if one["cloud"] is None else one["cloud"] for one in given], float),
        np.array(days, int),
        np.array([str(one["content_digest"]) for one in given], object),
    )


def _in_pixels(grid: Grid, footprints: list[bytes]) -> NDArray[np.object_]:
    """Outlines (WKB, EPSG:4326) in pixels of the grid, rounded to 1/10 pixel: what degrees and chords lose on the way is no ground."""
    if not footprints:
        return np.empty(0, object)
    found, where = np.unique(np.array(footprints, object), return_inverse=True)
    shapes = on_grid(shapely.from_wkb(found), grid)
    scale = np.array([grid.pixel_width, -grid.pixel_height])
    pixels = shapely.transform(shapes, lambda xy: np.round((xy - [grid.origin_x, grid.origin_y]) / scale, 1))
    # Parts of one image on both sides of 180 degrees meet again on the grid.
    joined = [shapely.union_all(shapely.make_valid(shapely.get_parts(shape))) for shape in pixels]
    return np.asarray(joined, dtype=object)[where.ravel()]


def _span(epoch: Epoch) -> int:
    return max((epoch.reference - epoch.start).days, (epoch.end - epoch.reference).days)


class _Choice(NamedTuple):
    """Of a tile, epoch and sensor: share of the tile that each scene covers; of the blocks it reaches, which show each scene, and for
    which it is chosen, (scenes, height, width)."""

    sensor: str
    found: Candidates
    covers: NDArray[np.float64]
    shown: NDArray[np.bool_]
    picked: NDArray[np.bool_]


def _of_tile(tile: Tile, around: Blocks, picks: _Picks) -> _Choice:
    own = blocks_around(tile.pixels)
    rows = slice(own.top - around.top, own.top - around.top + own.shape_yx[0])
    columns = slice(own.left - around.left, own.left - around.left + own.shape_yx[1])
    inner = slice(REACH_BLOCKS, -REACH_BLOCKS)
    covers = picks.seen.share[:, rows, columns][:, inner, inner].mean(axis=(1, 2)) if len(picks.picked) else np.zeros(0)
    return _Choice(picks.sensor, picks.found, covers, picks.seen.near[:, rows, columns], picks.picked[:, rows, columns])


def _described(choices: list[_Choice], tile_px: int) -> dict[str, Any]:
    """Scenes of a tile and epoch with why, their digest, and what the tile will cost."""
    scenes, parts, covered = [], [], {choice.sensor: 0.0 for choice in choices}
    for choice in choices:
        for number in np.flatnonzero(choice.picked.any(axis=(1, 2))):
            everywhere = bool((choice.picked[number] == choice.shown[number]).all())
            bits = None if everywhere else packed(choice.picked[number])
            covers, name = round(float(choice.covers[number]), 6), choice.found.scene_id[number]
            scenes.append({"scene_id": name, "covers": covers, "why": _why(covers, choice.found, number, everywhere), "blocks": bits})
            parts.append(choice.found.digest[number] + ("" if bits is None else f":{bits}"))
            covered[choice.sensor] += float(choice.covers[number])
    return {
        "scenes": sorted(scenes, key=lambda scene: scene["scene_id"]),
        "scenes_digest": hashlib.sha256(",".join(sorted(parts)).encode()).hexdigest(),
        "predicted_seconds": predicted_seconds(covered, tile_px),
        "predicted_bytes": predicted_bytes(covered, tile_px),
    }


def _why(covers: float, found: Candidates, number: int, everywhere: bool) -> str:
    cloud = "" if np.isnan(found.cloud[number]) else f", {round(found.cloud[number] * 100)} % cloud"
    some = "" if everywhere else ", best in part of it"
    return f"covers {round(covers * 100)} %{cloud}, {found.days[number]} days from reference{some}"


def _placed(grid: Grid, tiles: list[Tile], work: Work) -> list[dict[str, Any]]:
    """What of a row of `tiles` follows from the grid."""
    shapes = outlines(grid, tiles)
    boxes = shapely.bounds(shapes)
    strips = _strips(grid, tiles) if work.cut else [None] * len(tiles)
    return [
        {
            "tile_id": tile_id(grid, tile), "grid": grid.name, "crs": grid.crs, "row": tile.row, "col": tile.col,
            "transform": list(grid.transform(*tile.pixels[:2]))[:6], "strip": strip, "geometry": wkb,
            **dict(zip(("xmin", "ymin", "xmax", "ymax"), map(float, box), strict=True)),
        }
        for tile, wkb, box, strip in zip(tiles, shapely.to_wkb(shapes), boxes, strips, strict=True)
    ]  # fmt: skip


def _strips(grid: Grid, tiles: list[Tile]) -> list[str | None]:
    """The zone's name for tiles that reach beyond its strip, None for those within."""
    zone = zone_called(grid.name)
    shapes = outlines(grid, tiles, 1)
    within = shapely.contains_properly(shapely.box(*zone.strip), shapes)
    return [None if inside else zone.name for inside in within]
