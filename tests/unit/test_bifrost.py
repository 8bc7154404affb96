"""The unit tests of Bifrost's vLLM provider, under the numbers U and R that they have in our notes.

R6, rerank, is in `test_rerank.py`.
"""

import json

import openai
import pytest

from vllm_connect import (
    VLLM,
    APIConnectionError,
    APIStatusError,
    BadRequestError,
    IncompleteStreamError,
    InternalServerError,
    Key,
    MissingURLError,
    UnprocessableEntityError,
)
from vllm_connect._transport._httpx import httpx

HELLO = [{"role": "user", "content": "Hi"}]
CHAT = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
ANSWER = {
    **CHAT,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
}


def body(request):
    return json.loads(request.content)


async def test_u1_extra_parameters_are_forwarded_unasked(canned):
    kwargs = {"enable_thinking": True}
    client = canned((200, ANSWER))
    await client("chat.completions.create", model="m", messages=HELLO, chat_template_kwargs=kwargs)
    await client(
        "chat.completions.create", model="m", messages=HELLO, extra_body={"chat_template_kwargs": kwargs}
    )
    await client("responses.create", model="m", input="Hi", chat_template_kwargs=kwargs)
    assert [body(request)["chat_template_kwargs"] for request in client.requests] == [kwargs] * 3


async def test_u2_xhigh_reasoning_effort_is_preserved(canned):
    client = canned((200, ANSWER))
    await client(
        "chat.completions.create", model="qwen/qwen3.8-27b", messages=HELLO, reasoning_effort="xhigh"
    )
    assert body(client.requests[0])["reasoning_effort"] == "xhigh"
    assert body(client.requests[0])["model"] == "qwen/qwen3.8-27b"


NATIVE = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": [], "status": "completed"}


async def test_u3_xhigh_reasoning_effort_is_preserved_in_responses(canned):
    client = canned((200, NATIVE), responses_api="native")
    await client("responses.create", model="qwen/qwen3.8-27b", input="Hi", reasoning={"effort": "xhigh"})
    assert client.requests[0].url.path == "/v1/responses"
    assert body(client.requests[0])["reasoning"] == {"effort": "xhigh"}
    client = canned((200, ANSWER))
    await client("responses.create", model="qwen/qwen3.8-27b", input="Hi", reasoning={"effort": "xhigh"})
    assert client.requests[0].url.path == "/v1/chat/completions"
    assert body(client.requests[0])["reasoning_effort"] == "xhigh"


def backends(**replies):
    """Keys of servers, and what each of them answers."""
    keys = [Key(name=f"{name}-key", url=f"http://{name}:8000") for name in replies]
    return keys, lambda request: replies[request.url.host]


