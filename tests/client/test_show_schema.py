"""Helpers that take a class show the model its schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import pytest
from openai import BadRequestError
from pydantic import BaseModel, Field
from tests.client.requests import MESSAGES

from vllm_connect import VLLM, AsyncVLLM
from vllm_connect.sim import SimServer


class City(BaseModel):
    """A city that is far away."""

    people: int = Field(description="in thousands")


WORDS = ("A city that is far away.", "in thousands")
SYSTEM = {"role": "system", "content": "Be kind."}
PART = {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat.completions", {"messages": MESSAGES, "response_format": City}),
    "chat with a system message": (
        "chat.completions",
        {"messages": [SYSTEM, *MESSAGES], "response_format": City},
    ),
    "responses": ("responses", {"input": "Hello", "text_format": City}),
    "responses with instructions": (
        "responses",
        {"input": "Hello", "instructions": "Be kind.", "text_format": City},
    ),
    "responses with a system message": (
        "responses",
        {"input": [SYSTEM, *MESSAGES], "text_format": City},
    ),
    "responses with parts": ("responses", {"input": [PART, *MESSAGES], "text_format": City}),
}


def begins(sim: SimServer) -> dict[str, Any]:
    """What the last request says first; there is no second system message."""
    body = sim.requests[-1].json
    if "input" in body:  # of the native Responses API
        items = body["input"] if isinstance(body["input"], list) else []
        if not body.get("instructions"):
            return dict(items[0])
        assert all(item["role"] not in ("system", "developer") for item in items)
        return {"role": "system", "content": body["instructions"]}
    first, *others = body["messages"]
    assert all(message["role"] not in ("system", "developer") for message in others)
    return dict(first)


@pytest.mark.parametrize("api", ["chat", "native"])
@pytest.mark.parametrize("name", CALLS)
async def test_the_model_reads_the_class(
    make_client: Callable[..., Any], vllm_sim: SimServer, name: str, api: str
) -> None:
    resource, params = CALLS[name]
    client = make_client(vllm_sim.url, responses_api=api)
    await client(f"{resource}.parse", **params)
    first = begins(vllm_sim)
    text = json.dumps(first["content"])
    assert first["role"] in ("system", "developer")
    assert [word for word in WORDS if word not in text] == []
    assert ("Be kind." in text) == ("Be kind." in json.dumps(params, default=str))
    await client(f"{resource}.parse", **params, show_schema=False)
    assert WORDS[0] not in json.dumps(
        vllm_sim.requests[-1].json["messages" if api == "chat" or resource != "responses" else "input"]
    )


async def test_streams_show_it_too(vllm_sim: SimServer) -> None:
    with (
        VLLM(vllm_sim.url) as client,
        client.chat.completions.stream(messages=MESSAGES, response_format=City) as chat,
    ):
        list(chat)
    assert WORDS[1] in begins(vllm_sim)["content"]
    with VLLM(vllm_sim.url) as client, client.responses.stream(input="Hello", text_format=City) as responses:
        list(responses)
    assert WORDS[1] in begins(vllm_sim)["content"]
    async with AsyncVLLM(vllm_sim.url) as client:
        async with client.chat.completions.stream(messages=MESSAGES, response_format=City) as chat:
            _ = [event async for event in chat]
        assert WORDS[1] in begins(vllm_sim)["content"]
        async with client.responses.stream(input="Hello", text_format=City, show_schema=False) as responses:
            _ = [event async for event in responses]
        assert begins(vllm_sim)["role"] == "user"


async def test_a_format_that_is_given_is_sent_as_it_is(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    wire = {"type": "json_schema", "json_schema": {"name": "City", "schema": City.model_json_schema()}}
    client = make_client(vllm_sim.url)
    for method in ("create", "parse"):
        await client(f"chat.completions.{method}", messages=MESSAGES, response_format=wire)
        assert vllm_sim.requests[-1].json["messages"] == MESSAGES


async def _events(client: Any, call: str, **params: Any) -> None:
    """Read a stream of the SDK's helper to its end."""
    manager = attrgetter(call)(client.client)(**params)
    if client.kind == "sync":
        with manager as stream:
            list(stream)
    else:
        async with manager as stream:
            _ = [event async for event in stream]


@pytest.mark.parametrize("api", ["chat", "native"])
@pytest.mark.parametrize("face", ["parse", "stream"])
@pytest.mark.parametrize("name", ["chat", "responses", "responses of items"])
async def test_a_template_without_a_system_role_reads_it_from_the_user(
    make_client: Callable[..., Any], name: str, face: str, api: str
) -> None:
    calls = {**CALLS, "responses of items": ("responses", {"input": MESSAGES, "text_format": City})}
    resource, params = calls[name]
    with SimServer(template="no_system") as server:
        client = make_client(server.url, responses_api=api)
        ask = client if face == "parse" else partial(_events, client)
        for _ in range(2):
            await ask(f"{resource}.{face}", **params)
        said = [request.json.get("messages") or request.json["input"] for request in server.requests]
        assert len(said) == 3  # refused, moved, remembered
        (first,) = said[-1]
        assert first["role"] == "user"
        text = json.dumps(first["content"])
        assert [word for word in WORDS if word not in text] == []
        assert "Say: " in text or "Hello" in text
        assert "instructions" not in server.requests[-1].json


async def test_what_a_caller_says_as_the_system_is_said_as_the_system(
    make_client: Callable[..., Any],
) -> None:
    with SimServer(template="no_system") as server:
        client = make_client(server.url)
        for resource, params in (CALLS["chat with a system message"], CALLS["responses with instructions"]):
            with pytest.raises(BadRequestError, match="System role not supported"):
                await client(f"{resource}.parse", **params)
        assert len(server.requests) == 2


async def test_another_refusal_is_not_asked_again(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(BadRequestError, match="temperature"):
        await client("chat.completions.parse", messages=MESSAGES, response_format=City, temperature=-1)
    assert len(vllm_sim.requests) == 1
