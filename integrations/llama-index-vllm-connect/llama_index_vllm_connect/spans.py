"""One span for one call.

LlamaIndex makes a span of every call of a method that its base class made one of; an override that calls the
base class would make two, of one name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from typing_extensions import ParamSpec

P = ParamSpec("P")
R = TypeVar("R")


def without_span(method: Callable[P, R]) -> Callable[P, R]:
    """The method of a base class, without the span around it."""
    return cast("Callable[P, R]", getattr(method, "__wrapped__", method))
