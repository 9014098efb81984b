"""What open ground of simulated cities can turn to, that networks take for roofs: mud, and light dry soil."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.simulation.seeds import fractal_noise, generator

Values = NDArray[np.float32]

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LIGHT_SOIL = (0.16, 0.20, 0.26, 0.30, 0.33, 0.36, 0.38, 0.40, 0.48, 0.42)
"""Of each band: about the reflectance of light dry soil, straw and sand. It rises all the way to 1.6 um, as that of the soils which Stoner
and Baumgardner (1981) call minimally altered."""
BARE_BELOW = 0.34
"""Ground with less than this share of footprints and sealed surfaces can be bared."""


def wetted(values: Values, built: NDArray[np.bool_], share: float, seed: int) -> Values:
    """Reflectance (bands, height, width) with patches of open ground, `share` of it, darkened as mud and wet soil are: towards the
    scene's darkest pixels, so that the air's own light stays."""
    shape = (built.shape[0], built.shape[1])
    patches = fractal_noise(shape, 25, 2, "wet", seed)
    left = generator("wet", seed).uniform(0.3, 0.65)
    soaked = (patches > np.quantile(patches, 1 - share)) & ~ndimage.binary_dilation(built, iterations=2)
    air = np.nanpercentile(values, 1, axis=(1, 2), keepdims=True)
    return np.where(soaked, air + np.float32(left) * np.maximum(values - air, 0), values).astype(np.float32)


def bared(values: Values, bands: tuple[str, ...], built: Values, share: float, seed: int) -> Values:
    """Reflectance (bands, height, width) with patches of open ground, `share` of it, turned to light dry soil, as fields after harvest,
    sand and cleared plots are: as bright as roofs, and nearly even. `built`: share of footprints and sealed surfaces 0-1."""
    shape = (built.shape[0], built.shape[1])
    patches, draw = fractal_noise(shape, 25, 2, "bare", seed), generator("bare", seed)
    light = draw.uniform(0.6, 1.3) * (1 + draw.normal(0, 0.08, len(bands))) * [LIGHT_SOIL[BANDS.index(band)] for band in bands]
    soil = light.astype(np.float32)[:, None, None] * (1 + np.float32(0.06) * fractal_noise(shape, 6, 2, "soil", seed))
    cover = np.float32(draw.uniform(0.4, 1))
    bare = (patches > np.quantile(patches, 1 - share)) & ~ndimage.binary_dilation(built >= BARE_BELOW, iterations=2)
    return np.where(bare, values + cover * (soil - values), values).astype(np.float32)
