"""Aerial colour images of a simulated city: roofs with ridges, shadows, trees, cars and clutter."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from udfs.simulation.city import STOREY_M, City
from udfs.simulation.land import Land, frame_of, land_in
from udfs.simulation.painting import Frame, painted
from udfs.simulation.seeds import Floats, fractal_noise, generator
from udfs.simulation.spectra import BANDS, COVER, COVERS, SEALED, pure_spectra

SUPPORT_M = 24.0
"""Surroundings painted beyond the bounds, so that shadows fall in from outside."""
STEP_M = 200
"""Distance of the places tried for an aerial image."""
PITCHED = ("clay_tile", "metal_bright", "metal_dull", "thatch", "painted")
_ROUGH = {"water": 0.02, "asphalt": 0.05, "pavement": 0.05, "grass": 0.16, "scrub": 0.16, "tree": 0.16}
RIBBED = ("metal_bright", "metal_dull", "painted")


class Roofs(NamedTuple):
    """Of the building over each cell: distance along and across its ridge from its middle, metres; light on the slope, -1 to 1."""

    along: Floats
    across: Floats
    light: Floats


def render_rgb(city: City, bounds: tuple[float, float, float, float], year: int, gsd: float = 0.5) -> NDArray[np.uint8]:
    """Colours, uint8 (3, rows, cols), of local bounds (west, south, east, north in metres from the south-west corner); row 0 north."""
    west, south, east, north = bounds
    frame = frame_of((west - SUPPORT_M, south - SUPPORT_M, east + SUPPORT_M, north + SUPPORT_M), gsd)
    keys = ("rgb", *city.key, bounds, year, gsd)
    land = land_in(city, year, frame, shadows=False)
    is_roof = (land.building >= 0) & (land.cover != COVER["tree"])
    crown = _crowns(city, year, frame, land)
    colour = _ground_colours(city, land, frame, is_roof, *keys)
    roofs = _roofs(city, land.building, frame)
    _shade_roofs(colour, city, land, roofs, is_roof, frame)
    _park_cars(colour, land, gsd, *keys)
    colour *= _tree_texture(crown, frame, *keys)
    colour *= (1 - np.float32(0.55) * _shadow(city, land, crown, frame, is_roof))[None]
    edge = round(SUPPORT_M / gsd)
    return _developed(colour[:, edge:-edge, edge:-edge], gsd, *keys)


def _ground_colours(city: City, land: Land, frame: Frame, is_roof: NDArray[np.bool_], *keys: object) -> Floats:
    """Reflectance of red, green, blue from the spectra, with texture by kind of ground."""
    low, high = city.look.greenness
    spectra = pure_spectra(city.look, 0.3 * low + 0.7 * high, "rgb", *city.key)
    bands = [BANDS.index(name) for name in ("B04", "B03", "B02")]
    shape = land.cover.shape
    coarse = fractal_noise(shape, 18 / frame.cell, 4, "coarse", *keys)
    fine = generator("fine", *keys).standard_normal(shape, np.float32)
    bright = land.shade.astype(np.float32) / 100
    grain = np.array([_ROUGH.get(cover, 0.1) for cover in COVERS], np.float32)[land.cover]
    bright = bright * (1 + np.where(is_roof, np.float32(0.03), grain) * (coarse + np.float32(0.6) * fine)).astype(np.float32)
    colour = np.stack([spectra[:, band].astype(np.float32)[land.cover] * bright for band in bands])
    # Worn grass shows soil, bare ground has tufts.
    patchy = fractal_noise(shape, 9 / frame.cell, 3, "patches", *keys)
    soil = spectra[COVER["dirt"]][bands].astype(np.float32)[:, None]
    grass = spectra[COVER["grass"]][bands].astype(np.float32)[:, None]
    worn, tufts = (land.cover == COVER["grass"]) & (patchy > 0.9), (land.cover == COVER["dirt"]) & (patchy > 1.1)
    colour[:, worn] = soil * (0.9 + 0.1 * coarse[worn])
    colour[:, tufts] = grass * (0.9 + 0.2 * fine[tufts])
    return colour.astype(np.float32)


def _roofs(city: City, building: NDArray[np.int32], frame: Frame) -> Roofs:
    plots = city.standing.plots
    x, y = frame.centres()
    east = x[None].astype(np.float32) - np.append(plots.centre[:, 0], 0).astype(np.float32)[building]
    north = y[:, None].astype(np.float32) - np.append(plots.centre[:, 1], 0).astype(np.float32)[building]
    # The ridge runs along the longer side.
    turned = plots.angle + np.where(plots.building[:, 1] > plots.building[:, 0], np.pi / 2, 0)
    cos, sin = (np.append(f(turned), 0).astype(np.float32)[building] for f in (np.cos, np.sin))
    azimuth = np.radians(city.look.sun_azimuth)
    sun = np.append(-np.sin(turned) * np.sin(azimuth) + np.cos(turned) * np.cos(azimuth), 0).astype(np.float32)[building]
    across = -east * sin + north * cos
    return Roofs(east * cos + north * sin, across, np.sign(across) * sun)


def _shade_roofs(colour: Floats, city: City, land: Land, roofs: Roofs, is_roof: NDArray[np.bool_], frame: Frame) -> None:
    """Two slopes lit differently, ribs of sheet metal, rust, parapets of flat roofs and gear on them; in place."""
    material = np.where(is_roof, land.cover, 0)
    pitched, ribbed = (np.isin(material, [COVER[name] for name in names]) & is_roof for names in (PITCHED, RIBBED))
    hue = generator("hue", *city.key).normal(0, 0.07, (3, len(city.footprints) + 1)).astype(np.float32)
    light = np.ones(land.cover.shape, np.float32)
    light[pitched] += 0.2 * roofs.light[pitched]
    light[ribbed] *= 1 + 0.07 * np.sin(roofs.along[ribbed] * np.float32(2 * np.pi / max(1.1, 2.6 * frame.cell)))
    ridge = pitched & (np.abs(roofs.across) < 0.35)
    light[ridge] *= 1.15
    spots = fractal_noise(land.cover.shape, 3.5 / frame.cell, 2, "rust", *city.key)
    rusty = (material == COVER["metal_dull"]) & (spots > 0.2)
    flat = is_roof & ~pitched
    light[flat & (spots > 1.5)] *= 0.62
    light[flat & (spots < -1.8)] *= 1.35
    inner = ndimage.minimum_filter(land.building, 3) == ndimage.maximum_filter(land.building, 3)
    light[flat & ~inner] *= 1.12
    for band in range(3):
        colour[band][is_roof] *= (light * np.exp(hue[band])[land.building])[is_roof]
        colour[band][rusty] *= (0.95, 0.66, 0.5)[band]


def _crowns(city: City, year: int, frame: Frame, land: Land) -> NDArray[np.int32]:
    """Row of the tree over each cell, or -1."""
    index = painted(city.crowns, city.trees.built <= year, frame)
    return np.where(land.cover == COVER["tree"], index, -1).astype(np.int32)


def _tree_texture(crown: NDArray[np.int32], frame: Frame, *keys: object) -> Floats:
    """Leafy grain, and a factor per tree."""
    if (crown < 0).all():
        return np.ones(crown.shape, np.float32)
    leaves = fractal_noise(crown.shape, 1.6 / frame.cell, 2, "leaves", *keys)
    own = generator("own", *keys).uniform(0.9, 2.1, int(crown.max()) + 2).astype(np.float32)
    return np.where(crown >= 0, (1 + 0.28 * leaves).clip(0.35, 1.9) * own[crown], np.float32(1)).astype(np.float32)


def _shadow(city: City, land: Land, crown: NDArray[np.int32], frame: Frame, is_roof: NDArray[np.bool_]) -> Floats:
    """1 where something higher stands between the ground and the sun; soft by half a cell."""
    storeys = np.append(city.standing.plots.floors, 0).astype(np.float32)[land.building]
    height = np.where(is_roof, storeys * np.float32(STOREY_M), 0).astype(np.float32)
    height[crown >= 0] = np.maximum(height[crown >= 0], np.append(city.trees.radius, 0).astype(np.float32)[crown[crown >= 0]] * 1.7)
    azimuth, rise = np.radians(city.look.sun_azimuth), np.tan(np.radians(city.look.sun_elevation)) * frame.cell
    dark = np.zeros(height.shape, np.bool_)
    for step in range(1, int(min(height.max() / rise, SUPPORT_M / frame.cell)) + 1):
        towards = round(-np.cos(azimuth) * step), round(np.sin(azimuth) * step)
        above = np.roll(height, (-towards[0], -towards[1]), (0, 1)) - np.float32(rise * step)
        dark |= above > height + np.float32(0.3)
    return np.asarray(ndimage.gaussian_filter(dark.astype(np.float32), 0.6))


def _park_cars(colour: Floats, land: Land, gsd: float, *keys: object) -> None:
    """Cars on streets and paved yards, heaps on bare yards; in place."""
    draw = generator("cars", *keys)
    length, width = max(int(4.4 / gsd), 2), max(int(1.9 / gsd), 1)
    paint = np.array([[0.7, 0.7, 0.7], [0.05, 0.05, 0.06], [0.3, 0.05, 0.05], [0.08, 0.12, 0.3], [0.4, 0.4, 0.42]], np.float32)
    for covers, share, tones in ((SEALED, 1 / 420, paint), ((COVER["dirt"],), 1 / 300, paint * 0.6 + 0.1)):
        rows, cols = np.nonzero(np.isin(land.cover[:-12, :-12], covers))
        chosen = draw.random(len(rows)) < share * gsd**2
        for row, col in zip(rows[chosen], cols[chosen], strict=True):
            high, wide = (length, width) if draw.random() < 0.5 else (width, length)
            if np.isin(land.cover[row : row + high, col : col + wide], covers).all():
                colour[:, row : row + high, col : col + wide] = tones[draw.integers(len(tones))][:, None, None]


def _developed(colour: Floats, gsd: float, *keys: object) -> NDArray[np.uint8]:
    """Exposure, lens blur, noise and the curve of a camera."""
    draw = generator("camera", *keys)
    exposure = draw.uniform(2.3, 3.7)
    tint = draw.normal(1.0, 0.03, 3)
    image = np.stack([ndimage.gaussian_filter(band, 0.35 + 0.12 / gsd) for band in colour])
    curve = (np.maximum(image, 0) * (exposure * tint).astype(np.float32)[:, None, None]).clip(0, 1.3) ** np.float32(0.62)
    curve += draw.standard_normal(curve.shape, np.float32) * np.float32(0.018)
    return np.asarray(np.rint(curve * 235).clip(0, 255), np.uint8)


def rgb_bounds(city: City, side_m: float) -> tuple[float, float, float, float]:
    """Local bounds, on whole 10 m, of the square of `side_m` that best shows formal and informal quarters and growth."""
    reach = int(city.size_m - side_m)
    if reach < 0:
        raise ValueError(f"an aerial image of {side_m} m is larger than the city of {city.size_m} m")
    corners = np.arange(0, reach + 1, STEP_M)
    standing = city.standing
    old = standing.built <= city.first_year
    groups = [*((standing.plots.kind == kind) & old for kind in ("informal", "house", "block")), ~old]
    score = np.ones((len(corners), len(corners)))
    for group in groups:
        score *= np.sqrt(_counts(standing.plots.centre[group], corners, side_m) / side_m**2 * 1e6 + 20)
    column, row = np.unravel_index(int(np.argmax(score)), score.shape)
    west, south = float(corners[column]), float(corners[row])
    return west, south, west + side_m, south + side_m


def _counts(points: NDArray[np.float64], corners: NDArray[np.int64], side_m: float) -> NDArray[np.float64]:
    """Points in the squares of `side_m` at all pairs of corners, (x, y), to within a cell of 10 m."""
    edges = np.arange(0, corners[-1] + side_m + 20, 10)
    cells = np.histogram2d(points[:, 0], points[:, 1], (edges, edges))[0]
    total = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    low, high = corners // 10, np.round((corners + side_m) / 10).astype(int)
    return np.asarray(total[np.ix_(high, high)] - total[np.ix_(low, high)] - total[np.ix_(high, low)] + total[np.ix_(low, low)])
