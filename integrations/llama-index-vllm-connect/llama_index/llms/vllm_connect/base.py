"""`VLLM`: LlamaIndex's LLM on vLLM servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.generic_utils import prompt_to_messages
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field, PrivateAttr, model_validator
from typing_extensions import Self

from llama_index_vllm_connect.connection import Connection
from llama_index_vllm_connect.content import Json
from llama_index_vllm_connect.served import KnowsServedModel
from llama_index_vllm_connect.texts import check_text
from vllm_connect import VLLMError
from vllm_connect.adapters import (
    Served,
    ServedModels,
    counting,
    is_in_event_loop,
    schema_prompt,
    show_schema,
    template_kwargs,
)

from .answers import ChatSoFar, TextSoFar, as_chat, as_completion, chat_response, completion_response
from .messages import ReasoningField, check_text_only, wire_messages
from .options import NO_FIT, OF_CHATS, TWO_SWITCHES, GenerationOptions
from .programs import FOR_OBJECT, asks_for_object, makes_object, texts_of, whole_calls, whole_text
from .request import CHAT, TEXT, R, Request
from .streams import aclosing, aresponses, closing, responses
from .structured import StructuredPrediction
from .tokens import VLLMTokenizer, estimated
from .tools import (
    callable_tools,
    check_tools_beside_format,
    selections,
    tell_unreadable,
    wire_choice,
    wire_tool,
    with_first_call,
    with_unreadable,
)

if TYPE_CHECKING:
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.tools.types import BaseTool

# LlamaIndex copies the context into what it builds.
_ADVICE = (
    "set context_window=, or in async code await llm.aload_metadata() before building engines and memories"
)


def _told_window(window: int, prompt: int) -> int:
    """The context to tell LlamaIndex of, so that none of its ways to fill it leaves the answer too little.

    Memories take three quarters of what they are told; chat engines take all but `DEFAULT_NUM_OUTPUTS`
    tokens, whatever the answer needs.

    Args:
        window: Tokens of prompt and answer together.
        prompt: How many of them the prompt may have.
    """
    return min(window, prompt + DEFAULT_NUM_OUTPUTS, prompt * 4 // 3) if prompt > 0 else window


class VLLM(GenerationOptions, KnowsServedModel, Connection, StructuredPrediction):
    """An LLM on one or several vLLM servers.

        from llama_index.llms.vllm_connect import VLLM

        llm = VLLM(model="llama", base_url="http://localhost:8000")
        print(llm.complete("Is the sky blue?"))

    Parameters of single calls, `llm.chat(messages, top_k=20)`, are those of
    `vllm_connect.VLLM.chat.completions.create`; unknown ones are refused.

    Errors are those of `vllm_connect`. What is worth another attempt is tried again by the client, and by
    nobody else.
    """

    model: str | None = Field(default=None, description="The model's name. Default: the server's model.")
    mode: Literal["chat", "completion"] = Field(
        default="chat",
        description="'chat' speaks through the model's chat template; 'completion' continues texts, "
        "for base models, which have no template.",
    )
    context_window: int | None = Field(
        default=None, gt=0, description="Tokens of prompt and answer together. Default: what the server says."
    )
    is_function_calling_model: bool = Field(
        default=True, description="Set False for a server without tool parser (--enable-auto-tool-choice)."
    )
    strict: bool | None = Field(
        default=None, description="Whether the server holds tool arguments to the tool's schema."
    )
    reasoning_field: ReasoningField | None = Field(
        default="reasoning",
        description="Under which name reasoning goes back to the server, whose chat template decides what "
        "it shows to the model: 'reasoning_content' for vLLM before 0.12; None to leave it out.",
    )

    _served_models: ServedModels = PrivateAttr(default_factory=lambda: ServedModels(templated=True))

    @classmethod
    def class_name(cls) -> str:
        """The id in serialised data."""
        return "VLLMConnect_llm"

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        given = [name for name in OF_CHATS if getattr(self, name) is not None]
        if given and self.mode == "completion":
            raise ValueError(f"mode 'completion' has no place for {', '.join(given)}: leave that out")
        if self.max_tokens == "fit" and self.mode == "completion":
            raise ValueError(f"mode 'completion' has {NO_FIT}")
        if self.thinking is not None and self.enable_thinking is not None:
            raise ValueError(TWO_SWITCHES)
        return self

    # What it is

    @property
    def named_model(self) -> str | None:
        """The model that the user named."""
        return self.model

    @property
    def metadata(self) -> LLMMetadata:
        """Facts about the model that LlamaIndex wants to know.

        The context and the default model's name come from the server, which is asked once, when they are
        first needed. An event loop that is running stands still for that, two seconds at the most; where
        that is too long, `await aload_metadata()` before. `context_window` needs no answer.

        `num_output` is what packed prompts leave free of the context: room for `max_tokens` of answer, or a
        default, and for the chat template. Memories and chat engines do not look at it, but leave the answer
        256 tokens of the context, or a quarter; so where `max_tokens` is more, both numbers are less, by the
        same.
        """
        served = self._served_models.cached(self.client, self.model)
        if served is None and (self.context_window is None or self.model is None):
            if not is_in_event_loop():
                served = self._served_models.ask(self.client, self.model)
            else:
                served = self._served_models.ask_for_a_moment(self.client, self.model)
                if served is None and self.context_window is None:
                    self._served_models.warn_of_default(DEFAULT_CONTEXT_WINDOW, _ADVICE)
        return self._metadata(served)

    async def aload_metadata(self) -> LLMMetadata:
        """Ask the server for what `metadata` tells, without blocking the event loop."""
        return self._metadata(await self._served_models.aask(self.async_client, self.model))

    def to_payload(self) -> Json:
        """Return what events tell of this LLM: what is known without asking."""
        metadata = self._metadata(self._served_models.cached(self.client, self.model))
        return {"class_name": self.class_name(), **metadata.model_dump()}

    def _metadata(self, served: Served | None) -> LLMMetadata:
        served = served or Served()
        window = self.context_window or served.context_window or DEFAULT_CONTEXT_WINDOW
        room = self._room(window, served)
        told = window if not isinstance(self.max_tokens, int) else _told_window(window, window - room)
        return LLMMetadata(
            context_window=told,
            num_output=room - (window - told),
            is_chat_model=self.mode == "chat",
            is_function_calling_model=self.mode == "chat" and self.is_function_calling_model,
            model_name=self.model or served.name or "unknown",
        )

    def _room(self, window: int, served: Served) -> int:
        """Tokens of a context to leave to the answer and to the chat template."""
        template = min(served.template_tokens, window // 8) if self.mode == "chat" else 0
        if isinstance(self.max_tokens, int):
            return self.max_tokens + template
        answer = min(DEFAULT_NUM_OUTPUTS, window // 4)  # nobody said how much: most of it may be the template
        return max(answer, answer // 2 + template)

    # Chat

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; of several answers (`n=`), all but the first are in `raw` alone."""
        return self._send(self._chat_request(messages, kwargs))

    @closing
    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation piece by piece; close the generator to stop the server."""
        return self._send_for_stream(self._chat_request(messages, kwargs, stream=True))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; of several answers (`n=`), all but the first are in `raw` alone."""
        return await self._asend(self._chat_request(messages, kwargs))

    @aclosing
    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation piece by piece; close the generator to stop the server."""
        return await self._asend_for_stream(self._chat_request(messages, kwargs, stream=True))

    # Completion

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt, or continue it in mode 'completion'."""
        return self._send(self._completion_request(prompt, formatted, kwargs))

    @closing
    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer or continue a prompt piece by piece; close the generator to stop the server."""
        return self._send_for_stream(self._completion_request(prompt, formatted, kwargs, stream=True))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt, or continue it in mode 'completion'."""
        return await self._asend(self._completion_request(prompt, formatted, kwargs))

    @aclosing
    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Answer or continue a prompt piece by piece; close the generator to stop the server."""
        return await self._asend_for_stream(self._completion_request(prompt, formatted, kwargs, stream=True))

    # The requests

    def _send(self, request: Request[R]) -> R:
        response: Any = request.read(request.method(self.client)(**request.params))
        return response  # type: ignore[no-any-return]

    async def _asend(self, request: Request[R]) -> R:
        response: Any = request.read(await request.method(self.async_client)(**request.params))
        return response  # type: ignore[no-any-return]

    def _send_for_stream(self, request: Request[R]) -> Generator[R, None, None]:
        return responses(request.method(self.client)(**request.params), request)

    async def _asend_for_stream(self, request: Request[R]) -> AsyncGenerator[R, None]:
        return await aresponses(await request.method(self.async_client)(**request.params), request)

    def _chat_request(
        self, messages: Sequence[ChatMessage], arguments: Json, stream: bool = False
    ) -> Request[ChatResponse]:
        if self.mode == "completion":
            return self._text_request(self._written_out(messages), arguments, stream).turned(as_chat)
        arguments = dict(arguments)
        calls_for_object = arguments.pop(FOR_OBJECT, False)
        params = self._chat_params(messages, arguments, stream)
        request = self._ask_chat(params, stream)
        if stream and calls_for_object:
            request = request.turned(whole_calls)
        if asks_for_object(texts_of(messages)):
            request = request.turned(whole_text)
        # vLLM before 0.12 does not heed it.
        return request.turned(with_first_call) if params.get("parallel_tool_calls") is False else request

    def _ask_chat(self, params: Json, stream: bool) -> Request[ChatResponse]:
        """The request with these parameters of a chat completion."""
        if stream:
            so_far = ChatSoFar()
            return Request(CHAT, params, so_far.feed, so_far.finish)
        return Request(CHAT, params, chat_response)

    def _completion_request(
        self, prompt: str, formatted: bool, arguments: Json, stream: bool = False
    ) -> Request[CompletionResponse]:
        check_text(prompt, "complete: prompt")
        if self.mode == "chat":
            return self._chat_request(prompt_to_messages(prompt), arguments, stream).turned(as_completion)
        assert self.completion_to_prompt is not None
        return self._text_request(
            prompt if formatted else self.completion_to_prompt(prompt), arguments, stream
        )

    def _written_out(self, messages: Sequence[ChatMessage]) -> str:
        """A conversation as one text."""
        assert self.messages_to_prompt is not None
        check_text_only(messages)
        return self.messages_to_prompt(messages)

    def _text_request(self, prompt: str, arguments: Json, stream: bool) -> Request[CompletionResponse]:
        params = self._text_params(prompt, arguments, stream)
        request = Request(TEXT, params, TextSoFar().feed if stream else completion_response)
        return request.turned(whole_text) if asks_for_object([prompt]) else request

    def _chat_params(self, messages: Sequence[ChatMessage], arguments: Json, stream: bool = False) -> Json:
        params = self.generation_params(arguments, "chat")
        check_tools_beside_format(params)
        params["messages"] = self._with_schema(params, wire_messages(messages, self.reasoning_field))
        tell_unreadable(params["messages"])
        return self._with_model(params, stream)

    @staticmethod
    def _with_schema(params: Json, messages: list[Json]) -> list[Any]:
        """The messages, with the schema if `show_schema=` says so.

        True shows the constraint of the request; a `response_format` is shown without being enforced.
        """
        shown = params.pop("show_schema", False)
        if not shown:
            return messages
        own = (params.get("response_format"), params.get("structured_outputs"))
        return show_schema(messages, schema_prompt(*own) if shown is True else schema_prompt(shown))

    def _text_params(self, prompt: str, arguments: Json, stream: bool = False) -> Json:
        params = self.generation_params(arguments, "completion")
        params["prompt"] = prompt
        if params.get("max_tokens") is None:
            params["max_tokens"] = self._metadata(
                self._served_models.cached(self.client, self.model)
            ).num_output
        return self._with_model(params, stream)

    def _with_model(self, params: Json, stream: bool) -> Json:
        params.setdefault("model", self.model)
        asked = params.pop("stream", None)
        if asked is not None and bool(asked) != stream:
            other = "stream_chat or stream_complete" if asked else "chat or complete"
            raise ValueError(f"stream={asked!r}: use {other}, or their async twins")
        options = params.pop("stream_options", None)  # vLLM refuses them without a stream
        if stream:
            params["stream"] = True
            params["stream_options"] = {"include_usage": True, **(options or {})}
        return params

    # Tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | Json | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Json:
        messages = list(chat_history or ())
        if isinstance(user_msg, str):
            user_msg = ChatMessage(role=MessageRole.USER, content=user_msg)
        if user_msg is not None:
            messages.append(user_msg)
        tools = callable_tools(tools)
        if not tools:
            return {"messages": messages, **kwargs}
        strict = self.strict if strict is None else strict
        if makes_object(tools):
            kwargs[FOR_OBJECT] = True
        return {
            "messages": messages,
            "tools": [wire_tool(tool, strict) for tool in tools],
            "tool_choice": wire_choice(tool_choice, tool_required),
            "parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def predict_and_call(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Have the model call tools, and call them; one whose arguments cannot be read refuses."""
        return super().predict_and_call(with_unreadable(tools), *args, **kwargs)

    async def apredict_and_call(
        self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any
    ) -> AgentChatResponse:
        """Have the model call tools, and call them; see `predict_and_call`."""
        return await super().apredict_and_call(with_unreadable(tools), *args, **kwargs)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tools that a response calls.

        Args:
            response: A response, or one of a stream, whose last call may still lack arguments. A call whose
                arguments cannot be read selects a tool that does not exist, and holds their text in
                `tool_kwargs["invalid_arguments"]`.
            error_on_no_tool_call: Whether to insist on a call.
            kwargs: Ignored.

        Raises:
            ValueError: There is no call.
        """
        calls = selections(response)
        if error_on_no_tool_call and not calls:
            raise ValueError("Expected at least one tool call, but got 0 tool calls.")
        return calls

    # Tokens

    @property
    def tokenizer(self) -> VLLMTokenizer:
        """The served model's tokenizer, for `Settings.tokenizer`."""
        return VLLMTokenizer(self)

    def count_tokens(self, prompt: str | Sequence[ChatMessage], tools: Sequence[BaseTool] = ()) -> int:
        """Count the tokens of a prompt, as the server counts them for its usage.

        What the chat template refuses is counted as plain text, a little too high; without an answer of the
        server the number is an estimate, and a warning says so.

        Args:
            prompt: A conversation, or in mode 'chat' what the user says; in mode 'completion' a text.
            tools: The tools that go with it.
        """
        request = self._tokenize_params(prompt, tools)
        for params, extra in counting.attempts(request):
            try:
                return self.client.tokenize(**params).count + extra
            except VLLMError as error:
                if not counting.may_count_otherwise(error):
                    break
        return estimated(counting.estimate(request))

    async def acount_tokens(self, prompt: str | Sequence[ChatMessage], tools: Sequence[BaseTool] = ()) -> int:
        """Count the tokens of a prompt; see `count_tokens`."""
        request = self._tokenize_params(prompt, tools)
        for params, extra in counting.attempts(request):
            try:
                return (await self.async_client.tokenize(**params)).count + extra
            except VLLMError as error:
                if not counting.may_count_otherwise(error):
                    break
        return estimated(counting.estimate(request))

    def _tokenize_params(self, prompt: str | Sequence[ChatMessage], tools: Sequence[BaseTool]) -> Json:
        if self.mode == "completion":
            text = prompt if isinstance(prompt, str) else self._written_out(prompt)
            return {"model": self.model, "prompt": text}
        messages = prompt_to_messages(prompt) if isinstance(prompt, str) else prompt
        params = self.generation_params({}, "chat")
        return {
            "model": self.model,
            "messages": wire_messages(messages, self.reasoning_field),
            "tools": [wire_tool(tool, self.strict) for tool in tools] or None,
            "chat_template_kwargs": template_kwargs({**params, **(params.get("extra_body") or {})}) or None,
        }
