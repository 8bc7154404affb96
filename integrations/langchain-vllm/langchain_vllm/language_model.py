"""What `ChatVLLM` and `VLLMCompletion` have in common: streaming, tracing, tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from .errors import model_errors
from .parameters import GenerationParameters
from .server import Server, without_credentials


class LanguageModel(Server, GenerationParameters):
    """Fields of models that generate text."""

    streaming: bool = False
    """Whether `invoke` streams, too, for callbacks that want every token."""
    stream_usage: bool = True
    """Whether streams end with token counts."""
    custom_get_token_ids: Callable[[str], list[int]] | None = Field(default=None, exclude=True)
    """Instead of asking the server; langchain-core's."""

    def _request(
        self,
        kind: type[GenerationParameters],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The parameters of a request, but for the prompt.

        Args:
            kind: whose fields are its parameters.
            stop: strings that end the answer, in place of the field's.
            kwargs: of the call; they win over fields.
            stream: whether the answer is to be streamed.
        """
        given = dict(kwargs)
        given.pop("stream", None)
        with_usage = given.pop("stream_usage", self.stream_usage)
        if stop is not None:
            given["stop"] = stop
        request = self._parameters(kind, given)
        options = request.pop("stream_options", None)
        if stream:
            request["stream"] = True
            if with_usage:
                options = {"include_usage": True, **(options or {})}
            if options:
                request["stream_options"] = options
        return request

    def _answers(self, given: Mapping[str, Any]) -> int:
        """How many answers to a prompt are asked for."""
        return given.get("n") or self.n or 1

    def _identify(self, kind: type[GenerationParameters]) -> dict[str, Any]:
        """What tells this model from others, in traces and caches."""
        params = {"model_name": self.model, **self._parameters(kind)}
        for name in ("model", "extra_headers"):  # the latter as all fields that may hold secrets
            params.pop(name, None)
        if self.base_url:
            params["base_url"] = without_credentials(self.base_url)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text, without those that begin or end a prompt, from the server's tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        with model_errors():
            return self._client().tokenize(model=self.model, prompt=text, add_special_tokens=False).tokens
