"""Job `urban_series` with a network of image series ÷ a bare loop of the same reads and network, in tiles per second: 2 cores beside 2
processes of 1 thread. The network is that of recipe `built_up_10m_series` before it has learned: none is shipped."""

import hashlib
import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from benchmarks.end_to_end import PROCESSES, REACH, agree, planned, repeated
from benchmarks.pairs import Measure, speed_ratio
from conf.place import Place
from jobs.change.urban_series import UrbanSeriesSettings, planned_series, recipe_of, series_pins, urban_series
from jobs.courses import start_of
from jobs.job import Context
from jobs.mapping.built_up import built_up
from jobs.planned_scenes import reading_of, scenes_named
from jobs.recipes import read_recipe, untrained_spec
from jobs.session import start_session
from models.bundle import write_bundle
from models.series_fitting import weights_of
from models.series_network import build_series_network
from models.series_states import USUAL, as_series
from udfs.grid import Tile
from udfs.images import ImagePool
from udfs.rasters import NO_DATA, decode_raster, encode_raster
from udfs.series_images import SeriesReading, read_series, told_series

RECIPE, LAYER = "built_up_10m_series", "built_up_10m"
TIMES = 2
"""Each tile is told so many times over, for a rate in steady state."""
Digests = dict[str, str]


class _Tile(NamedTuple):
    """Plain values of a tile: its row with the scenes of each epoch, and its maps by epoch."""

    row: SimpleNamespace
    maps: dict[str, bytes | None]


def measure() -> list[Measure]:
    """The ratio, of runs that must give the same bytes for every tile."""
    spark = start_session(f"local[{PROCESSES}]", {})
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        place, tiles, scenes = planned(spark, Path(folder), (LAYER,))
        maps = built_up.run({"planned": tiles, "scenes": scenes}, built_up.settings(), Context(spark, place, "benchmark", place.folder))
        maps, tiles = (repeated(each, TIMES) for each in (maps.withColumn("input_digest", F.lit("")).persist(), tiles))
        settings = UrbanSeriesSettings()
        place = _with_series(place, Path(folder))
        context = Context(spark, place, "benchmark", place.folder, series_pins(place, settings))
        tables = {"built_up": maps, "tiles": tiles, "scenes": scenes}
        tables["planned"] = planned_series(lambda name: tables[name], [LAYER], place).withColumn("settings_digest", F.lit("")).persist()
        works, reading = _works(tables), _reading(tables, settings, context)
        ours: Callable[[], Digests] = lambda: by_job(tables, settings, context)  # noqa: E731
        bare: Callable[[], Digests] = lambda: _by_loop(pool, works, reading, context)  # noqa: E731
        note = f"{len(works)} tiles of {place.name}, {len(place.epochs)} epochs"
        return [speed_ratio("series_end_to_end", ours, bare, agree, REACH, pairs=5, note=note)]


def _with_series(place: Place, folder: Path) -> Place:
    recipe = read_recipe(RECIPE)
    spec = untrained_spec(recipe)
    network = build_series_network(spec.architecture, 1, weights_of(start_of(recipe)))
    path = folder / "series.safetensors"
    told = replace(spec, change={"slope": 1.0, "shift": 0.0, "weight": 1.0, "states": 1.0})
    write_bundle(path, told, {name: value.detach().numpy() for name, value in network.state_dict().items()})
    address = f"{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"
    return place.model_copy(update={"layers": {LAYER: place.layers[LAYER].model_copy(update={"series": address})}})


def by_job(tables: dict[str, DataFrame], settings: UrbanSeriesSettings, context: Context) -> Digests:
    found = urban_series.run(tables, settings, context)
    rows = found.select("tile_id", "series").collect()
    found.unpersist()
    return {row["tile_id"]: _digest(row["series"]) for row in rows}


def _reading(tables: dict[str, DataFrame], settings: UrbanSeriesSettings, context: Context) -> SeriesReading:
    recipes = {name: recipe_of(name, pin, settings, context) for name, pin in context.pins.items()}
    return SeriesReading(recipes, **reading_of(scenes_named(tables["scenes"], tables["tiles"]), context, settings.read_ahead))


def _works(tables: dict[str, DataFrame]) -> list[_Tile]:
    maps: dict[str, dict[str, bytes | None]] = {}
    for row in tables["built_up"].collect():
        maps.setdefault(row["tile_id"], {})[row["epoch"]] = row["probability"]
    plans: dict[str, list[Any]] = {}
    rows = tables["tiles"].orderBy("row", "col", "epoch").toPandas().to_dict("records")
    for each in rows:
        plans.setdefault(each["tile_id"], []).append({"epoch": each["epoch"], "scenes": each["scenes"]})
    first = {each["tile_id"]: each for each in reversed(rows)}
    return [_Tile(SimpleNamespace(**first[name], plans=plans[name]), maps[name]) for name in plans]


def _told(works: list[_Tile], reading: SeriesReading, dates: dict[str, Any]) -> Digests:
    """A process's share, its image handles kept."""
    with ImagePool() as images:
        return {work.row.tile_id: _digest(_series(work, images, reading, dates)) for work in works}


def _series(work: _Tile, images: ImagePool, reading: SeriesReading, dates: dict[str, Any]) -> list[bytes | None]:
    side = int(work.row.tile_px)
    blank = np.full((side, side), NO_DATA, np.uint8)
    maps = np.stack([decode_raster(each, (side, side)) if (each := work.maps.get(epoch)) else blank for epoch in dates])
    seen, tile = read_series(images, work.row, list(dates), reading), Tile(int(work.row.row), int(work.row.col), side)
    states = told_series(seen, maps, list(dates.values()), tile, USUAL, reading.recipes[LAYER].predictor)
    if not isinstance(states, np.ndarray):
        raise ValueError(f"tile {work.row.tile_id}: {states}")
    return [None if (values == NO_DATA).all() else encode_raster(values) for values in as_series(states).values]


def _digest(series: list[bytes | None] | None) -> str:
    return hashlib.sha256(b"|".join(each or b"" for each in series or [])).hexdigest()


def _by_loop(pool: Any, works: list[_Tile], reading: SeriesReading, context: Context) -> Digests:
    half, dates = -(-len(works) // PROCESSES), {epoch.name: epoch.reference for epoch in context.place.epochs}
    parts = pool.starmap(_told, [(part, reading, dates) for part in (works[:half], works[half:])], chunksize=1)
    return {name: digest for part in parts for name, digest in part.items()}
