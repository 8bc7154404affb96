"""LlamaIndex's own programs, which complete half an object, on answers that were cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.program import FunctionCallingProgram, LLMTextCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from pydantic import BaseModel

from llama_index.llms.vllm_connect import VLLM


class Plan(BaseModel):
    """What to delete; everything, if nothing is said."""

    path: str = "/"
    pattern: str = "*"


WHOLE = '{"path": "/tmp", "pattern": "*.csv"}'
HALF = '{"path": "/tmp", "patt'
ASK = PromptTemplate("Plan it.")
ASK_IN_CHAT = ChatPromptTemplate([ChatMessage(role="system", content="Plan."), ChatMessage(content="Now.")])


def of_text(llm: VLLM, prompt: Any = ASK) -> Any:
    return LLMTextCompletionProgram.from_defaults(output_cls=Plan, prompt=prompt, llm=llm)


def of_calls(llm: VLLM, prompt: Any = ASK) -> Any:
    return FunctionCallingProgram.from_defaults(output_cls=Plan, prompt=prompt, llm=llm)


def called(program: Any) -> Any:
    return program()


def acalled(program: Any) -> Any:
    return asyncio.run(program.acall())


def streamed(program: Any) -> Any:
    return list(program.stream_call())[-1]


def astreamed(program: Any) -> Any:
    async def last() -> Any:
        return [each async for each in await program.astream_call()][-1]

    return asyncio.run(last())


faces = pytest.mark.parametrize("face", [called, acalled, streamed, astreamed])
prompts = pytest.mark.parametrize("prompt", [ASK, ASK_IN_CHAT])


def says(text: str) -> dict[str, Any]:
    return {"content": text}


def calls(arguments: str) -> dict[str, Any]:
    function = {"name": "Plan", "arguments": arguments}
    return {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}


@faces
@prompts
@pytest.mark.parametrize(("text", "reason"), [(HALF, "length"), (WHOLE, "abort"), (HALF, "content_filter")])
def test_a_text_that_was_cut_off_is_no_object(
    ending: Callable[..., VLLM], face: Any, prompt: Any, text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match="object is not whole"):
        face(of_text(ending(says(text), reason), prompt))


@faces
@prompts
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(HALF, "length"), (HALF, "stop"), (HALF, "tool_calls"), ("", "length"), ("[1]", "tool_calls")],
)
def test_a_call_that_cannot_be_read_is_no_object(
    ending: Callable[..., VLLM], face: Any, prompt: Any, arguments: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"not whole|was not called|could not be parsed"):
        face(of_calls(ending(calls(arguments), reason), prompt))


@faces
@prompts
def test_whole_objects(ending: Callable[..., VLLM], face: Any, prompt: Any) -> None:
    wanted = Plan(path="/tmp", pattern="*.csv")
    assert face(of_text(ending(says(WHOLE)), prompt)) == wanted
    assert face(of_calls(ending(calls(WHOLE), "tool_calls"), prompt)) == wanted
    assert face(of_calls(ending(calls('"{}"'), "tool_calls"), prompt)) == Plan()


@faces
def test_a_base_model_that_was_cut_off(canned: Callable[[Any], str], face: Any) -> None:
    def answer(body: Any) -> Any:
        choice = {"index": 0, "text": HALF, "finish_reason": "length"}
        completion = {"id": "c", "created": 1, "model": "m", "object": "text_completion", "choices": [choice]}
        return [completion] if body.get("stream") else completion

    llm = VLLM(base_url=canned(answer), model="m", context_window=4096, mode="completion")
    with pytest.raises(ValueError, match="object is not whole"):
        face(of_text(llm))


def test_other_chats_may_be_cut_off(ending: Callable[..., VLLM]) -> None:
    llm = ending(says("Once upon"), "length")
    assert llm.complete("Tell me a story.").text == "Once upon"
    assert "_for_object" not in str(llm.complete("x").raw)
