"""Outcomes of an attempt: what a reply, or the lack of one, shows of its server.

shows                                                      the server             another is asked at once
no connection, a broken one; 429, 502, 503, 504            rests                  yes
a router's 500, which reached none of its servers          rests                  yes
a dead engine's 500                                        rests                  one, at the most
credentials refused: 401, 403                              rests long             yes
a model that it does not know: 404                         lacks the model        yes
anything else: 400, too long a prompt, a slow generation   nothing                no
"""

from __future__ import annotations

import math
import re
import time
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, NamedTuple

from .._keys.health import Failure
from .._wire.payloads import ErrorPayload

if TYPE_CHECKING:
    from .._transport._httpx import httpx

_BUSY = frozenset({429, 502, 503, 504})
_DOWN = frozenset({502, 503})  # by a proxy, while what is behind it starts
_CREDENTIALS = frozenset({401, 403})
_BROKEN = frozenset({"ConnectError", "ConnectTimeout", "ReadError", "WriteError", "RemoteProtocolError"})
_NO_CONNECTION = frozenset({"ConnectError", "ConnectTimeout"})  # the others may be one connection's end
# vLLM's EngineDeadError, 0.8 to 0.33; and what it says of an engine that died earlier.
_DEAD_ENGINE = re.compile(
    r"EngineCore encountered an issue|EngineDead|engine (?:process )?(?:is )?dead", re.I
)
# vllm-router 0.1.17, when the server that it chose is gone, and before it counts that one as unhealthy.
_UNREACHED = re.compile(r"^Request failed: error sending request for url")
_UNKNOWN_MODEL = re.compile(
    r"model\b.*\b(?:does not exist|not found|is not (?:found|served|available))", re.I
)


class Outcome(NamedTuple):
    """The outcome of an attempt, as far as its server is concerned.

    Attributes:
        failure: why the server goes to rest, None if it does not.
        lacks_model: whether it does not know the model.
        elsewhere: whether another server may be asked at once.
        is_fatal: whether the request may have killed the server's engine.
        is_lasting: whether the server will not change its mind (credentials, a model it lacks); of several
            outcomes, one that may pass tells more.
        is_down: whether it is not there at all, and may be another version when it is back.
    """

    failure: Failure | None = None
    lacks_model: bool = False
    elsewhere: bool = False
    is_fatal: bool = False
    is_lasting: bool = False
    is_down: bool = False


NOTHING = Outcome()


def outcome_of_reply(response: httpx.Response, error: ErrorPayload) -> Outcome:
    """Return the outcome that an error reply is.

    Args:
        response: the reply, with the status that its payload names.
        error: what it says.
    """
    status = response.status_code
    if status in _BUSY:
        failure = Failure(f"{status} {error.message}", retry_after(response.headers))
        return Outcome(failure, elsewhere=True, is_down=status in _DOWN)
    if status in _CREDENTIALS:
        failure = Failure(f"{status}, it refuses this key's credentials", long=True)
        return Outcome(failure, elsewhere=True, is_lasting=True)
    if status == 404 and _is_unknown_model(error):
        return Outcome(lacks_model=True, elsewhere=True, is_lasting=True)
    if status == 500 and _DEAD_ENGINE.search(error.message):
        return Outcome(Failure("500, its engine is dead"), elsewhere=True, is_fatal=True, is_down=True)
    if status == 500 and _UNREACHED.search(error.message):
        return Outcome(Failure("500, its router reaches no server"), elsewhere=True)
    return NOTHING


def outcome_of_exception(cause: BaseException) -> Outcome:
    """Return the outcome that an exception of the HTTP client is."""
    name, reason = type(cause).__name__, cause.__cause__
    if name not in _BROKEN:
        return NOTHING
    if isinstance(reason, ConnectionAbortedError) and reason.errno is None:
        return NOTHING  # by the caller, from another thread or task: not by the network
    return Outcome(Failure(str(cause) or name), elsewhere=True, is_down=name in _NO_CONNECTION)


def retry_after(headers: httpx.Headers) -> float | None:
    """The seconds that a reply asks to wait for, as a number or as a date; None if it does not."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        date = parsedate_tz(value)
        if date is None:
            return None
        seconds = mktime_tz(date) - time.time()
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _is_unknown_model(error: ErrorPayload) -> bool:
    # Not "Not Found" alone, which is a route that the server lacks.
    body = error.body
    if isinstance(body, dict) and (body.get("code") == "model_not_found" or body.get("param") == "model"):
        return True
    return _UNKNOWN_MODEL.search(error.message) is not None
