"""The 17 regimes R1-R17: sign of land consumption x sign of population growth x size of the ratio against 1."""

from typing import NamedTuple

ZERO_RATE = 1e-9
"""A rate below a billionth a year is no growth: less than rounding of interpolated people leaves."""
STEP_TOLERANCE = 1e-6
"""Within this of 1 the ratio's size counts as 1."""


class Regime(NamedTuple):
    """Signs are -1, 0, 1; `step` is that of |ratio| - 1, and 0 where a rate is zero."""

    id: str
    land: int
    people: int
    step: int
    efficiency: str
    text: str


REGIMES = (
    Regime("R1", 1, 1, 1, "inefficient", "both grow, land faster than people"),
    Regime("R2", 1, 1, 0, "balanced", "both grow, in step"),
    Regime("R3", 1, 1, -1, "efficient", "both grow, people faster than land"),
    Regime("R4", 1, 0, 0, "inefficient", "land grows, people stay (no ratio)"),
    Regime("R5", 1, -1, 1, "inefficient", "land grows, people decline more slowly than that"),
    Regime("R6", 1, -1, 0, "inefficient", "land grows as fast as people decline"),
    Regime("R7", 1, -1, -1, "inefficient", "land grows, people decline faster than that"),
    Regime("R8", 0, 1, 0, "efficient", "land stays, people grow"),
    Regime("R9", 0, 0, 0, "balanced", "both stay (no ratio)"),
    Regime("R10", 0, -1, 0, "inefficient", "land stays, people decline"),
    Regime("R11", -1, 1, 1, "efficient", "land declines faster than people grow"),
    Regime("R12", -1, 1, 0, "efficient", "land declines as fast as people grow"),
    Regime("R13", -1, 1, -1, "efficient", "land declines more slowly than people grow"),
    Regime("R14", -1, 0, 0, "efficient", "land declines, people stay (no ratio)"),
    Regime("R15", -1, -1, 1, "efficient", "both decline, land faster than people"),
    Regime("R16", -1, -1, 0, "balanced", "both decline, in step"),
    Regime("R17", -1, -1, -1, "inefficient", "both decline, people faster than land"),
)
