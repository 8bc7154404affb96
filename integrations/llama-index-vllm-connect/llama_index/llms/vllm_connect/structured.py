"""Structured prediction: answers that are objects of a class.

By default the server lets the model write nothing else (`response_format`), and the model reads the schema
in the prompt. Whichever way it is asked for, an object is read strictly, once, when the answer has come to a
real end; what streams yield before that is marked as partial, see `partial`.
"""

from __future__ import annotations

import json
import re
from abc import ABC
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Union

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock, ToolCallBlock
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictInProgressEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts.base import PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from pydantic import BaseModel, Field

from llama_index_vllm_connect.content import Json
from vllm_connect.adapters import describe_cut, describe_empty, schema_prompt

from .answers import as_chat
from .partial import partial_object
from .programs import FOR_OBJECT
from .structured_llm import StructuredVLLM

dispatcher = get_dispatcher(__name__)

# What streams yield: partial objects and a whole one, or in LlamaIndex's own programs lists of them.
Written = Union[Model, list[Model], FlexibleModel, list[FlexibleModel]]  # noqa: UP007 a generic alias

# What LlamaIndex's programs decide by themselves, and drop likewise.
_OF_TOOLS = ("tool_choice", "tool_required", "allow_parallel_tool_calls")


def json_format(output_cls: type[BaseModel]) -> Json:
    """The `response_format` that makes an answer an object of a class."""
    name = re.sub(r"\W", "_", output_cls.__name__)
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "schema": output_cls.model_json_schema(), "strict": True},
    }


def content_text(response: ChatResponse) -> str:
    """The text of an answer."""
    return response.message.content or ""


def argument_text(response: ChatResponse) -> str:
    """The arguments of the first tool call of an answer; "" if there is none."""
    for block in response.message.blocks:
        if isinstance(block, ToolCallBlock):
            arguments = block.tool_kwargs
            return arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ""


def embedded_text(response: ChatResponse) -> str:
    """The JSON object within a text that may say more, as far as it is there."""
    text = content_text(response)
    begin = max(text.find("{"), 0)
    end = text.rfind("}") + 1 if "finish_reason" in response.additional_kwargs else 0
    return text[begin : end or None]


@dataclass(frozen=True)
class Prediction(Generic[Model]):
    """One object that is asked for.

    Attributes:
        output_cls: Its class.
        prompt: The conversation that asks for it, or in mode 'completion' a text.
        params: The parameters of the call.
        text_of: Finds the object's JSON in a response.
    """

    output_cls: type[Model]
    prompt: list[ChatMessage] | str
    params: Json
    text_of: Callable[[ChatResponse], str] = content_text

    def read(self, response: ChatResponse) -> Model:
        """Read the whole object.

        Raises:
            ValueError: The answer did not come to a real end, or there is nothing but reasoning, or it is no
                object of the class (then a `pydantic.ValidationError`).
        """
        name = self.output_cls.__name__
        facts, text = response.additional_kwargs, self.text_of(response)
        reason = facts.get("finish_reason")
        if not text.strip():
            thinking = any(isinstance(block, ThinkingBlock) for block in response.message.blocks)
            why = describe_empty(reason, thinking) or "The answer is empty."
            raise ValueError(f"There is no {name}. {why}")
        if cut := describe_cut(reason):
            raise ValueError(f"The {name} is not whole: {cut}")
        try:
            return self.output_cls.model_validate_json(text)
        except ValueError as error:
            if cut := describe_cut(reason, facts.get("stop_reason")):
                raise ValueError(f"The {name} is not whole: {cut}") from error
            raise

    def end(self, response: ChatResponse) -> Model:
        """Read the whole object, and tell that the prediction is done; raises like `read`."""
        output = self.read(response)
        _tell_end(output)
        return output


@dataclass
class ObjectSoFar(Generic[Model]):
    """Reads an object while it is being written.

    Attributes:
        prediction: What was asked for.
    """

    prediction: Prediction[Model]
    _text: str = ""
    _begun: FlexibleModel | None = None
    _last: ChatResponse | None = field(default=None)

    def feed(self, response: ChatResponse) -> FlexibleModel | None:
        """The partial object; None if it is not further than it was."""
        self._last = response
        text = self.prediction.text_of(response)
        if len(text) == len(self._text):
            return None
        self._text = text
        begun = partial_object(text, self.prediction.output_cls)
        if begun is None or begun == self._begun:
            return None
        self._begun = begun
        return begun

    def finish(self) -> Model:
        """The whole object; raises like `Prediction.read`."""
        if self._last is None:
            raise ValueError("The stream was empty")
        return self.prediction.read(self._last)


