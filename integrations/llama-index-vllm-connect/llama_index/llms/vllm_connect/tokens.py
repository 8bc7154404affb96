"""The served model's own tokenizer, for `Settings.tokenizer`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vllm_connect import VLLMError
from vllm_connect.adapters import counting, is_in_event_loop

if TYPE_CHECKING:
    from .base import VLLM

_logger = logging.getLogger(__name__)

_REMEMBERED = 4096
_MARGIN = 1.1


def estimated(count: int) -> int:
    """The count, which the caller is told to be an estimate."""
    _logger.warning("The server did not count the tokens of a prompt: %d are an estimate", count)
    return count


class VLLMTokenizer:
    """Texts to token ids, by the server's `/tokenize`; texts seen lately are remembered.

        Settings.tokenizer = llm.tokenizer

    It never fails, and never blocks an event loop: there, and where the server does not answer, a text that
    was not seen before gets as many zeros as its length lets expect, by what was seen of the tokenizer, and a
    tenth more. LlamaIndex counts the ids and looks no further.

    Args:
        llm: Whose server and model.
    """

    def __init__(self, llm: VLLM) -> None:
        self.llm = llm
        self._ids: dict[str, tuple[int, ...]] = {}
        self._tokens = self._bytes = 0
        self._failed = False

    def __call__(self, text: str) -> list[int]:
        """The token ids of a text, without those that would begin a prompt."""
        known = self._ids.get(text)
        if known is None and text and not is_in_event_loop():
            known = self._ask(text)
        return [0] * self._estimate(text) if known is None else list(known)

    def __reduce__(self) -> tuple[type[VLLMTokenizer], tuple[VLLM]]:
        return VLLMTokenizer, (self.llm,)

    def _ask(self, text: str) -> tuple[int, ...] | None:
        """The ids; None if the server does not tell."""
        try:
            answer = self.llm.client.tokenize(model=self.llm.model, prompt=text, add_special_tokens=False)
        except VLLMError as error:
            if not self._failed:
                self._failed = True
                _logger.warning("The server does not tell tokens, which are estimated: %s", error)
            return None
        while len(self._ids) >= _REMEMBERED:
            self._ids.pop(next(iter(self._ids)), None)
        ids = self._ids[text] = tuple(answer.tokens)
        self._tokens += len(ids)
        self._bytes += len(text.encode("utf-8", "replace"))
        return ids

    def _estimate(self, text: str) -> int:
        if not self._bytes:
            return counting.estimate_text(text)
        return counting.estimate_text(text, _MARGIN * self._tokens / self._bytes)
