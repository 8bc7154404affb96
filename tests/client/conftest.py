"""The simulator without waiting: retries follow at once."""

from __future__ import annotations

import pytest
from openai._base_client import BaseClient
from tests.spans import told  # noqa: F401 a fixture


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have waited before each retry."""
    pauses: list[float] = []
    computed = BaseClient._calculate_retry_timeout

    def at_once(self: object, *args: object, **kwargs: object) -> float:
        pauses.append(computed(self, *args, **kwargs))  # type: ignore[arg-type]
        return 0.0

    monkeypatch.setattr(BaseClient, "_calculate_retry_timeout", at_once)
    return pauses
