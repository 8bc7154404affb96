"""Arguments that cannot be sent: the error names the operation, the argument and what it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vllm_connect import VLLM, AsyncVLLM

MESSAGES = [{"role": "user", "content": "hi"}]
URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("kind", [VLLM, AsyncVLLM])
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"timeout": "a"}, "timeout must be seconds, an httpx.Timeout or None, not str"),
        ({"timeout": -1}, "timeout must be more than 0 seconds, not -1"),
        ({"timeout": float("nan")}, "timeout must be more than 0 seconds, not nan"),
        ({"default_headers": 5}, "default_headers must be a mapping, not int"),
        ({"default_headers": {"X": 5}}, "default_headers['X'] must be text, not int"),
        ({"default_headers": {"X": "secret\r\nY: 1"}}, "default_headers['X'] holds a line break"),
        ({"default_query": 5}, "default_query must be a mapping, not int"),
    ],
)
def test_arguments_of_a_client(kind: Any, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        kind(URL, **arguments)
    assert f"{kind.__name__}: {problem}" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda client: client.chat.completions.create(messages=[{"role": "user", "content": b"hi"}]),
            "chat.completions.create: messages[0].content: JSON cannot carry bytes",
        ),
        (
            lambda client: client.chat.completions.create(messages=MESSAGES, stop={"a", "b"}),
            "chat.completions.create: stop: JSON cannot carry a set",
        ),
        (
            lambda client: client.completions.create(prompt=memoryview(b"hi")),
            "completions.create: prompt: JSON cannot carry memoryview",
        ),
        (
            lambda client: client.embeddings.create(input=memoryview(b"hi")),
            "embeddings.create: input is memoryview",
        ),
        (lambda client: client.embeddings.create(input=[memoryview(b"hi")]), "input[0] is memoryview"),
        (lambda client: client.responses.create(input=b"hi"), "responses.create: input must be"),
        (lambda client: client.responses.create(input={"a"}), "responses.create: input must be"),
        (lambda client: client.responses.create(input={"role": "user"}), "responses.create: input must be"),
        (lambda client: client.responses.create(input=5), "responses.create: input must be"),
    ],
)
async def test_arguments_of_calls(call: Callable[[Any], Any], problem: str) -> None:
    for kind in (VLLM, AsyncVLLM):
        client = kind(URL, max_retries=0)
        with pytest.raises(TypeError) as caught:
            await call(client)
        assert problem in str(caught.value)
