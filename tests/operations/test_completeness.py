"""No operation is missing, nor a form of one; and nothing is in a cassette that must not be there."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from operator import attrgetter
from pathlib import Path

import pytest
from tests.operations.cassettes import CASSETTES
from tests.operations.catalogue import OPERATIONS
from tests.servers import API_KEY

from vllm_connect import VLLM, AsyncVLLM, UnsupportedOperationError
from vllm_connect._transport._httpx import httpx
from vllm_connect._unsupported import UnsupportedResource

FILES = sorted(CASSETTES.rglob("*.yaml"))


@functools.cache
def bodies():
    """The test classes of this folder; no two share a name, after which their cassettes are called."""
    classes = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.operations.{file.stem}")
        for name, cls in inspect.getmembers(module, inspect.isclass):
            if name.startswith("Test") and cls.__module__ == module.__name__:
                assert name not in classes, f"two classes are called {name}"
                classes[name] = cls
    return classes


def methods_of(cls):
    return {
        name: body for name, body in inspect.getmembers(cls, inspect.isfunction) if name.startswith("test_")
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_form_of_an_operation_has_a_body(operation):
    covered = {
        pair
        for cls in bodies().values()
        for body in methods_of(cls).values()
        for pair in getattr(body, "covers", ())
    }
    assert {form for name, form in covered if name == operation} == set(OPERATIONS[operation])


# The first two want servers that keep responses (VLLM_ENABLE_RESPONSES_API_STORE=1), which those that were
# recorded do not; the third tells everything of a machine, so it is asked live alone; the last asks others.
UNRECORDED = {"responses.cancel", "responses.retrieve", "server.server_info", "server.wait_until_ready"}


def test_every_operation_of_the_client_is_listed():
    """Whatever the client offers and does not refuse is an operation."""
    failing = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500)))
    client = VLLM("http://nobody.invalid", max_retries=0, http_client=failing)
    found = {"tokenize", "detokenize"}
    for name in dir(VLLM):
        attribute = inspect.getattr_static(VLLM, name)
        if isinstance(attribute, functools.cached_property) and name not in (
            "beta",  # has nothing but `chat`
            "tokens",
            "with_raw_response",
            "with_streaming_response",
        ):
            found |= offered(name, getattr(client, name))
    client.close()
    assert found - UNRECORDED == set(OPERATIONS)


def offered(path, resource):
    """The operations below a resource."""
    found = set()
    for name in dir(resource):
        if name.startswith(("_", "with_")) or name == "methods":
            continue
        attribute = getattr(resource, name)
        if isinstance(attribute, UnsupportedResource):
            continue
        if not callable(attribute):
            found |= offered(f"{path}.{name}", attribute)
            continue
        try:
            attribute()
        except UnsupportedOperationError:
            continue
        except Exception:  # noqa: BLE001  # for want of arguments, or of a server
            pass
        found.add(f"{path}.{name}")
    return found


def test_the_async_client_offers_the_same():
    client = AsyncVLLM("http://nobody.invalid")
    for operation in OPERATIONS:
        assert callable(attrgetter(operation)(client))


def test_every_cassette_belongs_to_a_body():
    assert FILES
    known = {
        (name.removeprefix("Test"), method.removeprefix("test_"))
        for name, cls in bodies().items()
        for method in methods_of(cls)
    }
    orphans = [file for file in FILES if (file.parent.name, file.stem.partition("-")[0]) not in known]
    assert not orphans


def test_every_server_and_status_is_there():
    """The recordings are of real variety, not of one server that answered 200."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
    servers = set(re.findall(r"^ *uri: http://(\w+)\.invalid/", text, re.MULTILINE))
    assert servers == {"chat", "embed", "rerank", "whisper", "vision", "open"}
    assert set(re.findall(r"^ *code: (\d+)$", text, re.MULTILINE)) == {"200", "400", "403", "404", "501"}


def test_cassettes_tell_nothing_of_a_machine():
    secret = re.compile(
        rf"{API_KEY}|authorization|bearer|127\.0\.0\.1|localhost|/root/|/home/|/tmp/", re.IGNORECASE
    )
    found = {file.name: secret.findall(file.read_text(encoding="utf-8")) for file in FILES}
    assert not {name: words for name, words in found.items() if words}


def test_cassettes_are_small():
    assert sum(file.stat().st_size for file in FILES) < 2_000_000
