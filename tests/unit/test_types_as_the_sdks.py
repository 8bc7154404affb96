"""Our types in foreign hands: set, nested, dumped, copied, pickled and named as the SDK's own are."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import openai.types
import pytest
from openai import BaseModel
from openai.pagination import SyncPage
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessage
from openai.types.chat import chat_completion_chunk as sdk_chunk
from pydantic import BaseModel as PydanticModel
from pydantic import TypeAdapter

from vllm_connect import types
from vllm_connect.types._extras import Extra

USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "total_tokens": 3,
    "prompt_tokens_details": {"multimodal_tokens": 4},
}
CHAT = {
    "id": "a", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE, "prompt_text": "p",
    "choices": [{
        "index": 0, "finish_reason": "stop", "stop_reason": 7, "token_ids": [1, 2],
        "message": {"role": "assistant", "content": "hi", "reasoning": "hm"},
    }],
}  # fmt: skip
CHUNK = {
    "id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "prompt_token_ids": [1],
    "choices": [{"index": 0, "delta": {"reasoning": "hm"}, "token_ids": [3]}],
}  # fmt: skip
COMPLETION = {
    "id": "a", "object": "text_completion", "created": 1, "model": "m", "service_tier": "x", "usage": USAGE,
    "choices": [{"index": 0, "text": "t", "finish_reason": "stop", "logprobs": None, "token_ids": [5]}],
}  # fmt: skip
EMBEDDINGS = {
    "object": "list", "model": "m", "id": "e", "created": 3, "usage": {"prompt_tokens": 1, "total_tokens": 1},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
}  # fmt: skip
MODEL = {"id": "m", "object": "model", "created": 1, "owned_by": "vllm", "max_model_len": 9, "root": "r"}
OURS_AND_THE_SDKS: list[tuple[type[BaseModel], type[BaseModel], dict[str, Any]]] = [
    (types.ChatCompletion, ChatCompletion, CHAT),
    (types.ChatCompletionChunk, ChatCompletionChunk, CHUNK),
    (types.Completion, openai.types.Completion, COMPLETION),
    (types.EmbeddingResponse, openai.types.CreateEmbeddingResponse, EMBEDDINGS),
    (types.Model, openai.types.Model, MODEL),
    (types.CompletionUsage, openai.types.CompletionUsage, USAGE),
]
each = pytest.mark.parametrize(
    ("ours", "sdks", "payload"), OURS_AND_THE_SDKS, ids=[ours.__name__ for ours, _, _ in OURS_AND_THE_SDKS]
)


def parts(value: object) -> list[BaseModel]:
    """A reply, and everything in it that has a type."""
    if isinstance(value, list):
        return [part for item in value for part in parts(item)]
    if not isinstance(value, BaseModel):
        return []
    return [value, *(part for name in type(value).model_fields for part in parts(getattr(value, name)))]


@each
def test_every_type_shows_what_the_sdks_shows(ours: Any, sdks: Any, payload: Any) -> None:
    mine, theirs = ours.model_validate(payload), sdks.model_validate(payload)
    assert repr(mine) == repr(theirs)
    assert str(mine) == str(theirs)
    assert mine.model_dump() == theirs.model_dump()
    assert mine.model_dump_json() == theirs.model_dump_json()
    assert mine.to_dict() == theirs.to_dict() == payload
    assert len(parts(mine)) == len(parts(theirs))
    for part, other in zip(parts(mine), parts(theirs), strict=True):
        assert isinstance(part, type(other))
        assert (type(part).__module__, type(part).__qualname__) == (
            type(other).__module__,
            type(other).__qualname__,
        )
        assert part.model_extra == other.model_extra
        assert part.model_fields_set == other.model_fields_set
        assert type(part).model_fields.keys() == type(other).model_fields.keys()


@each
def test_copies_and_pickles_are_equal_and_of_our_type(ours: Any, sdks: Any, payload: Any) -> None:
    reply = ours.model_validate(payload)
    copies = [pickle.loads(pickle.dumps(reply, protocol)) for protocol in range(2, 6)]
    copies += [copy.copy(reply), copy.deepcopy(reply), reply.model_copy(), reply.model_copy(deep=True)]
    for other in copies:
        assert type(other) is ours
        assert other == reply
        assert [type(part) for part in parts(other)] == [type(part) for part in parts(reply)]
        assert other.model_extra == reply.model_extra


class Derived(types.ChatCompletionMessage):
    """Somebody's own."""

    mood: str = "good"


