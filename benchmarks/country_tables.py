"""Files of the simulated country: units and people as an office has them; `tiles` and `built_up` as the mapping jobs leave them."""

import datetime as dt
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import shapely
from pyspark.sql.types import StructType

from benchmarks.country_ground import EPOCHS, GRID, THRESHOLD, TILE_PX, Size, map_numbers, maps, people, units
from benchmarks.memory import CODE_ON_WORKERS
from conf.table import BBOX, Table
from conf.tables import BUILT_UP, TILES
from jobs.session import start_session
from jobs.table_checks import check_rows, in_declared_order, schema_of
from jobs.warehouse import Warehouse
from udfs.grid import tile_id
from udfs.planning import outlines
from udfs.rasters import NO_DATA, encode_raster

NAME, LAYER, FILES = "country", "built_up_10m", 48
UNITS_FILE, PEOPLE_FILE, PLACE_FILE = "units.gpkg", "people.csv", "country.yaml"
PLACE = """\
name: {name}
title: Simulated country
warehouse: {folder}/warehouse
epochs:
  - {{name: "2015", start: 2015-01-01, end: 2015-12-31, reference: 2015-07-01}}
  - {{name: "2020", start: 2020-01-01, end: 2020-12-31, reference: 2020-07-01}}
layers:
  {layer}: {{sensor: sentinel2_l2a, resolution: 10, feeds: built_m2}}
scenes: {{sources: [{{stac: "{{storage}}/catalog.json"}}]}}
units: {{path: {folder}/{units}, name: name, parent: parent_id}}
population: {{path: {folder}/{people}, source: simulated census}}
indicators: {{growth_errors: {{patch_m2: 900, common_sd: 0.02}}, people_sd: 0.01}}
"""
STAMP: dict[str, Any] = {}


def write_country(folder: Path, size: Size) -> None:
    """The place's YAML and all that it names, in a folder."""
    folder.mkdir(parents=True)
    text = PLACE.format(name=NAME, folder=folder.absolute(), layer=LAYER, units=UNITS_FILE, people=PEOPLE_FILE)
    (folder / PLACE_FILE).write_text(text, encoding="utf-8")
    every = units(size)
    people(every[every["level"] == every["level"].max()]).to_csv(folder / PEOPLE_FILE, index=False)
    gpd.GeoDataFrame(every.drop(columns="level"), crs="EPSG:4326").to_file(folder / UNITS_FILE, engine="pyogrio")
    _write_tables(folder, size)


def _write_tables(folder: Path, size: Size) -> None:
    spark = start_session("local[2]", CODE_ON_WORKERS)
    warehouse = Warehouse(spark, folder / "warehouse" / NAME)
    encoded = [(encode_raster(each), float((each != NO_DATA).mean())) for each in maps()]
    numbers = spark.range(0, size.tiles, 1, FILES)
    for table, frames in ((TILES, partial(tile_frames, size=size)), (BUILT_UP, partial(map_frames, size=size, encoded=encoded))):
        rows = numbers.mapInPandas(frames, StructType(schema_of(table).fields))
        warehouse.overwrite(table, in_declared_order(rows, table), STAMP)
        check_rows(warehouse.read(table.name), table)
    spark.stop()


def tile_frames(frames: Iterator[pd.DataFrame], size: Size) -> Iterator[pd.DataFrame]:
    """Shell: numbers of tiles (`id`) to rows of `tiles`."""
    planned = {"scenes_digest": "0" * 64, "predicted_seconds": 1.2, "predicted_bytes": 8_000_000}
    for frame in frames:
        rows = _placed(frame["id"], size)
        scenes = [[{"scene_id": f"S2_{epoch}", "covers": 1.0, "why": "the only one", "blocks": None}] for epoch in rows["epoch"]]
        yield _columns(rows.assign(scenes=scenes, **planned), TILES)


def map_frames(frames: Iterator[pd.DataFrame], size: Size, encoded: list[tuple[bytes, float]]) -> Iterator[pd.DataFrame]:
    """Shell: numbers of tiles (`id`) to rows of `built_up`; `encoded`: every map and its share of pixels with data."""
    numbers = map_numbers(size)
    told = {
        "threshold": THRESHOLD, "attempts": 1, "seconds": 1.2, "model_name": LAYER, "model_version": "1", "model_sha256": "ab" * 32,
        "model_labels": "footprints", "settings_digest": "cd" * 32, "input_digest": "ef" * 32, "run_id": "0" * 32,
    }  # fmt: skip
    for frame in frames:
        rows = _placed(frame["id"], size)
        found = [
            _result(int(numbers[tile, EPOCHS.index(epoch)]), epoch, encoded)
            for tile, epoch in zip(rows["number"], rows["epoch"], strict=True)
        ]
        yield _columns(rows.join(pd.DataFrame(found)).assign(**told), BUILT_UP)


def _result(number: int, epoch: str, encoded: list[tuple[bytes, float]]) -> dict[str, Any]:
    if number == -1:
        return {
            "status": "quarantined",
            "valid_share": 0.0,
            "error_class": "ReadError",
            "scenes_used": [],
            "scenes_failed": [f"S2_{epoch}"],
        }
    if number == -2:
        return {"status": "nodata", "valid_share": 0.0, "scenes_used": [], "scenes_failed": []}
    probability, share = encoded[number]
    date = dt.datetime(int(epoch), 5, 4)
    return {
        "status": "done", "valid_share": share, "probability": probability, "first_date": date, "last_date": date,
        "scenes_used": [f"S2_{epoch}"], "scenes_failed": [],
    }  # fmt: skip


def _placed(numbers: pd.Series, size: Size) -> pd.DataFrame:
    """For each tile a row per epoch: where it lies."""
    tiles = [size.tile(int(number)) for number in numbers]
    shapes = outlines(GRID, tiles)
    bounds = shapely.bounds(shapes)
    rows = pd.DataFrame({
        "number": numbers.to_numpy(), "layer": LAYER, "tile_id": [tile_id(GRID, tile) for tile in tiles], "grid": GRID.name,
        "crs": GRID.crs, "tile_px": TILE_PX, "row": [tile.row for tile in tiles], "col": [tile.col for tile in tiles],
        "transform": [list(GRID.transform(*tile.pixels[:2]))[:6] for tile in tiles], "geometry": shapely.to_wkb(shapes),
        **{name: bounds[:, number] for number, name in enumerate(BBOX)},
    })  # fmt: skip
    return rows.merge(pd.DataFrame({"epoch": EPOCHS}), how="cross")


def _columns(rows: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Those of the table, null where there is none."""
    return rows.reindex(columns=list(table.names)).astype(object).where(lambda frame: frame.notna(), None)
