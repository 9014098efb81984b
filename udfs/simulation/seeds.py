"""Seeded randomness: every draw of the simulated city comes from a generator named by what it is for."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def generator(*keys: object) -> np.random.Generator:
    """A generator seeded by the sha256 of its keys, so that no draw depends on the order of others."""
    text = "/".join(str(key) for key in keys)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def smooth_noise(shape_yx: tuple[int, int], cell: float, *keys: object) -> Floats:
    """Noise of zero mean and unit deviation (height, width), float32, that varies over `cell` pixels: cubic B-splines of a lattice."""
    rows, cols = (int(np.ceil(side / cell)) + 4 for side in shape_yx)
    lattice = generator(*keys).standard_normal((rows, cols)).astype(np.float32)
    # Interpolated along x, then along y.
    surface = _splined(_splined(lattice.T, shape_yx[1], cell).T, shape_yx[0], cell)
    # A cubic B-spline keeps 151/315 of the lattice's variance per axis.
    surface /= np.float32(151 / 315)
    return surface


def _splined(lattice: Floats, count: int, cell: float) -> Floats:
    """`count` rows between the rows of a lattice, `cell` of them to a step."""
    position = np.arange(count) / cell
    first = position.astype(int)
    t = (position - first).astype(np.float32)[:, None]
    weights = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3
    rows = np.ascontiguousarray(lattice)
    total = np.empty((count, rows.shape[1]), np.float32)
    # In strips, so that the four terms stay in the processor's cache.
    for start in range(0, count, 32):
        strip = slice(start, start + 32)
        total[strip] = sum(rows[first[strip] + tap] * (weights[tap][strip] / np.float32(6)) for tap in range(4))
    return total


def fractal_noise(shape_yx: tuple[int, int], cell: float, octaves: int, *keys: object) -> Floats:
    """Sum of `octaves` of smooth noise, each half as wide and half as strong; unit deviation, float32."""
    total = np.zeros(shape_yx, np.float32)
    power = 0.0
    for octave in range(octaves):
        width = cell / 2**octave
        if width < 1:
            break
        layer = smooth_noise(shape_yx, width, *keys, octave)
        layer *= np.float32(0.5**octave)
        total += layer
        power += 0.25**octave
    total /= np.float32(np.sqrt(power))
    return total
