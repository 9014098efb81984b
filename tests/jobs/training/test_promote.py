"""The gate: a challenger that is worse in one region stays one; a better one becomes champion, and can be taken back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs import recipes
from jobs.gate import GateError
from jobs.job import Context
from jobs.recipes import typed
from jobs.tracking import tracking_uri
from jobs.training.promote import PromoteSettings, promote, promote_sources
from models.bundle import ModelSpec, write_bundle
from models.networks import build_network, folded_tensors
from models.registry import register_model, resolve_model
from tests.jobs.training.test_train_on_tiles import PLACE, RECIPE, tile


def threshold_network(path: Path, level: float) -> Path:
    """A network that calls built what is redder than a level: what it will be worth is known."""
    normalisation = {"offset": [level] * 2, "scale": [0.2] * 2, "clip": 4.0}
    spec = typed(ModelSpec, {"threshold": 0.5, **RECIPE["spec"], "normalisation": normalisation})
    tensors = {name: np.zeros_like(values) for name, values in folded_tensors(build_network(spec.architecture, 1)).items()}
    skipped = 6  # the encoder's first scale comes behind the six channels of the coarser one
    ways = {"encoder.0.0.weight": 0, "encoder.0.1.weight": 0, "decoder.0.0.weight": skipped, "decoder.0.1.weight": 0, "head.weight": 0}
    for name, channel in ways.items():
        tensors[name][0, channel, 1, 1] = 10 if name == "head.weight" else 1
    tensors["encoder.0.0.bias"][0], tensors["head.bias"][0] = 4, -41  # nothing is cut off on the way
    write_bundle(path, spec, tensors)
    return path


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_the_gate_and_the_way_back(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    place.folder.mkdir(parents=True)
    uri, context = tracking_uri(place), Context(spark, place, "run", place.folder)
    pq.write_table(pa.Table.from_pylist([_shaded(n) for n in range(12)]), tmp_path / "tiles.parquet")
    tables = {"training_tiles": spark.read.parquet(str(tmp_path / "tiles.parquet"))}
    good, bad = (threshold_network(tmp_path / name / "model.safetensors", level) for name, level in (("good", 0.35), ("bad", 0.55)))

    first = register_model(uri, str(tmp_path / "a"), good, {}, {})
    with pytest.raises(InputError, match="challenger"):
        promote_sources(place, PromoteSettings(network="tiny"))
    register_model(uri, str(tmp_path / "a"), bad, {}, {})
    with pytest.raises(GateError, match=r"version 2 is worse than champion 1: F1 of region hills -1\.000"):
        promote.run(tables, PromoteSettings(network="tiny"), context)
    assert resolve_model("models:/tiny@champion", uri) == first
    figures = {row["name"]: row for row in json.loads((place.folder / "evaluation" / "tiny_promotion.json").read_text())["groups"]}
    assert figures["hills"]["worse"] and not figures["flat"]["worse"]

    promote.run(tables, PromoteSettings(network="tiny", model="models:/tiny/2", rollback=True), context)
    assert resolve_model("models:/tiny@champion", uri).version == "2"
    promote.run(tables, PromoteSettings(network="tiny", model="models:/tiny/1"), context)
    assert resolve_model("models:/tiny@champion", uri).version == "1"
    with pytest.raises(InputError, match="is the champion already"):
        promote_sources(place, PromoteSettings(network="tiny", model="models:/tiny/1"))


def _shaded(number: int) -> dict[str, Any]:
    """Roofs in the hills lie in shade: red 0.45 instead of 0.7."""
    row = tile(number, "judge")
    if row["region"] == "hills":
        values = np.frombuffer(row["values"], np.float16).reshape(2, 64, 64).copy()
        values[1] = np.where(values[1] > 0.5, np.float16(0.45), values[1])
        row["values"] = values.tobytes()
    return row
