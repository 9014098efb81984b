"""Job `adapt` on a simulated city of a kind that no network has seen: which share of the domain gap footprints over a tenth of it close on
the rest, in how many CPU minutes, and that shuffled labels are refused."""

import tempfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.pairs import Measure
from conf.place import Place, load_place
from jobs.gate import GateError
from jobs.job import Context, declared_jobs
from jobs.mapping.built_up import BuiltUpSettings, built_up
from jobs.session import start_session
from jobs.tracking import tracking_uri
from jobs.training.adapt import AdaptSettings, adapt, adapt_pins, own_name
from models.judging import judged_window, pixel_figures
from models.metrics import pixel_counts, scores
from models.predictor import load_predictor
from models.registry import ensure_store, shipped_models
from models.windows import Window
from udfs.rasters import ONE, decode_raster
from udfs.simulation.city import CRS, NORTH, WEST, City, plan_city
from udfs.simulation.footprints import noisy_footprints
from udfs.simulation.land import built_label
from udfs.training_windows import simulated_sentinels

REACH, CPU_MINUTES = 0.5, 10.0
SEED, LOOK, YEAR, SIDE_M, PIXEL_M, TILE_M = 701, "smoky", 2022, 25_600.0, 10.0, 2560.0
LABELLED = 4
"""Row of tiles, from the north, on which footprints are known: a tenth of the city."""
EDGE_M = 60.0
"""Tiles beside it must meet none of them: a few footprints would make it ground almost without buildings."""
LIKE = {411: "tropical", 412: "temperate", 413: "coastal", 414: "random-41"}
"""Cities like those that the network learned from; none of them is among these."""


def measure() -> list[Measure]:
    """F1 on cities like the trained ones, on the rest of the unseen city before and after, the share of the gap, and CPU minutes."""
    spark = start_session("local[2]", {})
    with tempfile.TemporaryDirectory() as folder:
        place, city = _place(Path(folder)), plan_city(SEED, LOOK, SIDE_M, YEAR, YEAR)
        tables = _tables(spark, place, city)
        ensure_store(tracking_uri(place), str(Path(folder) / "artifacts"))
        context = Context(spark, place, "benchmark", place.folder, adapt_pins(place, AdaptSettings()))
        adapt.run(tables, AdaptSettings(), context)
        _refuse_shuffled(spark, tables["training_tiles"], context, Path(folder))
        own = f"models:/{own_name(place, AdaptSettings())}@champion"
        before, after = (_on_the_rest(tables, city, place, spark, model) for model in ("models:/built_up_10m@champion", own))
        like = _on_like_cities()
        return [
            Measure("adaptation: cities as trained", "F1", (like,)),
            Measure("adaptation: unseen, before", "F1", (before,)),
            Measure("adaptation: unseen, after", "F1", (after,)),
            Measure("adaptation: gap closed", "of 1", ((after - before) / (like - before),), REACH),
            Measure("adaptation: course", "CPU minutes", (context.figures["cpu_minutes"],), CPU_MINUTES, at_most=True),
        ]


def _place(folder: Path) -> Place:
    """The city's last year; footprints and sealed surfaces are known on a tenth of it."""
    epoch = {"name": str(YEAR), "start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31", "reference": f"{YEAR}-07-01"}
    sections = {
        "simulated_city": {"seed": SEED, "look": LOOK, "size_m": SIDE_M, "rgb_m": 100.0},
        "tiles": {"tile_px": 256},
        "footprints": {"sources": [{"kind": "vector", "path": str(folder / "footprints.gpkg")}]},
        "training_tiles": {
            "sealed_path": "{storage}/footprints/sealed_surfaces_10m.tif", "block_km": 7.8, "gap_m": 100.0, "choose": 0.25, "judge": 0.25,
            "seed": 9,
        },
    }  # fmt: skip
    place = load_place("simulated", (f"warehouse={folder}",), frozenset(declared_jobs()))
    values = {"epochs": [epoch], "layers": {"built_up_10m": place.layers["built_up_10m"]}, "sections": {**place.sections, **sections}}
    return Place.model_validate({**place.model_dump(), **values})


