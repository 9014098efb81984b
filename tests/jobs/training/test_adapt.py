"""A network adapted to a place: better on ground that it never saw, kept under the place's name; foreign labels leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from benchmarks.adaptation import BANDS, PLACE, adapted, f1_elsewhere, ground_of, made_place, shuffled, tile
from conf.errors import InputError
from conf.place import Place
from jobs.adaptation import comparisons, refuse_no_better
from jobs.gate import GateError
from jobs.tracking import tracking_uri
from jobs.training.adapt import AdaptSettings, adapt_sources
from models.bundle import read_spec
from models.comparing import Maps
from models.judging import Judged
from models.registry import is_registered, resolve_model, shipped_models
from models.tracking import open_client

OWN = "built_up_10m-burning"
SIDE_M = 5120.0
KNOWN = {(0, 1): "train", (1, 2): "train", (3, 0): "train", (2, 3): "choose", (2, 1): "judge", (3, 3): "judge"}
"""Cells of the city on which footprints are known, by row and column."""
QUICK = AdaptSettings(steps=120, side=64)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_footprints_of_a_part_mend_the_map_of_the_rest(spark: SparkSession, tmp_path: Path) -> None:
    place, city = made_place(tmp_path), ground_of(702, "smoky", SIDE_M)
    uri, rows = tracking_uri(place), [tile(city, cell, split) for cell, split in KNOWN.items()]
    of_another_layer = {**rows[0], "layer": "houses", "band_names": ["red"], "bands": 1, "values": b""}
    with pytest.raises(GateError, match="the footprints do not belong to the images"):
        adapted(spark, place, shuffled(rows), QUICK)
    assert not is_registered(uri, OWN) and not list(place.folder.rglob("*.safetensors"))

    context = adapted(spark, place, [*rows, of_another_layer], QUICK)
    pin, parent = resolve_model(f"models:/{OWN}@champion", uri), shipped_models()["built_up_10m"]
    spec = read_spec(pin.path)
    assert (spec.name, spec.labels, spec.bands, spec.thresholds) == (OWN, "footprints", BANDS, {})
    assert not [name for name in context.figures if "_region_" in name]  # these tiles lie in none
    tags = open_client(uri).get_model_version(pin.name, pin.version).tags
    assert (tags["origin"], tags["parent_sha256"], tags["place"]) == ("adapted", parent.sha256, "burning")
    assert parent.sha256 in Path(pin.path).with_name("CARD.md").read_text()
    assert context.figures["f1_difference_lower"] > 0 and context.figures["cpu_minutes"] < 10 and not context.notes

    before, after = (f1_elsewhere(city, KNOWN, name, place) for name in ("built_up_10m", OWN))
    gap = f1_elsewhere(ground_of(413, "coastal", SIDE_M), {}, "built_up_10m", place) - before
    # Half of it is wanted of a whole course; this one is a third as long.
    assert gap > 0.1 and after - before >= 0.45 * gap

    with pytest.raises(GateError, match="no better on held-out ground"):  # the place's own model is to be beaten now
        adapted(spark, place, [{**row, "sealed_share": None} for row in rows[::-1]], QUICK)
    assert resolve_model(f"models:/{OWN}@champion", uri) == pin


def judged(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Judged:
    return Judged(np.where(found, 200, 20).astype(np.uint8), truth, np.ones(truth.shape, bool))


def test_the_gate_takes_neither_chance_nor_everything_built() -> None:
    """On shuffled labels a network that calls everything built has the better F1."""
    random = np.random.default_rng(4)
    truth = np.kron(random.random((40, 48)) < 0.3, np.ones((8, 8))) > 0
    good, everything = truth ^ (random.random(truth.shape) < 0.1), np.ones(truth.shape, bool)
    shuffled = random.permutation(truth.ravel()).reshape(truth.shape)

    def gate(before: NDArray[np.bool_], after: NDArray[np.bool_], labels: NDArray[np.bool_]) -> None:
        maps = [Maps([judged(found, labels)], 0.5) for found in (before, after)]
        refuse_no_better(comparisons(*maps, {"region": ["city"]}, 1))

    gate(truth ^ (random.random(truth.shape) < 0.3), good, truth)
    with pytest.raises(GateError, match=r"\+0\.000 .* to calling everything built"):
        gate(good, everything, shuffled)
    with pytest.raises(GateError, match="to the model before, all"):
        gate(good, good, truth)


def test_a_layer_that_the_model_is_not_for_is_refused(tmp_path: Path) -> None:
    layers = {**PLACE["layers"], "houses": {"sensor": "rgb", "resolution": 0.5}}
    place = Place.model_validate({**PLACE, "layers": layers, "warehouse": str(tmp_path / "w")})
    assert adapt_sources(place, AdaptSettings()) == "built_up_10m"
    with pytest.raises(InputError, match=r"adapt\.layer houses: model built_up_10m is for sentinel2_l2a"):
        adapt_sources(place, AdaptSettings(layer="houses"))
    with pytest.raises(InputError, match=r"adapt\.layer None: the place has built_up_10m, houses"):
        adapt_sources(place, AdaptSettings(network="buildings_15cm"))
