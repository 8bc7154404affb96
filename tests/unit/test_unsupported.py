"""Every method of the installed SDK either works here or is refused by name, without a request."""

import functools
import inspect
from operator import attrgetter

import openai
import pytest
from openai._resource import AsyncAPIResource, SyncAPIResource

from vllm_connect import UnsupportedOperationError, VLLMError
from vllm_connect._transport._httpx import httpx

SUPPORTED = {
    "beta.chat.completions.create",
    "beta.chat.completions.parse",
    "beta.chat.completions.stream",
    "audio.transcriptions.create",
    "audio.translations.create",
    "chat.completions.create",
    "chat.completions.parse",
    "chat.completions.stream",
    "completions.create",
    "embeddings.create",
    "models.list",
    "responses.create",
    "responses.cancel",
    "responses.parse",
    "responses.retrieve",
    "responses.stream",
}
if hasattr(openai.OpenAI, "decisions"):  # the SDK 2.x has none
    SUPPORTED.add("decisions.create")
OUR_OWN = {
    "decisions.create",
    "classify.create",
    "generate.abort",
    "generate.create",
    "generative_scoring.create",
    "lora.load",
    "lora.unload",
    "messages.count_tokens",
    "messages.create",
    "messages.render",
    "pooling.create",
    "rerank.create",
    "score.create",
    "server.health",
    "server.is_paused",
    "server.is_sleeping",
    "server.load",
    "server.metrics",
    "server.pause",
    "server.reset_prefix_cache",
    "server.resume",
    "server.server_info",
    "server.sleep",
    "server.version",
    "server.wake_up",
    "tokens.detokenize",
    "tokens.tokenize",
}
#: What the SDK's clients have besides resources: nothing of it names a route.
ON_THE_CLIENT = {
    "auth_headers", "base_url", "close", "copy", "custom_auth", "default_headers", "default_query", "delete",
    "get", "get_api_list", "is_closed", "patch", "platform_headers", "post", "put", "qs", "request",
    "user_agent", "with_options",
}  # fmt: skip
WRAPPERS = {"with_raw_response", "with_streaming_response"}


def public(thing):
    return [name for name in dir(type(thing)) if not name.startswith("_") and name not in WRAPPERS]


def resources_of(thing):
    """The sub-resources of a client or resource of the SDK, and the names of its other attributes."""
    found, others = {}, []
    for name in public(thing):
        kind = inspect.getattr_static(type(thing), name)
        value = getattr(thing, name) if isinstance(kind, (functools.cached_property, property)) else None
        if isinstance(value, (SyncAPIResource, AsyncAPIResource)):
            found[name] = value
        else:
            others.append(name)
    return found, others


def methods(thing, path=""):
    """Paths of all methods of all resources below."""
    below, others = resources_of(thing)
    if path:
        yield from (f"{path}.{name}" for name in others)
    for name, resource in below.items():
        yield from methods(resource, f"{path}.{name}".lstrip("."))


def sdk_client(kind):
    return (openai.OpenAI if kind == "sync" else openai.AsyncOpenAI)(api_key="k", base_url="http://nowhere")


@pytest.fixture
def client(make_client, kind):
    """A client of which every request fails the test."""

    def refuse(request):
        pytest.fail(f"a request was made: {request.method} {request.url}")

    http_client = (httpx.Client if kind == "sync" else httpx.AsyncClient)(
        transport=httpx.MockTransport(refuse)
    )
    return make_client("http://gpu:8000", http_client=http_client, max_retries=0).client


async def outcome(method):
    """What a call ends in: its exception, or None."""
    try:
        made = method()
        if inspect.isawaitable(made):
            made = await made
        if hasattr(made, "__aenter__"):  # with_streaming_response makes the call when it is entered
            await made.__aenter__()
        elif hasattr(made, "__enter__"):
            made.__enter__()
    except (openai.OpenAIError, AttributeError, TypeError) as error:
        return error
    return None


