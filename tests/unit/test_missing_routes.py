"""The error of a route that a server lacks says what it takes to have it."""

from __future__ import annotations

import pytest

from vllm_connect import NotFoundError

MISSING = (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("operation", "params", "needed"),
    [
        ("server.sleep", {}, "VLLM_SERVER_DEV_MODE=1"),
        ("server.server_info", {}, "VLLM_SERVER_DEV_MODE=1"),
        ("lora.load", {"lora_name": "a", "lora_path": "b"}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
        ("server.version", {}, "does not serve this operation"),
        ("messages.count_tokens", {"model": "m", "messages": []}, "does not serve this operation"),
    ],
)
async def test_what_it_takes(canned, operation, params, needed):
    with pytest.raises(NotFoundError, match=needed):
        await canned(MISSING)(operation, **params)
