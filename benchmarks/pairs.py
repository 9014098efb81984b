"""Timing by interleaved pairs: A, B, B, A, … after a warm-up; outputs are compared, and a disagreement ends the benchmark."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

Output = TypeVar("Output")
PAIRS = 7


class Measure(NamedTuple):
    """Median, least and greatest of `values`; `reach` is the figure asked for (None: only printed)."""

    name: str
    unit: str
    values: tuple[float, ...]
    reach: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        if self.reach is None:
            return True
        return self.median <= self.reach if self.at_most else self.median >= self.reach

    def line(self) -> str:
        """One printed line."""
        asked = "" if self.reach is None else f"  reach {'<=' if self.at_most else '>='} {self.reach:g}: {'yes' if self.reached else 'NO'}"
        spread = f"median {self.median:.3g} (min {min(self.values):.3g}, max {max(self.values):.3g}, n {len(self.values)})"
        return f"{self.name:<28} {spread} {self.unit}{asked}{'  ' + self.note if self.note else ''}"


def speed_ratio(
    name: str,
    ours: Callable[[], Output],
    theirs: Callable[[], Output],
    agree: Callable[[Output, Output], None],
    reach: float | None,
    pairs: int = PAIRS,
    note: str = "",
) -> Measure:
    """Seconds of `theirs` ÷ seconds of `ours`, of each of `pairs` pairs. `agree` raises ValueError where outputs differ."""
    agree(ours(), theirs())
    ratios, spent = [], []
    for number in range(pairs):
        first, second = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        seconds = {id(function): seconds_of(function) for function in (first, second)}
        ratios.append(seconds[id(theirs)] / seconds[id(ours)])
        spent.append(seconds[id(ours)])
    return Measure(name, "x", tuple(ratios), reach, note=f"{note}{' ' if note else ''}ours {1000 * statistics.median(spent):.1f} ms")


def seconds_of(function: Callable[[], object]) -> float:
    """By the clock."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
