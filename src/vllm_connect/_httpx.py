"""The httpx that the installed `openai` runs on, under the one name `httpx`.

openai 2.x runs on `httpx`, openai 3.x on its fork `httpx2`. What we use of them is the same in both,
so the rest of the package says `from ._httpx import httpx` and does not care.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2 as httpx
else:
    import importlib

    import openai

    # `openai.Timeout` would be the shorter way, but the SDK renames the module of what it re-exports.
    httpx = importlib.import_module(openai.DefaultHttpxClient.__bases__[0].__module__)

__all__ = ["httpx"]
