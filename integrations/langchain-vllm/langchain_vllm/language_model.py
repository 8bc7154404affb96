"""The base of `ChatVLLM` and `VLLMCompletion`: streaming, tracing, tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from pydantic import Field, PrivateAttr
from vllm_connect import ConfigError, VLLMError
from vllm_connect.adapters import ServedModels, is_in_event_loop

from .errors import model_errors
from .parameters import GenerationParameters
from .server import Server
from .threads import thread_of_graph
from .tokens import TIMEOUT, TokenCounter
from .wire import Json


class HiddenHeaders(str):
    """Headers of one call, of which traces and caches, which write texts, get a digest only."""

    headers: Mapping[str, str]

    def __new__(cls, headers: Mapping[str, str], digest: str) -> HiddenHeaders:
        """Hide headers behind their digest."""
        hidden = super().__new__(cls, f"headers {digest}")
        hidden.headers = headers
        return hidden


class LanguageModel(Server, GenerationParameters):
    """Fields of models that generate text."""

    streaming: bool | None = None
    """Whether `invoke` streams. Default: where somebody listens to tokens, as langchain-core decides."""
    stream_usage: bool = True
    """Whether streams end with token counts."""
    custom_get_token_ids: Callable[[str], list[int]] | None = Field(default=None, exclude=True)
    """Instead of asking the server; langchain-core's."""

    _token_counter: TokenCounter = PrivateAttr(default_factory=TokenCounter)
    _served_models: ServedModels = PrivateAttr(default_factory=ServedModels)

    def _request(
        self,
        kind: type[GenerationParameters],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool,
    ) -> Json:
        """The parameters of a request, but for the prompt.

        Args:
            kind: whose fields are its parameters.
            stop: strings that end the answer, in place of the field's.
            kwargs: of the call; they win over fields.
            stream: whether the answer is to be streamed.
        """
        arguments = dict(kwargs)
        arguments.pop("stream", None)
        if isinstance(headers := arguments.get("extra_headers"), HiddenHeaders):
            arguments["extra_headers"] = dict(headers.headers)
        with_usage = arguments.pop("stream_usage", self.stream_usage)
        if stop is not None:
            arguments["stop"] = stop
        request = self._parameters(kind, arguments)
        if self.balance == "sticky" and "session_id" not in request and (thread := thread_of_graph()):
            request["session_id"] = thread
        options = request.pop("stream_options", None)
        if stream:
            request["stream"] = True
            if with_usage:
                options = {"include_usage": True, **(options or {})}
            if options:
                request["stream_options"] = options
        return request

    def _answers(self, given: Mapping[str, Any]) -> int:
        """Return the number of answers to a prompt that are asked for."""
        return given.get("n") or self.n or 1

    def _identify(self, kind: type[GenerationParameters]) -> Json:
        """Return what tells this model from others, in traces and caches."""
        params = {"model_name": self.model, **self._parameters(kind)}
        for name in ("model", "extra_headers"):  # the latter as all fields that may hold secrets
            params.pop(name, None)
        servers = self._servers()
        params["base_url"] = servers[0] if len(servers) == 1 else servers
        if digest := self._headers_digest(self.extra_headers):
            params["headers_digest"] = digest
        return params

    def _served_model(self) -> str:
        """The model that the server has where none was named, for caches: they would mix up two of them.

        The server is asked once. Where it does not answer nothing is found in the cache.
        """
        try:
            served = self._served_models.ask_for_a_moment(self._client(), None)
        except ConfigError:  # there is an `async_client` alone
            served = None
        return (served and served.name) or f"unknown {uuid4()}"

    def _without_secrets(self, kwargs: Mapping[str, Any]) -> Json:
        """Arguments of a call as traces and caches may have them."""
        hidden = dict(kwargs)
        headers = hidden.get("extra_headers")
        if headers and not isinstance(headers, HiddenHeaders):
            hidden["extra_headers"] = HiddenHeaders(headers, self._headers_digest(headers))
        return hidden

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text, without those that begin or end a prompt, from the server's tokenizer.

        It waits for the server, wherever it is called; to count, use `get_num_tokens`.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with model_errors():
            return self._client().tokenize(model=self.model, prompt=text, add_special_tokens=False).tokens

    def get_num_tokens(self, text: str) -> int:
        """The number of a text's tokens; an estimate on an event loop, or where the server does not count."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return self._count({"model": self.model, "prompt": text, "add_special_tokens": False}) if text else 0

    async def aget_num_tokens(self, text: str) -> int:
        """The number of a text's tokens, from the server."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        if not text:
            return 0
        return await self._acount({"model": self.model, "prompt": text, "add_special_tokens": False})

    def _count(self, params: Mapping[str, object]) -> int:
        """The tokens of a prompt, of `tokenize`'s parameters."""
        if is_in_event_loop():
            return self._token_counter.estimate(params)
        counts = self._token_counter.count(params)
        request = next(counts)
        try:
            while True:
                try:
                    count = self._client().tokenize(**request, timeout=TIMEOUT).count
                except VLLMError as error:
                    request = counts.throw(error)
                else:
                    request = counts.send(count)
        except StopIteration as end:
            return int(end.value)

    async def _acount(self, params: Mapping[str, object]) -> int:
        counts = self._token_counter.count(params)
        request = next(counts)
        try:
            while True:
                try:
                    count = (await self._async_client().tokenize(**request, timeout=TIMEOUT)).count
                except VLLMError as error:
                    request = counts.throw(error)
                else:
                    request = counts.send(count)
        except StopIteration as end:
            return int(end.value)
