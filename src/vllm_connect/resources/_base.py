"""The base of resources that OpenAI lacks: raw and streamed replies, as the SDK's have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar

from openai import _legacy_response as legacy
from openai import _response as modern

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


class OwnResource:
    """A resource of vLLM's; `methods` names those that make a request."""

    methods: ClassVar[tuple[str, ...]] = ("create",)

    def __init__(self, client: VLLM) -> None:
        self._client = client

    @cached_property
    def with_raw_response(self) -> SimpleNamespace:
        """The same methods; they return the raw response, whose `.parse()` gives the result."""
        return self._wrapped(legacy.to_raw_response_wrapper)

    @cached_property
    def with_streaming_response(self) -> SimpleNamespace:
        """The same methods; they return a context manager over the response, its body not yet read."""
        return self._wrapped(modern.to_streamed_response_wrapper)

    def _wrapped(self, wrap: Callable[[Callable[..., object]], object]) -> SimpleNamespace:
        return SimpleNamespace(**{name: wrap(getattr(self, name)) for name in self.methods})


class AsyncOwnResource:
    """A resource of vLLM's; `methods` names those that make a request."""

    methods: ClassVar[tuple[str, ...]] = ("create",)

    def __init__(self, client: AsyncVLLM) -> None:
        self._client = client

    @cached_property
    def with_raw_response(self) -> SimpleNamespace:
        """The same methods; they return the raw response, whose `.parse()` gives the result."""
        return self._wrapped(legacy.async_to_raw_response_wrapper)

    @cached_property
    def with_streaming_response(self) -> SimpleNamespace:
        """The same methods; they return a context manager over the response, its body not yet read."""
        return self._wrapped(modern.async_to_streamed_response_wrapper)

    def _wrapped(self, wrap: Callable[[Callable[..., Awaitable[object]]], object]) -> SimpleNamespace:
        return SimpleNamespace(**{name: wrap(getattr(self, name)) for name in self.methods})