def test_somebodys_subclass_is_pickled_by_its_own_name() -> None:
    derived = pickle.loads(pickle.dumps(Derived(role="assistant", reasoning="hm", mood="bad")))
    assert (type(derived), derived.mood, derived.reasoning) == (Derived, "bad", "hm")


@each
def test_nothing_is_lost_under_the_sdks_types(ours: Any, sdks: Any, payload: Any) -> None:
    """As a field of a log, a state or a response model of FastAPI's is."""

    class Log(PydanticModel):
        reply: sdks
        replies: list[sdks]

    reply = ours.model_validate(payload)
    log = Log(reply=reply, replies=[reply])
    whole = sdks.model_validate(payload).model_dump()
    assert log.model_dump() == {"reply": whole, "replies": [whole]}
    assert Log.model_validate_json(log.model_dump_json()).model_dump() == log.model_dump()
    assert TypeAdapter(sdks).dump_python(reply) == whole


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content", "mood"])
def test_attributes_of_messages_can_be_set_as_the_sdks(name: str) -> None:
    mine = types.ChatCompletionMessage.model_validate(CHAT["choices"][0]["message"])
    theirs = ChatCompletionMessage.model_validate(CHAT["choices"][0]["message"])
    for message in (mine, theirs):
        setattr(message, name, "set")
        assert getattr(message, name) == "set"
    assert mine.model_extra == theirs.model_extra
    assert mine.model_dump() == theirs.model_dump()
    for message in (mine, theirs):
        delattr(message, name)
    assert mine.model_extra == theirs.model_extra
    assert mine.reasoning == (None if name == "reasoning" else "hm")


def test_what_the_server_did_not_send_reads_as_its_default() -> None:
    bare = {name: value for name, value in CHAT.items() if name not in ("usage", "prompt_text")}
    bare["choices"] = [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
    ]
    reply = types.ChatCompletion.model_validate(bare)
    choice = reply.choices[0]
    assert (reply.prompt_text, reply.metrics, choice.stop_reason, choice.message.reasoning) == (None,) * 4
    assert (reply.model_extra, choice.model_extra, choice.message.model_extra) == ({}, {}, {})
    made = types.ChatCompletionMessage.model_construct(role="assistant")
    object.__setattr__(made, "__pydantic_extra__", None)
    assert made.reasoning is None
    made.reasoning = "now"
    assert made.reasoning == "now"


def test_absent_reasoning_of_a_delta_can_be_added_up_and_tested() -> None:
    """The idioms of vLLM's examples and of our own."""
    stream = [CHUNK, {**CHUNK, "choices": [{"index": 0, "delta": {"content": "a"}}]}]
    reasoning = texts = ""
    for payload in stream:
        delta = types.ChatCompletionChunk.model_validate(payload).choices[0].delta
        texts += delta.reasoning or delta.content or ""
        if hasattr(delta, "reasoning"):
            reasoning += delta.reasoning
    assert (reasoning, texts) == ("hm", "hma")


def test_every_subclass_of_an_sdks_type_stands_in_for_it() -> None:
    """No field that the SDK's type lacks, and its name: what else would a tool notice?"""
    names = [name for name in types.__all__ if isinstance(getattr(types, name), type)]
    derived = [cls for name in names if BaseModel not in (cls := getattr(types, name)).__bases__]
    derived = [cls for cls in derived if issubclass(cls, BaseModel)]
    assert len(derived) >= 14
    for cls in derived:
        assert cls.__qualname__ == cls.__bases__[0].__qualname__
        assert cls.model_fields.keys() == cls.__bases__[0].model_fields.keys()


def test_defaults_that_are_lists_are_not_shared() -> None:
    models = [types.Model.model_validate(MODEL) for _ in "ab"]
    models[0].key_names.append("x")
    assert (models[0].key_names, models[1].key_names) == ([], [])
    models[0].key_names = ["a"]
    assert models[0].key_names == ["a"]
    assert types.ModelPage.construct(object="list", data=models).key_statuses == []


def test_types_can_be_told_by_name() -> None:
    """As Streamlit tells a chunk."""
    assert types.ChunkChoice.__qualname__ == "Choice"
    assert types.ChatCompletionChunk.__module__ == sdk_chunk.__name__
    assert issubclass(types.ModelPage, SyncPage)
    assert isinstance(types.ChunkChoice.stop_reason, Extra)
