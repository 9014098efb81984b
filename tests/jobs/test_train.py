"""Recipes hold what they promise; a tiny recipe goes all the way: windows, course, bundle, card, registry, judgement."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine

from conf.errors import InputError
from conf.place import Place
from jobs import recipes
from jobs.courses import with_labels
from jobs.job import Context
from jobs.recipes import held_out_orders, orders, read_recipe, typed
from jobs.tracking import tracking_uri
from jobs.training.evaluate import EvaluateSettings, evaluate, evaluate_sources
from jobs.training.train import TrainSettings, train, train_sources
from models.bundle import ModelSpec, read_spec
from models.registry import resolve_model
from models.tracking import open_client
from models.windows import Window

PLACE = {
    "name": "anywhere",
    "epochs": [{"name": "2023", "start": "2023-01-01", "end": "2023-12-31", "reference": "2023-07-01"}],
    "layers": {"tiny": {"sensor": "rgb", "model": "models:/tiny@champion", "resolution": 0.5}},
}
NETWORKS = ("built_up_10m", "buildings_15cm", "buildings_50cm", "built_up_landsat")


@pytest.fixture
def data_folder(monkeypatch):
    monkeypatch.setenv("URBANTRACE_DATA", "/data")


@pytest.mark.parametrize("network", NETWORKS)
def test_no_seed_is_in_two_splits_and_the_scored_look_is_in_none(data_folder, network):
    recipe = read_recipe(network)
    typed(ModelSpec, {"threshold": 0.5, **recipe.spec})
    every = [json.loads(text) for text in orders(recipe) + held_out_orders(recipe)]
    cities = [(order["seed"], order["gsd"]) for order in every if "seed" in order]
    assert len(cities) == len(set(cities))
    assert all(order["look"] != "default" for order in every if "seed" in order)
    assert {"train", "choose", "judge"} <= {order["split"] for order in every}


def test_kampala_is_cut_by_columns_and_mumbai_is_learned_from_without_labels(data_folder):
    cuts = {(tuple(o["columns"]), o["split"]) for o in map(json.loads, orders(read_recipe("buildings_15cm"))) if o["kind"] == "footprints"}
    assert cuts == {((0.0, 0.5), "train"), ((0.5, 0.66666667), "choose")}
    (held,) = map(json.loads, held_out_orders(read_recipe("buildings_15cm")))
    assert held["columns"] == [0.66666667, 1.0]
    texts = orders(read_recipe("built_up_10m"))
    assert not any("change.tif" in text or "wards" in text for text in texts)
    mumbai = [json.loads(text) for text in texts if "mumbai" in text]
    assert {(order["kind"], order["split"], len(order["series"])) for order in mumbai} == {("weak", "unlabelled", 2)}


def test_a_label_budget_keeps_whole_grounds_and_hides_the_labels_of_the_rest():
    plane = np.zeros((4, 4), np.uint8)
    grounds = [f"city {number}" for number in range(10)]
    windows = [Window(f"{g} {y}", "train", 1.0, plane[None], plane, plane, "", g, f"{y}-07-01") for g in grounds for y in (2019, 2020)]
    windows.append(Window("chosen on", "choose", 1.0, plane[None], plane, plane))
    for share, expected in ((1.0, 10), (0.4, 4), (0.1, 1), (0.01, 1)):
        told = with_labels(windows, share)
        kept = {window.ground for window in told if window.split == "train"}
        assert len(kept) == expected and told[-1].split == "choose"
        assert {window.ground for window in told if window.split == "unlabelled"} == set(grounds) - kept
    fewer, more = ({w.ground for w in with_labels(windows, share) if w.split == "train"} for share in (0.2, 0.4))
    assert fewer < more


def test_workers_get_absolute_paths_of_a_relative_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("URBANTRACE_DATA", "data")
    images = [json.loads(text) for text in orders(read_recipe("buildings_15cm")) if '"href": "' in text]
    assert images
    assert all(order["href"].startswith(str(tmp_path / "data")) for order in images if "seed" not in order)


def test_unknown_recipes_and_missing_data_are_refused(monkeypatch):
    monkeypatch.delenv("URBANTRACE_DATA", raising=False)
    with pytest.raises(InputError, match="no recipe; use one of buildings_15cm"):
        read_recipe("roads")
    with pytest.raises(InputError, match="URBANTRACE_DATA is not set"):
        train_sources(None, TrainSettings())


def _tiny_recipe(folder):
    """A dark image of bright roofs, learned from in the west, chosen on in the middle, judged in the east."""
    built = np.kron(np.random.default_rng(3).random((8, 24)) < 0.3, np.ones((8, 8))) > 0
    pixels = np.where(built, [[[220]], [[180]], [[150]]], [[[60]], [[80]], [[50]]]).astype(np.uint8)
    transform = Affine(0.5, 0, 0, 0, -0.5, 0)
    profile = {"driver": "GTiff", "count": 3, "height": 64, "width": 192, "dtype": "uint8", "crs": "EPSG:3857", "transform": transform}
    with rasterio.open(folder / "roofs.tif", "w", **profile) as file:
        file.write(pixels)
    degree = 1 / 111319.49079327358
    shapes = [shape for shape, value in rasterio.features.shapes(built.astype(np.uint8), transform=transform) if value]
    for shape in shapes:
        shape["coordinates"] = [[(x * degree, y * degree) for x, y in ring] for ring in shape["coordinates"]]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    (folder / "roofs.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    group = {"kind": "footprints", "sensor": "rgb", "href": [str(folder / "roofs.tif")], "footprints": str(folder / "roofs.geojson")}
    cuts = {"train": [0, 0.34], "choose": [0.34, 0.67], "judge": [0.67, 1]}
    return {
        "spec": {"name": "tiny", "layer": "tiny", "bands": ["red", "green", "blue"], "sensors": ["rgb"], "gsd_range": [0.1, 0.6],
                 "values": "rgb", "centre": 64, "halo": 16,
                 "architecture": {"kind": "slim_unet", "in_channels": 3, "widths": [4, 6], "decoder": [4], "dilation": 1, "fold": 1},
                 "normalisation": {"offset": [0.4] * 3, "scale": [0.2] * 3, "clip": 4.0}},
        "course": {"steps": 30, "batch": 2, "side": 48, "learning_rate": 0.02, "looks": 1, "half": False},
        "augmentation": {"gain": 0.05},
        "threshold": "best_f1",
        "windows": [{**group, "split": split, "columns": columns} for split, columns in cuts.items()],
        "card": {"What it does": "finds roofs"},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_recipe_goes_all_the_way(spark, tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(_tiny_recipe(tmp_path)))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    context = Context(spark, place, "run", place.folder)

    train.run({}, TrainSettings(network="tiny", weights=str(tmp_path / "weights")), context)
    made = tmp_path / "weights" / "tiny" / "model.safetensors"
    pin = resolve_model("models:/tiny@champion", tracking_uri(place))
    assert read_spec(pin.path) == read_spec(made)
    card = (tmp_path / "weights" / "tiny" / "CARD.md").read_text()
    client = open_client(tracking_uri(place))
    version = client.get_model_version("tiny", "1")
    assert [(one.step, one.value) for one in client.get_metric_history(version.run_id, "look_f1")] == [(30, pytest.approx(0.95, abs=0.05))]
    assert [file.path for file in client.list_artifacts(version.run_id, "pictures")] == ["pictures/tiny_worst.png"]
    assert "finds roofs" in card and re.search(r"sha256 over all of it: [0-9a-f]{64}", card)
    assert re.search(r"Halo 16 pixels\. .* lies within \d+ pixels; moved windows change \d\.\d{3} %", card)

    settings = EvaluateSettings(network="tiny", min_object_px=10)
    evaluate.run({}, settings, context)
    figures = json.loads((place.folder / "evaluation" / "tiny.json").read_text())
    assert figures["sha256"] == pin.sha256 == evaluate_sources(place, settings)[-1]
    assert figures["pixel_f1"] > 0.9 > figures["everything_f1"]
    assert figures["pixel_f1_lower"] <= figures["pixel_f1"] <= figures["pixel_f1_upper"]
    assert figures["objects_true"] > 3
    assert figures["pixel_f1_sensor_rgb"] == figures[f"pixel_f1_region_{tmp_path.name}"] == figures["pixel_f1"]
    assert {Path(file.path).name for file in client.list_artifacts(version.run_id, "evaluation")} == {
        "tiny.json", "tiny.png", "tiny_reliability.png", "tiny_worst.png",
    }  # fmt: skip
    assert 0 < figures["calibration_error"] < 0.1
    assert (place.folder / "evaluation" / "tiny_reliability.png").stat().st_size > 1000
    assert (place.folder / "evaluation" / "tiny.png").stat().st_size > 1000
