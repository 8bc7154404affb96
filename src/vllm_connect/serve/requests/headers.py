"""Headers of a request: which ones go on to a server, and which conversation they name.

Credentials and cookies are the gateway's and stay here; so does whatever nobody is known to need.
"""

from __future__ import annotations

from ..._calls.affinity import SESSION_HEADER
from ..http.exchange import Exchange

_PASSED_ON = {
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
    b"baggage": "baggage",
    b"x-request-id": "X-Request-Id",
    b"x-data-parallel-rank": "X-data-parallel-rank",
    b"x-session-token": "x-session-token",
    b"x-vllm-priority": "X-Vllm-Priority",
    b"anthropic-version": "anthropic-version",
    b"anthropic-beta": "anthropic-beta",
}

#: What names a conversation, the plainest first: vLLM's routers, Bifrost, and the coding agents Claude Code,
#: Codex (old and new) and OpenCode.
SESSIONS = (
    b"x-session-id",
    b"x-bf-session-id",
    b"x-claude-code-session-id",
    b"session-id",
    b"session_id",
    b"conversation_id",
    b"x-opencode-session",
    b"x-session-affinity",
)


def passed_on(exchange: Exchange) -> dict[str, str]:
    """The headers that go on to a server, the session's among them."""
    headers = exchange.headers
    passed = {
        _PASSED_ON[name]: value.decode()
        for name, value in headers.items()
        if name in _PASSED_ON and value.isascii()  # others have no meaning that a server could read
    }
    for name in SESSIONS:
        if session := headers.get(name):
            passed[SESSION_HEADER] = session.decode("latin-1")
            break
    return passed
