"""A tiny recipe of series goes all the way: simulated years, course, bundle, registry, judgement beside other ways."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from conf.errors import InputError
from conf.place import Place
from jobs import recipes
from jobs.job import Context
from jobs.recipes import held_out_orders, orders, read_recipe
from jobs.tracking import tracking_uri
from jobs.training.evaluate_series import EvaluateSeriesSettings, evaluate_series, evaluate_series_sources
from jobs.training.train import TrainSettings, train
from models.bundle import read_spec
from models.registry import resolve_model, shipped_models
from tests.jobs.test_train import PLACE

FIELDS = ("bands", "values", "centre", "halo")


def tiny_recipe() -> dict[str, Any]:
    """Of two sensors, with a city without labels."""
    images = read_spec(shipped_models()["built_up_10m"].path)
    normal = images.normalisation
    both = {"offset": [*normal["offset"], -9.0, -16.0], "scale": [*normal["scale"], 4.0, 4.0], "clip": normal["clip"]}
    group = {"kind": "simulated_sentinels", "years": [2018, 2021], "size_m": 1280, "cloud": 0.1}
    return {
        "start": "built_up_10m",
        "spec": {"name": "tiny_series", "layer": "tiny", "sensors": ["sentinel2_l2a"], "gsd_range": [8, 20],
                 **{name: images.facts[name] for name in FIELDS}, "normalisation": both,
                 "beside": {"sensors": ["sentinel1_grd"], "bands": ["VV", "VH"]},
                 "architecture": {**images.architecture, "kind": "series", "in_channels": 12, "hidden": [8] * 4, "heads": 2, "layers": 1}},
        "course": {"steps": 6, "batch": 1, "side": 64, "learning_rate": 0.001, "looks": 1, "keep": "last", "half": False,
                   "consistency": 0.5},
        "series": {"least_dates": 2, "most_dates": 3, "withheld": 0.2},
        "augmentation": {"gain": 0.05, "beside": 2},
        "threshold": "best_f1",
        "windows": [{**group, "split": split, "cities": {seed: look}} for split, seed, look in
                    (("train", 31, "temperate"), ("choose", 32, "coastal"), ("unlabelled", 34, "arid"), ("judge", 33, "random-3"))],
        "card": {"What it does": "tells changes"},
    }  # fmt: skip


def test_a_recipe_of_series_goes_all_the_way(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_series.yaml").write_text(yaml.safe_dump(tiny_recipe()))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path / "w")})
    context = Context(spark, place, "run", place.folder)
    train.run({}, TrainSettings(network="tiny_series", weights=str(tmp_path / "weights")), context)
    pin = resolve_model("models:/tiny_series@champion", tracking_uri(place))
    assert read_spec(pin.path).of_series and set(read_spec(pin.path).change) == {"slope", "shift", "weight", "states"}
    card = (tmp_path / "weights" / "tiny_series" / "CARD.md").read_text()
    assert "simulated_sentinels 31 temperate 10 m 2019 (train)" in card and "| change_f1 |" in card

    images = shipped_models()["built_up_10m"]
    settings = EvaluateSeriesSettings(
        network="tiny_series", images=f"{images.path}#sha256={images.sha256}", dates=(2, 4), missing=(0.0, 0.3), baseline_steps=3,
        withheld=("nothing", "main", "beside"),
    )  # fmt: skip
    evaluate_series.run({}, settings, context)
    figures = json.loads((place.folder / "evaluation" / "tiny_series.json").read_text())
    assert figures["sha256"] == pin.sha256 == evaluate_series_sources(place, settings)[-2]
    for case in ("dates_2_missing_0", "dates_2_missing_0.3", "dates_4_missing_0", "dates_4_missing_0.3"):
        for way in ("network", "network_states", "maps", "maps_series", "index", "pairs", "pairs_states"):
            assert 0 <= figures[f"change_f1_{way}_{case}"] <= 1
    assert figures["segmentation_maps_dates_4_missing_0"] > 0.6
    assert figures["segmentation_network_dates_4_missing_0_without_beside"] > 0.6, "it begins as the network of images, without radar"
    assert figures["segmentation_network_dates_4_missing_0_without_main"] < 0.6, "and knows nothing of radar alone"
    assert figures["change_f1_maps_dates_2_missing_0"] == figures["change_first_last_f1_maps_dates_2_missing_0"]


def test_a_city_lives_through_its_years_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_series.yaml").write_text(yaml.safe_dump(tiny_recipe()))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path)
    every = [json.loads(text) for text in orders(read_recipe("tiny_series"))]
    assert len(every) == 12 and {order["ground"] for order in every} == {
        f"simulated_sentinels {one} 10 m" for one in ("31 temperate", "32 coastal", "34 arid")
    }
    years = [order["dates"][0][:4] for order in every if order["seed"] == 31]
    assert years == ["2018", "2019", "2020", "2021"]
    assert all(date[:4] == order["source"][-4:] for order in every for date in order["dates"])
    assert len(held_out_orders(read_recipe("tiny_series"))) == 4


def test_what_cannot_be_judged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.model_validate({**PLACE, "warehouse": str(tmp_path)})
    monkeypatch.setenv("URBANTRACE_DATA", "/data")
    with pytest.raises(InputError, match="its recipe is of single images; use evaluate"):
        evaluate_series_sources(place, EvaluateSeriesSettings(network="built_up_10m"))
    with pytest.raises(InputError, match="at least 2 dates"):
        evaluate_series_sources(place, EvaluateSeriesSettings(dates=(1,)))
