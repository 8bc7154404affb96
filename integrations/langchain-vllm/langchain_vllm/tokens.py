"""Token counts: the server's, or, where nobody may wait for it, an estimate.

Middleware and `trim_messages` count in the middle of an agent's step, often on the event loop. So counting
never fails and never waits there: it estimates, by what the server has counted before.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping

from vllm_connect import VLLMError
from vllm_connect.adapters import counting

from .wire import Json

_logger = logging.getLogger(__name__)

#: Seconds for one count, of which a program may need many.
TIMEOUT = 10.0
_MARGIN = 1.1


class TokenCounter:
    """Knowledge of a model's tokenizer.

    counts = counter.count(params)              # a generator of requests for `tokenize`
    counts.send(reply.count) or counts.throw(error), until it returns the count
    """

    def __init__(self) -> None:
        self._tokens = self._bytes = 0
        self._warned = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenCounter)  # models are equal by their fields

    __hash__ = None  # type: ignore[assignment]  # as of all that compare by value

    def count(self, params: Mapping[str, object]) -> Generator[Json, int, int]:
        """Ask for a prompt's tokens, in several ways where the server refuses one.

        Args:
            params: of `tokenize`.

        Yields:
            Parameters of `tokenize`; takes the count, or the error.
        """
        problem: VLLMError | None = None
        for attempt, extra in counting.attempts(params):
            try:
                count = (yield attempt) + extra
            except VLLMError as error:
                problem = error
                if not counting.may_count_otherwise(error):
                    break
            else:
                self._tokens += count
                self._bytes += counting.prompt_bytes(params)
                return count
        if not self._warned:
            self._warned = True
            _logger.warning("the server does not count tokens, which are estimated: %s", problem)
        return self.estimate(params)

    def estimate(self, params: Mapping[str, object]) -> int:
        """A prompt's tokens without asking, rather too many than too few."""
        if not self._bytes:
            return counting.estimate(params)
        return counting.estimate(params, _MARGIN * self._tokens / self._bytes)
