"""What takes two live servers of one model, some of it a server that dies: `make live-servers`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.servers import LIVE, mark_live
from tests.spans import told  # noqa: F401 a fixture

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests as live, and skip them when nothing is up."""
    mark_live([item for item in items if HERE in item.path.parents])


@pytest.fixture
def servers() -> str:
    return LIVE
