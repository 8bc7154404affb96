"""`thinking=` and `max_tokens="fit"`, in the words that a model's template knows."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel

from vllm_connect import ContextLengthError, UnsupportedOperationError
from vllm_connect._transport._httpx import httpx

HELLO = [{"role": "user", "content": "Say: hello"}]
CHAT = "chat.completions.create"
ASKED = {"model": "sim-chat", "messages": HELLO, "temperature": 0}


class Greeting(BaseModel):
    word: str


class Template:
    """A server whose template knows one word for thinking, or none."""

    def __init__(self, word):
        self.word = word
        self.bodies = []

    def __call__(self, request):
        body = json.loads(request.content)
        self.bodies.append((request.url.path, body))
        if request.url.path == "/tokenize":
            thinks = body.get("chat_template_kwargs", {}).get(self.word)
            tokens = [1, 2] if thinks is False else [1]
            return httpx.Response(200, json={"count": 30, "max_model_len": 100, "tokens": tokens})
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return httpx.Response(200, json=body)


@pytest.fixture
def of_template(make_client, kind):
    def make(template):
        transport = httpx.MockTransport(template)
        http = httpx.Client(transport=transport) if kind == "sync" else httpx.AsyncClient(transport=transport)
        return make_client("http://nobody.invalid", http_client=http)

    return make


async def test_thinking_of_a_model(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    on = await client(CHAT, **ASKED, thinking=True)
    assert on.choices[0].message.reasoning
    off = await client(CHAT, **ASKED, thinking=False)
    assert off.choices[0].message.reasoning is None
    chunks = await client.stream(CHAT, **ASKED, thinking=False)
    assert not any(chunk.choices[0].delta.reasoning for chunk in chunks)
    assert [request.path for request in vllm_sim.requests].count("/tokenize") == 2


@pytest.mark.parametrize("word", ["enable_thinking", "thinking"])
async def test_the_word_is_found_out_once(of_template, word):
    template = Template(word)
    client = of_template(template)
    await client(CHAT, model="m", messages=HELLO, thinking=False)
    asked = len(template.bodies)
    await client(CHAT, model="m", messages=HELLO, thinking=64, chat_template_kwargs={"other": 1})
    (path, body) = template.bodies[-1]
    assert len(template.bodies) == asked + 1
    assert path == "/v1/chat/completions"
    assert body["chat_template_kwargs"] == {word: True, "other": 1}
    assert body["thinking_token_budget"] == 64
    assert template.bodies[asked - 1][1]["chat_template_kwargs"] == {word: False}
    assert "thinking" not in body


async def test_a_template_in_an_extra_body(of_template):
    template = Template("thinking")
    further = {"chat_template_kwargs": {"other": 1}}
    await of_template(template)(
        CHAT, model="m", messages=HELLO, thinking=False, max_tokens="fit", extra_body=further
    )
    (_, counted), (_, sent) = template.bodies[-2:]
    assert sent["chat_template_kwargs"] == {"thinking": False, "other": 1}
    assert counted["chat_template_kwargs"] == sent["chat_template_kwargs"]
    assert further == {"chat_template_kwargs": {"other": 1}}


async def test_a_template_without_a_switch(of_template):
    client = of_template(Template("nothing"))
    with pytest.raises(UnsupportedOperationError, match="no switch for thinking"):
        await client(CHAT, model="m", messages=HELLO, thinking=False)


@pytest.mark.parametrize("thinking", ["no", -1, 1.5])
async def test_what_thinking_is_not(of_template, thinking):
    with pytest.raises(TypeError, match="thinking is True, False"):
        await of_template(Template("thinking"))(CHAT, model="m", messages=HELLO, thinking=thinking)


async def test_nothing_is_asked_for_nothing(of_template):
    template = Template("thinking")
    await of_template(template)(CHAT, model="m", messages=HELLO, thinking=None, max_tokens=5)
    assert [path for path, _ in template.bodies] == ["/v1/chat/completions"]


async def test_what_is_left_of_the_context(of_template):
    template = Template("thinking")
    tools = [{"type": "function", "function": {"name": "f"}}]
    await of_template(template)(CHAT, model="m", messages=iter(HELLO), tools=tools, max_tokens="fit")
    (_, counted), (_, sent) = template.bodies
    assert (counted["tools"], counted["messages"]) == (tools, HELLO)
    assert (sent["max_tokens"], sent["messages"]) == (70, HELLO)


@pytest.mark.parametrize(
    "given",
    [
        {"reasoning_effort": "none"},
        {"reasoning_effort": "low"},
        {"extra_body": {"reasoning_effort": "none"}},
        {"thinking": False},
        {"thinking": True, "reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "none"},
    ],
)
async def test_it_is_counted_as_the_template_renders_it(make_client, vllm_sim, given):
    answer = await make_client(vllm_sim.url)(CHAT, **ASKED, max_tokens="fit", **given)
    assert vllm_sim.requests[-1].json["max_tokens"] + answer.usage.prompt_tokens == 32768


async def test_no_room_is_an_error_of_the_server(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    long = [{"role": "user", "content": "word " * 40000}]
    with pytest.raises(ContextLengthError):
        await client(CHAT, model="sim-chat", messages=long, max_tokens="fit")


async def test_parse(make_client, vllm_sim):
    client = make_client(vllm_sim.url)
    parsed = await client(
        "chat.completions.parse", **ASKED, response_format=Greeting, thinking=False, max_tokens="fit"
    )
    assert isinstance(parsed.choices[0].message.parsed, Greeting)
    assert parsed.choices[0].message.reasoning is None
