"""What open ground of simulated cities can turn to, that networks take for roofs: mud, and light dry soil."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.simulation.optical import through_air
from udfs.simulation.seeds import fractal_noise, generator
from udfs.simulation.spectra import BANDS

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

LIGHT_SOIL = dict(zip(BANDS, (0.16, 0.20, 0.26, 0.30, 0.33, 0.36, 0.38, 0.40, 0.48, 0.42), strict=True))
"""Of each band: about the reflectance of light dry soil, straw and sand. It rises all the way to 1.6 um, as that of the soils which Stoner
and Baumgardner (1981) call minimally altered."""
BARE_BELOW = 0.34
"""Ground with less than this share of footprints and sealed surfaces can be bared."""


def wetted(values: Values, built: Mask, share: float, seed: int) -> Values:
    """Reflectance (bands, height, width) with patches of open ground, `share` of it, darkened as mud and wet soil are: towards the
    scene's darkest pixels, so that the air's own light stays."""
    left = generator("wet", seed).uniform(0.3, 0.65)
    soaked = _patches(built, share, "wet", seed)
    air = np.nanpercentile(values, 1, axis=(1, 2), keepdims=True)
    return np.where(soaked, air + np.float32(left) * np.maximum(values - air, 0), values).astype(np.float32)


def bared(values: Values, bands: tuple[str, ...], built: Values, haze: float, share: float, seed: int) -> Values:
    """Reflectance (bands, height, width) with patches of open ground, `share` of it, turned to light dry soil, as fields after harvest,
    sand and cleared plots are: as bright as roofs, nearly even, and under the same air. `built`: share of footprints and sealed surfaces
    0-1."""
    draw = generator("bare", seed)
    light = draw.uniform(0.6, 1.3) * (1 + draw.normal(0, 0.08, len(bands))) * [LIGHT_SOIL[band] for band in bands]
    uneven = fractal_noise((built.shape[0], built.shape[1]), 6, 2, "soil", seed)
    soil = through_air(light.astype(np.float32)[:, None, None] * (1 + np.float32(0.06) * uneven), bands, haze)
    cover = np.float32(draw.uniform(0.4, 1))
    bare = _patches(built >= BARE_BELOW, share, "bare", seed)
    return np.where(bare, values + cover * (soil - values), values).astype(np.float32)


def _patches(built: Mask, share: float, name: str, seed: int) -> Mask:
    """Patches of `share` of the ground, some 250 m wide, where nothing built is within two pixels."""
    noise = fractal_noise((built.shape[0], built.shape[1]), 25, 2, name, seed)
    return np.asarray((noise > np.quantile(noise, 1 - share)) & ~ndimage.binary_dilation(built, iterations=2))
