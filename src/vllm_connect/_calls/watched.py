"""Whoever replaced `post`, `get` or `request` of the SDK's clients, and what is shown to them.

Tracers and mocks replace these methods on a class, or on one client, before or after we were imported, and
expect every call to come by: its path, its body as values, the type of its answer. Our own calls carry bytes
and take a shorter way. So where somebody is there, a call goes the SDK's way: through `post` or `get`, which
end in `request`, shown as the SDK would show it; a `StandIn` goes along, by which the client knows its own
call again, and makes it of what the request has become by then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import openai
import orjson
import typing_extensions
from openai import NotGiven

from .._wire.body import encode
from .._wire.decoding import JsonObject
from .call import Call, Variant

if TYPE_CHECKING:
    from openai._models import FinalRequestOptions

# Where the code of its methods is; `@deprecated` puts its own around some.
_SDK = (str(Path(openai.__file__).parent), inspect.getfile(typing_extensions.deprecated))


def is_the_sdks(method: object) -> bool:
    """Tell whether a method is the SDK's own, and nobody's wrapper of it."""
    # Not isinstance: proxies pass for what they wrap.
    return type(method) is FunctionType and method.__code__.co_filename.startswith(_SDK)


class RequestMethods:
    """The methods by which a kind of client makes requests.

    Args:
        client: our class.
        sdk: the SDK's class that it is made of.
    """

    def __init__(self, client: Any, sdk: Any) -> None:
        self._own_request = client.request
        self._sdk = sdk
        self._post: object = None
        self._get: object = None
        self._request: object = None
        self._recognise(client)

    def are_replaced(self, client: Any) -> bool:
        """Tell whether something else stands in the place of one of them, on the class or on this client."""
        cls = client.__class__
        if (
            cls.post is self._post
            and cls.request is self._own_request
            and self._sdk.request is self._request
            and cls.get is self._get
        ):
            attributes = client.__dict__
            return "post" in attributes or "request" in attributes or "get" in attributes
        return not self._recognise(cls) or self.are_replaced(client)

    def _recognise(self, cls: Any) -> bool:
        """Look whether they are the SDK's own; others may have been there before us, and have left since."""
        methods = cls.post, cls.get, self._sdk.request
        if not all(map(is_the_sdks, methods)):
            return False
        self._post, self._get, self._request = methods
        return cls.request is self._own_request


class StandIn:
    """Goes along with a request that is shown, in the place of what parses its answer.

    Args:
        call_of: makes the call of the request's options.
    """

    def __init__(self, call_of: Callable[[FinalRequestOptions], Call[object]]) -> None:
        self.call_of = call_of

    def __call__(self, reply: object) -> object:
        return reply


class Snapshot(NamedTuple):
    """The part of a call that was shown.

    Attributes:
        stand_in: what makes the call.
        body: the body, kept apart from what is shown, which may be changed in its place.
        extra: `extra_body` where the SDK keeps it apart.
    """

    stand_in: StandIn
    body: object
    extra: object

    @classmethod
    def of(cls, stand_in: StandIn, options: FinalRequestOptions) -> Snapshot:
        """Note what is shown."""
        return cls(stand_in, _copied(options.json_data), _copied(options.extra_json))

    def is_changed(self, options: FinalRequestOptions) -> bool:
        """Tell whether somebody changed it."""
        return options.json_data != self.body or options.extra_json != self.extra


def show(call: Call[object]) -> tuple[str, JsonObject]:
    """Tell how a call that is not one of the SDK's is shown.

    Returns:
        Its path below ``/v1``, and arguments of `post`, or `get`.
    """
    body = _body_of(call)
    stand_in = StandIn(lambda options: replace(_changed(call, body, options.json_data), is_shown=True))
    options = {name: value for name, value in call.options.items() if name != "params" or value}
    arguments: JsonObject = {"options": {**options, "post_parser": stand_in}}
    if call.method != "get":
        arguments |= {"body": _copied(body), "files": call.files}
    return call.variants[0].path.removeprefix("/v1"), arguments


def _body_of(call: Call[object]) -> JsonObject | None:
    model = {} if call.model is None else {"model": call.model}
    if call.form is not None:
        return {**model, **call.form}
    content = _content(call.variants[0])
    return None if content is None else {**model, **orjson.loads(content)}


def _content(variant: Variant) -> bytes | None:
    return variant.body() if callable(variant.body) else variant.body


def _changed(call: Call[object], shown: JsonObject | None, body: object) -> Call[object]:
    """The call with what somebody changed of its body, in each of its variants."""
    if body == shown or not isinstance(body, Mapping) or shown is None:
        return call
    changes = {name: value for name, value in body.items() if name not in shown or shown[name] != value}
    gone = shown.keys() - body.keys()
    model = changes.pop("model", None if "model" in gone else call.model)

    def change(fields: Mapping[str, object]) -> JsonObject:
        return {**{name: value for name, value in fields.items() if name not in gone}, **changes}

    if call.form is not None:
        return replace(call, model=model, form=change(call.form))
    variants = tuple(
        variant if (content := _content(variant)) is None
        else variant._replace(body=encode(change(orjson.loads(content)), operation=call.operation))
        for variant in call.variants
    )  # fmt: skip
    return replace(call, model=model, variants=variants)


def _copied(value: object) -> object:
    """A copy of what JSON can carry; anything else stands for itself."""
    if isinstance(value, Mapping):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def given_options(options: FinalRequestOptions, *names: str) -> JsonObject:
    """The fields of the SDK's options that were given; a None says something of `timeout` alone."""
    fields = {name: getattr(options, name) for name in names if name in options.model_fields_set}
    return {
        name: value
        for name, value in fields.items()
        if not isinstance(value, NotGiven) and (value is not None or name == "timeout")
    }
