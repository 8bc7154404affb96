"""Sticky conversations on two live servers find their beginnings in the prefix cache, as on one."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from vllm_connect import VLLM, Key
from vllm_connect._keys.health import Admission

CONVERSATIONS, TURNS = 6, 6


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose servers answered, in their order."""
    names: list[str] = []
    succeeded = Admission.succeeded

    def noted(self: Admission) -> None:
        names.append(self.server.name)
        succeeded(self)

    monkeypatch.setattr(Admission, "succeeded", noted)
    return names


def converse(client: VLLM, answered: list[str], session_ids: bool) -> tuple[float, Counter[str]]:
    """Return the cached share of prompt tokens, and the requests by server."""
    salt = uuid4().hex  # so that nobody finds what another run has cached
    histories: list[list[dict[str, Any]]] = [[] for _ in range(CONVERSATIONS)]
    prompt = cached = 0
    counts: Counter[str] = Counter()
    for turn in range(TURNS):
        for number, messages in enumerate(histories):
            text = f"Conversation {number}, turn {turn}. " + "The sky is blue and the grass is green. " * 8
            messages.append({"role": "user", "content": text})
            session = {"session_id": f"{salt}-{number}"} if session_ids else {}
            reply = client.chat.completions.create(
                model="tiny-chat", messages=messages, max_tokens=8, cache_salt=salt, **session
            )
            messages.append({"role": "assistant", "content": reply.choices[0].message.content})
            assert reply.usage is not None
            assert reply.usage.prompt_tokens_details is not None
            prompt += reply.usage.prompt_tokens
            cached += reply.usage.prompt_tokens_details.cached_tokens or 0
            counts[answered[-1]] += 1
    return cached / prompt, counts


@pytest.mark.parametrize("session_ids", [True, False], ids=["session_id", "beginning"])
def test_sticky_conversations_are_cached(
    chat_url: str,
    twin_url: str,
    answered: list[str],
    session_ids: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = [Key(name="chat", url=chat_url), Key(name="twin", url=twin_url)]
    alone, _ = converse(VLLM(chat_url), answered, session_ids)
    spread, _ = converse(VLLM(keys=keys), answered, False)
    shared, counts = converse(VLLM(keys=keys, balance="sticky"), answered, session_ids)
    with capsys.disabled():
        print(
            f"\ncached: one server {alone:.3f}, two sticky {shared:.3f} ({shared / alone:.3f} of it), "
            f"two at random {spread:.3f}; requests {dict(counts)}"
        )
    assert shared >= 0.95 * alone
    assert max(counts.values()) <= 1.25 * CONVERSATIONS * TURNS / 2
