"""A network adapted to a place: better on ground that it never saw, kept under the place's name; foreign labels leave nothing behind."""

import datetime as dt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs.adaptation import comparisons, refuse_no_better
from jobs.gate import GateError
from jobs.job import Context
from jobs.tracking import tracking_uri
from jobs.training.adapt import AdaptSettings, adapt, adapt_pins, adapt_sources
from models.bundle import read_spec
from models.comparing import Maps
from models.judging import Judged, judged_window, pixel_figures
from models.predictor import load_predictor
from models.registry import ensure_store, is_registered, resolve_model, shipped_models
from models.tracking import open_client
from models.windows import Window
from udfs.composites import median
from udfs.labels import rasterised, with_sealed
from udfs.simulation.city import plan_city
from udfs.simulation.footprints import noisy_footprints
from udfs.simulation.land import built_label, shares
from udfs.simulation.spectra import SEALED
from udfs.training_windows import _clear_reflectance

SIDE_M, CELL = 5120.0, 128
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
SPLITS = {(0, 1): "train", (1, 2): "train", (3, 0): "train", (2, 3): "choose", (2, 1): "judge", (3, 3): "judge"}
"""Cells of the city on which footprints are known, by row and column."""
QUICK = AdaptSettings(steps=50, side=64)
PLACE: dict[str, Any] = {
    "name": "burning",
    "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
    "layers": {
        "built_up_10m": {"sensor": "sentinel2_l2a", "model": "models:/built_up_10m@champion", "resolution": 10, "feeds": "built_m2"},
        "houses": {"sensor": "rgb", "resolution": 0.5},
    },
}


class Ground(NamedTuple):
    values: NDArray[np.float16]
    labels: NDArray[np.uint8]
    truth: NDArray[np.bool_]


def ground_of(seed: int, look: str) -> Ground:
    """The image of a simulated city, labels from faulty footprints and sealed surfaces, and the truth."""
    city = plan_city(seed, look, SIDE_M)
    days = (dt.date(2020, 3, 10), dt.date(2020, 8, 20))
    values = median([_clear_reflectance(city, day, 0.1, BANDS) for day in days])
    outlines = shapely.transform(noisy_footprints(city, 2020), lambda xy: np.column_stack([xy[:, 0], SIDE_M - xy[:, 1]]) / 10)
    sealed = shares(city, 2020, 10.0).lit[list(SEALED)].sum(axis=0)
    labels = with_sealed(rasterised(outlines, values.shape[1:], "fraction"), sealed)
    return Ground(values.astype(np.float16), labels, built_label(city, 2020))


@pytest.fixture(scope="module")
def city() -> Ground:
    return ground_of(702, "smoky")


def tile(ground: Ground, cell: tuple[int, int], split: str) -> dict[str, Any]:
    part = np.s_[cell[0] * CELL : (cell[0] + 1) * CELL, cell[1] * CELL : (cell[1] + 1) * CELL]
    weights = np.where(np.isfinite(ground.values[0][part]), 9, 0).astype(np.uint8)  # no label is as young as its image
    return {
        "layer": "built_up_10m", "tile_id": f"t{cell[0]}{cell[1]}", "region": None, "split": split, "band_names": list(BANDS),
        "bands": len(BANDS), "height": CELL, "width": CELL, "scenes_used": ["s"], "values": ground.values[:, *part].tobytes(),
        "labels": ground.labels[part].tobytes(), "weights": weights.tobytes(), "sealed_share": None,
    }  # fmt: skip


def f1_elsewhere(ground: Ground, uri: str, place: Place) -> float:
    """Against the truth of all ground without footprints."""
    pin = resolve_model(uri, tracking_uri(place))
    predictor = load_predictor(pin.path, pin.sha256)
    weights = np.where(np.isfinite(ground.values[0]), 10, 0).astype(np.uint8)
    for row, col in SPLITS:
        weights[row * CELL : (row + 1) * CELL, col * CELL : (col + 1) * CELL] = 0
    window = Window("city", "judge", 1.0, ground.values, np.where(ground.truth, 250, 0).astype(np.uint8), weights)
    return pixel_figures([judged_window(predictor, window)], predictor.spec.threshold, 1)["pixel_f1"]


