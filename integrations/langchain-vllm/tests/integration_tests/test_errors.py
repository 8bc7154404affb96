"""Errors: the client's, the SDK's and langchain-core's at once, after one layer of retries."""

from __future__ import annotations

import openai
import pytest
import vllm_connect
from langchain_core import exceptions as core

from langchain_vllm import ChatVLLM, VLLMCompletion, VLLMCrossEncoder, VLLMEmbeddings, VLLMRerank

STATUSES = [
    (400, vllm_connect.BadRequestError, core.ModelInvalidRequestError),
    (401, vllm_connect.AuthenticationError, core.ModelAuthenticationError),
    (403, vllm_connect.PermissionDeniedError, core.ModelPermissionDeniedError),
    (404, vllm_connect.NotFoundError, core.ModelNotFoundError),
    (409, vllm_connect.ConflictError, core.ModelInvalidRequestError),
    (422, vllm_connect.UnprocessableEntityError, core.ModelInvalidRequestError),
    (429, vllm_connect.RateLimitError, core.ModelRateLimitError),
    (500, vllm_connect.InternalServerError, core.ModelAPIError),
    (503, vllm_connect.InternalServerError, core.ModelAPIError),
]


async def ways(model):
    """Every way to ask a chat model."""
    yield lambda: model.invoke("Hello")
    yield lambda: list(model.stream("Hello"))
    yield lambda: list(model.stream_events("Hello", version="v3"))


@pytest.mark.parametrize(("status", "client_class", "core_class"), STATUSES)
async def test_statuses(sim, model, status, client_class, core_class):
    sim.fail_always("status", code=status)

    async def stream():
        return [chunk async for chunk in model.astream("Hello")]

    async for ask in ways(model):
        with pytest.raises(core_class) as caught:
            ask()
        check(caught.value, client_class, status)
    for ask in (lambda: model.ainvoke("Hello"), stream):
        with pytest.raises(core_class) as caught:
            await ask()
        check(caught.value, client_class, status)


def check(error, client_class, status):
    assert isinstance(error, client_class)
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.operation) == (status, "chat.completions.create")
    assert error.server_url.startswith("http://127.0.0.1")


@pytest.mark.parametrize("ask", [ChatVLLM.invoke, lambda model, text: list(model.stream(text))])
def test_too_long_a_prompt(model, ask):
    with pytest.raises(core.ContextOverflowError) as caught:
        ask(model, "word " * 40000)
    assert isinstance(caught.value, vllm_connect.ContextLengthError)


def test_an_error_inside_a_success(sim, model):
    sim.fail_always("error_200")
    with pytest.raises(core.ModelError):
        model.invoke("Hello")


def test_a_stream_that_breaks(sim, model):
    sim.fail_always("cut")
    with pytest.raises(core.ModelAPIError) as caught:
        list(model.stream("Count to 50"))
    assert isinstance(caught.value, vllm_connect.IncompleteStreamError)
    assert caught.value.is_retryable


@pytest.mark.parametrize("where", ["first", "middle"])
async def test_a_stream_that_stalls(sim, where):
    """`timeout` is for the first token, and from one to the next."""
    model = ChatVLLM(base_url=sim.url, timeout=0.2, max_retries=0)
    sim.fail_always("stall", where=where, after=3, seconds=5)
    seen: list[str] = []

    async def read():
        async for chunk in model.astream("Count to 9"):
            seen.append(chunk.content)

    with pytest.raises(core.ModelTimeoutError):
        seen.extend(chunk.content for chunk in model.stream("Count to 9"))
    assert bool(seen) == (where == "middle")
    seen.clear()
    with pytest.raises(core.ModelTimeoutError):
        await read()
    assert bool(seen) == (where == "middle")


def test_no_server():
    model = ChatVLLM(base_url="http://127.0.0.1:9", max_retries=0)
    with pytest.raises(core.ModelConnectionError) as caught:
        model.invoke("Hello")
    assert isinstance(caught.value, openai.APIConnectionError)


def test_no_key():
    model = ChatVLLM(model="m", keys=[{"name": "a", "url": "http://a", "models": ["other"]}])
    with pytest.raises(core.ModelNotFoundError, match="no key supports the model 'm'"):
        model.invoke("Hello")


def test_retried_once_per_retry(sim):
    sim.fail_always("status", code=503)
    model = ChatVLLM(base_url=sim.url, max_retries=1)
    with pytest.raises(core.ModelAPIError):
        model.invoke("Hello")
    assert len(sim.requests) == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda url: VLLMEmbeddings(base_url=url, max_retries=0).embed_query("a"),
        lambda url: VLLMEmbeddings(base_url=url, max_retries=0, batch_size=1).embed_documents(["a", "b"]),
        lambda url: VLLMRerank(base_url=url, max_retries=0).rerank(["a"], "b"),
        lambda url: VLLMCrossEncoder(base_url=url, max_retries=0).score([("a", "b")]),
        lambda url: VLLMCompletion(base_url=url, max_retries=0).invoke("a"),
        lambda url: list(VLLMCompletion(base_url=url, max_retries=0).stream("a")),
        lambda url: ChatVLLM(base_url=url, max_retries=0).get_token_ids("a"),
        lambda url: ChatVLLM(base_url=url, max_retries=0).refresh_profile(),
    ],
)
def test_every_operation(sim, ask):
    sim.fail_always("status", code=401)
    with pytest.raises(core.ModelAuthenticationError):
        ask(sim.url)
