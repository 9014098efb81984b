"""What a test server does wrong: drawn from a seed, the same each time."""

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple


@dataclass(frozen=True)
class Faults:
    """What goes wrong, and for which share (0-1) of the requests whose path starts with `under`; the shares add up to 1 at most.

    The n-th such request draws from a hash of seed and n, so that a retry may succeed. Slow ones are drawn apart and may fail as well.
    """

    seed: int = 0
    under: str = "/"
    too_many: float = 0.0  # 429 with `Retry-After: {retry_after}`
    unavailable: float = 0.0  # 503
    dropped: float = 0.0  # closed before any byte
    broken: float = 0.0  # reset in the middle of the body
    half: float = 0.0  # a sound header, half the body, an orderly end
    retry_after: float = 0.0  # s; HTTP knows whole seconds only, some servers send fractions
    delay_s: float = 0.0
    slow: float = 1.0  # the share that `delay_s` holds for
    token_requests: int | None = None  # a token's life in requests
    token_s: float | None = None  # and in seconds; with either, files need a token
    statuses: Mapping[str, int] = field(default_factory=dict)  # path to status, whatever else is drawn

    def __post_init__(self) -> None:
        if sum(self._shares.values()) > 1 + 1e-9:
            raise ValueError(f"shares of faults add up to more than 1: {self._shares}")

    @property
    def _shares(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("too_many", "unavailable", "dropped", "broken", "half")}

    def of_request(self, number: int) -> str:
        """The fault of the n-th request from 0, by the name of its field; empty for none."""
        drawn = self._drawn("fault", number)
        return next((name for name, upto in zip(self._shares, accumulate(self._shares.values()), strict=True) if drawn < upto), "")

    def status_of(self, path: str, fault: str) -> int | None:
        """The status that stands in for a sound answer, if any."""
        return self.statuses.get(path) or {"too_many": 429, "unavailable": 503}.get(fault)

    @property
    def needs_token(self) -> bool:
        return self.token_requests is not None or self.token_s is not None

    def delay_of(self, number: int) -> float:
        return self.delay_s if self._drawn("slow", number) < self.slow else 0.0

    def _drawn(self, what: str, number: int) -> float:
        return int.from_bytes(hashlib.sha256(f"{self.seed} {what} {number}".encode()).digest()[:8]) / 2**64


class Strikes:
    """Counts requests, from any thread, and says what befalls the next."""

    def __init__(self, faults: Faults) -> None:
        self._faults, self._number, self._lock = faults, 0, threading.Lock()

    def of_next(self, path: str) -> tuple[str, float]:
        """Fault (a field's name, empty for none) and delay in seconds."""
        if path in self._faults.statuses or not path.startswith(self._faults.under):
            return "", 0.0
        with self._lock:
            number, self._number = self._number, self._number + 1
        return self._faults.of_request(number), self._faults.delay_of(number)


class Request(NamedTuple):
    """A request as it was answered: unquoted path without query, Range header or empty, status (0: none sent), injected fault or empty."""

    method: str
    path: str
    range: str
    status: int
    fault: str
