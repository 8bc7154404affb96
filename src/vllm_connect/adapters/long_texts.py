"""Texts that are too long for the model: which one it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import ContextLengthError

_SHOWN = 40  # characters of a text


@contextmanager
def naming_long_text(texts: Sequence[object], kind: str = "text") -> Iterator[None]:
    """Name the longest text of a request where the server says that one is too long.

    Args:
        texts: of the request; what is no text has no length.
        kind: what a text is called, e.g. "document".

    Raises:
        ContextLengthError: the one that is raised within, which names the text and the remedy.
    """
    try:
        yield
    except ContextLengthError as error:
        lengths = [len(text) if isinstance(text, str) else 0 for text in texts]
        place = max(range(len(texts)), key=lengths.__getitem__)
        error.message = (
            f"{error.message} The longest {kind}, {place + 1} of {len(texts)}, begins "
            f"{beginning_of(texts[place])}; "
            "truncate_prompt_tokens=-1 cuts what is longer than the model's context."
        )
        error.args = (error.message,)
        raise


def beginning_of(text: object) -> str:
    """Quote the beginning of a text, for an error."""
    return repr(str(text)[:_SHOWN])
