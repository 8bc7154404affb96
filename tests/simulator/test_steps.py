"""A chat in three steps: what is rendered, generated and derendered is what chat answers, token for token."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.both import Both
from tests.media import png

from vllm_connect import InternalServerError, InvalidResponseError, NotFoundError, PermissionDeniedError
from vllm_connect.errors import IncompleteStreamError
from vllm_connect.sim import SimServer

MODEL = "sim-chat"
PATH = "/inference/v1/generate"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "The weather.", "parameters": SCHEMA}
TOOL = {"type": "function", "function": WEATHER}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}


def said(*contents: Any) -> list[dict[str, Any]]:
    """What a user says, and an assistant between."""
    return [{"role": ("user", "assistant")[i % 2], "content": each} for i, each in enumerate(contents)]


DATA = base64.b64encode(png((255, 0, 0))).decode()
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
ASKED: dict[str, dict[str, Any]] = {
    "a word": {"messages": said("Say: hello")},
    "without thinking": {
        "messages": said("Say: hello"),
        "chat_template_kwargs": {"enable_thinking": False},
    },
    "without effort": {"messages": said("Say: hello"), "reasoning_effort": "none"},
    "cut off": {"messages": said("Count to 50"), "max_tokens": 7},
    "on and on": {"messages": said("Say: hello"), "ignore_eos": True, "max_tokens": 30},
    "a little thought": {"messages": said("Think: a b c d\nSay: x"), "thinking_token_budget": 2},
    "stopped by a token": {"messages": said("Count to 50"), "stop_token_ids": [3]},
    "many languages": {"messages": said("Say: Grüße 👋\n\nzwei")},
    "a tool": {"messages": said("What is the weather in Rome?"), "tools": [TOOL]},
    "a tool that is demanded": {
        "messages": said("What is the weather in Rome?"),
        "tools": [TOOL],
        "tool_choice": "required",
    },
    "a tool that is demanded in vain": {
        "messages": said("Say: hello"),
        "tools": [TOOL],
        "tool_choice": "required",
    },
    "a tool by its name": {"messages": said("Say: hello"), "tools": [TOOL], "tool_choice": NAMED},
    "a strict tool": {
        "messages": said("Say: hello"),
        "tools": [{"type": "function", "function": {**WEATHER, "strict": True}}],
        "tool_choice": "required",
    },
    "a tool that nobody reads": {
        "messages": said("What is the weather in Rome?"),
        "tools": [TOOL],
        "tool_choice": "none",
    },
    "two calls": {"messages": said("What is the weather in Rome and Paris?"), "tools": [TOOL]},
    "a system and a tool": {
        "messages": [{"role": "system", "content": "Be kind."}, *said("Hello")],
        "tools": [TOOL],
    },
    "a result": {
        "messages": [
            *said("What is the weather in Rome?"),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        ],
        "tools": [TOOL],
    },
    "a picture": {"messages": said([{"type": "text", "text": "What is it?"}, PICTURE])},
    "an object": {
        "messages": said("What is the capital of France?"),
        "response_format": {"type": "json_object"},
    },
    "a schema": {
        "messages": said("What is the capital of France?"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    },
    "a schema beside a tool": {
        "messages": said("What is the weather in Rome?"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        "tools": [TOOL],
    },
    "a choice": {"messages": said("red or blue?"), "structured_outputs": {"choice": ["red", "blue"]}},
    "a begun answer": {
        "messages": said("Say: hello", "he"),
        "continue_final_message": True,
        "add_generation_prompt": False,
    },
    "an answer again": {"messages": said("Say: hello", "he")},
    "something from before": {"messages": said("My name is Ada.", "Hi", "What is my name?")},
    "two answers": {"messages": said("Say: hello"), "n": 2, "temperature": 1, "seed": 1},
}


@pytest.fixture(scope="module")
def server() -> Iterator[SimServer]:
    with SimServer(scale_out=True, multimodal=True) as server:
        yield server


@pytest.fixture
def client(server: SimServer, make_client: Callable[..., Both]) -> Both:
    server.reset()
    return make_client(server.url, max_retries=0)


def told(message: Any) -> Any:
    """A message without the ids of its calls, which are new each time."""
    fields = message.model_dump()
    for call in fields.get("tool_calls") or ():
        call["id"] = ""
    return {name: value or None for name, value in fields.items()}


@pytest.mark.parametrize("name", ASKED)
async def test_generated_is_what_chat_says(client: Both, name: str) -> None:
    asked = ASKED[name]
    answer = await client("chat.completions.create", return_token_ids=True, **asked)
    rendered = await client("chat.completions.render", **asked)
    assert rendered.token_ids == answer.prompt_token_ids
    generated = await client("generate.create", request=rendered)
    ids = [choice.token_ids for choice in answer.choices]
    assert [choice.token_ids for choice in generated.choices] == ids
    assert generated.usage.total_tokens == answer.usage.total_tokens
    streamed: list[list[int]] = [[] for _ in ids]
    for chunk in await client.stream("generate.create", request=rendered):
        for choice in chunk.choices:
            streamed[choice.index] += choice.token_ids
    assert streamed == ids
    text = await client("generate.create", request=rendered, output_mode="text")
    detokenized = await client("detokenize", tokens=ids[0])
    assert detokenized.prompt.startswith(text.choices[0].text)


@pytest.mark.parametrize("name", ASKED)
async def test_derendered_is_what_chat_says(client: Both, name: str) -> None:
    asked = ASKED[name]
    answer = await client("chat.completions.create", **asked)
    rendered = await client("chat.completions.render", **asked)
    generated = await client("generate.create", request=rendered)
    derendered = await client(
        "chat.completions.derender",
        generate_response=generated,
        prompt_token_ids=rendered.token_ids,
        prompt_tokens=len(rendered.token_ids),
        chat_request={"model": MODEL, **asked},
    )
    messages = [told(choice.message) for choice in answer.choices]
    assert [told(choice.message) for choice in derendered.choices] == messages
    assert derendered.usage.total_tokens == answer.usage.total_tokens


@pytest.mark.parametrize("name", sorted(ASKED.keys() - {"two answers"}))
async def test_derendered_in_pieces(client: Both, name: str) -> None:
    asked = ASKED[name]
    answer = await client("chat.completions.create", **asked)
    rendered = await client("chat.completions.render", **asked)
    state, text = None, {"content": "", "reasoning": ""}
    calls: list[list[str]] = []
    for chunk in await client.stream("generate.create", request=rendered):
        derendered = await client(
            "chat.completions.derender_chunk",
            generate_chunk=chunk,
            stream_state=state,
            prompt_token_ids=rendered.token_ids,
            chat_request={"model": MODEL, **asked},
        )
        state = derendered.stream_state
        for choice in derendered.chunk.choices:
            for field in text:
                text[field] += getattr(choice.delta, field) or ""
            for call in choice.delta.tool_calls or ():
                if call.function.name:
                    calls.append([call.function.name, ""])
                calls[-1][1] += call.function.arguments or ""
    message = answer.choices[0].message
    assert text == {"content": message.content or "", "reasoning": message.reasoning or ""}
    made = [[call.function.name, call.function.arguments] for call in message.tool_calls or ()]
    assert calls == made
    assert choice.finish_reason == answer.choices[0].finish_reason


async def test_texts_in_three_steps(client: Both) -> None:
    params = {"prompt": ["Say: hello", "Count to 3"], "max_tokens": 5, "temperature": 0}
    completion = await client("completions.create", **params)
    rendered = await client("completions.render", **params)
    generated = [await client("generate.create", request=request) for request in rendered]
    derendered = await client("completions.derender", generate_responses=generated)
    assert [choice.text for choice in derendered.choices] == [choice.text for choice in completion.choices]
    state, text = None, ""
    for chunk in await client.stream("generate.create", request=rendered[1]):
        piece = await client("completions.derender_chunk", generate_chunk=chunk, stream_state=state)
        state = piece.stream_state
        text += "".join(choice.text for choice in piece.chunk.choices)
    assert text == completion.choices[1].text


async def test_other_conversations(client: Both) -> None:
    tokens = (await client("tokenize", messages=said("Say: hello"))).tokens
    message = await client("messages.render", model=MODEL, messages=said("Say: hello"), max_tokens=5)
    response = await client("responses.render", input="Say: hello")
    assert message.token_ids == response.token_ids == tokens
    assert message.sampling_params["max_tokens"] == 5


async def test_logprobs_are_those_of_chat(client: Both) -> None:
    asked = {"messages": said("Say: hello"), "logprobs": True, "top_logprobs": 2}
    answer = await client("chat.completions.create", **asked)
    rendered = await client("chat.completions.render", **asked)
    generated = await client("generate.create", request=rendered, output_mode="text")
    tokens = [entry["token"] for entry in generated.choices[0].logprobs["content"]]
    assert tokens == [entry.token for entry in answer.choices[0].logprobs.content]


async def test_a_server_that_was_not_told_to(make_client: Callable[..., Both], vllm_sim: SimServer) -> None:
    client = make_client(vllm_sim.url)
    with pytest.raises(PermissionDeniedError, match="--enable-scale-out"):
        await client("chat.completions.render", messages=said("Say: hello"))
    with pytest.raises(PermissionDeniedError, match="--enable-scale-out"):
        await client("generate.create", token_ids=[40])


async def test_faults_on_the_way(client: Both, server: SimServer) -> None:
    asked = {"token_ids": [40, 41], "sampling_params": {"max_tokens": 9}}
    server.fail_next("503", path=PATH)
    with pytest.raises(InternalServerError):
        await client("generate.create", **asked)
    server.fail_next("error_200", path=PATH, code=404)
    with pytest.raises(NotFoundError):
        await client("generate.create", **asked)
    server.fail_next("empty", path=PATH)
    with pytest.raises(InvalidResponseError):
        await client("generate.create", **asked)
    server.fail_next("cut", path=PATH, after=2)
    with pytest.raises(IncompleteStreamError):
        await client.stream("generate.create", **asked)
    server.fail_next("error_chunk", path=PATH, after=1)
    with pytest.raises(InternalServerError):
        await client.stream("generate.create", **asked)
    server.fail_next("html", path="*/render")
    with pytest.raises(InternalServerError):
        await client("chat.completions.render", messages=said("Say: hello"))
    server.fail_next("text", path="*/derender")
    with pytest.raises(InvalidResponseError):
        await client(
            "completions.derender", generate_responses=[{"choices": [{"index": 0, "token_ids": [1]}]}]
        )
    assert len(await client.stream("generate.create", **asked)) > 2
