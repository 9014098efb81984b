"""What a host answers to a request for bytes, and what it means when it refuses."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from conf.errors import ReadError
from udfs.signing import Signed

REFUSED = frozenset({401, 403})
LONGEST_WAIT_SECONDS = 60.0
"""That a host may ask for between two tries."""


class Answer(NamedTuple):
    """`data` from the asked start on; `size` of the whole file, bytes; `version` tells one state of the file from another."""

    data: bytes
    size: int
    version: str


class RefusedError(ReadError):
    """The host wants another signature than `signed`."""

    signed: Signed | None = None


class ThrottledError(ReadError):
    """`wait`: seconds that the host asks for."""

    wait: float = 0.0


def refusal_of(status: int, name: str, headers: Mapping[str, str]) -> ReadError:
    """The error that a status from 400 on means, by its class."""
    text = f"{name}: the host answers {status}"
    if status in REFUSED:
        return RefusedError("forbidden", f"{text}; check access.signing and the keys of the workers")
    if status in (404, 410):
        return ReadError("not_found", f"{text}; check the place's sources")
    if status in (429, 503):
        error = ThrottledError("throttled" if status == 429 else "server", f"{text}; lower access.requests_per_host")
        error.wait = _seconds(headers.get("Retry-After", ""))
        return error
    if status >= 500 or status in (408, 425):
        return ReadError("server", f"{text}; try again later")
    return ReadError("forbidden", f"{text}; check access.signing and the address")


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_WAIT_SECONDS) if re.fullmatch(r"\d+(\.\d+)?", text) else 0.0
