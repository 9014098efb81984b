"""Buildings for web maps: FlatGeobuf with its spatial index, and PMTiles with vector tiles, both by GDAL, a batch in memory at a time.

What grows with the buildings is GDAL's index, some 160 bytes each; tiles are sorted on disk."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyogrio
import shapely
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import zxy_to_tileid
from pmtiles.writer import write as pmtiles_writer

Batches = Iterable[pa.RecordBatch]
NAME = "buildings"
"""Of the files, and of the layer in them."""
ROWS_AT_ONCE = 10_000
MAP = ("layer", "epoch")
WRITTEN_DDL = "layer string, epoch string, buildings bigint, in_tiles bigint"
TILED = {"building_id": None, "area_m2": 1, "confidence": 2, "height_m": 1, "shape": None, "open_edge": None}
"""What tiles tell of a building, and to how many decimals: clients fetch it for each building that they show."""


class WebMap(NamedTuple):
    """What the files of a layer and epoch say of themselves. `simple`: every outline is one polygon."""

    told: dict[str, str]
    simple: bool


class Tiling(NamedTuple):
    """Zoom levels of the tiles, and the size from which a tile loses detail, then its smallest buildings, bytes."""

    min_zoom: int
    max_zoom: int
    most_bytes: int


def web_batches(batches: Batches, folder: str, maps: Mapping[tuple[str, str], WebMap], tiling: Tiling) -> Iterator[pa.RecordBatch]:
    """Shell: rows sorted by layer, epoch and place to files `<folder>/<layer>/<epoch>/buildings.*`, and rows of WRITTEN_DDL."""
    parts = (part for batch in batches for part in _by_map(batch))
    for key, of_map in itertools.groupby(parts, key=itemgetter(0)):
        written = write_web_files(Path(folder, *key), (rows for _, rows in of_map), maps[key], tiling)
        yield pa.RecordBatch.from_pylist([dict(zip(("layer", "epoch", "buildings", "in_tiles"), (*key, *written), strict=True))])


def _by_map(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, str], pa.RecordBatch]]:
    """Its slices of one layer and epoch, without these columns."""
    keys = list(zip(*(batch[name].to_pylist() for name in MAP), strict=True))
    start = 0
    for key, same in itertools.groupby(keys):
        count = sum(1 for _ in same)
        yield key, batch.drop_columns(list(MAP)).slice(start, count)
        start += count


def write_web_files(folder: Path, rows: Iterator[pa.RecordBatch], web_map: WebMap, tiling: Tiling) -> tuple[int, int]:
    """`buildings.fgb` and `buildings.pmtiles` of rows with `geometry` (WKB, EPSG:4326, within 180 degrees); how many buildings, and how
    many of them the tiles of the last level show: where none can, beyond 85 degrees, there is no file of tiles. Equal rows give equal
    bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        whole, raw, tiles = (Path(scratch) / name for name in (f"{NAME}.fgb", "raw.pmtiles", f"{NAME}.pmtiles"))
        _write_flatgeobuf(whole, rows, web_map)
        _write_tiles(raw, whole, tiling)
        made = [whole, tiles] if _tell(raw, tiles, web_map.told) else [whole]
        counts = pyogrio.read_info(whole)["features"], _shown(tiles, tiling.max_zoom) if tiles in made else 0
        for path in made:
            path.replace(folder / path.name)
    return counts


def _write_flatgeobuf(path: Path, rows: Iterator[pa.RecordBatch], web_map: WebMap) -> None:
    first = next(rows)
    pyogrio.raw.write_arrow(
        pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], rows)), path, layer=NAME, driver="FlatGeobuf",
        geometry_name="geometry", geometry_type="Polygon" if web_map.simple else "Unknown", crs="EPSG:4326", layer_metadata=web_map.told,
    )  # fmt: skip


def _write_tiles(path: Path, whole: Path, tiling: Tiling) -> None:
    """One thread: of several, which comes first would show where buildings are left out. The order is the index's."""
    pyogrio.set_gdal_config_options({"GDAL_NUM_THREADS": "1"})
    options = {"MINZOOM": tiling.min_zoom, "MAXZOOM": tiling.max_zoom, "MAX_SIZE": tiling.most_bytes}
    with pyogrio.open_arrow(whole, columns=list(TILED), batch_size=ROWS_AT_ONCE, use_pyarrow=True) as (told, reader):
        parts = (_parts(batch, told["geometry_name"] or "wkb_geometry") for batch in reader)
        first = next(parts)
        pyogrio.raw.write_arrow(
            pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], parts)), path, layer=NAME, driver="PMTiles",
            geometry_name="geometry", geometry_type="Polygon", crs="EPSG:4326", dataset_options=options,
        )  # fmt: skip


def _parts(batch: pa.RecordBatch, geometry: str) -> pa.RecordBatch:
    """A row for each polygon: GDAL looks for a shape on both sides of 180 degrees in every tile between them."""
    polygons, rows = shapely.get_parts(shapely.from_wkb(batch[geometry].to_numpy(zero_copy_only=False)), return_index=True)
    taken = batch.take(pa.array(rows))
    columns: dict[str, Any] = {name: _rounded(taken[name], decimals) for name, decimals in TILED.items()}
    return pa.record_batch({**columns, "geometry": pa.array(shapely.to_wkb(polygons), pa.binary())})


def _rounded(values: pa.Array, decimals: int | None) -> pa.Array:
    return values if decimals is None else pc.round(values, decimals)


def _tell(raw: Path, path: Path, told: Mapping[str, str]) -> bool:
    """The same tiles, with what web maps print beside them, for which GDAL has no option; False, and no file, where there is none."""
    with raw.open("rb") as file:
        source = MmapSource(file)
        reader = Reader(source)
        if not reader.header()["addressed_tiles_count"]:
            return False
        with pmtiles_writer(path) as writer:
            for tile, data in all_tiles(source):
                writer.write_tile(zxy_to_tileid(*tile), data)
            writer.finalize(reader.header(), {**reader.metadata(), **told})
    return True


def _shown(path: Path, zoom: int) -> int:
    """Buildings in the tiles of a level, by hashes of their ids: those on a border are in several."""
    with pyogrio.open_arrow(path, columns=["building_id"], read_geometry=False, use_pyarrow=True, ZOOM_LEVEL=str(zoom)) as (_, reader):
        found = [pd.util.hash_array(batch["building_id"].to_numpy(zero_copy_only=False)) for batch in reader]
    return len(np.unique(np.concatenate(found)))
