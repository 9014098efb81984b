"""Do the declared inputs of a place belong together? Reads what the jobs' `sources` found, nothing else."""

import datetime as dt
from typing import Any

from conf.errors import InputError
from conf.place import Place


def check_epochs(place: Place, sources: dict[str, Any]) -> None:
    """Raises InputError when a layer has no scene dated within any epoch."""
    found = (sources.get("scenes") or {}).get("scenes")
    if found is None:
        return
    for name, layer in place.layers.items():
        days = [dt.datetime.fromisoformat(scene[1]).date() for scene in found.values() if scene[0] == layer.sensor]
        if not any(epoch.start <= day <= epoch.end for day in days for epoch in place.epochs):
            spans = ", ".join(f"{epoch.name} {epoch.start}..{epoch.end}" for epoch in place.epochs)
            dated = f"{min(days)}..{max(days)}" if days else "there are none"
            raise InputError(
                f"layer {name}: no {layer.sensor} scene ({dated}) lies within an epoch ({spans}); correct the epochs or add scenes"
            )


def check_overlap(place: Place, sources: dict[str, Any]) -> None:
    """Raises InputError when scenes and units are nowhere near each other. `bounds` are west, south, east, north, degrees."""
    scenes, units = ((sources.get(name) or {}).get("bounds") for name in ("scenes", "units"))
    if scenes and units and not _overlap(scenes, units):
        found = f"scenes {_text(scenes)} and units {_text(units)}"
        raise InputError(f"place {place.name}: {found} do not overlap; check the CRS of the units and the paths of the scenes")


def _overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _text(bounds: list[float]) -> str:
    west, south, east, north = bounds
    return f"({west:.3f}..{east:.3f} E, {south:.3f}..{north:.3f} N)"
