"""Networks that learned from no label of any real place: the run says so where they map one."""

from collections.abc import Iterable

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Context
from models.bundle import UNKNOWN
from udfs.scenes import Scene
from udfs.simulation.catalog import PRODUCER

LEARNED_FROM = {"simulated": "simulated cities", "weak": "simulated cities and spectral rules", UNKNOWN: "labels of unknown origin"}
"""Where labels came from that tell nothing measured, for people."""


def shows_real_ground(scenes: Iterable[Scene]) -> bool:
    """Whether any of the images is not the simulated city's."""
    return any(scene.attribution != PRODUCER for scene in scenes)


def say_unadapted(context: Context, layer: str, scenes: list[Scene], model: str, labels: str | None) -> None:
    """What to know of a layer's map, where it shows real ground; `model` and `labels` as of `unadapted_note`."""
    note = unadapted_note(layer, model, labels)
    if note and shows_real_ground(scenes):
        context.say_once(note)


def unadapted_note(layer: str, model: str, labels: str | None) -> str | None:
    """What to know of a layer's map of real ground, or None; `model`: name and version, `labels`: `built_up.model_labels`."""
    origin = LEARNED_FROM.get(labels or UNKNOWN)
    if origin is None:
        return None
    doubt = "its pattern is worth more than its areas and probabilities"
    return f"layer {layer}: model {model} learned from {origin} and was not adapted to this place (job adapt); {doubt}"


def unadapted_notes(models: pd.DataFrame, images: DataFrame) -> list[str]:
    """Sentences about the maps of real ground; `models` has rows of `built_up` (layer and the model's columns), `images` of `scenes`."""
    if images.where(F.coalesce("attribution", F.lit("")) != PRODUCER).isEmpty():
        return []
    rows = models.to_dict("records")
    notes = (unadapted_note(row["layer"], f"{row['model_name']} version {row['model_version']}", row["model_labels"]) for row in rows)
    return [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes) if note]