def _tables(spark: SparkSession, place: Place, city: City) -> dict[str, DataFrame]:
    """All that `adapt` and `built_up` read; training tiles lie in files."""
    shapes = city.placed(noisy_footprints(city, YEAR))
    south, north = _labelled_ground()
    bounds = shapely.bounds(shapes)
    known = (bounds[:, 1] > south + EDGE_M) & (bounds[:, 3] < north - EDGE_M)
    geopandas.GeoDataFrame(geometry=shapes[known], crs=CRS).to_file(Path(place.warehouse) / "footprints.gpkg")
    jobs = declared_jobs()
    tables: dict[str, DataFrame] = {}
    for name in ("simulated_city", "scenes", "tiles", "footprints", "training_tiles"):
        result: Any = jobs[name].run(tables, place.section(jobs[name].settings, name), Context(spark, place, "benchmark", place.folder))
        tables |= {} if isinstance(result, dict) else {name: result.persist()}
    path = str(Path(place.warehouse) / "tiles.parquet")
    tables["training_tiles"].write.parquet(path)
    return {**tables, "training_tiles": spark.read.parquet(path), "tiles": tables["tiles"].withColumn("settings_digest", F.lit(""))}


def _labelled_ground() -> tuple[float, float]:
    """South and north of the labelled row of tiles, metres in CRS."""
    north = (np.floor(NORTH / TILE_M) - LABELLED) * TILE_M
    return float(north - TILE_M), float(north)


def _refuse_shuffled(spark: SparkSession, tiles: DataFrame, context: Context, folder: Path) -> None:
    """Each tile with the labels of the next one. Raises ValueError where they are taken."""
    rows = tiles.where("split != 'dropped'").orderBy("tile_id").toPandas()
    rows["labels"] = np.roll(rows["labels"].to_numpy(object), 1)
    pq.write_table(pa.Table.from_pandas(rows), folder / "shuffled.parquet")
    try:
        adapt.run({"training_tiles": spark.read.parquet(str(folder / "shuffled.parquet"))}, AdaptSettings(steps=40), context)
    except GateError:
        return
    raise ValueError("adapt took the labels of other tiles")


def _on_the_rest(tables: dict[str, DataFrame], city: City, place: Place, spark: SparkSession, model: str) -> float:
    """F1 of the map of all ground without footprints against the truth."""
    rows = built_up.run(tables, BuiltUpSettings(model=model), Context(spark, place, "benchmark", place.folder))
    truth = built_label(city, YEAR, PIXEL_M)
    counts = np.zeros(3, np.int64)
    south, north = _labelled_ground()
    for row in rows.where("probability IS NOT NULL").select("tile_px", "transform", "threshold", "probability").collect():
        left, top = (round(value / PIXEL_M) for value in (row["transform"][2] - WEST, NORTH - row["transform"][5]))
        if south < row["transform"][5] <= north:
            continue
        found = decode_raster(row["probability"], (row["tile_px"],) * 2)
        rows_in, cols_in = (slice(max(-first, 0), max(len(truth) - first, 0)) for first in (top, left))
        there = found[rows_in, cols_in]
        known = truth[max(top, 0) :, max(left, 0) :][: there.shape[0], : there.shape[1]]
        counts += pixel_counts(there >= row["threshold"], known, there <= ONE)
    return scores(*counts).f1


def _on_like_cities() -> float:
    pin = shipped_models()["built_up_10m"]
    predictor = load_predictor(pin.path, pin.sha256)
    dates = [f"{YEAR}-03-10", f"{YEAR}-08-20"]
    order = {"size_m": 5120.0, "cloud": 0.1, "dates": dates, "bands": predictor.spec.bands, "wet": 0.0, "softness": 0.0, "sparse_weight": 1}
    orders = [{**order, "seed": seed, "look": look, "source": look, "split": "judge", "share": 1.0} for seed, look in LIKE.items()]
    made = [simulated_sentinels(each) for each in orders]
    judged = [judged_window(predictor, Window(*ground)._replace(values=ground.values.astype(np.float16))) for ground in made]
    return float(pixel_figures(judged, predictor.spec.threshold, 1)["pixel_f1"])
