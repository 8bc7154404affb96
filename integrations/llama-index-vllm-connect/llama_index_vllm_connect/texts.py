"""Texts in: what is none is refused, since it would be sent as another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def check_text(text: object, what: str) -> None:
    """Refuse what is no text.

    Args:
        text: What a caller passes as one.
        what: Method and argument, for the error.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a text, not {type(text).__name__}")


def check_texts(texts: object, what: str) -> None:
    """Refuse what is no list of texts: a text has letters, a set has no order.

    Raises:
        TypeError: It is none; the message says which item is no text.
    """
    if isinstance(texts, (str, bytes, set, frozenset, Mapping)) or not isinstance(texts, Iterable):
        raise TypeError(f"{what} must be a list of texts, not {type(texts).__name__}")
    for place, text in enumerate(texts):
        check_text(text, f"{what}[{place}]")