class StructuredPrediction(FunctionCallingLLM, ABC):
    """The part of the LLM that answers with objects of a class.

    `pydantic_program_mode` says how it asks: DEFAULT holds the answer to the class's schema, FUNCTION forces
    the call of a tool of that schema, LLM leaves it to the prompt. In mode 'completion' it is always the
    prompt. All other modes are LlamaIndex's own programs.
    """

    mode: Literal["chat", "completion"] = "chat"
    is_function_calling_model: bool = True
    show_schema: bool = Field(
        default=True,
        description="Whether structured predictions put the schema of the class, with its descriptions, into "
        "the prompt; vLLM itself uses it as a constraint alone.",
    )

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredVLLM:
        """This LLM, answering with objects of a class; it may call tools before."""
        return StructuredVLLM(llm=self, output_cls=output_cls, **kwargs)

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object of a class; see `LLM.structured_predict`."""
        prediction = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        if prediction is None:
            output: Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return output
        _tell_start(output_cls, prompt, prompt_args)
        if isinstance(prediction.prompt, str):
            return prediction.end(as_chat(self.complete(prediction.prompt, **prediction.params)))
        return prediction.end(self.chat(prediction.prompt, **prediction.params))

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Answer a prompt with an object of a class; see `LLM.astructured_predict`."""
        prediction = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        if prediction is None:
            output: Model = await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return output
        _tell_start(output_cls, prompt, prompt_args)
        if isinstance(prediction.prompt, str):
            return prediction.end(as_chat(await self.acomplete(prediction.prompt, **prediction.params)))
        return prediction.end(await self.achat(prediction.prompt, **prediction.params))

    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> Generator[Written[Model], None, None]:
        """Answer with an object that is still being written; close the generator to stop the server.

        Yields:
            Partial objects, which are `FlexibleModel`s, and at the end the whole one, an `output_cls`.
        """
        _tell_start(output_cls, prompt, prompt_args)
        output = None
        with closing(self._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)) as objects:
            for output in objects:
                dispatcher.event(LLMStructuredPredictInProgressEvent(output=output))
                yield output
        _tell_end(output)

    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Written[Model], None]:
        """Answer with an object that is still being written; see `stream_structured_predict`."""

        async def objects() -> AsyncGenerator[Written[Model], None]:
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
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> Generator[Written[Model], None, None]:
        prediction = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        if prediction is None:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        written = ObjectSoFar(prediction)
        with closing(self._stream_for(prediction)) as stream:
            for response in stream:
                if (begun := written.feed(response)) is not None:
                    yield begun
        yield written.finish()

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Written[Model], None]:
        prediction = self._ask_for(output_cls, prompt, llm_kwargs, prompt_args)
        if prediction is None:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)

        async def objects() -> AsyncGenerator[Written[Model], None]:
            written = ObjectSoFar(prediction)
            async with aclosing(self._astream_for(prediction)) as stream:
                async for response in stream:
                    if (begun := written.feed(response)) is not None:
                        yield begun
            yield written.finish()

        return objects()

    def _stream_for(self, prediction: Prediction[Model]) -> Generator[ChatResponse, None, None]:
        if not isinstance(prediction.prompt, str):
            with closing(self.stream_chat(prediction.prompt, **prediction.params)) as responses:
                yield from responses
            return
        with closing(self.stream_complete(prediction.prompt, **prediction.params)) as completions:
            yield from map(as_chat, completions)

    async def _astream_for(self, prediction: Prediction[Model]) -> AsyncGenerator[ChatResponse, None]:
        if not isinstance(prediction.prompt, str):
            async with aclosing(await self.astream_chat(prediction.prompt, **prediction.params)) as responses:
                async for response in responses:
                    yield response
            return
        async with aclosing(
            await self.astream_complete(prediction.prompt, **prediction.params)
        ) as completions:
            async for completion in completions:
                yield as_chat(completion)

    def _ask_for(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: Json | None,
        prompt_args: Json,
    ) -> Prediction[Model] | None:
        """Return what to ask for; None where a program of LlamaIndex's does that."""
        way = self.pydantic_program_mode
        calls_tools = self.mode == "chat" and self.is_function_calling_model
        if way not in _OWN or (way == _FUNCTION and not calls_tools):
            return None
        params = {name: value for name, value in (llm_kwargs or {}).items() if name not in _OF_TOOLS}
        if params.get("tools"):
            raise ValueError(
                "structured_predict asks once, for the object: it cannot call tools. Give them to an agent "
                "with output_cls=, or to llm.as_structured_llm(…).chat_with_tools"
            )
        show_schema = params.pop("show_schema", self.show_schema)
        if self.mode == "completion":
            schema = schema_prompt(schema=output_cls.model_json_schema())
            text = f"{prompt.format(llm=self, **prompt_args)}\n\n{schema}\n"
            return Prediction(output_cls, text, params, embedded_text)
        messages = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        if way == _FUNCTION:
            tool = get_function_tool(output_cls)
            params = self._prepare_chat_with_tools(
                [tool], chat_history=messages, tool_choice=tool.metadata.get_name(), **params
            )
            del params[FOR_OBJECT]  # which is checked here
            return Prediction(output_cls, params.pop("messages"), params, argument_text)
        response_format = json_format(output_cls)
        if way == PydanticProgramMode.LLM:
            return Prediction(output_cls, messages, {**params, "show_schema": response_format}, embedded_text)
        params["response_format"] = response_format
        return Prediction(output_cls, messages, {**params, "show_schema": show_schema})


_FUNCTION = PydanticProgramMode.FUNCTION
_OWN = (PydanticProgramMode.DEFAULT, PydanticProgramMode.LLM, _FUNCTION)


def _tell_start(output_cls: type[BaseModel], prompt: PromptTemplate, prompt_args: Json) -> None:
    dispatcher.event(
        LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args)
    )


def _tell_end(output: object) -> None:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
