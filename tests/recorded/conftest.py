"""The operations from cassettes: what real vLLM servers answered, replayed with the network closed.

A body has one cassette, `cassettes/operations/CLASS/BODY.yaml`, that both clients and both majors of the
SDK replay: their requests must be the same as those that were recorded, in server, method, path and body.
Each recorded exchange must be asked for. `scripts/record.py` records anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.recorded import readable

SERVERS = ("chat", "embed", "rerank", "whisper", "vision")


def is_recording(config):
    return config.getoption("--record-mode") not in (None, "none")


def pytest_collection_modifyitems(config, items):
    """Close the network to this folder's bodies, and record each of them once, with the sync client."""
    for item in [item for item in items if Path(__file__).parent in item.path.parents]:
        if getattr(item, "cls", None) is not None:
            item.add_marker(pytest.mark.vcr)
            # The pattern matches no host; an --allowed-hosts of the command line is for other tests.
            item.add_marker(pytest.mark.block_network(allowed_hosts=["(?!)"]))
        parameters = getattr(item, "callspec", None) and item.callspec.params
        if is_recording(config) and parameters and parameters.get("kind") == "async":
            items.remove(item)


def pytest_recording_configure(config, vcr):
    """Make cassettes that a person can read."""
    vcr.register_serializer("yaml", readable)


@pytest.fixture(scope="session")
def addresses():
    """Server to address: where it runs while recording, and the name that cassettes know it by."""
    return {name: os.environ.get(f"VLLM_LIVE_{name.upper()}_URL", "") for name in SERVERS}


def url_of(name):
    @pytest.fixture(scope="session")
    def url(request, addresses):
        if not is_recording(request.config):
            return readable.name_of(name)
        assert addresses[name], (
            f"no {name} server to record from: python -m scripts.live run -- scripts/record.py"
        )
        return addresses[name]

    return url


chat_url = url_of("chat")
embed_url = url_of("embed")
rerank_url = url_of("rerank")
whisper_url = url_of("whisper")
vision_url = url_of("vision")


@pytest.fixture
def vcr_config(addresses):
    return {
        "match_on": ["host", "method", "path", "query", "body"],
        "before_record_request": readable.Request(addresses),
        "before_record_response": readable.response,
    }


@pytest.fixture(scope="module")
def vcr_cassette_dir():
    return str(readable.CASSETTES)


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
