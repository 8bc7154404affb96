"""`VLLMResponses`: LlamaIndex's LLM on the Responses API of vLLM servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.llms.generic_utils import prompt_to_messages
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from pydantic import Field, PrivateAttr, model_validator
from typing_extensions import Self

from llama_index_vllm_connect.content import Json

from .base import VLLM
from .request import RESPONSE, Request
from .response_answers import ResponseSoFar, finished, read_response
from .response_params import response_params

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

# Fields, and what `responses.create` calls them.
_OWN = {
    "instructions": "instructions",
    "include": "include",
    "reasoning_options": "reasoning",
    "store": "store",
    "previous_response_id": "previous_response_id",
    "call_metadata": "metadata",
    "user": "user",
}
_THINKING = (
    "the Responses API has no thinking=: use enable_thinking=, chat_template_kwargs= or "
    'reasoning_options={"effort": …}'
)
_FIT = "the Responses API has no max_output_tokens='fit': leave it out for what the context leaves"


class VLLMResponses(VLLM):
    """An LLM on one or several vLLM servers, over the Responses API.

    Setup:
        Install `llama-index-vllm-connect`, and have a vLLM server, or `vllm-connect sim` in its place.

        ```bash
        pip install llama-index-vllm-connect
        ```

    Key init args:
        model: name of the model; by default the server's.
        base_url, api_key, keys, timeout, max_retries: as of `VLLM`.
        temperature, top_k, max_output_tokens …: parameters of generation, as of `VLLM`.
        instructions: what the model is told before every conversation.
        reasoning_options: e.g. {"effort": "low"}.
        responses_api: "auto", "chat" or "native"; which route of the server answers.
        track_previous_responses: whether a call goes on where the last one ended.

    Instantiate:
        ```python
        from llama_index.llms.vllm_connect import VLLMResponses

        llm = VLLMResponses(model="llama", base_url="http://localhost:8000", instructions="Be brief.")
        ```

    Complete and chat:
        ```python
        from llama_index.core.llms import ChatMessage

        print(llm.complete("What is the capital of France?"))
        answer = llm.chat([ChatMessage("What is the capital of France?")])
        answer.message.blocks  # thinking, then text
        answer.additional_kwargs["usage"]
        ```

    Stream:
        ```python
        for response in llm.stream_complete("Count to 5"):
            print(response.delta, end="")
        ```

    Tools:
        ```python
        from llama_index.core.tools import FunctionTool


        def get_weather(city: str) -> str:
            \"""Get the weather in a city.\"""
            return "sunny"


        tool = FunctionTool.from_defaults(get_weather)
        print(llm.predict_and_call([tool], "What is the weather in Paris?"))
        ```

    It has what `VLLM` has: tools, structured outputs, token counts, several servers. Parameters of single
    calls are those of `vllm_connect.VLLM.responses.create`, or their names in a chat. Built-in tools, which
    OpenAI runs, are refused.
    """

    mode: Literal["chat"] = Field(default="chat", description="There is no other.")
    responses_api: Literal["auto", "chat", "native"] = Field(
        default="auto",
        description="'chat' converts to chat completions and back, which every server has; 'native' is "
        "vLLM's own /v1/responses; 'auto' goes there for what only that can do.",
    )
    instructions: str | None = Field(
        default=None, description="What the model is told before the conversation."
    )
    include: list[str] | None = Field(default=None, description="What else is to be in the answer.")
    reasoning_options: Json | None = Field(default=None, description='How to reason, e.g. {"effort": "low"}.')
    store: bool | None = Field(
        default=None,
        description="Whether the server keeps responses; it has to be started with "
        "VLLM_ENABLE_RESPONSES_API_STORE=1.",
    )
    track_previous_responses: bool = Field(
        default=False,
        description="Whether every call goes on where the last one ended, so that messages are new ones "
        "only. Implies `store`.",
    )
    previous_response_id: str | None = Field(
        default=None, description="The stored response that a call, or the first one, goes on from."
    )
    call_metadata: Json | None = Field(default=None, description="Goes along with every request.")
    user: str | None = None

    _last_response_id: str | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """The id in serialised data."""
        return "VLLMConnect_responses_llm"

    @model_validator(mode="before")
    @classmethod
    def _read_limit(cls, values: object) -> object:
        """Read `max_output_tokens`, which is `max_tokens` of a chat."""
        return _with_one_limit(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        if self.thinking is not None:
            raise ValueError(_THINKING)
        if self.max_tokens == "fit":
            raise ValueError(_FIT)
        return self

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens of an answer, as the Responses API calls them."""
        return self.max_tokens if isinstance(self.max_tokens, int) else None

    def generation_params(self, arguments: Mapping[str, Any], mode: Literal["chat", "completion"]) -> Json:
        """The parameters of a request; those of the call win over fields."""
        arguments = _with_one_limit(arguments)
        if arguments.get("thinking") is not None:
            raise ValueError(_THINKING)
        if arguments.get("max_tokens") == "fit":
            raise ValueError(_FIT)
        own = {name: value for field, name in _OWN.items() if (value := getattr(self, field)) is not None}
        if self.track_previous_responses:
            own["store"] = True
            if self._last_response_id is not None:
                own["previous_response_id"] = self._last_response_id
        return {**own, **super().generation_params(arguments, mode)}

    def _settings(self) -> Json:
        return {**super()._settings(), "responses_api": self.responses_api}

    @staticmethod
    def _with_schema(params: Json, messages: list[Json]) -> list[Any]:
        """The messages, with the schema in the instructions if `show_schema=` says so."""
        instructions = params.pop("instructions", None)
        own = [{"role": "system", "content": instructions}] if instructions else []
        shown = VLLM._with_schema(params, [*own, *messages])
        if len(shown) > len(messages):  # they begin with what is no message of the conversation
            params["instructions"] = shown.pop(0)["content"]
        return shown

    def _ask_chat(self, params: Json, stream: bool) -> Request[ChatResponse]:
        so_far = ResponseSoFar()
        request = Request(RESPONSE, response_params(params), so_far.feed if stream else read_response)
        if stream:
            request = replace(request, finish=so_far.finish)
        return (
            replace(request, read=self._tracking(request.read)) if self.track_previous_responses else request
        )

    def _tracking(self, read: Callable[[Any], ChatResponse | None]) -> Callable[[Any], ChatResponse | None]:
        """The same reader, which takes note of the response that the next call goes on from."""

        def noting(reply: Any) -> ChatResponse | None:
            if (response := finished(reply)) is not None:
                self._last_response_id = response.id
            return read(reply)

        return noting

    def _tokenize_params(self, prompt: str | Sequence[ChatMessage], tools: Sequence[BaseTool]) -> Json:
        messages = prompt_to_messages(prompt) if isinstance(prompt, str) else list(prompt)
        if self.instructions:
            messages.insert(0, ChatMessage(role=MessageRole.SYSTEM, content=self.instructions))
        return super()._tokenize_params(messages, tools)


def _with_one_limit(values: Mapping[str, Any]) -> Json:
    """Arguments in which the limit of an answer has one name.

    Raises:
        ValueError: it is there under both.
    """
    limited = dict(values)
    if "max_output_tokens" not in limited:
        return limited
    if limited.get("max_tokens") is not None:
        raise ValueError("pass either max_output_tokens= or max_tokens=, not both")
    limited["max_tokens"] = limited.pop("max_output_tokens")
    return limited
