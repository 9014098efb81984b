"""Job `adapt` on a simulated city of a kind that no network has seen: which share of the domain gap footprints over a tenth of it close on
the rest, in how many CPU minutes, and that shuffled labels are refused."""

import datetime as dt
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.pairs import Measure
from conf.place import Place
from jobs.gate import GateError
from jobs.job import Context
from jobs.session import start_session
from jobs.tracking import tracking_uri
from jobs.training.adapt import AdaptSettings, adapt, adapt_pins, own_name
from models.judging import judged_window, pixel_figures
from models.predictor import load_predictor
from models.registry import ensure_store, resolve_model
from models.windows import Window
from udfs.composites import median
from udfs.labels import rasterised, with_sealed
from udfs.simulation.city import plan_city
from udfs.simulation.footprints import noisy_footprints
from udfs.simulation.land import built_label, shares
from udfs.simulation.spectra import SEALED
from udfs.training_windows import clear_reflectance

REACH, CPU_MINUTES = 0.5, 10.0
NETWORK = "built_up_10m"
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
PIXEL_M, CELL, YEAR = 10.0, 128, 2020
UNSEEN, SIDE_M = (701, "smoky"), 25_600.0
LIKE = {411: "tropical", 412: "temperate", 413: "coastal", 414: "random-41"}
"""Cities like those that the network learned from; none of them is among these."""
KNOWN = {"train": 24, "choose": 8, "judge": 8}
"""Of the city's four hundred cells, so many have footprints."""
PLACE: dict[str, Any] = {
    "name": "burning",
    "epochs": [{"name": str(YEAR), "start": f"{YEAR}-01-01", "end": f"{YEAR}-12-31", "reference": f"{YEAR}-07-01"}],
    "layers": {NETWORK: {"sensor": "sentinel2_l2a", "model": f"models:/{NETWORK}@champion", "resolution": 10, "feeds": "built_m2"}},
}
Cells = Mapping[tuple[int, int], str]
"""Row and column of a cell to its split."""


class Ground(NamedTuple):
    """A city's image (bands, height, width), labels 0-250 of faulty footprints and sealed surfaces, and the truth (height, width)."""

    values: NDArray[np.float16]
    labels: NDArray[np.uint8]
    truth: NDArray[np.bool_]


def measure() -> list[Measure]:
    """F1 on cities like the trained ones, on the rest of the unseen city before and after, the share of the gap, and CPU minutes."""
    spark = start_session("local[2]", {})
    with tempfile.TemporaryDirectory() as folder:
        place, ground, known = made_place(Path(folder)), ground_of(*UNSEEN, SIDE_M), drawn_cells(round(SIDE_M / PIXEL_M / CELL), KNOWN)
        rows = [tile(ground, cell, split) for cell, split in known.items()]
        context = adapted(spark, place, rows, AdaptSettings())
        _refuse_shuffled(spark, place, rows)
        own = own_name(place, AdaptSettings())
        before, after = (f1_elsewhere(ground, known, name, place) for name in (NETWORK, own))
        like = float(np.mean([f1_elsewhere(ground_of(seed, look, 5120.0), {}, NETWORK, place) for seed, look in LIKE.items()]))
        return [
            Measure("adaptation: cities as trained", "F1", (like,)),
            Measure("adaptation: unseen, before", "F1", (before,)),
            Measure("adaptation: unseen, after", "F1", (after,)),
            Measure("adaptation: gap closed", "of 1", ((after - before) / (like - before),), REACH),
            Measure("adaptation: course", "CPU minutes", (context.figures["cpu_minutes"],), CPU_MINUTES, at_most=True),
        ]


def made_place(folder: Path) -> Place:
    """With its folder, and a store of the shipped weights."""
    place = Place.model_validate({**PLACE, "warehouse": str(folder / "warehouse")})
    place.folder.mkdir(parents=True)
    ensure_store(tracking_uri(place), str(folder / "artifacts"))
    return place


def drawn_cells(side: int, counts: Mapping[str, int]) -> dict[tuple[int, int], str]:
    """Cells of a square of side x side, at random."""
    splits = [split for split, count in counts.items() for _ in range(count)]
    drawn = np.random.default_rng(5).permutation(side * side)[: len(splits)]
    return {(int(number) // side, int(number) % side): split for number, split in zip(drawn, splits, strict=True)}


def ground_of(seed: int, look: str, side_m: float) -> Ground:
    """A simulated city in the median of two dates."""
    city = plan_city(seed, look, side_m)
    values = median([clear_reflectance(city, day, 0.1, BANDS) for day in (dt.date(YEAR, 3, 10), dt.date(YEAR, 8, 20))])
    outlines = shapely.transform(noisy_footprints(city, YEAR), lambda xy: np.column_stack([xy[:, 0], side_m - xy[:, 1]]) / PIXEL_M)
    sealed = shares(city, YEAR, PIXEL_M).lit[list(SEALED)].sum(axis=0)
    shape_yx = (values.shape[1], values.shape[2])
    labels = with_sealed(rasterised(outlines, shape_yx, "fraction"), sealed)
    return Ground(values.astype(np.float16), labels, built_label(city, YEAR))


def tile(ground: Ground, cell: tuple[int, int], split: str) -> dict[str, Any]:
    """A row of `training_tiles`, as far as it is read."""
    part = _of_cell(cell)
    weights = np.where(np.isfinite(ground.values[0][part]), 9, 0).astype(np.uint8)  # no label is as young as its image
    return {
        "layer": NETWORK, "tile_id": f"t{cell[0]}_{cell[1]}", "region": None, "split": split, "band_names": list(BANDS),
        "bands": len(BANDS), "height": CELL, "width": CELL, "scenes_used": ["s"], "values": ground.values[:, *part].tobytes(),
        "labels": ground.labels[part].tobytes(), "weights": weights.tobytes(), "sealed_share": 0.1,
    }  # fmt: skip


def adapted(spark: SparkSession, place: Place, rows: list[dict[str, Any]], settings: AdaptSettings) -> Context:
    """The context of job `adapt` after it ran on rows of `training_tiles`."""
    path = place.folder / "tiles.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    context = Context(spark, place, "run", place.folder, adapt_pins(place, settings))
    adapt.run({"training_tiles": spark.read.parquet(str(path))}, settings, context)
    return context


def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with the labels of another."""
    return [{**row, "labels": other["labels"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]


def f1_elsewhere(ground: Ground, known: Cells, name: str, place: Place) -> float:
    """Of a model's map against the truth, on all ground but the cells whose footprints are known."""
    pin = resolve_model(f"models:/{name}@champion", tracking_uri(place))
    predictor = load_predictor(pin.path, pin.sha256)
    weights = np.where(np.isfinite(ground.values[0]), 10, 0).astype(np.uint8)
    for cell in known:
        weights[_of_cell(cell)] = 0
    window = Window("city", "judge", 1.0, ground.values, np.where(ground.truth, 250, 0).astype(np.uint8), weights)
    return float(pixel_figures([judged_window(predictor, window)], predictor.spec.threshold, 1)["pixel_f1"])


def _of_cell(cell: tuple[int, int]) -> tuple[slice, slice]:
    row, col = cell
    return slice(row * CELL, (row + 1) * CELL), slice(col * CELL, (col + 1) * CELL)


def _refuse_shuffled(spark: SparkSession, place: Place, rows: list[dict[str, Any]]) -> None:
    """Raises ValueError where they are taken."""
    try:
        adapted(spark, place, shuffled(rows), AdaptSettings(steps=40))
    except GateError:
        return
    raise ValueError("adapt took the labels of other tiles")
