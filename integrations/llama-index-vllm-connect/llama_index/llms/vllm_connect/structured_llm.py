"""`VLLM.as_structured_llm`: an LLM that answers with objects, and calls tools before."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.structured_llm import StructuredLLM
from pydantic import SerializeAsAny

from llama_index_vllm_connect.content import Json
from llama_index_vllm_connect.spans import without_span

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_ACTION_INPUT = "Action Input:"
_ACTION = re.compile(r"Action:[^\n]*\S[^\n]*\s+Action Input:")
_WITH_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


class StructuredVLLM(StructuredLLM, FunctionCallingLLM):
    """An LLM that answers with objects of a class, and may call tools before; see `VLLM.as_structured_llm`.

    vLLM never calls a tool while a format binds the answer. So with tools it is asked without the format
    first; if it calls none, it is asked for the object then. The same goes for the actions of a `ReActAgent`,
    which are texts.
    """

    llm: SerializeAsAny[FunctionCallingLLM]

    def to_payload(self) -> Json:
        """Return what events tell of this LLM: what is known without asking."""
        return {**self.llm.to_payload(), "class_name": self.class_name()}

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with a tool call or with the object, which is also in `raw`."""
        if goes_on := _going_on(messages, kwargs):
            response = self.llm.chat(messages, **kwargs)
            if goes_on(response):
                return response
        answer: ChatResponse = without_span(StructuredLLM.chat)(self, messages, **_without_tools(kwargs))
        return answer

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with a tool call or with the object, which is also in `raw`."""
        if goes_on := _going_on(messages, kwargs):
            response = await self.llm.achat(messages, **kwargs)
            if goes_on(response):
                return response
        answer: ChatResponse = await without_span(StructuredLLM.achat)(
            self, messages, **_without_tools(kwargs)
        )
        return answer

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece; text before it is known to call no tool is left out."""

        def responses() -> ChatResponseGen:
            if goes_on := _going_on(messages, kwargs):
                called = False
                with closing(self.llm.stream_chat(messages, **kwargs)) as stream:
                    for response in stream:
                        if called := called or goes_on(response):
                            yield response
                if called:
                    return
            yield from without_span(StructuredLLM.stream_chat)(self, messages, **_without_tools(kwargs))

        return responses()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece; text before it is known to call no tool is left out."""

        async def responses() -> ChatResponseAsyncGen:
            if goes_on := _going_on(messages, kwargs):
                called = False
                async with aclosing(await self.llm.astream_chat(messages, **kwargs)) as stream:
                    async for response in stream:
                        if called := called or goes_on(response):
                            yield response
                if called:
                    return
            structured = without_span(StructuredLLM.astream_chat)(self, messages, **_without_tools(kwargs))
            async with aclosing(await structured) as stream:
                async for response in stream:
                    yield response

        return responses()

    def _prepare_chat_with_tools(
        self, tools: Sequence[BaseTool], *args: Any, tool_required: bool = False, **kwargs: Any
    ) -> Json:
        kwargs["tool_required"] = tool_required
        return self.llm._prepare_chat_with_tools(tools, *args, **kwargs)

    def get_tool_calls_from_response(self, *args: Any, **kwargs: Any) -> list[ToolSelection]:
        """The tools that a response calls; see `VLLM.get_tool_calls_from_response`."""
        return self.llm.get_tool_calls_from_response(*args, **kwargs)


def _going_on(messages: Sequence[ChatMessage], kwargs: Json) -> Callable[[ChatResponse], bool] | None:
    """Return the test of an answer without the format that one may go on with; None if there is none."""
    if kwargs.get("tools"):
        return _calls_tools
    return _acts if any(_ACTION_INPUT in (message.content or "") for message in messages[:1]) else None


def _acts(response: ChatResponse) -> bool:
    """Tell whether an answer is an action in the words of ReAct, as LlamaIndex's parser finds it."""
    return _ACTION.search(response.message.content or "") is not None


def _calls_tools(response: ChatResponse) -> bool:
    return any(isinstance(block, ToolCallBlock) for block in response.message.blocks)


def _without_tools(kwargs: Json) -> Json:
    return {name: value for name, value in kwargs.items() if name not in _WITH_TOOLS}
