"""Faults are tried again without the waits of a real run."""

import pytest

from udfs import retrying


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "BACK_OFF_SECONDS", 0.001)
