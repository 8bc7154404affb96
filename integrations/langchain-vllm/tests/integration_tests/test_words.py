"""`thinking=` and `max_tokens="fit"`: as a field and per call, in every face."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
from pydantic import BaseModel, ValidationError
from vllm_connect import UnsupportedOperationError
from vllm_connect.sim import SimServer

from langchain_vllm import ChatVLLM
from tests.answering import Body, Said, answering
from tests.faces import ASK, FACES

OFF: Body = {"enable_thinking": False}
ON: Body = {"enable_thinking": True}


class City(BaseModel):
    name: str


faces = pytest.mark.parametrize("face", FACES)


def thought(message: AIMessage) -> str | None:
    blocks = [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
    return "".join(blocks) or None


def sent(sim: SimServer) -> list[Body]:
    return [request.json for request in sim.requests if request.path == "/v1/chat/completions"]


@faces
def test_thinking_as_a_field(sim: SimServer, face: str) -> None:
    model = ChatVLLM(base_url=sim.url, thinking=False)
    answer = FACES[face](model)
    assert (answer.text, thought(answer)) == ("two", None)
    assert sent(sim)[-1]["chat_template_kwargs"] == OFF
    assert thought(FACES[face](model, thinking=True)) == "one"
    assert thought(FACES[face](model, thinking=None)) == "one"
    assert "chat_template_kwargs" not in sent(sim)[-1]


@faces
def test_a_number_of_tokens_for_one_call(sim: SimServer, model: ChatVLLM, face: str) -> None:
    FACES[face](model, thinking=64)
    (body,) = sent(sim)
    assert (body["chat_template_kwargs"], body["thinking_token_budget"]) == (ON, 64)
    assert "thinking" not in body


@faces
def test_reasoning_effort(sim: SimServer, model: ChatVLLM, face: str) -> None:
    FACES[face](ChatVLLM(base_url=sim.url, reasoning_effort="low"))
    FACES[face](ChatVLLM(base_url=sim.url, reasoning_effort="low"), reasoning_effort="high")
    FACES[face](model, reasoning_effort="none")
    FACES[face](model.bind(reasoning_effort="medium"))
    FACES[face](model)
    efforts = [body.get("reasoning_effort") for body in sent(sim)]
    assert efforts == ["low", "high", "none", "medium", None]


def test_traces_see_the_reasoning_effort(sim: SimServer) -> None:
    class Seen(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, invocation_params: Body, **__: Any) -> None:
            efforts.append(invocation_params.get("reasoning_effort"))

    efforts: list[str | None] = []
    model = ChatVLLM(base_url=sim.url, reasoning_effort="low", callbacks=[Seen()])
    model.invoke(ASK)
    model.invoke(ASK, reasoning_effort="high")
    assert efforts == ["low", "high"]


@faces
def test_as_much_as_the_context_leaves(sim: SimServer, model: ChatVLLM, face: str) -> None:
    FACES[face](ChatVLLM(base_url=sim.url, max_tokens="fit"))
    answer = FACES[face](model, max_tokens="fit")
    whole = model.refresh_profile()["max_input_tokens"]
    assert answer.usage_metadata is not None
    left = whole - answer.usage_metadata["input_tokens"]
    assert [body["max_tokens"] for body in sent(sim)] == [left, left]


def test_the_words_of_a_call_win_over_what_a_field_tells_the_template(sim: SimServer) -> None:
    fields: Body = {"chat_template_kwargs": {**OFF, "other": 1}}
    model = ChatVLLM(base_url=sim.url, **fields)
    assert thought(model.invoke(ASK, thinking=True)) == "one"
    assert sent(sim)[-1]["chat_template_kwargs"] == {**ON, "other": 1}
    model.invoke(ASK)
    assert sent(sim)[-1]["chat_template_kwargs"] == {**OFF, "other": 1}
    model.invoke(ASK, thinking=True, chat_template_kwargs=OFF)  # the template's own word
    assert sent(sim)[-1]["chat_template_kwargs"] == OFF
    assert model.chat_template_kwargs == {**OFF, "other": 1}


@faces
def test_the_words_of_a_call_win_over_a_fields_extra_body(sim: SimServer, face: str) -> None:
    fields: Body = {"extra_body": {"chat_template_kwargs": {**OFF, "other": 1}, "top_k": 3}}
    model = ChatVLLM(base_url=sim.url, **fields)
    assert thought(FACES[face](model, thinking=True, top_k=5)) == "one"
    assert sent(sim)[-1]["chat_template_kwargs"] == {**ON, "other": 1}
    assert sent(sim)[-1]["top_k"] == 5
    assert thought(FACES[face](model, thinking=16, extra_body={"seed": 1})) == "one"
    assert (sent(sim)[-1]["thinking_token_budget"], sent(sim)[-1]["seed"]) == (16, 1)
    assert thought(FACES[face](model)) is None
    assert (sent(sim)[-1]["chat_template_kwargs"], sent(sim)[-1]["top_k"]) == ({**OFF, "other": 1}, 3)
    assert thought(FACES[face](model, extra_body=None)) == "one"
    assert model.extra_body == fields["extra_body"]


@pytest.mark.parametrize("face", ["invoke", "ainvoke", "stream", "astream"])
def test_structured_output(sim: SimServer, model: ChatVLLM, face: str) -> None:
    for city in (
        model.with_structured_output(City, thinking=False, max_tokens="fit"),
        ChatVLLM(base_url=sim.url, thinking=False, max_tokens="fit").with_structured_output(City),
    ):
        if face == "stream":
            answer = list(city.stream(ASK))[-1]
        elif face == "astream":
            answer = asyncio.run(_last(city))
        else:
            answer = FACES[face](city)
        assert isinstance(answer, City)
        assert sent(sim)[-1]["chat_template_kwargs"] == OFF
        assert sent(sim)[-1]["max_tokens"] > 1000


async def _last(chain: Any) -> Any:
    return [part async for part in chain.astream(ASK)][-1]


def test_both_requests_of_a_format_beside_tools() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}

    def answer(path: str, body: Body) -> Any:
        if path == "/tokenize":
            off = (body.get("chat_template_kwargs") or {}).get("enable_thinking") is False
            return {"count": 30 + off, "max_model_len": 100, "tokens": [1] * (30 + off)}
        return Said({"content": '{"name": "Rome"}'})

    with answering(answer) as server:
        model = ChatVLLM(model="m", base_url=server.url, thinking=False, max_tokens="fit")
        assert model.with_structured_output(City, tools=[tool]).invoke(ASK) == City(name="Rome")
        assert [body["chat_template_kwargs"] for body in server.chats] == [OFF, OFF]
        assert [body["max_tokens"] for body in server.chats] == [69, 69]


@pytest.mark.parametrize("fields", [{"thinking": False}, {"thinking": 5}, {"max_tokens": "fit"}])
def test_they_are_saved_and_tell_models_apart(sim: SimServer, fields: Body) -> None:
    model = ChatVLLM(base_url=sim.url, model="sim-chat", **fields)
    ((name, value),) = fields.items()
    loaded = loads(dumps(model), valid_namespaces=["langchain_vllm"], allowed_objects=[ChatVLLM])
    assert getattr(loaded, name) == value
    assert type(getattr(loaded, name)) is type(value)
    assert model._identifying_params[name] == value
    plain = ChatVLLM(base_url=sim.url, model="sim-chat")
    assert model._get_llm_string() != plain._get_llm_string() == plain._get_llm_string()
    assert plain._get_llm_string(**fields) != plain._get_llm_string()
    assert "ls_max_tokens" not in model._get_ls_params()
    cache = InMemoryCache()
    for _ in range(2):
        for each in ({}, fields):
            ChatVLLM(base_url=sim.url, model="sim-chat", cache=cache, **each).invoke(ASK)
    assert len(sent(sim)) == 2


@pytest.mark.parametrize("thinking", ["no", -1, 1.5, {"type": "enabled"}])
def test_what_thinking_is_not(sim: SimServer, model: ChatVLLM, thinking: Any) -> None:
    with pytest.raises(ValidationError, match="thinking"):
        ChatVLLM(base_url=sim.url, thinking=thinking)
    with pytest.raises(TypeError, match="thinking is True, False"):
        model.invoke(ASK, thinking=thinking)


@faces
def test_a_model_without_a_switch(face: str) -> None:
    with answering(lambda path, body: {"count": 1, "max_model_len": 9, "tokens": [1]}) as server:
        model = ChatVLLM(model="m", base_url=server.url)
        with pytest.raises(UnsupportedOperationError, match="no switch for thinking"):
            FACES[face](model, thinking=False)
