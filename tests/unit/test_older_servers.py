"""What older releases of vLLM answer otherwise; `docs/versions.md` has what was tried on them."""

from __future__ import annotations

import pytest

from vllm_connect import InvalidResponseError

PAGE = b"<html>Sign in</html>"


@pytest.mark.parametrize(
    ("operation", "done"),
    [("server.sleep", None), ("server.wake_up", True), ("server.reset_prefix_cache", True)],
)
async def test_done_without_a_word(canned, operation, done):
    """vLLM 0.32 answers a JSON object, 0.30 nothing; a page of a proxy is neither."""
    assert await canned((200, b""))(operation) is done
    with pytest.raises(InvalidResponseError):
        await canned((200, PAGE))(operation)


@pytest.mark.parametrize(
    ("operation", "reply", "found"),
    [
        ("server.wake_up", {"status": "sleeping", "tags": ["weights"]}, False),
        ("server.reset_prefix_cache", {"success": False}, False),
    ],
)
async def test_not_done(canned, operation, reply, found):
    assert await canned((200, reply))(operation) is found