def models(*names):
    return (200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def test_u4_listing_models_asks_every_backend(canned):
    keys, answer = backends(one=models("model-from-backend-1"), two=models("model-from-backend-2"))
    client = canned(answer, keys=keys)
    page = await client("models.list")
    assert sorted(request.url.host for request in client.requests) == ["one", "two"]
    assert [model.id for model in page.data] == ["model-from-backend-1", "model-from-backend-2"]
    assert [model.key_names for model in page.data] == [["one-key"], ["two-key"]]
    assert {(each.key_name, each.status) for each in page.key_statuses} == {
        ("one-key", "success"), ("two-key", "success"),
    }  # fmt: skip


@pytest.mark.parametrize("failure", [(500, b"down"), (200, {"error": "down"}), httpx.ConnectError("down")])
async def test_u5_one_backend_that_fails_hides_no_other(canned, failure):
    keys, answer = backends(good=models("m"), bad=failure)
    page = await canned(answer, keys=keys)("models.list")
    assert [model.id for model in page.data] == ["m"]
    good, bad = page.key_statuses
    assert (good.key_name, good.status, good.error) == ("good-key", "success", None)
    assert (bad.key_name, bad.status) == ("bad-key", "list_models_failed")
    assert "down" in bad.error


async def test_u5_when_all_fail_it_is_an_error(canned):
    keys, answer = backends(one=(500, b"first"), two=(400, {"error": "second"}))
    with pytest.raises(InternalServerError, match="first"):
        await canned(answer, keys=keys)("models.list")


OPERATIONS = {
    "models.list": {},
    "chat.completions.create": {"messages": HELLO},
    "completions.create": {"prompt": "a"},
    "responses.create": {"input": "a"},
    "embeddings.create": {"input": "a"},
    "rerank.create": {"query": "a", "documents": ["a"]},
    "audio.transcriptions.create": {"file": b"a"},
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_u6_a_key_without_a_url_is_an_error(canned, operation):
    client = canned((200, {}), keys=[Key(name="NAME")])
    with pytest.raises(MissingURLError) as raised:
        await client(operation, **OPERATIONS[operation])
    message = "no base URL configured: set vllm_key_config.url on key 'NAME'"
    assert str(raised.value) == message
    assert raised.value.key_name == "NAME"
    assert not client.requests


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_u6_the_providers_base_url_is_none_for_a_key():
    key = {"name": "NAME", "models": ["*"], "vllm_key_config": {}}
    provider = {"keys": [key], "network_config": {"base_url": "http://must-not-be-asked"}}
    client = VLLM.from_config({"providers": {"vllm": provider}})
    with pytest.raises(MissingURLError, match=r"set vllm_key_config\.url on key 'NAME'"):
        client.models.list()
    client.close()


async def test_r7_other_bodies_of_errors(canned):
    client = canned((422, {"reason": "sad", "hint": 5}), (400, b"", {}), (422, {"detail": [{"msg": "no"}]}))
    with pytest.raises(UnprocessableEntityError, match=r'422 - \{"reason":"sad","hint":5\}'):
        await client("chat.completions.create", messages=HELLO)
    with pytest.raises(BadRequestError, match="Error code: 400 - empty reply"):
        await client("chat.completions.create", messages=HELLO)
    with pytest.raises(UnprocessableEntityError, match="no"):
        await client("chat.completions.create", messages=HELLO)


# --- R8: streams that end too early ----------------------------------------------------------------

SSE = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"


def event(payload):
    return b"data: %b\n\n" % json.dumps(payload).encode()


def chunk(text=None, reason=None, index=0, **more):
    delta = {} if text is None else {"content": text}
    choices = [{"index": index, "delta": delta, "finish_reason": reason}]
    return event({**CHAT, "object": "chat.completion.chunk", "choices": choices, **more})


ROLE = event(
    {**CHAT, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
)
USAGE = event(
    {
        **CHAT, "object": "chat.completion.chunk", "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)  # fmt: skip
CUT = httpx.RemoteProtocolError("peer closed connection without sending complete message body")


@pytest.mark.parametrize(
    ("pieces", "texts", "why"),
    [
        ([ROLE + chunk("a")], [None, "a"], "neither a finish_reason nor"),
        ([ROLE, chunk("a"), USAGE], [None, "a", "usage"], "neither a finish_reason nor"),
        ([chunk("a", "stop", 0), chunk("b", None, 1)], ["a", "b"], "neither a finish_reason nor"),
        ([DONE], [], r"\[DONE\] without an answer"),
        ([USAGE, DONE], ["usage"], r"\[DONE\] without an answer"),
        ([b": keep-alive\n\n"], [], "neither a finish_reason nor"),
        ([b""], [], "neither a finish_reason nor"),
        ([chunk("a"), chunk("b", "stop")[:-30]], ["a"], "its last event is cut"),
        ([chunk("a"), CUT], ["a"], "the connection broke: peer closed"),
        ([chunk("a"), chunk("b")[:9], httpx.ReadError("")], ["a"], "the connection broke: ReadError"),
    ],
)
async def test_r8_a_truncated_stream_is_an_error(canned, pieces, texts, why):
    client = canned((200, list(pieces), SSE), max_retries=2)
    with pytest.raises(IncompleteStreamError, match=why) as raised:
        await client.stream("chat.completions.create", messages=HELLO)
    seen = [c.choices[0].delta.content if c.choices else "usage" for c in client.seen]
    assert seen == texts  # what did arrive is handed over, and then there is one error
    assert isinstance(raised.value, openai.APIError)
    assert not isinstance(raised.value, APIStatusError)
    assert raised.value.operation == "chat.completions.create"
    assert (raised.value.key_name, raised.value.server_url) == ("default", "http://gpu:8000")
    assert len(client.requests) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [ROLE, chunk("a", "stop"), DONE],
        [ROLE, chunk("a", "stop")],  # some servers never say [DONE] (#6390)
        [chunk("a"), chunk(None, "stop"), USAGE],
        [chunk("a"), USAGE, DONE],  # [DONE] alone completes what was begun
        [chunk("a", "abort"), DONE],
        [chunk("a", "stop")[:-2]],  # no blank line at the end
        [chunk("a", "stop"), DONE, CUT],
        [chunk("a", "stop"), DONE, event({"error": {"message": "after the end", "code": 500}})],
    ],
)
async def test_r8_a_complete_stream_is_none(canned, pieces):
    client = canned((200, list(pieces), SSE))
    seen = await client.stream("chat.completions.create", messages=HELLO)
    assert "".join(c.choices[0].delta.content or "" for c in seen if c.choices) == "a"


@pytest.mark.parametrize("pieces", [[CUT], [b": keep-alive\n\n", CUT], [ROLE[:20], httpx.ReadError("gone")]])
async def test_r8_a_death_before_the_first_event_is_retried(canned, pieces):
    good = (200, [chunk("a", "stop"), DONE], SSE)
    client = canned((200, list(pieces), SSE), good, max_retries=1)
    assert len(await client.stream("chat.completions.create", messages=HELLO)) == 1
    assert len(client.requests) == 2
    client = canned((200, list(pieces), SSE), max_retries=2)
    with pytest.raises(APIConnectionError):
        await client.stream("chat.completions.create", messages=HELLO)
    assert len(client.requests) == 3
    assert client.seen == []


@pytest.mark.parametrize("pieces", [[chunk("a")], [chunk("a"), CUT], [DONE]])
async def test_r8_a_truncated_response_is_an_error(canned, pieces):
    client = canned((200, list(pieces), SSE))
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Hi")
    assert "response.completed" not in [each.type for each in client.seen]
    if len(client.seen):
        assert client.seen[-1].type == "response.failed"


async def test_r8_a_native_response_without_a_terminal_event(canned):
    created = event({"type": "response.created", "sequence_number": 0, "response": NATIVE})
    client = canned((200, created, SSE), responses_api="native")
    with pytest.raises(IncompleteStreamError):
        await client.stream("responses.create", input="Hi")
    assert [each.type for each in client.seen] == ["response.created"]
    completed = event({"type": "response.completed", "sequence_number": 1, "response": NATIVE})
    client = canned((200, created + completed, SSE), responses_api="native")
    assert len(await client.stream("responses.create", input="Hi")) == 2


async def test_r8_a_truncated_completion(canned):
    text = event({**CHAT, "object": "text_completion", "choices": [{"index": 0, "text": "a"}]})
    client = canned((200, text, SSE))
    with pytest.raises(IncompleteStreamError, match=r"completions\.create"):
        await client.stream("completions.create", prompt="Hi")
    assert [each.choices[0].text for each in client.seen] == ["a"]
