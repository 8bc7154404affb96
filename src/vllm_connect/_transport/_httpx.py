"""The httpx that the installed `openai` runs on, under the one name `httpx`.

openai 2.x runs on `httpx`, openai 3.x on its fork `httpx2`. What we use of them is the same in both,
so the rest of the package says `from ._httpx import httpx` and does not care. A caller's own http client
may be one of the other module, so exceptions are caught by the functions here.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    import importlib

    import openai

    # `openai.Timeout` would be the shorter way, but the SDK renames the module of what it re-exports.
    httpx = importlib.import_module(openai.DefaultHttpxClient.__bases__[0].__module__)


def timeout_exceptions() -> tuple[type[Exception], ...]:
    """`TimeoutException` of every httpx that is in use; to be called in an `except` clause."""
    return _everywhere("TimeoutException")


def request_exceptions() -> tuple[type[Exception], ...]:
    """`RequestError` of every httpx that is in use; to be called in an `except` clause."""
    return _everywhere("RequestError")


def url_exceptions() -> tuple[type[Exception], ...]:
    """`InvalidURL` of every httpx that is in use; to be called in an `except` clause."""
    return _everywhere("InvalidURL")


def _everywhere(name: str) -> tuple[type[Exception], ...]:
    modules = (sys.modules.get(module) for module in ("httpx", "httpx2"))
    return tuple(getattr(module, name) for module in modules if hasattr(module, name))


__all__ = ["httpx", "request_exceptions", "timeout_exceptions", "url_exceptions"]
