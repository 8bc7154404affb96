"""What a cassette keeps of an exchange: no secret, no address or path of a machine, and legible.

vcrpy passes every request through `Request` before it records or looks it up, every response through
`response` before it records it, and whole cassettes through `serialize`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from tests.servers import recorded_address
from vcr.serializers import yamlserializer

CASSETTES = Path(__file__).parents[2] / "cassettes" / "operations"
REQUEST_HEADERS = frozenset({"content-type", "x-request-id"})
RESPONSE_HEADERS = frozenset({"content-type", "metadata"})
METRICS = re.compile(rb"^.*vllm:num_requests_running.*$", re.MULTILINE)
ROOT = re.compile(rb'"root":"[^"]*/([^"/]+)"')


class Request:
    """Takes out of a request what differs from one run to the next.

    Args:
        addresses: server to address, "" for those that do not run.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._names = {urlsplit(url).netloc: recorded_address(name) for name, url in addresses.items() if url}

    def __call__(self, request: Any) -> Any:
        address = urlsplit(request.uri)
        if address.netloc in self._names:
            request.uri = self._names[address.netloc] + request.uri.partition(address.netloc)[2]
        content_type = request.headers.get("content-type", "")
        if "boundary=" in content_type:
            request.body = form(request.body, content_type)
            request.headers["content-type"] = content_type.partition(";")[0]
        for header in [name for name in request.headers if name.lower() not in REQUEST_HEADERS]:
            del request.headers[header]
        return request


def form(body: bytes, content_type: str) -> str:
    """A multipart form as one line for each part; of a file its name, its size and its hash."""
    header = Message()
    header["content-type"] = content_type
    boundary = str(header.get_param("boundary")).encode()
    lines = []
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        content = content.removesuffix(b"\r\n")
        names = re.findall(rb'name="([^"]*)"', head)
        if len(names) == 1:
            lines.append(f"{names[0].decode()}: {content.decode()}")
        else:
            digest = hashlib.sha256(content).hexdigest()
            lines.append(f"{names[0].decode()}: {names[1].decode()}, {len(content)} bytes, sha256 {digest}")
    return "\n".join(lines)


def response(response: dict[str, Any]) -> dict[str, Any]:
    """A response without what is of no use in a replay."""
    response["headers"] = {
        name.lower(): values
        for name, values in response["headers"].items()
        if name.lower() in RESPONSE_HEADERS
    }
    body = ROOT.sub(rb'"root":"/models/\1"', response["body"]["string"])
    if body.startswith(b"# HELP"):
        body = b"\n".join(METRICS.findall(body)) + b"\n"
    response["body"]["string"] = body
    return response


# --- the serializer: YAML whose texts of several lines are blocks -----------------------------------------


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def serialize(cassette: Any) -> str:
    return yaml.dump(cassette, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf"))


def deserialize(text: str) -> Any:
    return yamlserializer.deserialize(text)
