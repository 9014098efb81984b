"""Networks that learned from no label of any real place: the run says so where they map one."""

from collections.abc import Iterable

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
