"""Layers that show buildings, and which one, of which epoch, a job reads."""

from conf.errors import InputError
from conf.place import Place
from udfs.earth import ground_resolution_m

FINEST_NEEDED_M = 2.0


def fine_layers(place: Place) -> list[str]:
    """Layers with pixels of 2 m or finer, the finest first."""
    metres = {name: ground_resolution_m(layer.resolution) for name, layer in place.layers.items()}
    return sorted((name for name in metres if metres[name] <= FINEST_NEEDED_M), key=lambda name: (metres[name], name))


def chosen_layer(place: Place, section: str, layer: str | None) -> str:
    """The one that is named, or the finest. Raises InputError where it shows no buildings."""
    return _one_of(fine_layers(place), layer, 0, f"{section}.layer", "not a layer with pixels of 2 m or finer")


def chosen_epoch(place: Place, setting: str, epoch: str | None) -> str:
    """The one that the setting names, or the last. Raises InputError."""
    return _one_of([each.name for each in place.epochs], epoch, -1, setting, "not an epoch of the place")


def _one_of(known: list[str], value: str | None, default: int, setting: str, text: str) -> str:
    if not known or (value is not None and value not in known):
        raise InputError(f"{setting} {value or 'none'}: {text}; use one of {', '.join(known) or 'none'}")
    return value or known[default]
