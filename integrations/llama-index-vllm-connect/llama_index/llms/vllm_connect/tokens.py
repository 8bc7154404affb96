"""The served model's own tokenizer, for `Settings.tokenizer`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import VLLM

_REMEMBERED = 4096


class VLLMTokenizer:
    """Texts to token ids, by the server's `/tokenize`; texts seen lately are remembered.

        Settings.tokenizer = llm.tokenizer

    Args:
        llm: Whose server and model.
    """

    def __init__(self, llm: VLLM) -> None:
        self.llm = llm
        self._encode = lru_cache(_REMEMBERED)(self._ask)

    def __call__(self, text: str) -> list[int]:
        """The token ids of a text, without those that would begin a prompt."""
        return list(self._encode(text))

    def __reduce__(self) -> tuple[Any, ...]:
        return VLLMTokenizer, (self.llm,)

    def _ask(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        answer = self.llm.client.tokenize(model=self.llm.model, prompt=text, add_special_tokens=False)
        return tuple(answer.tokens)
