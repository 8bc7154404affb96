"""How often a call changes from one of our files to another: a way that can be followed is not long.

`make walk` tells the figures, which are near the bounds.
"""

from __future__ import annotations

import pytest
from scripts.walk import CALLS, Walk, walk

BOUNDS = {  # stays, returns
    "chat": (49, 28),
    "chat-stream": (76, 54),
    "rerank": (53, 32),
    "embeddings": (61, 37),
    "models": (64, 41),
    "responses": (78, 48),
    "responses-stream": (188, 155),
}
# What a call on one key has no use for: balance, what becomes of failures, who is at home where.
_UNCALLED = (
    *("_calls/affinity.py", "_calls/failures.py", "_calls/outcomes.py", "_calls/redirects.py"),
    *("_calls/replay.py", "_keys/balancing.py", "_keys/choosing.py", "_wire/arguments.py"),
)
_ONCE = ("resources/_patched.py", "_transport/patches.py", "_calls/templates.py", "_keys/fleet.py")


@pytest.fixture(scope="module")
def walks() -> dict[str, Walk]:
    return {name: walk(name) for name in CALLS}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_call_changes_files_seldom(name: str, walks: dict[str, Walk]) -> None:
    most_stays, most_returns = BOUNDS[name]
    assert walks[name].files > 15  # it was traced
    assert walks[name].stays <= most_stays
    assert walks[name].returns <= most_returns


@pytest.mark.parametrize("name", ["chat", "chat-stream", "rerank", "embeddings"])
def test_a_call_on_one_key_enters_nothing_that_it_has_no_use_for(name: str, walks: dict[str, Walk]) -> None:
    entered = {step.file for step in walks[name].steps}
    assert not entered & set(_UNCALLED)


@pytest.mark.parametrize("name", ["chat", "chat-stream"])
@pytest.mark.parametrize("file", _ONCE)
def test_what_is_looked_up_is_looked_up_once(name: str, file: str, walks: dict[str, Walk]) -> None:
    files = [step.file for step in walks[name].steps]
    stays = [after for before, after in zip(["", *files], files, strict=False) if after != before]
    assert stays.count(file) == 1
