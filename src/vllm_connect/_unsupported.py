"""The parts of OpenAI's API that vLLM lacks: the same names, refused without a request.

Everything that the SDK offers and our tables do not name is refused, so a new release of the SDK
cannot open a silent way to a route that no vLLM server has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .errors import UnsupportedOperationError

C = TypeVar("C", bound=type)


class UnsupportedResource:
    """Stands for a resource of the SDK; calling anything below it raises.

    Args:
        path: where it hangs on the client, e.g. ``"images"``.
        reason: what to do instead.
    """

    def __init__(self, path: str, reason: str | None = None) -> None:
        self._path = path
        self._reason = reason

    def __getattr__(self, name: str) -> UnsupportedResource:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("with_raw_response", "with_streaming_response"):
            return self
        return UnsupportedResource(f"{self._path}.{name}", self._reason)

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse."""
        raise UnsupportedOperationError(self._path, self._reason)

    def __repr__(self) -> str:
        return f"<{self._path}: not supported by vLLM>"


def only(path: str, *supported: str, **reasons: str) -> Callable[[C], C]:
    """Refuse every public method and sub-resource that a class inherits from the SDK, save some.

    Args:
        path: where the resource hangs on the client, e.g. ``"chat.completions"``.
        supported: what is left as it is.
        reasons: what to do instead, by the name of what is refused.
    """
    always = {"with_raw_response", "with_streaming_response"}

    def refuse_rest(cls: C) -> C:
        for name in dir(cls):
            if name.startswith("_") or name in always or name in supported or name in vars(cls):
                continue
            stand_in = UnsupportedResource(f"{path}.{name}", reasons.get(name))
            attribute = getattr(cls, name)
            if isinstance(attribute, (property, functools.cached_property)):
                setattr(cls, name, property(_constant(stand_in)))
            elif callable(attribute):
                setattr(cls, name, _method(stand_in, attribute))
        return cls

    return refuse_rest


def _constant(value: Any) -> Callable[[object], Any]:
    return lambda self: value


def _method(stand_in: UnsupportedResource, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def refused(self: object, *args: object, **kwargs: object) -> NoReturn:
        stand_in()

    return refused
