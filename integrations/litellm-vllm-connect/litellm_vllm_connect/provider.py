"""The provider `vllm-connect/`: what LiteLLM asks of a custom one.

One layer retries, as often as LiteLLM's caller says (`num_retries`, a Router): LiteLLM, and the client only
where LiteLLM cannot. That another of several servers is asked in place of one that fails is no retry.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import litellm
from litellm.llms.custom_llm import CustomLLM
from litellm.utils import custom_llm_setup

from vllm_connect import VLLM, AsyncVLLM

from .clients import clients
from .errors import PROVIDER, call_errors, litellm_errors
from .replies import Chunks, chat_response, embedding_response, text_response
from .requests import Arguments, Json, Messages, plain_name, prompts_of, sent_messages

if TYPE_CHECKING:
    from litellm.types.utils import (
        EmbeddingResponse,
        ModelResponse,
        ModelResponseStream,
        TextCompletionResponse,
    )

_WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
_FREE = {
    "litellm_provider": PROVIDER,
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0,
    "cache_creation_input_token_cost": 0.0,  # else LiteLLM warns that they are missing
    "cache_read_input_token_cost": 0.0,
}
# What tools that go by LiteLLM's table of models would else hold for impossible.
_CHAT = {
    "mode": "chat",
    "supports_function_calling": True,
    "supports_parallel_function_calling": True,
    "supports_tool_choice": True,
    "supports_response_schema": True,
    "supports_system_messages": True,
}


class VLLMConnect(CustomLLM):  # type: ignore[misc]  # litellm is not typed
    """LiteLLM's handler for `vllm-connect/NAME`."""

    def completion(self, **arguments: Any) -> ModelResponse | TextCompletionResponse:
        """Answer `litellm.completion` and `litellm.text_completion`."""
        request = _Request(arguments)
        with call_errors(request.model):
            client = clients.get(VLLM, request.settings)
            reply = _resource(client, request).create(**request.params)
        return request.response(reply)

    async def acompletion(self, **arguments: Any) -> ModelResponse | TextCompletionResponse:
        """Answer `litellm.acompletion` and `litellm.atext_completion`."""
        request = _Request(arguments)
        with call_errors(request.model):
            client = clients.get(AsyncVLLM, request.settings)
            reply = await _resource(client, request).create(**request.params)
        return request.response(reply)

    def streaming(self, **arguments: Any) -> Iterator[ModelResponseStream]:
        """Answer the same with `stream=True`.

        The server has begun to answer when this returns: an error before that is raised here, where LiteLLM
        retries.
        """
        request = _Request(arguments)
        with call_errors(request.model):
            client = clients.get(VLLM, request.settings)
            stream = _resource(client, request).create(**request.params, **_WITH_USAGE)
        return _chunks(stream, request)

    async def astreaming(self, **arguments: Any) -> AsyncIterator[ModelResponseStream]:
        """Answer the async ones with `stream=True`; LiteLLM begins them when they are first read."""
        request = _Request(arguments, "stream")
        with call_errors(request.model):
            client = clients.get(AsyncVLLM, request.settings)
            stream = await _resource(client, request).create(**request.params, **_WITH_USAGE)
        chunks = request.chunks()
        try:
            with litellm_errors(request.model):
                async for item in stream:
                    for chunk in chunks.feed(item):
                        yield chunk
        finally:
            await stream.close()
        for chunk in chunks.finish():
            yield chunk

    def embedding(self, **arguments: Any) -> EmbeddingResponse:
        """Answer `litellm.embedding`."""
        request = _Request(arguments, "embedding")
        with call_errors(request.model):
            reply = clients.get(VLLM, request.settings).embeddings.create(**request.params)
        return embedding_response(reply)

    async def aembedding(self, **arguments: Any) -> EmbeddingResponse:
        """Answer `litellm.aembedding`."""
        request = _Request(arguments, "embedding")
        with call_errors(request.model):
            reply = await clients.get(AsyncVLLM, request.settings).embeddings.create(**request.params)
        return embedding_response(reply)

    def close(self) -> None:
        """Close the connections of the sync clients; they are made anew if they are needed again."""
        clients.close()

    async def aclose(self) -> None:
        """Close the connections of all clients; see `close`."""
        await clients.aclose()


handler = VLLMConnect()
"""The handler that the proxy's `config.yaml` names: `litellm_vllm_connect.handler`."""


def register() -> None:
    """Make `vllm-connect/NAME` known to LiteLLM; once is enough, and more does no harm."""
    others = [item for item in litellm.custom_provider_map if item["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    custom_llm_setup()


class _Request:
    """A request of LiteLLM's.

    Attributes:
        model: the requested name.
        is_chat: whether the question is a conversation; else it is texts.
        settings: of the client to ask.
        params: of its operation.
    """

    def __init__(
        self, arguments: Mapping[str, Any], operation: Literal["chat", "stream", "embedding"] = "chat"
    ) -> None:
        about: Mapping[str, Any] = arguments.get("litellm_params") or {}
        options: Mapping[str, Any] = arguments.get("optional_params") or {}
        is_embedding = operation == "embedding"
        self.model: str = arguments["model"]
        self.is_chat = not is_embedding and not about.get("text_completion")
        _price(self.model, {"mode": operation} if is_embedding else _CHAT)
        question = (
            {"input": arguments["input"]}
            if is_embedding
            else _question(arguments["messages"], is_chat=self.is_chat)
        )
        call = Arguments(
            self.model,
            arguments.get("api_base"),
            arguments.get("api_key"),
            options,
            arguments.get("headers"),
            arguments.get("timeout"),
            retries=_retries(operation, options, about),
        )
        self.settings: Json
        self.params: dict[str, Any]
        self.settings, self.params = call.request(**question)

    def response(self, reply: Any) -> ModelResponse | TextCompletionResponse:
        """The answer in LiteLLM's words."""
        return (chat_response if self.is_chat else text_response)(reply, self.model)

    def chunks(self) -> Chunks:
        """Return the maker of LiteLLM's chunks of the client's."""
        return Chunks(self.model, is_chat=self.is_chat)


def _resource(client: VLLM | AsyncVLLM, request: _Request) -> Any:
    return client.chat.completions if request.is_chat else client.completions


def _question(messages: Messages, *, is_chat: bool) -> dict[str, object]:
    return {"messages": sent_messages(messages)} if is_chat else {"prompt": prompts_of(messages)}


def _retries(operation: str, options: Mapping[str, Any], about: Mapping[str, Any]) -> int:
    """Return how often the client tries again.

    LiteLLM itself repeats completions `num_retries` times, which reach a provider as `max_retries`. It does
    not repeat embeddings, nor async streams, whose errors come after it has returned them.
    """
    is_of_router = any("model_group" in (about.get(name) or ()) for name in ("metadata", "litellm_metadata"))
    if operation == "chat" or is_of_router:
        return 0
    return int(options.get("max_retries") or about.get("max_retries") or 0)


_priced: set[str] = set()
_pricing = threading.Lock()


def _price(model: str, what: Mapping[str, object]) -> None:
    """Say what a model costs: nothing. Prices that a user set are of another entry, or were there before."""
    name = f"{PROVIDER}/{plain_name(model)}"
    if name in _priced:
        return
    with _pricing:
        if name not in _priced and name not in litellm.model_cost:
            litellm.register_model({name: {**_FREE, **what}})
        _priced.add(name)


def _chunks(stream: Any, request: _Request) -> Iterator[ModelResponseStream]:
    chunks = request.chunks()
    with litellm_errors(request.model), closing(stream):
        for item in stream:
            yield from chunks.feed(item)
    yield from chunks.finish()
