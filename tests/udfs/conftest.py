"""Faults are tried again without the waits of a real run."""

import pytest

from udfs import images


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BACK_OFF_SECONDS", 0.001)
