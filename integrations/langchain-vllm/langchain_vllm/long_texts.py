"""Texts that are too long for the model: which one it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vllm_connect import ContextLengthError

#: Characters of a text that an error shows.
SHOWN = 40


@contextmanager
def naming_long_text(texts: Sequence[str]) -> Iterator[None]:
    """Name the longest of the texts that were sent together, where the server says that one is too long.

    Raises:
        ContextLengthError: the one that is raised within, which names the text and the remedy.
    """
    try:
        yield
    except ContextLengthError as error:
        longest = max(texts, key=len)
        error.message = (
            f"{error.message} The longest of the {len(texts)} texts begins {longest[:SHOWN]!r}; "
            "truncate_prompt_tokens=-1 cuts texts at the model's context."
        )
        error.args = (error.message,)
        raise
