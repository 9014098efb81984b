"""Land covers of the simulated city and their reflectance. Plausible values, in the range of real Sentinel-2 scenes of cities."""

import numpy as np
from numpy.typing import NDArray

from udfs.simulation.looks import Look
from udfs.simulation.seeds import generator

Spectrum = NDArray[np.float64]
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""Sentinel-2 bands of the spectra below, in order."""

COVERS = (
    "water", "tree", "grass", "scrub", "crop_0", "crop_1", "crop_2", "crop_3", "fallow", "rock", "sand", "dirt",
    "ballast", "asphalt", "pavement", "clay_tile", "concrete", "metal_bright", "metal_dull", "bitumen", "thatch", "painted",
)  # fmt: skip
COVER = {name: code for code, name in enumerate(COVERS)}
"""Code of each cover in cover rasters."""

SEALED = tuple(COVER[name] for name in ("asphalt", "pavement"))
ROOFS = ("clay_tile", "concrete", "metal_bright", "metal_dull", "bitumen", "thatch", "painted")
VEGETATION = tuple(COVER[name] for name in ("tree", "grass", "scrub", "crop_0", "crop_1", "crop_2", "crop_3"))

# Surface reflectance in percent, in the order of BANDS.
_PERCENT: dict[str, tuple[float, ...]] = {
    "water": (3.4, 3.8, 2.6, 2.1, 1.6, 1.5, 1.3, 1.1, 0.8, 0.6),
    "water_turbid": (6.5, 8.5, 8.5, 7.0, 4.5, 4.0, 3.4, 2.8, 1.1, 0.8),
    "tree": (2.2, 4.2, 2.8, 7.2, 19.5, 24.5, 26.5, 28.5, 14.5, 6.8),
    "grass_green": (3.6, 7.2, 5.2, 11.0, 24.5, 29.5, 31.5, 33.5, 22.5, 12.5),
    "grass_dry": (7.0, 10.0, 13.2, 17.0, 21.0, 23.0, 24.8, 27.0, 33.0, 23.5),
    "crop_green": (3.0, 6.2, 3.8, 10.0, 32.0, 41.0, 43.5, 45.5, 20.5, 10.0),
    "stubble": (8.0, 11.4, 15.4, 18.5, 21.5, 23.5, 25.5, 27.5, 35.5, 27.0),
    "soil": (8.6, 12.0, 16.2, 18.8, 20.6, 22.0, 23.0, 25.0, 32.5, 27.5),
    "rock": (11.5, 14.5, 17.8, 19.4, 20.5, 21.5, 22.2, 23.5, 29.0, 26.0),
    "sand": (17.0, 22.5, 28.0, 30.5, 32.0, 33.5, 34.0, 35.5, 42.0, 37.5),
    "ballast": (9.5, 10.8, 12.0, 12.8, 13.4, 14.0, 14.4, 15.0, 18.5, 17.0),
    "asphalt": (8.4, 9.4, 10.2, 10.8, 11.3, 11.8, 12.2, 12.8, 14.5, 13.6),
    "pavement": (16.0, 18.8, 20.8, 21.8, 22.6, 23.4, 23.8, 24.6, 27.0, 25.0),
    "clay_tile": (8.0, 11.0, 19.5, 23.5, 25.5, 27.0, 27.8, 29.6, 35.5, 31.5),
    "concrete": (19.0, 22.0, 24.2, 25.2, 25.8, 26.4, 26.6, 27.4, 28.0, 25.0),
    "metal_bright": (36.0, 38.5, 39.5, 39.8, 39.8, 39.6, 39.0, 39.0, 35.0, 31.0),
    "metal_dull": (11.0, 13.8, 17.6, 19.6, 20.8, 21.8, 22.6, 23.8, 27.0, 26.0),
    "bitumen": (6.4, 6.9, 7.4, 7.8, 8.2, 8.5, 8.8, 9.2, 10.5, 9.6),
    "thatch": (9.0, 12.6, 17.2, 20.4, 23.2, 25.2, 26.4, 28.6, 35.0, 28.5),
    "painted": (20.0, 17.0, 14.5, 15.5, 21.0, 24.0, 25.0, 26.0, 25.5, 22.5),
}  # fmt: skip


def pure_spectra(look: Look, greenness: float, *keys: object) -> NDArray[np.float64]:
    """Reflectance (0-1) of each cover under a look, (len(COVERS), len(BANDS)). `greenness` 0 is the driest season, 1 the lushest.
    Crops are in a state drawn from `keys` (the date)."""
    base = {name: np.array(values) / 100 for name, values in _PERCENT.items()}
    soil = base["soil"] * np.interp(np.arange(len(BANDS)), (0, 2, 9), look.soil) * look.soil_brightness
    fresh = base["grass_dry"] + (base["grass_green"] - base["grass_dry"]) * greenness
    leaf = 0.75 + 0.25 * greenness
    table = np.empty((len(COVERS), len(BANDS)))
    for code, name in enumerate(COVERS):
        table[code] = base.get(name, soil)
    table[COVER["water"]] = base["water"] + (base["water_turbid"] - base["water"]) * look.turbidity
    table[COVER["tree"]] = base["tree"] * leaf + fresh * (1 - leaf)
    table[COVER["grass"]] = fresh
    table[COVER["scrub"]] = 0.45 * soil + 0.3 * fresh + 0.25 * base["tree"]
    table[COVER["dirt"]] = soil * 1.06
    table[COVER["rock"]] = 0.5 * base["rock"] + 0.5 * soil
    for crop in range(4):
        table[COVER[f"crop_{crop}"]] = _crop(base, soil, greenness, generator("crop", crop, *keys))
    return table * _own_character(look)


def _crop(base: dict[str, Spectrum], soil: Spectrum, greenness: float, draw: np.random.Generator) -> Spectrum:
    """Between bare soil, stubble and full growth."""
    state = np.clip(draw.normal(0.2 + 0.6 * greenness, 0.33), 0, 1)
    rest = soil if draw.random() < 0.5 else base["stubble"]
    return np.asarray(state * base["crop_green"] + (1 - state) * rest)


def _own_character(look: Look) -> NDArray[np.float64]:
    """What makes the covers of one look differ from another's: a factor per cover, tilted along the spectrum."""
    draw = generator("character", look.name)
    level = np.exp(draw.normal(0, look.spectral_spread, (len(COVERS), 1)))
    tilt = draw.normal(0, look.spectral_spread / 2, (len(COVERS), 1)) * np.linspace(-1, 1, len(BANDS))
    return np.asarray(level * np.exp(tilt))
