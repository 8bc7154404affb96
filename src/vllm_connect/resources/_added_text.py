"""A text at the beginning of a conversation, where the server's chat template has a place for it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

from .._calls.call import Call, Variant
from .._wire.payloads import ErrorPayload
from .._wire.schema_prompt import in_user_message, refuses_roles

T = TypeVar("T")


def placed(call: Call[T]) -> Call[T]:
    """Let a call that begins with an `AddedText` fall back to a conversation without a system message.

    Args:
        call: a call of one variant.
    """
    (variant,) = call.variants
    assert isinstance(variant.body, bytes)
    elsewhere = Variant(variant.path, partial(in_user_message, variant.body), "user")
    return replace(
        call, variants=(variant._replace(kind="system"), elsewhere), falls_back=_has_no_place_for_it
    )


def _has_no_place_for_it(variant: Variant, status: int, error: ErrorPayload) -> bool:
    return refuses_roles(status, error.message)
