"""Bodies of requests, read strictly: what is no JSON object is refused here and reaches no server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..._wire.decoding import JsonObject
from ..http.errors import Refusal

Upload = tuple[str, bytes, str]
"""Name, content and content type of a file."""

_MOST_FIELDS = 200


def read_json(content: bytes) -> JsonObject:
    """Read a body that must be a JSON object.

    Fields that are null say nothing, as to OpenAI's server; vLLM refuses many of them.

    Raises:
        Refusal: it is something else.
    """
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        problem = "is empty" if not content.strip() else f"is not JSON: {error.msg}, at {_place(error)}"
        raise Refusal(400, f"the request's body {problem}") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"the request's body must be a JSON object, not {_kind(body)}")
    if None in body.values():
        body = {name: value for name, value in body.items() if value is not None}
    return body


def take_stream(body: JsonObject) -> bool:
    """Take out of a body whether its answer is to be streamed.

    Raises:
        Refusal: it says neither.
    """
    stream = body.pop("stream", False)
    if not isinstance(stream, bool):
        raise Refusal(400, f"stream must be true or false, not {_kind(stream)}", param="stream")
    return stream


async def read_form(content_type: str, content: bytes) -> tuple[JsonObject, dict[str, Upload]]:
    """Read a multipart form: its fields, of which ``name[]`` are lists, and its files.

    Raises:
        Refusal: it is none.
    """
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refusal(400, "the request must be multipart/form-data, with the audio as its field 'file'")

    async def stream() -> AsyncIterator[bytes]:
        yield content

    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        stream(),  # type: ignore[arg-type]  # an async generator, which this is
        max_files=1,
        max_fields=_MOST_FIELDS,
    )
    parser.max_part_size = len(content) + 1  # the body has a limit of its own
    fields: JsonObject = {}
    files: dict[str, Upload] = {}
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        message = getattr(error, "message", "it names no boundary")
        raise Refusal(400, f"the request's form cannot be read: {message}") from None
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files[name] = (value.filename or name, await value.read(), value.content_type or "")
        elif name.endswith("[]"):
            fields.setdefault(name[:-2], []).append(value)
        else:
            fields[name] = value
    await form.close()
    return fields, files


def _place(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", type(None): "null", dict: "an object"}
    return kinds.get(type(value), "a number")
