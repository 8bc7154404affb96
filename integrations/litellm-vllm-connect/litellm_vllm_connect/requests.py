"""The client's arguments, made of what LiteLLM hands to a custom provider.

A model may be asked at `api_base`, or at several servers, `keys=[…]` or `config=` (Bifrost's file); all of
that can stand in a call, in a Router's `litellm_params` and in the proxy's `config.yaml`. What LiteLLM does
not know goes through it untouched, so vLLM's own parameters are ordinary arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import httpx
import openai

from .errors import PROVIDER

Json = dict[str, object]
Messages = Sequence[Mapping[str, object]]

CONNECT_SECONDS = 10.0
"""LiteLLM's timeout is for a generation; nobody waits as long for a connection."""

# What says where and how to ask, and not what.
_SETTINGS = ("keys", "config", "balance", "max_retries")
# What the provider decides itself, and what LiteLLM's callers give to other providers.
_TAKEN_OFF = (*_SETTINGS, "stream", "stream_options", "extra_body", "extra_headers", "num_retries")

# What LiteLLM adds to a message that it gives to its caller, who sends it back in the next turn.
_OF_LITELLM = (
    "provider_specific_fields",
    "thinking_blocks",
    "reasoning_items",
    "annotations",
    "images",
    "audio",
)


class Request(NamedTuple):
    """A request of a provider.

    Attributes:
        settings: of the client that makes it.
        params: of the operation.
    """

    settings: Json
    params: Json


class Arguments(NamedTuple):
    """The arguments that LiteLLM gives with every operation.

    Attributes:
        model: without the provider.
        api_base: the server.
        api_key: its key.
        options: everything else that the caller gave.
        headers: to be sent.
        timeout: seconds, or httpx's.
        retries: how often to try again.
    """

    model: str
    api_base: str | None = None
    api_key: str | None = None
    options: Mapping[str, object] = {}
    headers: Mapping[str, str] | None = None
    timeout: float | httpx.Timeout | None = None
    retries: int | None = None

    def request(self, **params: object) -> Request:
        """The request with an operation's own parameters."""
        options = self.options
        settings: Json = {"base_url": self.api_base, "api_key": self.api_key}
        settings |= {name: options.get(name) for name in _SETTINGS if name != "max_retries"}
        if settings["keys"] is not None or settings["config"] is not None:
            # LiteLLM fills them in from settings that are meant for all providers.
            settings["base_url"] = settings["api_key"] = None
        settings["max_retries"] = self.retries
        own = {name: value for name, value in options.items() if name not in _TAKEN_OFF and value is not None}
        request: Json = {"model": plain_name(self.model), **own, **params}
        if extra := options.get("extra_body"):
            request["extra_body"] = extra
        if headers := {**(self.headers or {}), **_mapping(options.get("extra_headers"))}:
            request["extra_headers"] = headers
        if self.timeout is not None:
            request["timeout"] = timeout_of(self.timeout)
        return Request({name: value for name, value in settings.items() if value is not None}, request)


def plain_name(model: str) -> str:
    """A model's name without the provider."""
    return model.removeprefix(f"{PROVIDER}/")


def timeout_of(timeout: float | httpx.Timeout) -> openai.Timeout:
    """LiteLLM's timeout as the SDK's, whose httpx may be another one than LiteLLM's."""
    if isinstance(timeout, httpx.Timeout):
        return openai.Timeout(**timeout.as_dict())
    seconds = float(timeout)
    return openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS), pool=None)


def sent_messages(messages: Messages) -> list[Json]:
    """A conversation as vLLM takes it: of what LiteLLM adds to an answer, its reasoning alone goes back."""
    return [_sent_message(message) for message in messages]


def _sent_message(message: Mapping[str, object]) -> Json:
    if message.get("role") != "assistant":
        return dict(message)
    sent = {k: v for k, v in message.items() if k not in _OF_LITELLM and (v is not None or k == "content")}
    if reasoning := sent.pop("reasoning_content", None):
        sent.setdefault("reasoning", reasoning)
    return sent


def prompts_of(messages: Messages) -> object:
    """The prompts of a text completion, of which LiteLLM makes messages."""
    prompts = [message.get("content") for message in messages]
    return prompts[0] if len(prompts) == 1 else prompts


def _mapping(value: object) -> Mapping[str, str]:
    return value if isinstance(value, Mapping) else {}
