"""A server that misbehaves: what the client makes of it, and how many requests that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from tests.client.requests import MESSAGES, PATHS, PLAIN, STREAMED, fault

import vllm_connect
from vllm_connect.sim import Fault, SimServer

CHAT = "chat.completions.create"
CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    501: openai.InternalServerError,
    503: openai.InternalServerError,
}


@pytest.mark.parametrize("operation", PLAIN)
@pytest.mark.parametrize("shape", ["nested", "flat", "string", "detail", "anthropic"])
async def test_error_inside_200_is_an_error(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, shape: str
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("error_200", path=PATHS[operation], code=400, shape=shape, message="Bad Request")
    with pytest.raises(openai.BadRequestError) as caught:
        await client(operation, **PLAIN[operation])
    assert isinstance(caught.value, vllm_connect.VLLMError)
    assert caught.value.operation == operation
    assert caught.value.key_name == "default"
    assert caught.value.server_url == vllm_sim.url
    assert caught.value.http_status == 200
    assert len(vllm_sim.requests) == 1


# A format that a server never understood is doubted first, see below.
IN_ONE_WAY: dict[str, dict[str, Any]] = {"embeddings.create": {"encoding_format": "float"}}


@pytest.mark.parametrize("operation", PLAIN)
async def test_200_with_code_only_or_null_is_an_error(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("error_200", path=PATHS[operation], code=404, shape="code_only")
    with pytest.raises(openai.NotFoundError):
        await client(operation, **PLAIN[operation], **IN_ONE_WAY.get(operation, {}))
    vllm_sim.fail_next("error_200", path=PATHS[operation], shape="null")
    with pytest.raises(vllm_connect.InvalidResponseError, match="null"):
        await client(operation, **PLAIN[operation], **IN_ONE_WAY.get(operation, {}))
    assert len(vllm_sim.requests) == 2


async def test_error_inside_200_of_models(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    vllm_sim.fail_next("error_200", path="/v1/models", code=400)
    with pytest.raises(openai.BadRequestError):
        await make_client(vllm_sim.url)("models.list")


@pytest.mark.parametrize("code", [429, 503])
async def test_error_inside_200_is_retried_like_its_status(
    make_client: Callable[..., Any], vllm_sim: SimServer, code: int
) -> None:
    vllm_sim.fail_next("error_200", code=code)
    answer = await make_client(vllm_sim.url)(CHAT, messages=MESSAGES)
    assert answer.choices[0].message.content == "Grüße 👋"
    assert len(vllm_sim.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "requests"),
    [
        (401, 1),
        (403, 1),
        (404, 1),
        (405, 1),
        (408, 3),
        (429, 3),
        (500, 1),
        (501, 1),
        (502, 3),
        (503, 3),
        (504, 3),
    ],
)
async def test_statuses_and_their_retries(
    make_client: Callable[..., Any], vllm_sim: SimServer, code: int, requests: int, stream: bool
) -> None:
    vllm_sim.fail_always(str(code))
    client = make_client(vllm_sim.url)
    with pytest.raises(CLASSES.get(code, openai.APIStatusError)) as caught:
        await client(CHAT, messages=MESSAGES, stream=stream)
    assert caught.value.status_code == code
    # What else is asked of a server that lacks a route is what it is.
    assert [request.method for request in vllm_sim.requests].count("POST") == requests


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured(
    make_client: Callable[..., Any], vllm_sim: SimServer, waited: list[float], code: int
) -> None:
    vllm_sim.fail_next(str(code), retry_after=7)
    await make_client(vllm_sim.url)(CHAT, messages=MESSAGES)
    assert waited == [7.0]


async def test_500_then_fine_is_not_retried_by_itself(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_next("500")
    with pytest.raises(openai.InternalServerError):
        await client(CHAT, messages=MESSAGES)
    assert (await client(CHAT, messages=MESSAGES)).choices
    assert len(vllm_sim.requests) == 2


@pytest.mark.parametrize("operation", PLAIN)
@pytest.mark.parametrize("body", ["html; status=200", "empty; status=200", "text; status=200; text=oops"])
async def test_a_success_that_is_no_answer(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, body: str
) -> None:
    vllm_sim.fail_next(Fault.of(f"{body}; path={PATHS[operation]}"))
    params = {**PLAIN[operation], **IN_ONE_WAY.get(operation, {})}
    with pytest.raises(vllm_connect.InvalidResponseError) as caught:
        await make_client(vllm_sim.url)(operation, **params)
    assert operation in str(caught.value)
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize("operation", STREAMED)
@pytest.mark.parametrize("body", ["html; status=200", "empty; status=200"])
async def test_a_stream_that_is_none(
    make_client: Callable[..., Any], vllm_sim: SimServer, operation: str, body: str
) -> None:
    with pytest.raises(vllm_connect.VLLMError) as caught:
        await make_client(vllm_sim.url).stream(operation, **PLAIN[operation], **fault(body))
    assert isinstance(caught.value, (vllm_connect.InvalidResponseError, vllm_connect.IncompleteStreamError))
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize("body", ["html; status=502", "empty; status=502", "status; code=502; shape=text"])
async def test_error_pages_of_a_proxy(
    make_client: Callable[..., Any], vllm_sim: SimServer, body: str
) -> None:
    vllm_sim.fail_always(Fault.of(body))
    with pytest.raises(openai.InternalServerError) as caught:
        await make_client(vllm_sim.url, max_retries=1)(CHAT, messages=MESSAGES)
    assert caught.value.status_code == 502
    assert "<html" not in caught.value.message.lower()
    assert len(vllm_sim.requests) == 2


async def test_abort_is_an_answer(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    answer = await client(CHAT, messages=MESSAGES, **fault("abort"))
    assert answer.choices[0].finish_reason == "abort"
    chunks = await client.stream(CHAT, messages=MESSAGES, **fault("abort"))
    assert chunks[-1].choices[0].finish_reason == "abort"


async def test_a_redirect_is_followed(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    answer = await make_client(vllm_sim.url)(CHAT, messages=MESSAGES, **fault("redirect"))
    assert answer.choices[0].message.content == "Grüße 👋"


async def test_a_compressed_answer_is_read(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    assert (await client(CHAT, messages=MESSAGES, **fault("gzip"))).choices[0].message.content == "Grüße 👋"
    chunks = await client.stream(CHAT, messages=MESSAGES, **fault("gzip"))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Grüße 👋"


# Rerank


async def rank(client: Any, **params: Any) -> Any:
    return await client("rerank.create", **PLAIN["rerank.create"], **params)


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_rerank_falls_back_and_remembers(
    make_client: Callable[..., Any], vllm_sim: SimServer, status: int
) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_always(str(status), path="/v1/rerank")
    assert (await rank(client)).results[0].index == 1
    assert (await rank(client)).results[0].index == 1
    assert [request.path for request in vllm_sim.requests] == ["/v1/rerank", "/rerank", "/rerank"]


async def test_rerank_behind_vllm_router(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    vllm_sim.fail_always("vllm_router")
    assert (await rank(client)).results[0].index == 1
    assert [request.path for request in vllm_sim.requests] == ["/v1/rerank", "/rerank", "/v2/rerank"]


async def test_rerank_nowhere_raises_what_says_most(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    vllm_sim.fail_always("404", path="/v1/rerank")
    vllm_sim.fail_always(Fault.of("status; code=404; shape=nested; message=no such model; path=/rerank"))
    vllm_sim.fail_always(Fault.of("status; code=501; shape=nested; message=later; path=/v2/rerank"))
    with pytest.raises(openai.NotFoundError, match="no such model"):
        await rank(make_client(vllm_sim.url))
    assert len(vllm_sim.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 422, 500])
async def test_rerank_does_not_fall_back_on_other_errors(
    make_client: Callable[..., Any], vllm_sim: SimServer, status: int
) -> None:
    vllm_sim.fail_always(Fault.of(f"status; code={status}; message=no; path=/v1/rerank"))
    with pytest.raises(openai.APIStatusError):
        await rank(make_client(vllm_sim.url))
    assert len(vllm_sim.requests) == 1


async def test_a_200_that_says_404_is_no_reason_to_fall_back(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    vllm_sim.fail_always("error_200", path="/v1/rerank", code=404)
    with pytest.raises(openai.NotFoundError):
        await rank(make_client(vllm_sim.url))
    assert len(vllm_sim.requests) == 1


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("rerank_missing_index", "no index"),
        ("rerank_duplicate_index", "twice"),
        ("rerank_index_out_of_range", "out of range"),
        ("rerank_missing_score", "no relevance_score"),
        ("rerank_not_list", "array"),
    ],
)
async def test_rerank_results_that_make_no_sense(
    make_client: Callable[..., Any], vllm_sim: SimServer, name: str, what: str
) -> None:
    with pytest.raises(vllm_connect.InvalidResponseError, match=what):
        await rank(make_client(vllm_sim.url), **fault(name))
    assert len(vllm_sim.requests) == 1


async def test_rerank_scores_of_other_kinds(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    assert (await rank(client, **fault("rerank_score_key"))).results[0].index == 1
    zero = await rank(client, **fault("rerank_zero_score"))
    assert [(result.index, result.relevance_score) for result in zero.results] == [(0, 0.0), (1, 0.0)]
    assert [result.index for result in (await rank(client, **fault("rerank_unsorted"))).results] == [1, 0]


# Embeddings


async def test_embeddings_come_in_order(make_client: Callable[..., Any], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    params = {"input": ["one", "two", "three"], "encoding_format": "float"}
    right = await client("embeddings.create", **params)
    shuffled = await client("embeddings.create", **params, **fault("data_shuffled"))
    assert [item.embedding for item in shuffled.data] == [item.embedding for item in right.data]
    with pytest.raises(vllm_connect.InvalidResponseError, match="2 embeddings for 3 inputs"):
        await client("embeddings.create", **params, **fault("data_one_missing"))


def formats(server: SimServer) -> list[str]:
    return [request.json["encoding_format"] for request in server.requests]


async def test_embeddings_of_a_server_without_binary_formats(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    for _ in range(2):
        vllm_sim.fail_next("status", code=400, message="encoding_format: Input should be 'float'")
    first = await client("embeddings.create", input="one")
    second = await client("embeddings.create", input="one")
    assert formats(vllm_sim) == ["bytes", "base64", "float", "float"]
    assert first.data[0].embedding == second.data[0].embedding


async def test_embeddings_behind_a_proxy_that_refuses_large_headers(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    texts = [f"text {number}" for number in range(100)]
    vllm_sim.fail_next("502")
    assert len((await client("embeddings.create", input=texts)).data) == 100
    assert len((await client("embeddings.create", input=texts)).data) == 100
    assert formats(vllm_sim) == ["bytes", "base64", "base64"]


@pytest.mark.parametrize("failure", [415, 422, 500, 501, 502, "html", "garbage", "error_200"])
@pytest.mark.parametrize("count", [1, 40, 600])
async def test_embeddings_behind_a_proxy_that_reads_json_alone(
    make_client: Callable[..., Any], vllm_sim: SimServer, failure: int | str, count: int
) -> None:
    client = make_client(vllm_sim.url, max_retries=0)
    if failure == "html":
        vllm_sim.fail_next("html", status=200)
    elif failure == "garbage":
        vllm_sim.fail_next("text", status=200, text='{"data": [{"index": 0, "embedding": "\ufffd"}]}')
    elif failure == "error_200":
        vllm_sim.fail_next("error_200", code=500, message="cannot decode")
    else:
        vllm_sim.fail_next("status", code=failure, message="'utf-8' codec can't decode byte 0xd1")
    for _ in range(2):
        assert len((await client("embeddings.create", input=["text"] * count)).data) == count
    first, second = ("base64", "float") if count > 512 else ("bytes", "base64")
    assert formats(vllm_sim) == [first, second, second]
    assert [server.state for server in client.client.servers()] == ["healthy"]


@pytest.mark.parametrize("status", [500, 422])
async def test_a_format_that_was_understood_once_is_not_doubted_again(
    make_client: Callable[..., Any], vllm_sim: SimServer, status: int
) -> None:
    client = make_client(vllm_sim.url)
    await client("embeddings.create", input="one")
    vllm_sim.fail_next("status", code=status, message="broken")
    with pytest.raises(openai.APIStatusError, match="broken"):
        await client("embeddings.create", input="one")
    assert formats(vllm_sim) == ["bytes", "bytes"]


async def test_many_inputs_do_not_unlearn_the_format_of_few(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url)
    for count in (1, 600, 1):
        await client("embeddings.create", input=["text"] * count)
    assert formats(vllm_sim) == ["bytes", "base64", "bytes"]


async def test_embeddings_of_a_server_that_fails_in_every_format(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    client = make_client(vllm_sim.url, max_retries=1)
    vllm_sim.fail_always("502")
    with pytest.raises(openai.InternalServerError):
        await client("embeddings.create", input="one")
    assert formats(vllm_sim) == ["bytes", "base64", "float", "bytes"]  # each once, and then a retry


async def test_a_dead_engine_is_not_asked_in_another_format(
    make_client: Callable[..., Any], vllm_sim: SimServer
) -> None:
    vllm_sim.fail_next("status", code=500, message="EngineCore encountered an issue.")
    with pytest.raises(openai.InternalServerError):
        await make_client(vllm_sim.url)("embeddings.create", input="one")
    assert formats(vllm_sim) == ["bytes"]


@pytest.mark.parametrize("count", [1, 100, 600])
async def test_embeddings_travel_in_bytes_where_their_header_is_not_too_large(
    make_client: Callable[..., Any], vllm_sim: SimServer, count: int
) -> None:
    client = make_client(vllm_sim.url)
    found = await client("embeddings.create", input=["text"] * count)
    assert formats(vllm_sim) == ["bytes" if count <= 512 else "base64"]
    assert found.usage.prompt_tokens > 0
    assert len({tuple(item.embedding) for item in found.data}) == 1
