"""The errors of the last hour, of one kind and one key together, each with what to do."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from ..http.exchange import Exchange

_HOUR = 3600.0
_MOST = 200

_ADVICE = {
    "upstream_unreachable": "Is the server running, and is the URL of its key right? Verify the key.",
    "upstream_credentials_refused": "Give the key the token that the server was started with.",
    "upstream_timeout": "The server is slow or stuck: see its queue, or raise the timeout of the provider.",
    "invalid_upstream_reply": "Something other than vLLM answers there, perhaps a proxy: look at the URL.",
    "incomplete_stream": "The server, or a proxy before it, ended an answer in its middle: see its log.",
    "model_not_found": "Name a model that a server has, or allow it in a key.",
    "context_length_exceeded": "Shorten the prompt, or start the server with more --max-model-len.",
    "unsupported_operation": "vLLM has no such operation.",
    "no_server_configured": "Add a key under Models, Model Providers, vLLM.",
    "misconfigured": "Mend the key: the message names the field.",
    "rate_limit_error": "Give the model more servers, or ask less at once.",
    "overloaded_error": "The server is overloaded, or restarts.",
    "server_error": "See the server's own log.",
    "not_found_error": "The server has no such route: its model or its version does not serve this.",
    "request_too_large": "Send less at once, or start the gateway with a larger --max-body.",
    "invalid_api_key": "The client does not send the gateway's own key.",
    "gateway_stopping": "The gateway was stopped: give streams more time with --grace.",
}
_DEFAULT = "The request itself is wrong: the message says what."


class Trouble(NamedTuple):
    """Errors of one kind.

    Attributes:
        code: the kind.
        key_name: the key whose server it was, ``""`` for none.
        operation: the last one.
        message: the last one.
        times: how many within the hour.
        last: when the last one was, in seconds since 1970.
        advice: what to do.
    """

    code: str
    key_name: str
    operation: str
    message: str
    times: int
    last: float
    advice: str


class Troubles:
    """The errors of the last hour.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], list[float]] = OrderedDict()  # the longest unseen in front
        self._last: dict[tuple[str, str], tuple[str, str]] = {}

    def note(self, exchange: Exchange) -> None:
        """Note a request that failed."""
        kind = exchange.failure, exchange.key_name or ""
        times = self._kinds.setdefault(kind, [])
        times.append(self._clock())
        del times[:-1000]
        self._kinds.move_to_end(kind)
        self._last[kind] = exchange.operation or f"{exchange.method} {exchange.path[:80]}", exchange.message
        while len(self._kinds) > _MOST:
            forgotten, _ = self._kinds.popitem(last=False)
            del self._last[forgotten]

    def recent(self) -> list[Trouble]:
        """Those of the last hour, the newest first."""
        since = self._clock() - _HOUR
        troubles = []
        for kind, times in reversed(list(self._kinds.items())):
            count = sum(moment > since for moment in times)
            if count:
                code, key_name = kind
                operation, message = self._last[kind]
                advice = _ADVICE.get(code, _DEFAULT)
                troubles.append(Trouble(code, key_name, operation, message, count, times[-1], advice))
        return troubles
