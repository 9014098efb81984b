"""A recipe that learns from table training_tiles: all the way to a bundle that finds what the footprints showed."""

import gc
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
from jobs.job import Context
from jobs.training.train import TrainSettings, train, train_sources
from models.bundle import read_spec
from models.predictor import load_predictor
from models.registry import file_sha256

PLACE: dict[str, Any] = {
    "name": "anywhere",
    "epochs": [{"name": "2023", "start": "2023-01-01", "end": "2023-12-31", "reference": "2023-07-01"}],
    "layers": {"tiny": {"sensor": "rgb", "model": "models:/tiny@champion", "resolution": 0.5}},
}
RECIPE: dict[str, Any] = {
    "spec": {
        "name": "tiny", "layer": "tiny", "bands": ["red", "green"], "sensors": ["rgb"], "gsd_range": [0.1, 0.6], "values": "rgb",
        "centre": 64, "halo": 16, "normalisation": {"offset": [0.4] * 2, "scale": [0.2] * 2, "clip": 4.0},
        "architecture": {"kind": "slim_unet", "in_channels": 2, "widths": [4, 6], "decoder": [4], "dilation": 1, "fold": 1},
    },
    "course": {"steps": 40, "batch": 2, "side": 48, "learning_rate": 0.02, "looks": 1, "half": False},
    "augmentation": {}, "threshold": "best_f1", "tiles": 3, "card": {"What it does": "finds roofs"},
}  # fmt: skip


def tile(number: int, split: str) -> dict[str, Any]:
    """Roofs are bright in red; green, which comes first, tells nothing."""
    random = np.random.default_rng(number)
    roofs = np.kron(random.random((8, 8)) < 0.3, np.ones((8, 8))) > 0
    values = np.stack([random.uniform(0.2, 0.6, roofs.shape), np.where(roofs, 0.7, 0.2)]).astype(np.float16)
    labels, weights = np.where(roofs, 250, 0).astype(np.uint8), np.full(roofs.shape, 10, np.uint8)
    return {
        "tile_id": f"t{number}", "region": "flat" if number % 2 else "hills", "split": split,
        "scenes_used": [f"s{number}"], "band_names": ["green", "red"], "bands": 2, "height": 64, "width": 64,
        "values": values.tobytes(), "labels": labels.tobytes(), "weights": weights.tobytes(),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_course_on_tiles_learns_from_their_split_alone(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    context = Context(spark, place, "run", place.folder)
    wanted = TrainSettings(network="tiny", weights=str(tmp_path / "weights"), register_version=False)
    with pytest.raises(InputError, match="run footprints and training_tiles first"):
        train.run({}, wanted, context)
    rows = [tile(n, split) for n, split in enumerate(["train"] * 10 + ["choose"] * 3)]
    poisoned = {**tile(99, "judge"), "labels": np.full((64, 64), 250, np.uint8).tobytes()}
    pq.write_table(pa.Table.from_pylist([*rows, poisoned]), tmp_path / "a b.parquet")
    train.run({"training_tiles": spark.read.parquet(str(tmp_path / "a b.parquet"))}, wanted, context)
    bundle = tmp_path / "weights" / "tiny" / "model.safetensors"
    assert "table training_tiles, 10 tiles (train)" in bundle.with_name("CARD.md").read_text()
    assert context.figures["f1"] > 0.9 and context.figures["cost_usd"] > 0
    held = tile(50, "judge")
    values = np.frombuffer(held["values"], np.float16).reshape(2, 64, 64)[::-1].astype(np.float32)
    predictor = load_predictor(str(bundle), file_sha256(bundle))
    found = predictor.predict(np.pad(values, ((0, 0), (16, 16), (16, 16)), constant_values=np.nan)[None])[0]
    labels = np.frombuffer(held["labels"], np.uint8).reshape(64, 64) > 0
    assert ((found >= 250 * predictor.spec.threshold) == labels).mean() > 0.95


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # PySpark leaves the pipe of its launcher to the garbage collector
def test_two_processes_share_a_course_that_spark_starts(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    context = Context(spark, place, "run", place.folder)
    with pytest.raises(InputError, match="2 crops of a step cannot be shared; use a divisor of 2"):
        train_sources(place, TrainSettings(network="tiny", processes=3))
    rows = [tile(n, split) for n, split in enumerate(["train"] * 10 + ["choose"] * 3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tiles.parquet")
    wanted = TrainSettings(network="tiny", weights=str(tmp_path / "weights"), register_version=False, processes=2)
    train.run({"training_tiles": spark.read.parquet(str(tmp_path / "tiles.parquet"))}, wanted, context)
    assert context.figures["f1"] > 0.9
    assert read_spec(tmp_path / "weights" / "tiny" / "model.safetensors").name == "tiny"
    assert not (place.folder / "courses" / "tiny").exists()
    gc.collect()
