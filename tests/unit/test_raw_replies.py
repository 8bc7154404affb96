"""`with_raw_response` and `with_streaming_response` of what is more than one `create`."""

import inspect
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from vllm_connect import APIConnectionError, Key, NotFoundError
from vllm_connect._transport._httpx import httpx


class City(BaseModel):
    name: str


OSLO = City(name="Oslo")


def chat_reply(content='{"name": "Oslo"}', finish_reason="stop"):
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


NATIVE_REPLY = {
    "id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed",
    "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
    "output": [{
        "type": "message", "id": "i", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": '{"name": "Oslo"}', "annotations": []}],
    }],
}  # fmt: skip
HEADERS = {"x-request-id": "req-1", "content-type": "application/json"}


def models_reply(*names):
    data = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm"} for name in names]
    return {"object": "list", "data": data}


async def parsed(client, resource, method, form, **params):
    """The headers and the parsed result of a call in one of its forms."""
    call = getattr(getattr(resource, form), method)(**params)
    if form == "with_raw_response":
        response = await call if inspect.isawaitable(call) else call
        return response.headers, response.parse()
    if client.kind == "sync":
        with call as response:
            return response.headers, response.parse()
    async with call as response:
        return response.headers, await response.parse()


FORMS = pytest.mark.parametrize("form", ["with_raw_response", "with_streaming_response"])
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@FORMS
@pytest.mark.parametrize("beta", [False, True])
async def test_chat_parse(canned, form, beta):
    client = canned((200, chat_reply(), HEADERS))
    chat = client.client.beta.chat if beta else client.client.chat
    headers, completion = await parsed(client, chat.completions, "parse", form, response_format=City, **ASK)
    assert headers["x-request-id"] == "req-1"
    assert completion.choices[0].message.parsed == OSLO
    assert completion._request_id == "req-1"


@FORMS
async def test_chat_parse_of_a_cut_answer(canned, form):
    client = canned((200, chat_reply('{"na', "length")))
    with pytest.raises(openai.LengthFinishReasonError):
        await parsed(client, client.client.chat.completions, "parse", form, response_format=City, **ASK)


@pytest.mark.parametrize(("api", "reply"), [("chat", chat_reply()), ("native", NATIVE_REPLY)])
async def test_responses_parse(canned, api, reply):  # the SDK has no `with_streaming_response.parse` here
    client = canned((200, reply, HEADERS), responses_api=api)
    params = {"model": "m", "input": "x", "text_format": City}
    headers, response = await parsed(client, client.client.responses, "parse", "with_raw_response", **params)
    assert headers["x-request-id"] == "req-1"
    assert response.output_parsed == OSLO


@FORMS
async def test_models_of_one_key(canned, form):
    client = canned((200, models_reply("a", "b"), HEADERS))
    headers, page = await parsed(client, client.client.models, "list", form)
    assert headers["x-request-id"] == "req-1"
    assert [model.id for model in page.data] == ["a", "b"]
    assert len(client.requests) == 1


def by_host(replies):
    def answer(request):
        return replies[request.url.host]

    return answer


KEYS = [Key(name=name, url=f"http://{name}") for name in ("one", "two")]


@FORMS
@pytest.mark.parametrize(
    ("first", "asked", "statuses"),
    [
        ((200, models_reply("a"), {"x-request-id": "first"}), "first", ["success", "success"]),
        ((404, {"detail": "Not Found"}), "second", ["list_models_failed", "success"]),
        (httpx.ConnectError("refused"), "second", ["list_models_failed", "success"]),
    ],
)
async def test_models_of_several_keys_are_parsed_as_one_page(canned, form, first, asked, statuses):
    second = (200, models_reply("b"), {"x-request-id": "second"})
    client = canned(by_host({"one": first, "two": second}), keys=KEYS)
    headers, page = await parsed(client, client.client.models, "list", form)
    assert headers["x-request-id"] == asked
    assert [model.id for model in page.data] == ["a", "b"][asked == "second" :]
    assert [status.status for status in page.key_statuses] == statuses


@FORMS
async def test_models_of_keys_of_which_none_answers(canned, form):
    replies = {"one": httpx.ConnectError("refused"), "two": (404, {"detail": "Not Found"})}
    client = canned(by_host(replies), keys=KEYS)
    with pytest.raises((APIConnectionError, NotFoundError)) as error:
        await parsed(client, client.client.models, "list", form)
    assert error.value.key_name == "one"


def test_beta_has_nothing_but_chat(canned):
    client = canned((200, {})).client
    assert type(client.beta.chat) is type(client.chat)
    # Tools wrap the methods of both: of one object, they would wrap them twice.
    assert client.beta.chat.completions is not client.chat.completions
    with pytest.raises(openai.OpenAIError, match=r"beta\.threads\.create is not supported"):
        client.beta.threads.create()
