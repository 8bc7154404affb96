"""`ChatVLLM`: vLLM's chat completions as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import get_config_list
from pydantic import model_validator
from typing_extensions import Self
from vllm_connect import ConfigError, Key
from vllm_connect.adapters import agather_or_cancel, find_served, gather_or_cancel, template_kwargs
from vllm_connect.types import ChatCompletion, ChatCompletionChunk, Model

from . import translator  # noqa: F401  # registers how content blocks are made of our messages
from .errors import model_errors
from .event_stream import EventStream, run_of
from .events import EventReader
from .format_after_tools import Draft, Requests, is_draft, joined, show_format, split
from .language_model import LanguageModel
from .messages import Replay, wire_messages
from .parameters import ChatParameters
from .parsers import reasoning_as_text
from .profile import ServedProfile
from .replies import ChunkReader, chat_result
from .server import CONFIG
from .structured import Method, plan, with_raw
from .tools import Tool, wire_tool_choice, wire_tools
from .usage import sums
from .wire import Json

_FACTS: ModelProfile = {
    "text_inputs": True,
    "text_outputs": True,
    "tool_calling": True,
    "tool_choice": True,
    "tool_call_streaming": True,
    "structured_output": True,
}


# Requests at once for each server, to begin with: what langchain-core may have in threads, and what a vLLM
# server takes into one batch (its own default is 128 or more), where langchain-core would send all.
_BATCH = 32
_ABATCH = 128


class ChatVLLM(LanguageModel, ChatParameters, BaseChatModel):
    """Chat with a model on a vLLM server.

    Setup:
        Install `langchain-vllm`, and have a vLLM server, or `vllm-connect sim` in its place.

        ```bash
        pip install -U langchain-vllm
        export VLLM_BASE_URL="http://localhost:8000"  # unless you pass base_url
        export VLLM_API_KEY="your-api-key"  # if the server wants one
        ```

    Key init args (completion params):
        model: name of the model; by default the server's.
        temperature, top_k, min_p …: every sampling parameter of vLLM is a field.
        max_tokens: the most tokens to generate, or "fit"; by default the server's limit.
        thinking: whether the model thinks first, or in how many tokens.
        show_schema: whether the model reads the schema that binds its answer; default True.

    Key init args (client params):
        base_url: where the server is, with or without `/v1`.
        api_key: what it wants as bearer token; "env.NAME" is read when it is used. No default.
        keys, balance: several servers as one; see `from_config` for Bifrost's file.
        timeout: seconds to the first token, and from one token to the next.
        max_retries: rounds over the servers after the first one.

    Instantiate:
        ```python
        from langchain_vllm import ChatVLLM

        model = ChatVLLM(model="llama", base_url="http://localhost:8000", temperature=0, top_k=20)
        ```

    Invoke:
        ```python
        answer = model.invoke("What is the capital of France?")
        answer.text
        answer.content_blocks  # reasoning, then text
        answer.usage_metadata
        ```

    Stream:
        ```python
        for chunk in model.stream("Count to 5"):
            print(chunk.text, end="")
        ```

    Async:
        ```python
        import asyncio

        asyncio.run(model.ainvoke("What is the capital of France?"))
        ```

    Tools:
        ```python
        def get_weather(city: str) -> str:
            \"""Get the weather in a city.\"""
            return "sunny"


        model.bind_tools([get_weather]).invoke("What is the weather in Paris?").tool_calls
        ```

        A call whose arguments were cut off or are no JSON is one of `invalid_tool_calls`.

    Structured output:
        ```python
        from typing import Literal

        from pydantic import BaseModel


        class City(BaseModel):
            name: str
            country: str


        model.with_structured_output(City).invoke("Paris, please.")
        model.with_structured_output(Literal["yes", "no"]).invoke("Is the sky blue?")
        ```

    Parameters that are unset are not sent; unknown ones are refused. `invoke`, `bind` and the rest accept
    every parameter of `vllm_connect.VLLM().chat.completions.create`. Errors are the client's and
    langchain-core's at once, see `langchain_vllm.errors`.
    """

    model_config = CONFIG

    replay_reasoning: Replay = "all"
    """Which assistant messages are sent back with their reasoning; chat templates use what they need."""
    show_schema: bool = True
    """Whether `with_structured_output`, and `bind_tools` with a `response_format`, show the model the schema
    that the server enforces: vLLM itself puts nothing of it into the prompt. False where your own prompt
    describes the answer."""

    @property
    def _llm_type(self) -> str:
        return "vllm-chat"

    @property
    def _identifying_params(self) -> Json:
        return self._identify(ChatParameters)

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> Json:
        kwargs.pop("extra_headers", None)  # which traces must not show
        return super()._get_invocation_params(stop, **kwargs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        self.__dict__.pop("_serialized", None)  # langchain-core's cache, which knows of no changes
        known = super()._get_llm_string(stop, **self._without_secrets(kwargs))
        if self._name(kwargs) is None:
            known += f"---{self._served_model()}"
        return f"{known}---{self._servers()}{self._headers_digest(self.extra_headers)}"

    def _combine_llm_outputs(self, llm_outputs: list[Json | None]) -> Json:
        """The output of `generate` for several conversations: the tokens of them all."""
        usage: Json = {}
        combined: Json = {}
        for output in filter(None, llm_outputs):
            usage = sums(usage, output.get("token_usage") or {})
            combined = {
                "model_name": output.get("model_name"),
                "model_provider": output.get("model_provider"),
            }
        return {**combined, "token_usage": usage} if usage else combined

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(ls_provider="vllm", ls_model_type="chat")
        if model := kwargs.get("model", self.model):
            params["ls_model_name"] = model
        temperature = kwargs.get("temperature", self.temperature)
        if temperature is not None:
            params["ls_temperature"] = temperature
        most = kwargs.get("max_completion_tokens", kwargs.get("max_tokens", self.max_tokens))
        if isinstance(most, int):  # and not "fit"
            params["ls_max_tokens"] = most
        if ends := stop or self.stop:
            params["ls_stop"] = ends
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        return cast("ModelProfile", ServedProfile(_FACTS, self._context))

    @model_validator(mode="after")
    def _keep_no_own_profile(self) -> Self:
        """Leave the default profile to `__getattr__`, which copies need not copy: it knows whom to ask."""
        if isinstance(self.profile, ServedProfile):
            del self.__dict__["profile"]
            self.model_fields_set.discard("profile")
        return self

    if not TYPE_CHECKING:  # or every attribute would count as known

        def __getattr__(self, name: str) -> Any:
            """Return what is in no field: the profile, unless it was set."""
            return self._resolve_model_profile() if name == "profile" else super().__getattr__(name)

    def _context(self) -> int | None:
        """The context of the model, in tokens; the server is asked once, and not for long."""
        try:
            served = self._served_models.ask_for_a_moment(self._client(), self._name({}))
        except ConfigError:  # there is an `async_client` alone
            return None
        return served.context_window if served and served.is_listed else None

    def refresh_profile(self) -> ModelProfile | None:
        """Ask the server for the model's context, and put it into `profile["max_input_tokens"]`.

        The profile asks for it by itself, when it is first looked at; an event loop stands still for that,
        two seconds at the most. This one waits for the answer, and raises errors.

        Returns:
            The profile, which agents and middleware read.
        """
        client = self._client()
        with model_errors():
            return self._with_context(client.models.list().data, client.keys)

    async def arefresh_profile(self) -> ModelProfile | None:
        """As `refresh_profile`."""
        client = self._async_client()
        with model_errors():
            return self._with_context((await client.models.list()).data, client.keys)

    def _with_context(self, models: Sequence[Model], keys: Sequence[Key]) -> ModelProfile | None:
        served = find_served(models, self._name({}), keys)
        if served.is_listed and served.context_window:
            self.profile = {**(self.profile or {}), "max_input_tokens": served.context_window}
        return self.profile

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        # A stream is one message; `generate` (it has a run manager) is to return all n of them.
        if run_manager is not None and self._answers(kwargs) > 1:
            return False
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _should_use_protocol_streaming(
        self, *, async_api: bool, run_manager: Any = None, **kwargs: Any
    ) -> bool:
        if self._answers(kwargs) > 1:
            return False
        return super()._should_use_protocol_streaming(async_api=async_api, run_manager=run_manager, **kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many inputs, in their order.

        Args:
            inputs: of `invoke`.
            config: its `max_concurrency` says how many go at once. Default: as many as the servers do best
                with, found while they work.
            return_exceptions: whether errors stand in the place of answers; else the first one is raised, and
                no further input is begun.
            kwargs: of `invoke`.
        """
        configs = get_config_list(config, len(inputs))
        if len(inputs) <= 1 or configs[0].get("max_concurrency"):
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

        def answer(number: int) -> Any:
            try:
                return self.invoke(inputs[number], configs[number], **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        numbers = range(len(inputs))
        return gather_or_cancel(answer, numbers, None, client=self._client(), start=_BATCH)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """As `batch`; after the first error, what is under way is cancelled."""
        configs = get_config_list(config, len(inputs))
        if len(inputs) <= 1 or configs[0].get("max_concurrency"):
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)

        async def answer(number: int) -> Any:
            try:
                return await self.ainvoke(inputs[number], configs[number], **kwargs)
            except Exception as error:
                if return_exceptions:
                    return error
                raise

        numbers = range(len(inputs))
        return await agather_or_cancel(answer, numbers, client=self._async_client(), start=_ABATCH)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            requests = self._requests(messages, stop, kwargs)
            create = self._client().chat.completions.create
            reply = cast("ChatCompletion", create(**requests.first))
            if requests.second is not None and is_draft(reply):
                reply = joined(reply, cast("ChatCompletion", create(**requests.second)))
            return chat_result(reply, self._name(kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with model_errors():
            requests = self._requests(messages, stop, kwargs)
            create = self._async_client().chat.completions.create
            reply = cast("ChatCompletion", await create(**requests.first))
            if requests.second is not None and is_draft(reply):
                reply = joined(reply, cast("ChatCompletion", await create(**requests.second)))
            return chat_result(reply, self._name(kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reader = ChunkReader(self._name(kwargs))
        with closing(self._chunks(messages, stop, kwargs)) as chunks:
            for chunk in chunks:
                if (read := reader.read(chunk)) is not None:
                    yield read
            if (last := reader.finish()) is not None:
                yield last

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        reader = ChunkReader(self._name(kwargs))
        async with aclosing(self._achunks(messages, stop, kwargs)) as chunks:
            async for chunk in chunks:
                if (read := reader.read(chunk)) is not None:
                    yield read
            if (last := reader.finish()) is not None:
                yield last

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Json]:
        reader = EventReader(_message_id(run_manager), self._name(kwargs))
        with closing(self._chunks(messages, stop, kwargs)) as chunks:
            for chunk in chunks:
                yield from reader.read(chunk)
            yield from reader.finish()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Json]:
        reader = EventReader(_message_id(run_manager), self._name(kwargs))
        async with aclosing(self._achunks(messages, stop, kwargs)) as chunks:
            async for chunk in chunks:
                for event in reader.read(chunk):
                    yield event
            for event in reader.finish():
                yield event

    def _chat_model_stream_v3(self, *args: Any, **kwargs: Any) -> EventStream:
        """The stream of `stream_events(version="v3")`."""
        return EventStream(super()._chat_model_stream_v3(*args, **kwargs))

    def _iter_v2_events(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        events = super()._iter_v2_events(*args, **kwargs)
        if (run := run_of(kwargs["stream"])) is not None:
            run.begin(events, kwargs["run_manager"])
        return events

    def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> Generator[ChatCompletionChunk]:
        """The server's chunks; closing this closes the connection, and the server stops generating."""
        with model_errors():
            requests = self._requests(messages, stop, kwargs, stream=True)
            create = self._client().chat.completions.create
            if requests.second is None:
                with create(**requests.first) as stream:
                    yield from stream
                return
            draft = Draft()
            with create(**requests.first) as stream:
                for chunk in stream:
                    yield from draft.feed(chunk)
            yield from draft.finish()
            if draft.is_draft:
                with create(**requests.second) as stream:
                    for chunk in stream:
                        yield draft.joined(chunk)

    async def _achunks(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> AsyncGenerator[ChatCompletionChunk]:
        with model_errors():
            requests = self._requests(messages, stop, kwargs, stream=True)
            create = self._async_client().chat.completions.create
            if requests.second is None:
                async with await create(**requests.first) as stream:
                    async for chunk in stream:
                        yield chunk
                return
            draft = Draft()
            async with await create(**requests.first) as stream:
                async for chunk in stream:
                    for ready in draft.feed(chunk):
                        yield ready
            for ready in draft.finish():
                yield ready
            if draft.is_draft:
                async with await create(**requests.second) as stream:
                    async for chunk in stream:
                        yield draft.joined(chunk)

    def _name(self, arguments: Mapping[str, Any]) -> str | None:
        """The name of the model that is asked for, as servers write it."""
        name = arguments.get("model") or self.model
        if not isinstance(name, str):  # which the client says, if it is anything
            return None
        return name.removeprefix("vllm/") or None

    def _requests(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> Requests:
        """Arguments of `chat.completions.create`, of one request or two."""
        request = self._request(ChatParameters, stop, kwargs, stream=stream)
        schema = request.pop("show_schema", None)
        if "tools" in request:
            request["tools"] = wire_tools(request["tools"] or ())
            if not request["tools"]:  # vLLM refuses an empty list
                del request["tools"]
                request.pop("tool_choice", None)
        choice = wire_tool_choice(request.pop("tool_choice", None), request.get("tools", ()))
        if choice is not None:
            request["tool_choice"] = choice
        request["messages"] = wire_messages(messages, self.replay_reasoning)
        requests = split(request)
        if schema:
            show_format(requests.second or requests.first, schema)
        return requests

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools.

        Args:
            tools: functions, pydantic classes, TypedDicts, `BaseTool`s or definitions.
            tool_choice: "auto", "none", "any" or "required", the name of a tool, or a mapping.
            strict: whether arguments are sure to follow the schemas.
            parallel_tool_calls: False for one call per answer.
            kwargs: further parameters of the request. With a `response_format` the model may call the tools
                first; once it calls none, it is asked again for an answer in the format, since vLLM cannot
                leave it the choice. The tokens of both requests are counted.
        """
        wire = wire_tools(tools, strict)
        if (choice := wire_tool_choice(tool_choice, wire)) is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        if self.show_schema and kwargs.get("response_format"):
            kwargs.setdefault("show_schema", True)
        return self.bind(tools=wire, **kwargs)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        show_schema: bool | None = None,
        reasoning_fallback: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Have answers of a given structure.

        Args:
            schema: a pydantic class, TypedDict or JSON schema; for "choice" a Literal, an Enum or a list
                of strings; for "regex" a pattern; for "grammar" EBNF or Lark.
            method: "json_schema" (the default for classes and schemas), "function_calling", "json_mode",
                "choice", "regex", "grammar" or "structural_tag".
            include_raw: return ``{"raw": message, "parsed": …, "parsing_error": …}`` instead.
            strict: sent along, for json_schema and function_calling.
            show_schema: whether the model is shown what the server enforces, at the end of the system message
                (without one, it becomes one; where the chat template has none, it begins the user's).
                Default: the field `show_schema`.
            reasoning_fallback: where there is reasoning and nothing else, read that. A server whose
                reasoning parser does not suit the model may take the answer for reasoning (vLLM #15618).
                The answer is then read when it is complete, streamed or not.
            kwargs: further parameters of the request; `tools` are bound along, and may be called instead of
                answering: see `bind_tools`.

        Raises:
            ValueError: the schema does not suit the method.
        """
        output_plan = plan(schema, method, strict)
        request = output_plan.request
        read = output_plan.parser
        if reasoning_fallback:
            read = RunnableLambda(reasoning_as_text) | output_plan.parser
        if self.show_schema if show_schema is None else show_schema:
            request["show_schema"] = output_plan.show_schema
        kwargs["ls_structured_output_format"] = {
            "kwargs": {"method": output_plan.method, "strict": strict},
            "schema": output_plan.schema,
        }
        tools = [*request.pop("tools", ()), *(kwargs.pop("tools", None) or ())]
        request.update(kwargs)
        answer = self.bind_tools(tools, **request) if tools else self.bind(**request)
        return with_raw(answer, read) if include_raw else answer | read

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Tool] | None = None
    ) -> int:
        """Count the tokens that the model would see: the chat template, and tools, are counted in.

        It never fails: what a strict chat template refuses, such as half a conversation, is counted as plain
        text. On an event loop it does not wait for the server, but estimates, by what was counted before;
        `aget_num_tokens_from_messages` asks there, too.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        return self._count(self._tokenize_params(messages, tools)) if messages or tools else 0

    async def aget_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Tool] | None = None
    ) -> int:
        """As `get_num_tokens_from_messages`, from the server."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(messages, tools)
        return await self._acount(self._tokenize_params(messages, tools)) if messages or tools else 0

    def _tokenize_params(
        self, messages: list[BaseMessage], tools: Sequence[Tool] | None
    ) -> dict[str, object]:
        template = ("chat_template", "mm_processor_kwargs", "media_io_kwargs")
        params = self._parameters(ChatParameters)
        return {
            "model": self.model,
            "messages": wire_messages(messages, self.replay_reasoning),
            "tools": wire_tools(tools) if tools else None,
            "add_generation_prompt": self.add_generation_prompt,
            "continue_final_message": self.continue_final_message,
            "chat_template_kwargs": template_kwargs({**params, **(params.get("extra_body") or {})}) or None,
            **{name: getattr(self, name) for name in template},
        }


def _message_id(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> str | None:
    """The id that langchain-core gives to every message of a run."""
    return None if run_manager is None else f"lc_run--{run_manager.run_id}"
