"""Faults of images that pass are waited for, and only those."""

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from conf.errors import TRANSIENT, ReadError

TRIES = 3
BACK_OFF_SECONDS = 0.4
"""Between tries it doubles each time, from twice this: 2.4 s in all, long enough for a network drive to come back."""
ASKED_AGAIN = frozenset({"throttled", "server", "network"})
"""Faults of requests, which have been tried again one by one."""

Result = TypeVar("Result")


class UnreadableHeaderError(ReadError):
    """The file begins as an image but cannot be opened: cut off, or out of reach for now."""


def is_transient(error: ReadError) -> bool:
    """Whether the fault is worth another try with a fresh handle."""
    return isinstance(error, UnreadableHeaderError) or error.kind in TRANSIENT - ASKED_AGAIN


def retried(action: Callable[[], Result], fresh: Callable[[], None] = lambda: None, wait: bool = True) -> tuple[Result, int]:
    """What `action` gives and the tries it took: up to TRIES on transient faults, after `fresh()` and, with `wait`, ever longer waits.

    Raises the last ReadError, its `tries` set.
    """
    attempt = 1
    while True:
        try:
            return action(), attempt
        except ReadError as error:
            fresh()
            if not is_transient(error) or attempt == TRIES:
                error.tries = max(error.tries, attempt)
                raise
        if wait:
            sleep(BACK_OFF_SECONDS * 2**attempt)
        attempt += 1
