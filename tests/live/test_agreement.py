"""vLLM still answers as the simulator does: the table of `tests/simulator/agreement.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.simulator.agreement import ROWS, ask, recorded

from vllm_connect._transport._httpx import httpx

ANSWERS = recorded()


@pytest.mark.parametrize("name", ROWS)
def test_vllm_answers_as_recorded(address: Callable[[str], str], name: str) -> None:
    with httpx.Client(base_url=address(ROWS[name].server), verify=False, timeout=60) as http:
        assert ask(http, ROWS[name]) == ANSWERS[name]
