"""Tools beside a class for the answer: what one request to vLLM cannot ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._wire.body import without_unset
from ..errors import UnsupportedOperationError


def refuse_tools_beside_format(operation: str, params: Mapping[str, Any]) -> None:
    """Refuse tools that the model may call, in a request whose answer has a forced format.

    vLLM (0.32) holds an answer to its format from the first token on: the model never calls a tool, and
    invents what the tool would have told. A forced call, or none, goes along with a format.

    Args:
        operation: for the message.
        params: the caller's keyword arguments, of a request with a format.

    Raises:
        UnsupportedOperationError: there are such tools.
    """
    chosen = without_unset({name: params.get(name) for name in ("tools", "tool_choice")})
    if chosen.get("tools") and chosen.get("tool_choice", "auto") == "auto":
        raise UnsupportedOperationError(
            f"{operation} with tools beside a class for the answer",
            "it holds the answer to the format from the first token on, so that no tool is ever called. Let "
            "the model call tools without a format first, and ask for the last answer with "
            "tool_choice='none'",
        )
