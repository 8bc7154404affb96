"""The profile of a model, whose context comes from the server when somebody first looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

CONTEXT = "max_input_tokens"


class ServedProfile(dict[str, Any]):
    """A profile that looks up `max_input_tokens` where nobody has set it.

    `get`, `[]` and `in` do so, and leave it out as long as the server does not answer; going through it does
    not.

    Args:
        facts: what is set.
        context: tells the context, in tokens; None if it is not known.
    """

    def __init__(self, facts: Mapping[str, Any], context: Callable[[], int | None]) -> None:
        super().__init__(facts)
        self._context = context

    def __missing__(self, key: str) -> Any:
        if key != CONTEXT or (context := self._context()) is None:
            raise KeyError(key)
        return context

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (key == CONTEXT and self._context() is not None)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        try:
            return self[key]
        except KeyError:
            return default
