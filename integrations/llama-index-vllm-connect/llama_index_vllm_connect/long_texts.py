"""Texts that are too long for the model: which one, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vllm_connect import ContextLengthError

_SHOWN = 40


@contextmanager
def naming_long_text(texts: Sequence[object], kind: str) -> Iterator[None]:
    """Name the longest text of a request that the model's context does not hold.

    Args:
        texts: Of the request; what is no text has no length.
        kind: What a text is called, e.g. "text".

    Raises:
        ContextLengthError: The one that is raised within, which names it and the remedy.
    """
    try:
        yield
    except ContextLengthError as error:
        lengths = [len(text) if isinstance(text, str) else 0 for text in texts]
        place = max(range(len(texts)), key=lengths.__getitem__)
        begin = str(texts[place])[:_SHOWN]
        advice = "truncate_prompt_tokens=-1 cuts what is longer than the model's context"
        message = (
            f"{error.message} The longest {kind}, {place + 1} of {len(texts)}, begins {begin!r}; {advice}."
        )
        named = ContextLengthError(message, response=error.response, body=error.body)
        named.__dict__.update({**vars(error), "message": message})
        raise named from error
