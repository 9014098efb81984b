"""Which networks know no real place by labels, and that a summary says so."""

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from conf.place import Place
from jobs import job
from jobs.job import Context
from jobs.recipes import labels_of
from jobs.summary import Summary
from jobs.unadapted import unadapted_note
from models.bundle import ModelSpec, read_spec
from models.registry import shipped_models

PLACE = Place.model_validate({
    "name": "toy",
    "epochs": [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}],
    "layers": {"a": {"sensor": "rgb", "resolution": 0.5}},
})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "labels"),
    [("built_up_10m", "weak"), ("built_up_landsat", "weak"), ("buildings_50cm", "simulated"), ("buildings_15cm", "footprints")],
)
def test_shipped_weights_tell_what_they_learned_from(name: str, labels: str) -> None:
    spec: ModelSpec = read_spec(shipped_models()[name].path)
    assert labels_of(spec) == labels
    assert labels_of(replace(spec, labels="measured")) == "measured"
    assert labels_of(replace(spec, name="someone's", labels="unknown")) == "unknown"


def test_only_labels_that_tell_nothing_measured_are_spoken_of() -> None:
    notes = {
        labels: unadapted_note("a", "m version 1", labels) for labels in ("simulated", "weak", "unknown", None, "footprints", "measured")
    }
    assert notes["footprints"] is None and notes["measured"] is None
    assert notes[None] == notes["unknown"] and "m version 1 learned from labels of unknown origin" in str(notes[None])
    assert "simulated cities and spectral rules and was not adapted" in str(notes["weak"])


def test_a_note_is_said_once_and_printed(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(job.LOG, "warning", lambda text, *values: said.append(text % values))
    context = Context(spark, PLACE, "run", PLACE.folder)
    for _ in range(3):
        context.say_once("look out")
    assert said == ["look out"]
    assert Summary("built_up", "there", PLACE, 1, notes=context.notes).lines()[-1] == "  note: look out"
