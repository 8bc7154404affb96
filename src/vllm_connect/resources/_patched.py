"""Calls by way of the SDK's own methods, where somebody has replaced those.

Tracers, cost counters and mocks put something in place of `openai.resources.….create`, which our resources
override. Where something is there, a call goes through it: it gets an instance of the SDK's class, the
parameters that the SDK's method has (vLLM's own in `extra_body`), and the result. What reaches `_post` below
it, after whatever it changed, is what is asked. A method that nobody replaced costs one test of identity.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import openai
import orjson
import typing_extensions
from openai import BaseModel

from .._wire.body import RequestOptions, encode, names
from .._wire.decoding import JsonObject

# Where the code of its methods is; `@deprecated` puts its own around some.
_SDK = (str(Path(openai.__file__).parent), inspect.getfile(typing_extensions.deprecated))
_OPTIONS = names(RequestOptions)

Result = Any
"""Whatever a method that somebody put in place returns: a result, a stream, a coroutine, a mock."""
Parser = Callable[[Result], Result] | None
Ask = Callable[[JsonObject, bool, Parser], Result]
"""Makes a call of its parameters, whether its answer is a stream, and what parses the answer."""


class SDKMethod:
    """A method of a class of the SDK's.

    Args:
        resource: the class.
        name: the method.
        own: every parameter that our method of the same name has.
        table: the parameters of the SDK's method, for want of a signature.
    """

    def __init__(self, resource: type, name: str, own: frozenset[str], table: type) -> None:
        self._resource = resource
        self._name = name
        self._own = own
        self._table = table
        self._attributes = vars(resource)
        self._original: object = None
        self._recognise()

    @property
    def is_replaced(self) -> bool:
        """Whether something else stands in its place."""
        return self._attributes[self._name] is not self._original and not self._recognise()

    def call(self, client: Result, params: Mapping[str, Result], ask: Ask) -> Result:
        """Call what stands in its place.

        Args:
            client: a client of either kind.
            params: the caller's keyword arguments.
            ask: makes the call that it ends in.

        Returns:
            What it returns; for an async client, what is to be awaited.
        """
        required, known = self._parameters()
        arguments: JsonObject = {
            name: _without_models(value)
            for name, value in params.items()
            if value is not None or name in _OPTIONS
        }
        moved = {name: value for name, value in arguments.items() if name in self._own and name not in known}
        for name in moved:
            del arguments[name]
        if moved:
            arguments["extra_body"] = {**moved, **(arguments.get("extra_body") or {})}
        for name in (required | {"model"}) - arguments.keys():  # the SDK's helpers want one, too
            arguments[name] = "" if name == "model" else None
        resource = self._resource(client)

        def post(
            path: str,
            *,
            body: Result = None,
            options: Result = None,
            files: Result = None,
            stream: bool = False,
            **_: object,
        ) -> Result:
            options = options or {}
            asked = _asked(dict(body or {}), options, moved.keys())
            if files:
                asked.update(files)
            return ask(asked, stream, options.get("post_parser"))

        resource._post = post
        return getattr(resource, self._name)(**arguments)

    def _recognise(self) -> bool:
        """Look whether it is the SDK's own; a tracer may have been there before us, and have left since."""
        present = self._attributes[self._name]
        # Not isinstance: proxies pass for what they wrap.
        if type(present) is FunctionType and present.__code__.co_filename.startswith(_SDK):
            self._original = present
        return present is self._original

    def _parameters(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the parameters that must be there, and of all."""
        function: Result = self._original or self._attributes[self._name]
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some callables have none
            signature = inspect.Signature()
        parameters = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        if not parameters:
            return frozenset(), names(self._table) | _OPTIONS | {"stream"}
        required = frozenset(p.name for p in parameters if p.default is p.empty)
        return required, frozenset(p.name for p in parameters)


def _asked(body: JsonObject, options: Mapping[str, Result], moved: Result) -> JsonObject:
    """The keyword arguments that the SDK's method made a body and options of."""
    body.pop("stream", None)
    if not body.get("model"):
        body.pop("model", None)
    extra = dict(options.get("extra_json") or {})
    for name in moved:
        if name in extra:
            body[name] = extra.pop(name)
    if extra:
        body["extra_body"] = extra
    headers = options.get("headers") or {}
    # The SDK's helpers say which of them it was.
    headers = {name: value for name, value in headers.items() if "stainless-helper" not in name.lower()}
    if headers:
        body["extra_headers"] = headers
    if options.get("params"):
        body["extra_query"] = options["params"]
    if "timeout" in options:
        body["timeout"] = options["timeout"]
    return body


def _without_models(value: Result) -> Result:
    """A list that can be read twice, with messages as they are sent: the SDK would send their nulls."""
    if isinstance(value, Iterator):
        value = list(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value):
        return [
            orjson.loads(encode({"item": item}))["item"] if isinstance(item, BaseModel) else item
            for item in value
        ]
    return value
