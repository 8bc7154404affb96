"""Structured prediction by JSON schema: the server lets the model write nothing else."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, Literal

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import create_flexible_model
from llama_index.core.prompts.base import PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

dispatcher = get_dispatcher(__name__)

# What a program for function calling passes along, and no schema needs.
_OF_TOOLS = ("tools", "tool_choice", "tool_required", "allow_parallel_tool_calls")


def json_format(output_cls: type[BaseModel]) -> dict[str, Any]:
    """The `response_format` that makes an answer an object of a class."""
    name = re.sub(r"\W", "_", output_cls.__name__)
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": output_cls.model_json_schema(), "strict": True},
    }


def read_object(response: ChatResponse, output_cls: type[BaseModel]) -> BaseModel:
    """The object that an answer is.

    Raises:
        ValueError: It is none, because `max_tokens` cut it, or because a validator of the class says no.
    """
    try:
        return output_cls.model_validate_json(response.message.content or "")
    except ValidationError as error:
        if response.additional_kwargs.get("finish_reason") == "length":
            raise ValueError(f"The {output_cls.__name__} was cut off: raise max_tokens=") from error
        raise


class ObjectSoFar:
    """Reads an object while it is being written."""

    def __init__(self, output_cls: type[BaseModel]) -> None:
        self._output_cls = output_cls
        self._lenient = create_flexible_model(output_cls)
        self._begun: BaseModel | None = None
        self._last: ChatResponse | None = None

    def feed(self, response: ChatResponse) -> BaseModel | None:
        """The object so far; None if it is not further than it was."""
        self._last = response
        text = response.message.content
        if not text or not response.delta:
            return None
        try:
            begun = from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        for cls in (self._output_cls, self._lenient):
            try:
                read: BaseModel = cls.model_validate(begun)
            except Exception:  # noqa: BLE001, S112 a validator may trip over a half written value
                continue
            if read == self._begun:
                return None
            self._begun = read
            return read
        return None

    def finish(self) -> BaseModel:
        """The whole object; raises like `read_object`."""
        if self._last is None:
            raise ValueError("The stream was empty")
        return read_object(self._last, self._output_cls)


@dataclass(frozen=True)
class Prediction:
    """One object that is asked for.

    Attributes:
        output_cls: Its class.
        messages: The conversation that asks for it.
        params: What holds the answer to the class's schema, and the parameters of the call.
    """

    output_cls: type[BaseModel]
    messages: list[ChatMessage]
    params: dict[str, Any]

    def end(self, response: ChatResponse) -> BaseModel:
        """Read the answer, and tell that the prediction is done; raises like `read_object`."""
        output = read_object(response, self.output_cls)
        _tell_end(output)
        return output


class StructuredPrediction(FunctionCallingLLM, ABC):
    """The part of the LLM that answers with objects of a class.

    Where `pydantic_program_mode` asks for something else than the default, or where there is no chat,
    LlamaIndex's own programs do it.
    """

    mode: Literal["chat", "completion"] = "chat"

    def structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> BaseModel:
        """Answer a prompt with an object of a class; see `LLM.structured_predict`."""
        if not self._by_schema():
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)  # type: ignore[no-any-return]
        _tell_start(output_cls, prompt, prompt_args)
        asked = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        return asked.end(self.chat(asked.messages, **asked.params))

    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> BaseModel:
        """Answer a prompt with an object of a class; see `LLM.astructured_predict`."""
        if not self._by_schema():
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)  # type: ignore[no-any-return]
        _tell_start(output_cls, prompt, prompt_args)
        asked = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        return asked.end(await self.achat(asked.messages, **asked.params))

    def stream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Answer with an object that is still being written; close the generator to stop the server."""
        _tell_start(output_cls, prompt, prompt_args)
        output = None
        with closing(self._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)) as objects:
            for output in objects:
                dispatcher.event(LLMStructuredPredictInProgressEvent(output=output))
                yield output
        _tell_end(output)

    async def astream_structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Answer with an object that is still being written; close the generator to stop the server."""

        async def objects() -> AsyncGenerator[Any, None]:
            _tell_start(output_cls, prompt, prompt_args)
            output = None
            stream = await self._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            async with aclosing(stream):
                async for output in stream:
                    dispatcher.event(LLMStructuredPredictInProgressEvent(output=output))
                    yield output
            _tell_end(output)

        return objects()

    def _structured_stream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        if not self._by_schema():
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        asked = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        written = ObjectSoFar(output_cls)
        with closing(self.stream_chat(asked.messages, **asked.params)) as stream:
            for response in stream:
                if (begun := written.feed(response)) is not None:
                    yield begun
        yield written.finish()

    async def _structured_astream_call(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        if not self._by_schema():
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        asked = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)

        async def objects() -> AsyncGenerator[Any, None]:
            written = ObjectSoFar(output_cls)
            async with aclosing(await self.astream_chat(asked.messages, **asked.params)) as stream:
                async for response in stream:
                    if (begun := written.feed(response)) is not None:
                        yield begun
            yield written.finish()

        return objects()

    def _by_schema(self) -> bool:
        return self.mode == "chat" and self.pydantic_program_mode == PydanticProgramMode.DEFAULT

    def _ask_for(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        prompt_args: dict[str, Any],
    ) -> Prediction:
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        params = {name: value for name, value in (llm_kwargs or {}).items() if name not in _OF_TOOLS}
        return Prediction(output_cls, messages, {**params, "response_format": json_format(output_cls)})


def _tell_start(output_cls: type[BaseModel], prompt: Any, prompt_args: dict[str, Any]) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
    )


def _tell_end(output: Any) -> None:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
