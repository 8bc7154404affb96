"""A text at the beginning of a conversation, where the server's chat template has a place for it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from .._calls.call import Call, Variant
from .._wire.payloads import ErrorPayload
from .._wire.schema_prompt import AddedText, in_user_message, refuses_roles

T = TypeVar("T")


def placed(call: Call[T], beginning: object) -> Call[T]:
    """Let a call that begins with a text of ours fall back to a conversation without a system message.

    Args:
        call: a call of one variant.
        beginning: the content of its first message, or its instructions.
    """
    if not isinstance(beginning, AddedText):
        return call
    (variant,) = call.variants
    assert isinstance(variant.body, bytes)
    elsewhere = Variant(variant.path, partial(in_user_message, variant.body), "user")
    return replace(
        call, variants=(variant._replace(kind="system"), elsewhere), falls_back=_has_no_place_for_it
    )


def first_content(messages: object) -> object:
    """The content of the first message of a conversation; None if it has none."""
    first = messages[0] if isinstance(messages, list) and messages else None
    return first.get("content") if isinstance(first, dict) else None


def _has_no_place_for_it(variant: Variant, status: int, error: ErrorPayload) -> bool:
    return refuses_roles(status, error.message)