def test_the_walk_finds_the_sdk(kind):
    found = set(methods(sdk_client(kind)))
    assert found > SUPPORTED
    assert len(found) > 250
    assert {"images.generate", "files.list", "batches.create", "responses.delete", "audio.speech.create",
            "fine_tuning.jobs.create", "beta.threads.runs.create", "realtime.connect"} <= found  # fmt: skip


def test_nothing_new_on_the_client(kind):
    assert set(resources_of(sdk_client(kind))[1]) <= ON_THE_CLIENT


def test_both_kinds_offer_the_same():
    assert set(methods(sdk_client("sync"))) == set(methods(sdk_client("async")))


def wrapped(path, wrapper):
    """The path through one of the SDK's two wrappers, at the resource."""
    resource, _, method = path.rpartition(".")
    return f"{resource}.{wrapper}.{method}"


WAYS = {
    "plain": str,
    **{f"resource's {wrapper}": functools.partial(wrapped, wrapper=wrapper) for wrapper in WRAPPERS},
    **{f"client's {wrapper}": f"{wrapper}.{{}}".format for wrapper in WRAPPERS},
}


@pytest.mark.parametrize("way_to", sorted(WAYS))
async def test_everything_else_is_refused(client, kind, way_to):
    sdk = sdk_client(kind)
    refused = 0
    for path in sorted(set(methods(sdk)) - SUPPORTED):
        way = WAYS[way_to](path)
        try:
            attrgetter(way)(sdk)
        except AttributeError:
            continue  # the SDK does not go this way
        error = await outcome(attrgetter(way)(client))
        assert isinstance(error, UnsupportedOperationError), way
        name = path.removeprefix("beta.") if path.startswith("beta.chat.") else path  # the same class
        assert (error.operation, error.provider, error.code) == (name, "vllm", "unsupported_operation"), way
        assert str(error).startswith(f"{name} is not supported by vllm"), way
        assert isinstance(error, (VLLMError, openai.OpenAIError))
        refused += 1
    assert refused > 200


@pytest.mark.parametrize("path", sorted(SUPPORTED))
async def test_what_is_supported_is_ours(client, path):
    method = attrgetter(path)(client)
    assert method.__func__.__module__.startswith("vllm_connect.")
    for wrapper in WRAPPERS:
        if not path.endswith((".stream", ".parse")):  # of which the SDK wraps only some
            assert callable(attrgetter(wrapped(path, wrapper))(client))
            if not path.startswith("beta."):  # whose chat the SDK's wrapped clients lack
                assert callable(attrgetter(f"{wrapper}.{path}")(client))


@pytest.mark.parametrize("path", sorted(OUR_OWN))
async def test_our_own(client, path):
    assert callable(attrgetter(path)(client))
    for wrapper in WRAPPERS:
        assert callable(attrgetter(wrapped(path, wrapper))(client))


def test_no_other_resource_of_ours(client):
    """So that a new one is listed here."""
    ours = {
        f"{name}.{method}"
        for name in public(client)
        if isinstance(inspect.getattr_static(type(client), name), functools.cached_property)
        for method in getattr(getattr(client, name), "methods", ())
        if isinstance(method, str)
    }
    assert ours == OUR_OWN


async def test_arguments_change_nothing(client):
    error = await outcome(lambda: client.images.generate("a", prompt="b", model="c"))
    assert isinstance(error, UnsupportedOperationError)
    assert error.operation == "images.generate"
    error = await outcome(lambda: client.models.retrieve("m", extra_headers={}))
    assert "models.list()" in str(error)
    assert error.reason in str(error)


async def test_a_resource_that_no_sdk_has_yet(client):
    assert repr(client.images) == "<images: not supported by vLLM>"
    error = await outcome(client.images.new_in_openai_4)
    assert error.operation == "images.new_in_openai_4"
    assert not hasattr(client, "no_such_resource")


def test_what_is_refused_keeps_its_name_and_help(client):
    assert client.models.retrieve.__name__ == "retrieve"
    assert client.models.retrieve.__doc__
