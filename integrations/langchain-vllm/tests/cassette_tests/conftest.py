"""Cassettes, a file for each test: what real vLLM servers answered, without secrets and addresses.

vllm-connect's `make record` records them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from vcr.serializers import yamlserializer

from tests.servers import live_url

SERVERS = ("chat", "vision", "embed")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INDENTATION = re.compile(r"\\n +")


def address_of(server: str) -> str:
    """Where cassettes say that a server is; nothing can ever answer there."""
    return f"http://{server}.invalid"


def _request(request: Any) -> Any:
    """A request without what differs from run to run."""
    for server in SERVERS:
        url = live_url(server)
        if url is not None and urlsplit(url).netloc == urlsplit(request.uri).netloc:
            request.uri = request.uri.replace(url, address_of(server), 1)
    if request.body:
        # Some tests make ids for the tool calls of their examples.
        ids: dict[str, str] = {}
        text = request.body.decode() if isinstance(request.body, bytes) else request.body
        text = _UUID.sub(lambda found: ids.setdefault(found[0], f"uuid-{len(ids) + 1}"), text)
        # Tools are described by docstrings, of which Python 3.13 drops the indentation.
        request.body = _INDENTATION.sub(r"\\n", text)
    for name in [name for name in request.headers if name.lower() != "content-type"]:
        del request.headers[name]
    return request


def _response(response: dict[str, Any]) -> dict[str, Any]:
    """A response without what is of no use in a replay."""
    kept = {"content-type", "metadata"}  # of vectors that come as bytes, the latter tells the shape
    headers = {name.lower(): values for name, values in response["headers"].items()}
    response["headers"] = {name: values for name, values in headers.items() if name in kept}
    return response


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


class _Readable:
    """YAML whose texts of several lines are blocks."""

    @staticmethod
    def serialize(cassette: Any) -> str:
        return yaml.dump(cassette, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf"))

    @staticmethod
    def deserialize(text: str) -> Any:
        return yamlserializer.deserialize(text)


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    vcr.register_serializer("yaml", _Readable)


@pytest.fixture(scope="session")
def vcr_config() -> dict[str, Any]:
    return {
        "match_on": ["method", "host", "path", "body"],
        "before_record_request": _request,
        "before_record_response": _response,
    }


@pytest.fixture
def default_cassette_name(request: pytest.FixtureRequest) -> str:
    return f"{request.cls.__name__}/{request.node.name}"


@pytest.fixture(autouse=True)
def _every_exchange_is_asked_for(vcr: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """More than a test asks for would hide a request that is no longer made."""
    yield
    if vcr is not None and request.config.getoption("--record-mode") in (None, "none"):
        left = [f"{one.method} {one.path}" for i, one in enumerate(vcr.requests) if not vcr.play_counts[i]]
        assert not left, f"recorded but not asked for: {left}"
