"""What only running servers can show; without servers this folder is skipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.servers import LIVE, mark_live

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests as live, and skip them when nothing is up."""
    mark_live([item for item in items if HERE in item.path.parents])


@pytest.fixture
def servers() -> str:
    return LIVE
