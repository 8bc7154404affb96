"""Every operation with both clients, on what real vLLM servers answered or, with `--servers live`, answer.

A body has one cassette, `cassettes/operations/CLASS/BODY.yaml`, that both clients and both majors of the
SDK replay with the network closed: their requests must be the same as those that were recorded, in server,
method, path and body. Each recorded exchange must be asked for. `scripts/record.py` records anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.operations import cassettes
from tests.operations.catalogue import PLAIN, STREAM
from tests.servers import LIVE, find_servers, is_recording, mark_live

from vllm_connect._calls.attempt import Attempt

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    """Close the network to this folder's bodies, and record each of them once, with the sync client."""
    bodies = [item for item in items if HERE in item.path.parents and item.cls is not None]
    if config.getoption("--servers") == LIVE:
        mark_live(bodies)
        return
    for body in bodies:
        body.add_marker(pytest.mark.vcr)
        # The pattern matches no host; an --allowed-hosts of the command line is for other tests.
        body.add_marker(pytest.mark.block_network(allowed_hosts=["(?!)"]))
        if is_recording(config) and body.callspec.params.get("kind") == "async":
            items.remove(body)


def pytest_recording_configure(config, vcr):
    """Make cassettes that a person can read."""
    vcr.register_serializer("yaml", cassettes)


@pytest.fixture
def vcr_config(request):
    addresses = find_servers() if is_recording(request.config) else {}
    return {
        "match_on": ["host", "method", "path", "query", "body"],
        "before_record_request": cassettes.Request(addresses),
        "before_record_response": cassettes.response,
    }


@pytest.fixture(scope="module")
def vcr_cassette_dir():
    return str(cassettes.CASSETTES)


@pytest.fixture
def default_cassette_name(request):
    parameters = request.node.callspec.id.split("-")
    parameters.remove(request.node.callspec.params["kind"])
    body = request.function.__name__.removeprefix("test_")
    return "/".join([request.cls.__name__.removeprefix("Test"), "-".join([body, *parameters])])


@pytest.fixture(autouse=True)
def every_exchange_is_asked_for(vcr, request):
    """A cassette that holds more than the body asks for would hide a request that is no longer made."""
    yield
    if vcr is not None and not is_recording(request.config):
        left = [f"{one.method} {one.path}" for i, one in enumerate(vcr.requests) if not vcr.play_counts[i]]
        assert not left, f"recorded but not asked for: {left}"


@pytest.fixture(autouse=True)
def does_what_it_says(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs every body with both clients, and fails one that does not ask for what it `covers`."""
    if request.cls is None:  # about the bodies, not one of them
        yield
        return
    asked = set()
    begin = Attempt.__init__

    def noting(self: Any, call: Any, *args: Any) -> None:
        asked.add((call.operation, STREAM if call.read_event else PLAIN))
        begin(self, call, *args)

    monkeypatch.setattr(Attempt, "__init__", noting)
    yield
    for operation, form in getattr(request.function, "covers", ()):
        wire = operation.replace(".parse", ".create").replace(".stream", ".create")
        assert (wire, form) in asked, f"says that it covers {operation} {form}, and did not ask for it"
