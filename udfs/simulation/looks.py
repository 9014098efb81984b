"""Looks: what kind of city and climate a simulated city has. Networks train on TRAINING_LOOKS and random looks, never on `default`, and on
nothing like `smoky`."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conf.errors import InputError
from udfs.simulation.seeds import generator

WATERS = ("river", "lake", "coast", "none")


@dataclass(frozen=True)
class Look:
    """Shares are 0-1, lengths metres. Weights of roofs are in the order of spectra.ROOFS: clay tile, concrete, bright metal,
    dull metal, bitumen, thatch, painted."""

    name: str
    water: str = "river"
    urban_share: float = 0.42
    growth: float = 0.42
    quarter_m: float = 760.0
    informal: float = 0.12
    apartments: float = 0.2
    industry: float = 0.12
    parks: float = 0.07
    plot_scale: float = 1.0
    paved_streets: float = 0.85
    paved_yards: float = 0.35
    forest: float = 0.25
    bare_hills: float = 0.12
    fallow: float = 0.3
    trees: float = 0.45
    soil: tuple[float, float, float] = (1.0, 1.0, 1.0)
    soil_brightness: float = 1.0
    greenness: tuple[float, float] = (0.35, 0.85)
    turbidity: float = 0.4
    haze: float = 0.12
    spectral_spread: float = 0.06
    roofs_formal: tuple[float, ...] = (0.3, 0.22, 0.08, 0.16, 0.1, 0.0, 0.14)
    roofs_informal: tuple[float, ...] = (0.03, 0.08, 0.22, 0.5, 0.03, 0.08, 0.06)
    roofs_hall: tuple[float, ...] = (0.0, 0.2, 0.35, 0.2, 0.15, 0.0, 0.1)
    sun_azimuth: float = 135.0
    sun_elevation: float = 52.0


_BASE = Look("default", soil=(0.95, 1.0, 1.03))

_TRAINING = (
    Look(
        "temperate",
        water="river",
        forest=0.4,
        bare_hills=0.04,
        fallow=0.25,
        informal=0.08,
        soil=(1.05, 0.85, 0.9),
        soil_brightness=0.8,
        greenness=(0.5, 1.0),
        roofs_formal=(0.45, 0.12, 0.04, 0.06, 0.25, 0.0, 0.08),
        trees=0.6,
        sun_azimuth=155,
        sun_elevation=46,
    ),
    Look(
        "arid",
        water="none",
        forest=0.03,
        bare_hills=0.35,
        fallow=0.5,
        soil=(1.3, 1.35, 1.3),
        soil_brightness=1.4,
        greenness=(0.0, 0.25),
        roofs_formal=(0.08, 0.55, 0.1, 0.1, 0.08, 0.02, 0.07),
        trees=0.15,
        paved_yards=0.45,
        sun_elevation=60,
    ),
    Look(
        "tropical",
        water="lake",
        forest=0.4,
        bare_hills=0.04,
        soil=(0.6, 1.05, 1.1),
        soil_brightness=0.9,
        greenness=(0.7, 1.0),
        informal=0.22,
        paved_streets=0.5,
        paved_yards=0.2,
        roofs_formal=(0.25, 0.08, 0.12, 0.35, 0.02, 0.03, 0.15),
        trees=0.7,
        turbidity=0.8,
        sun_azimuth=80,
    ),
    Look(
        "coastal",
        water="coast",
        forest=0.2,
        soil=(1.0, 1.0, 0.95),
        soil_brightness=1.1,
        apartments=0.35,
        urban_share=0.5,
        roofs_formal=(0.2, 0.45, 0.06, 0.07, 0.12, 0.0, 0.1),
        turbidity=0.3,
        haze=0.35,
    ),
    Look(
        "monsoon",
        water="river",
        forest=0.2,
        fallow=0.45,
        soil=(0.85, 1.05, 1.1),
        soil_brightness=0.85,
        greenness=(0.1, 0.9),
        informal=0.25,
        plot_scale=0.85,
        urban_share=0.5,
        haze=0.7,
        turbidity=0.9,
        paved_streets=0.7,
        roofs_formal=(0.1, 0.5, 0.06, 0.18, 0.06, 0.02, 0.08),
    ),
    Look(
        "highland",
        water="lake",
        forest=0.25,
        bare_hills=0.25,
        soil=(0.8, 1.0, 1.1),
        soil_brightness=1.15,
        greenness=(0.2, 0.7),
        informal=0.2,
        paved_streets=0.6,
        roofs_formal=(0.15, 0.1, 0.2, 0.4, 0.02, 0.05, 0.08),
        urban_share=0.35,
        haze=0.3,
    ),
    Look(
        "hazy",
        water="river",
        forest=0.25,
        fallow=0.35,
        soil=(1.0, 0.95, 0.95),
        greenness=(0.2, 0.95),
        apartments=0.3,
        haze=1.0,
        roofs_formal=(0.3, 0.3, 0.06, 0.1, 0.16, 0.0, 0.08),
        industry=0.18,
    ),
    Look(
        "oldtown",
        water="none",
        forest=0.15,
        fallow=0.2,
        soil=(1.1, 1.1, 1.05),
        soil_brightness=1.2,
        greenness=(0.1, 0.6),
        informal=0.1,
        plot_scale=0.75,
        urban_share=0.55,
        roofs_formal=(0.6, 0.2, 0.03, 0.05, 0.07, 0.0, 0.05),
        haze=0.5,
        trees=0.3,
    ),
)

_UNSEEN = Look(
    "smoky",
    forest=0.3,
    soil=(1.1, 0.95, 1.0),
    soil_brightness=0.9,
    greenness=(0.1, 0.5),
    turbidity=0.7,
    haze=2.0,
    roofs_formal=(0.1, 0.2, 0.05, 0.3, 0.05, 0.15, 0.15),
    roofs_informal=(0.0, 0.05, 0.15, 0.45, 0.02, 0.3, 0.03),
)
"""The burning season: a veil twice as bright as any that networks train on, and many roofs of thatch. What `adapt` is measured on."""

LOOKS = {look.name: look for look in (_BASE, *_TRAINING, _UNSEEN)}
TRAINING_LOOKS = tuple(look.name for look in _TRAINING)
"""Names of the looks to train on; `random-<n>` names one drawn between and beyond them."""
SCORED_LOOKS = ("default", "smoky")
"""Never trained on: results are judged by them."""


def look_named(name: str) -> Look:
    """A look by its name, or `random-<n>`. Raises InputError."""
    if name.startswith("random-"):
        return random_look(name.removeprefix("random-"))
    if name not in LOOKS:
        raise InputError(f"look {name}: unknown; use one of {', '.join(LOOKS)} or random-1, random-2, ...")
    return LOOKS[name]


def random_look(seed: int | str) -> Look:
    """A look drawn from `seed`: mixes two training looks and varies soil, season, haze and spectra beyond them."""
    draw = generator("look", seed)
    first, second = (LOOKS[TRAINING_LOOKS[i]] for i in draw.choice(len(TRAINING_LOOKS), 2, replace=False))
    low = float(draw.uniform(0, 0.8))
    return replace(
        _mixed(first, second, float(draw.random())),
        name=f"random-{seed}",
        water=str(draw.choice(WATERS)),
        urban_share=float(draw.uniform(0.25, 0.6)),
        plot_scale=float(draw.uniform(0.75, 1.2)),
        soil=(float(draw.uniform(0.6, 1.3)), float(draw.uniform(0.85, 1.25)), float(draw.uniform(0.85, 1.25))),
        soil_brightness=float(draw.uniform(0.65, 1.5)),
        greenness=(low, float(draw.uniform(low, 1.0))),
        turbidity=float(draw.random()),
        haze=float(draw.random() ** 1.5),
        fallow=float(draw.uniform(0.1, 0.6)),
        spectral_spread=float(draw.uniform(0.05, 0.16)),
        sun_azimuth=float(draw.uniform(60, 200)),
        sun_elevation=float(draw.uniform(32, 66)),
    )


def _mixed(first: Look, second: Look, share: float) -> Look:
    """`first` with the numbers of `second` mixed in by `share`."""
    fields = ("informal", "apartments", "industry", "paved_streets", "paved_yards", "forest", "bare_hills", "trees")
    numbers: dict[str, Any] = {name: (1 - share) * getattr(first, name) + share * getattr(second, name) for name in fields}
    roofs: dict[str, Any] = {
        name: tuple(float(v) for v in (1 - share) * np.array(getattr(first, name)) + share * np.array(getattr(second, name)))
        for name in ("roofs_formal", "roofs_informal", "roofs_hall")
    }
    return replace(first, **numbers, **roofs)
