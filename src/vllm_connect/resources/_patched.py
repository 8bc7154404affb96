"""Methods of the SDK's that somebody replaced: a tracer, a mock, a cost counter.

They replace `openai.resources.….create` and its siblings, which our own methods override, and expect each
call to come by. So where such a method is not the SDK's own any more, it is called: it gets an instance of
the SDK's class, the parameters that the SDK's method has (vLLM's own in `extra_body`), and the result. What
reaches `_post` below it, after whatever it changed, is what is asked. The same way is taken where somebody
replaced `post` or `request` of the client: they are shown what the SDK's method makes of the call. Where
nobody replaced anything, that costs a few tests of identity.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
from openai import BaseModel

from .._calls.call import Call
from .._calls.watched import StandIn, given_options, is_the_sdks
from .._wire.body import RequestOptions, encode, names
from .._wire.decoding import JsonObject

_OPTIONS = names(RequestOptions)

Parser = Callable[[Any], object] | None
CallOf = Callable[[JsonObject, bool, Parser], Call[object]]
"""Makes a call of its parameters, whether its answer is a stream, and what parses the answer."""


def _ask(client: Any, call: Call[object]) -> Any:
    """Make a call of a client of either kind."""
    return client._ask(call) if call.read_event is None else client._ask_stream(call)


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

    def is_watched(self, client: Any) -> bool:
        """Tell whether somebody is to see a call: something stands in its place, or in that of `request`."""
        if self._attributes[self._name] is not self._original and not self._recognise():
            return True
        return client._request_methods.are_replaced(client)  # type: ignore[no-any-return]  # a bool

    def call(
        self,
        client: Any,
        params: Mapping[str, object],
        call_of: CallOf,
        ask: Callable[[Any, Call[object]], object] = _ask,
    ) -> Any:
        """Call it, or what stands in its place.

        Args:
            client: a client of either kind.
            params: the caller's keyword arguments.
            call_of: makes the call that it ends in.
            ask: makes that call.

        Returns:
            Whatever it returns: a result, a stream, a mock; for an async client, what is to be awaited.
        """
        required, parameters = self._parameters()
        arguments: JsonObject = {
            name: _without_models(value)
            for name, value in params.items()
            if value is not None or name in _OPTIONS
        }
        moved = {
            name: value for name, value in arguments.items() if name in self._own and name not in parameters
        }
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
            body: Mapping[str, object] | None = None,
            options: JsonObject | None = None,
            files: Mapping[str, object] | None = None,
            stream: bool = False,
            **types: object,
        ) -> object:
            options = options or {}
            parser = options.get("post_parser")

            def make(body: Any, options: JsonObject, files: Any) -> Call[object]:
                asked = _keyword_arguments(dict(body or {}), options, moved.keys())
                if files:
                    asked.update(files)
                return replace(call_of(asked, stream, parser), is_shown=True)

            if not client._request_methods.are_replaced(client):
                return ask(client, make(body, options, files))
            stand_in = StandIn(
                lambda request: make(
                    request.json_data,
                    given_options(request, "headers", "params", "extra_json", "timeout"),
                    request.files,
                )
            )
            options = {**options, "post_parser": stand_in}
            return client.post(path, body=body, options=options, files=files, stream=stream, **types)

        resource._post = post
        return getattr(resource, self._name)(**arguments)

    def _recognise(self) -> bool:
        """Look whether it is the SDK's own; a tracer may have been there before us, and have left since."""
        present = self._attributes[self._name]
        if is_the_sdks(present):
            self._original = present
        return present is self._original

    def _parameters(self) -> tuple[frozenset[str], frozenset[str]]:
        """Names of the parameters that must be there, and of all."""
        function: Any = self._original or self._attributes[self._name]
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some callables have none
            signature = inspect.Signature()
        parameters = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        if not parameters:
            return frozenset(), names(self._table) | _OPTIONS | {"stream"}
        required = frozenset(p.name for p in parameters if p.default is p.empty)
        return required, frozenset(p.name for p in parameters)


def _keyword_arguments(body: JsonObject, options: JsonObject, moved: Iterable[str]) -> JsonObject:
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


def _without_models(value: object) -> object:
    """A list that can be read twice, with messages as they are sent: the SDK would send their nulls."""
    if isinstance(value, Iterator):
        value = list(value)
    if isinstance(value, (list, tuple)) and any(isinstance(item, BaseModel) for item in value):
        return [
            orjson.loads(encode({"item": item}))["item"] if isinstance(item, BaseModel) else item
            for item in value
        ]
    return value
