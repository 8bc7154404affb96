"""The base of resources that OpenAI lacks: raw and streamed replies, as the SDK's have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from openai import _legacy_response as legacy
from openai import _response as modern
from openai._resource import AsyncAPIResource

if TYPE_CHECKING:
    from .._client import VLLM, AsyncVLLM


R = TypeVar("R", bound=type)


def adds(*methods: str) -> Callable[[R], R]:
    """A class decorator: raw and streamed replies of methods that a resource of the SDK's lacks.

    Args:
        methods: their names.
    """
    wraps: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
        "with_raw_response": (legacy.to_raw_response_wrapper, legacy.async_to_raw_response_wrapper),
        "with_streaming_response": (
            modern.to_streamed_response_wrapper,
            modern.async_to_streamed_response_wrapper,
        ),
    }

    def decorate(cls: R) -> R:
        for name, pair in wraps.items():
            wrap = pair[issubclass(cls, AsyncAPIResource)]
            wrapped = cached_property(_with(getattr(cls, name).func, wrap, methods))
            wrapped.__set_name__(cls, name)
            setattr(cls, name, wrapped)
        return cls

    return decorate


def _with(
    make: Callable[[object], object], wrap: Callable[..., object], methods: tuple[str, ...]
) -> Callable[[object], object]:
    def make_with(resource: object) -> object:
        wrapper = make(resource)
        for name in methods:
            setattr(wrapper, name, wrap(getattr(resource, name)))
        return wrapper

    return make_with


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
