"""Clouds and their shadows over a simulated city, and the scene classification that nearly finds them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.simulation.looks import Look
from udfs.simulation.seeds import Floats, fractal_noise, generator, smooth_noise

# Classes of the Sentinel-2 Level-2A scene classification.
NO_DATA, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED, CLOUD_MEDIUM, CLOUD_HIGH, CIRRUS = 0, 3, 4, 5, 6, 7, 8, 9, 10


class Sky(NamedTuple):
    """Opacity of cloud and of cloud shadow, 0-1, float32 (rows, cols); `white`: reflectance of thick cloud."""

    cloud: Floats
    shadow: Floats
    white: Floats

    def applied(self, clear: Floats) -> Floats:
        """What is seen of a clear image: darker in shadow, then covered by cloud."""
        if not self.cloud.any():
            return clear
        return np.asarray(clear * (1 - np.float32(0.6) * self.shadow) * (1 - self.cloud) + self.white * self.cloud, np.float32)


def plan_sky(shape_yx: tuple[int, int], gsd: float, cover: float, look: Look, *keys: object) -> Sky:
    """Clouds over about the share `cover` of the image, shadows thrown away from the sun."""
    if cover <= 0:
        nothing = np.zeros(shape_yx, np.float32)
        return Sky(nothing, nothing, nothing)
    draw = generator("sky", *keys)
    cell = draw.uniform(700, 2200) / gsd
    azimuth = np.radians(look.sun_azimuth + draw.normal(0, 8))
    reach = draw.uniform(500, 1400) / np.tan(np.radians(look.sun_elevation)) / gsd
    # Clouds just outside throw their shadows in, so the sky is larger than the image.
    edge = int(np.ceil(reach)) + 1
    rows, cols = shape_yx
    field = fractal_noise((rows + 2 * edge, cols + 2 * edge), cell, 6, "clouds", *keys)
    inside = field[edge : edge + rows, edge : edge + cols]
    cloud = np.clip((field - np.quantile(inside[::5, ::5], 1 - cover) + 0.06) / 0.3, 0, 1).astype(np.float32)
    # The shadow lies away from the sun: what shades a pixel is the cloud towards the sun from it.
    top, left = edge + round(-np.cos(azimuth) * reach), edge + round(np.sin(azimuth) * reach)
    white = (0.52 + 0.06 * inside.clip(-2, 2)).astype(np.float32)
    return Sky(cloud[edge : edge + rows, edge : edge + cols], cloud[top : top + rows, left : left + cols], white)


def scene_classes(seen: Floats, sky: Sky, bright_roofs: Floats, *keys: object) -> NDArray[np.uint8]:
    """Scene classes at 20 m (rows, cols) from reflectance at 20 m in the order of BANDS. Edges of clouds are judged with error,
    some bright roofs are taken for cloud."""
    blue, green, red, nir, swir = seen[0], seen[1], seen[2], seen[6], seen[8]
    vegetated = (nir - red) / (nir + red)
    wet = (green - swir) / (green + swir)
    classes = np.where(vegetated > 0.42, VEGETATION, BARE).astype(np.uint8)
    classes[(wet > 0.15) & (nir < 0.12)] = WATER
    classes[(vegetated > 0.3) & (vegetated <= 0.42) & (blue < 0.06)] = UNCLASSIFIED
    noise = smooth_noise(classes.shape, 12, "edges", *keys) * 0.07
    rows, cols = classes.shape
    cloud, shade = (opacity[1 : 2 * rows : 2, 1 : 2 * cols : 2] for opacity in (sky.cloud, sky.shadow))
    cloud, shade = (opacity + noise * (opacity > 0) for opacity in (cloud, shade))
    if sky.cloud.any():
        classes[shade > 0.25] = SHADOW
        classes[cloud > 0.1] = CIRRUS
        classes[cloud > 0.2] = CLOUD_MEDIUM
        classes[cloud > 0.5] = CLOUD_HIGH
    mistaken = (bright_roofs > 0.9) & (generator("mistaken", *keys).random(classes.shape) < 0.15)
    classes[mistaken] = CLOUD_MEDIUM
    return classes
