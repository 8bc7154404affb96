"""TLS contexts that transports share: to make one takes longer than to make a client, and to use it.

One lives as long as a transport uses it; the next then reads the certificates anew.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Hashable
from weakref import WeakValueDictionary

from ._httpx import httpx

_lock = threading.Lock()
_contexts: WeakValueDictionary[Hashable, ssl.SSLContext] = WeakValueDictionary()


def default_context(trust_env: bool) -> ssl.SSLContext:
    """Return the TLS context that httpx makes of `verify=True`.

    Args:
        trust_env: whether the environment names certificates.
    """
    named = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")) if trust_env else ()
    # The class, since what uses the system's trust store puts one of its own in place of it.
    key = (ssl.SSLContext, named)
    with _lock:
        context = _contexts.get(key)
        if context is None:
            context = _contexts[key] = httpx.create_ssl_context(trust_env=trust_env)
        return context


def _forget_parent() -> None:
    global _lock
    _lock = threading.Lock()  # which another thread of the parent may have held


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
