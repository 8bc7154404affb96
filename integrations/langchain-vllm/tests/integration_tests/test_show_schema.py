"""What the server enforces is shown to the model, in every face."""

from __future__ import annotations

import asyncio
import json
import re
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field
from typing_extensions import TypedDict
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM


class Ticket(BaseModel):
    """A ticket of the help desk."""

    severity: Literal["S1", "S2"] = Field(description="S1: nobody can work; S2: a nuisance")
    amount: int = Field(description="in cents, not euros")


class TicketDict(TypedDict):
    """A ticket of the help desk."""

    severity: Annotated[str, ..., "S1: nobody can work; S2: a nuisance"]
    amount: Annotated[int, ..., "in cents, not euros"]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


WORDS = ["nobody can work", "in cents, not euros", "severity", "A ticket of the help desk."]
FACES = {
    "invoke": lambda chain, prompt: chain.invoke(prompt),
    "ainvoke": lambda chain, prompt: asyncio.run(chain.ainvoke(prompt)),
    "stream": lambda chain, prompt: list(chain.stream(prompt)),
    "astream": lambda chain, prompt: asyncio.run(_astreamed(chain, prompt)),
    "batch": lambda chain, prompt: chain.batch([prompt]),
    "a prompt before it": lambda chain, prompt: (ChatPromptTemplate([("user", "{x}")]) | chain).invoke(
        {"x": prompt}
    ),
}


async def _astreamed(chain: Any, prompt: str) -> list[Any]:
    return [value async for value in chain.astream(prompt)]


def unread(sim: Any, words: list[str]) -> list[str]:
    """Those of the words that a chat template gets neither in the messages nor in the tools."""
    body = sim.requests[-1].json
    text = json.dumps([body["messages"], body.get("tools")])
    return [word for word in words if word not in text]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize(
    "schema", [Ticket, TicketDict, Ticket.model_json_schema()], ids=["class", "dict", "schema"]
)
def test_the_model_reads_names_and_descriptions(sim, model, schema, method, face):
    chain = model.with_structured_output(schema, method=method, include_raw=True)
    FACES[face](chain, "The invoice is 3 euros too high.")
    assert unread(sim, WORDS) == []


@pytest.mark.parametrize(
    ("schema", "method", "words"),
    [
        (Color, None, ["red", "blue"]),
        (Literal["red", "blue"], None, ["red", "blue"]),
        (re.compile("[0-9]{3}"), None, ["[0-9]{3}"]),
        ('root ::= "up"', "grammar", ["root ::="]),
    ],
)
def test_the_model_reads_what_it_may_say(sim, model, schema, method, words):
    model.with_structured_output(schema, method=method).invoke("Hello")
    assert unread(sim, words) == []


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_template_without_a_system_role_reads_it_from_the_user(method, face):
    with SimServer(template="no_system") as server:
        chain = ChatVLLM(base_url=server.url).with_structured_output(Ticket, method=method, include_raw=True)
        for _ in range(2):
            FACES[face](chain, "The invoice is 3 euros too high.")
        (message,) = server.requests[-1].json["messages"]
        assert len(server.requests) == 3  # refused, moved, remembered
        assert message["content"].endswith("The invoice is 3 euros too high.")
        assert unread(server, WORDS) == []


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_one_argument_switches_it_off(sim, model, method):
    off = ChatVLLM(base_url=sim.url, show_schema=False)
    for chain in (
        model.with_structured_output(Ticket, method=method, show_schema=False, include_raw=True),
        off.with_structured_output(Ticket, method=method, include_raw=True),
    ):
        chain.invoke("Hello")
        assert sim.requests[-1].json["messages"] == [{"role": "user", "content": "Hello"}]
    off.with_structured_output(Ticket, method=method, show_schema=True, include_raw=True).invoke("Hello")
    assert unread(sim, WORDS) == []


def test_a_format_that_is_given_is_sent_as_it_is(sim, model):
    format_ = {"type": "json_schema", "json_schema": {"name": "T", "schema": Ticket.model_json_schema()}}
    model.invoke("Hello", response_format=format_)
    model.bind(response_format=format_).invoke("Hello")
    for request in sim.requests:
        assert request.json["messages"] == [{"role": "user", "content": "Hello"}]
        assert request.json["response_format"] == format_


@pytest.mark.parametrize(
    ("before", "content"),
    [
        ([], "{schema}"),
        ([SystemMessage("Be kind.")], "Be kind.\n\n{schema}"),
        ([SystemMessage([{"type": "text", "text": "Be kind."}])], None),
    ],
)
def test_the_conversation_begins_with_one_system_message(sim, model, before, content):
    history = [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("The invoice?")]
    chain = model.with_structured_output(Ticket, include_raw=True)
    chain.invoke([*before, *history])
    first, *others = sim.requests[-1].json["messages"]
    assert [message["role"] for message in others] == ["user", "assistant", "user"]
    assert first["role"] == "system"
    if content is None:
        assert first["content"][0]["text"] == "Be kind."
        assert WORDS[0] in first["content"][1]["text"]
    else:
        start, _, _ = content.partition("{schema}")
        assert first["content"].startswith(start)
        assert WORDS[0] in first["content"]
    chain.invoke([*before, HumanMessage("Another one")])
    assert sim.requests[-1].json["messages"][0] == first  # the same prefix, for the server's cache