def run(spark: SparkSession, place: Place, rows: list[dict[str, Any]], name: str, settings: AdaptSettings = QUICK) -> Context:
    """Rows of another layer, of another shape, lie in the same table."""
    other = {**rows[0], "layer": "houses", "band_names": ["red"], "bands": 1, "values": b"", "split": "train"}
    path = place.folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist([*rows, other]), path)
    context = Context(spark, place, "run", place.folder, adapt_pins(place, settings))
    adapt.run({"training_tiles": spark.read.parquet(str(path))}, settings, context)
    return context


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_footprints_of_a_part_mend_the_map_of_the_rest(spark: SparkSession, tmp_path: Path, city: Ground) -> None:
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    place.folder.mkdir(parents=True)
    ensure_store(tracking_uri(place), str(tmp_path / "artifacts"))
    uri, rows = tracking_uri(place), [tile(city, cell, split) for cell, split in SPLITS.items()]
    shuffled = [{**row, "labels": other["labels"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)]
    with pytest.raises(GateError, match="the footprints do not belong to the images"):
        run(spark, place, shuffled, "shuffled")
    assert not is_registered(uri, "built_up_10m-burning") and not list(place.folder.rglob("*.safetensors"))

    context = run(spark, place, rows, "rows")
    pin = resolve_model("models:/built_up_10m-burning@champion", uri)
    spec, parent = read_spec(pin.path), shipped_models()["built_up_10m"]
    assert (spec.name, spec.labels, spec.bands) == ("built_up_10m-burning", "footprints", BANDS)
    tags = open_client(uri).get_model_version(pin.name, pin.version).tags
    assert (tags["origin"], tags["parent_sha256"], tags["place"]) == ("adapted", parent.sha256, "burning")
    assert parent.sha256 in Path(pin.path).with_name("CARD.md").read_text()
    assert [note for note in context.notes if "footprints alone" in note]  # as the table says, though labels hold sealed ground here
    assert context.figures["f1_difference_lower"] > 0 and context.figures["cpu_minutes"] < 10

    before, after = (f1_elsewhere(city, f"models:/{name}@champion", place) for name in ("built_up_10m", "built_up_10m-burning"))
    known = ground_of(413, "coastal")
    gap = f1_elsewhere(known, "models:/built_up_10m@champion", place) - before
    assert gap > 0.1 and after - before >= gap / 2

    with pytest.raises(GateError, match="no better on held-out ground"):  # than itself: the place's own model is to be beaten now
        run(spark, place, rows[::-1], "again")
    assert resolve_model("models:/built_up_10m-burning@champion", uri) == pin


def judged(seed: int, found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Judged:
    return Judged(np.where(found, 200, 20).astype(np.uint8), truth, np.ones(truth.shape, bool))


def test_the_gate_takes_neither_chance_nor_everything_built() -> None:
    """On shuffled labels a network that calls everything built has the better F1."""
    random = np.random.default_rng(4)
    truth = np.kron(random.random((40, 48)) < 0.3, np.ones((8, 8))) > 0
    good, everything = truth ^ (random.random(truth.shape) < 0.1), np.ones(truth.shape, bool)
    shuffled = random.permutation(truth.ravel()).reshape(truth.shape)

    def gate(before: NDArray[np.bool_], after: NDArray[np.bool_], labels: NDArray[np.bool_]) -> None:
        maps = [Maps([judged(1, found, labels)], 0.5) for found in (before, after)]
        refuse_no_better(comparisons(*maps, ["city"], 1))

    gate(truth ^ (random.random(truth.shape) < 0.3), good, truth)
    with pytest.raises(GateError, match=r"\+0\.000 .* to calling everything built"):
        gate(good, everything, shuffled)
    with pytest.raises(GateError, match="to the model before, all"):
        gate(good, good, truth)


def test_a_layer_that_the_model_is_not_for_is_refused(tmp_path: Path) -> None:
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    assert adapt_sources(place, AdaptSettings()) == "built_up_10m"
    with pytest.raises(InputError, match=r"adapt\.layer houses: model built_up_10m is for sentinel2_l2a"):
        adapt_sources(place, AdaptSettings(layer="houses"))
    with pytest.raises(InputError, match=r"adapt\.layer None: the place has built_up_10m, houses"):
        adapt_sources(place, AdaptSettings(network="buildings_15cm"))
