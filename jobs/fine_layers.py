"""Layers that show buildings."""

from conf.place import Place
from udfs.earth import ground_resolution_m

FINEST_NEEDED_M = 2.0


def fine_layers(place: Place) -> list[str]:
    """Layers with pixels of 2 m or finer, by name."""
    return sorted(name for name, layer in place.layers.items() if ground_resolution_m(layer.resolution) <= FINEST_NEEDED_M)
