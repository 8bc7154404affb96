"""Requests that the simulator and vLLM 0.32 answer alike, and what they answer.

`ROWS` is the table: what is asked, of which of the live servers. `answers.json` beside it holds the outline
of what those servers answered; `test_agreement.py` here holds the simulator against it, and the one in
`tests/live` the servers. A difference between the two belongs into the table, and the simulator follows.
Beside `make live-up`:

    python -m tests.simulator.agreement           ask the servers the rows that are new, and write it down
    python -m tests.simulator.agreement --all     ask all of them anew
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.media import png, tone
from tests.servers import find_servers

from vllm_connect._transport._httpx import httpx

CHAT, STRICT, RESPONSES = "/v1/chat/completions", "/v1/chat/completions", "/v1/responses"
ANSWERS = Path(__file__).with_name("answers.json")

#: The options with which the simulator is like a live server; see `scripts/live/servers.py`.
LIKE: dict[str, dict[str, Any]] = {
    "chat": {"models": "tiny-chat", "tasks": "generate", "max_model_len": 2048, "multimodal": False},
    "strict": {
        **{"models": "tiny-strict", "tasks": "generate", "max_model_len": 2048, "multimodal": False},
        "template": "strict",
    },
    "vision": {"models": "tiny-vision", "tasks": "generate", "max_model_len": 2048},
    "embed": {"models": "tiny-embed", "tasks": "embed", "max_model_len": 256, "template": "none"},
    "rerank": {
        **{"models": "tiny-rerank", "tasks": ["rerank", "classify"], "max_model_len": 512},
        **{"labels": ["LABEL_0"], "template": "none"},
    },
    "whisper": {"models": "tiny-whisper", "tasks": "transcription", "max_model_len": 448},
}


class Row(NamedTuple):
    """A request: to which server, which path, with what; audio requests get a sound as their `file`."""

    server: str
    path: str
    body: Any


def ask(http: Any, row: Row) -> Any:
    """Ask, and tell the outline of the answer."""
    if row.path.startswith("/v1/audio/"):
        fields = dict(row.body)
        sound = fields.pop("file", "tone")
        files = {"file": ("a.wav", tone(300) if sound == "tone" else sound.encode())} if sound else None
        return outline(http.post(row.path, data=fields, files=files))
    if isinstance(row.body, str):  # no JSON at all
        return outline(http.post(row.path, content=row.body, headers={"content-type": "application/json"}))
    # json.dumps and not `json=`: a lone surrogate or NaN is to arrive as what it is.
    content = json.dumps(row.body)
    return outline(http.post(row.path, content=content, headers={"content-type": "application/json"}))


def outline(response: Any) -> Any:
    """What two servers of one kind must have in common in their answers.

    Returns:
        An error whole but for what differs from model to model; of a success, what kind of answer it is.
    """
    status, text = response.status_code, response.text
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        payloads = [json.loads(event) for event in events if event != "[DONE]"]
        errors = [event for event in payloads if "error" in event]
        return [status, "events", normal(errors[0]) if errors else streamed(payloads)]
    try:
        payload = json.loads(text)
    except ValueError:
        return [status, "text", "" if status == 200 else normal(text)]
    if status != 200 and response.url.path == RESPONSES:
        payload = shortened(payload)
    return [status, kind_of(payload) if status == 200 else normal(payload)]


def shortened(payload: Any) -> Any:
    """An error about a response without all the forms that were tried: vLLM has those of its openai."""
    error = payload.get("error") or {}
    many = re.match(r"\d{1,3} validation errors:", str(error.get("message")))
    return {"error": {**error, "message": "validation errors", "param": None}} if many else payload


def normal(value: Any) -> Any:
    """An error without the numbers and names that belong to one model or one release of pydantic."""
    if isinstance(value, dict):
        return {key: normal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [normal(one) for one in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"(ocabulary size: |vocab(?:ulary)?[ _]size[ =:]*)\d+", r"\1N", value)
    value = re.sub(r"errors\.pydantic\.dev/[\d.]+/", "errors.pydantic.dev/N/", value)
    return re.sub(r"(0x)[0-9a-f]{6,}", r"\1N", value)


def kind_of(payload: Any) -> Any:
    """What kind of answer a success is."""
    if not isinstance(payload, dict):
        return type(payload).__name__
    if "choices" in payload:
        return [answer_kind(choice.get("message") or choice, choice) for choice in payload["choices"]]
    if "output" in payload:
        return [payload["status"], *(item["type"] for item in payload["output"])]
    for name in ("data", "results", "tokens"):
        if isinstance(payload.get(name), list):
            return [name, len(payload[name]) if name != "tokens" else "some"]
    return sorted(payload)


def answer_kind(message: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice holds, in words that do not depend on what the model says."""
    content = message.get("content", message.get("text"))
    calls = message.get("tool_calls") or []
    return {
        "content": content and ("json" if is_json(content) else "text"),
        "reasoning": bool(message.get("reasoning")),
        "tool_calls": [call["function"]["name"] for call in calls],
        "finish_reason": choice["finish_reason"],
    }


def streamed(events: list[Any]) -> Any:
    """The same of a stream: its deltas put together."""
    if not events:
        return "nothing"
    if "type" in events[0]:
        return [event["type"] for event in events if not event["type"].endswith(".delta")]
    found: dict[int, dict[str, Any]] = {}
    for choice in (choice for event in events for choice in event.get("choices", ())):
        delta = choice.get("delta", choice)
        message = found.setdefault(choice["index"], {"content": "", "tool_calls": [], "finish_reason": None})
        message["content"] += delta.get("content") or delta.get("text") or ""
        message["reasoning"] = message.get("reasoning") or delta.get("reasoning")
        for call in delta.get("tool_calls") or ():
            if call["function"].get("name"):
                message["tool_calls"].append(call)
        message["finish_reason"] = choice.get("finish_reason") or message["finish_reason"]
    return [answer_kind(message, message) for _, message in sorted(found.items())]


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    try:
        return isinstance(json.loads(text), (dict, list))
    except ValueError:
        return False


# --- the table --------------------------------------------------------------------------------------------


def turns(*roles: str, **body: Any) -> dict[str, Any]:
    """A conversation of short messages, each after a role."""
    return {
        "messages": [
            {"role": role, "content": "Say: hello", **({"tool_call_id": "a"} if role == "tool" else {})}
            for role in roles
        ],
        **body,
    }


CALLING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "sunny"}


def orders() -> dict[str, Row]:
    """Conversations, in order and out of order, for a strict template."""
    rows = {
        " ".join(roles): turns(*roles)
        for roles in (
            ["user"],
            ["system"],
            ["assistant"],
            ["tool"],
            ["developer"],
            ["system", "user"],
            ["developer", "user"],
            ["user", "system"],
            ["system", "system", "user"],
            ["user", "user"],
            ["user", "assistant"],
            ["user", "assistant", "user"],
            ["user", "assistant", "assistant"],
            ["assistant", "user"],
            ["system", "assistant", "user"],
            ["user", "tool"],
            ["user", "function"],
            ["user", "critic"],
        )
    }
    user = {"role": "user", "content": "What is the weather in Rome?"}
    rows["call and result"] = {"messages": [user, CALLING, RESULT]}
    rows["call, result, answer, user"] = {
        "messages": [user, CALLING, RESULT, {"role": "assistant", "content": "Sunny."}, user]
    }
    rows["call, result, user"] = {"messages": [user, CALLING, RESULT, user]}
    rows["empty calls"] = {"messages": [user, {"role": "assistant", "content": "a", "tool_calls": []}, user]}
    return {
        f"{name} to {path}": Row("strict", path, body)
        for name, body in rows.items()
        for path in (CHAT, "/tokenize")
    } | {
        "system only, by instructions": Row("strict", RESPONSES, {"input": [], "instructions": "Be kind."}),
        "instructions and a system message": Row(
            "strict",
            RESPONSES,
            {
                "input": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
                "instructions": "Be kind.",
            },
        ),
        "two users in a response": Row(
            "strict",
            RESPONSES,
            {"input": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        ),
    }


FORMATS = {
    "response_format json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "joke",
                "schema": {
                    "type": "object",
                    "properties": {"setup": {"type": "string", "maxLength": 5}},
                    "required": ["setup"],
                    "additionalProperties": False,
                },
            },
        }
    },
    "response_format json_object": {"response_format": {"type": "json_object"}},
    "response_format text": {"response_format": {"type": "text"}},
    "choice": {"structured_outputs": {"choice": ["yes", "no"]}},
    "regex": {"structured_outputs": {"regex": "[ab]{2}"}},
    "grammar": {"structured_outputs": {"grammar": 'root ::= "x"'}},
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def tools_and_formats() -> dict[str, Row]:
    """Tools beside a constraint on the answer: which of the two wins."""
    user = {"role": "user", "content": "What is the weather in Paris?"}
    choices = {"": {}} | {
        f", tool_choice {choice if isinstance(choice, str) else 'named'}": {"tool_choice": choice}
        for choice in ("auto", "required", "none", NAMED)
    }
    return {
        f"tools and {constraint}{choice}{', streamed' * stream}": Row(
            "chat",
            CHAT,
            {
                **{"messages": [user], "tools": [WEATHER]},
                **FORMATS[constraint],
                **choices[choice],
                **{"temperature": 0, "max_tokens": 60, "stream": stream},
            },
        )
        for constraint in FORMATS
        for choice in choices
        for stream in (False, True)
    }


IMAGE = "data:image/png;base64," + base64.b64encode(png((255, 0, 0), size=8)).decode()
CONTENTS: dict[str, Any] = {
    "null": None,
    "a number": 5,
    "nothing": [],
    "an empty part": [{}],
    "a text": [{"type": "text", "text": "a"}],
    "a bare string": ["a"],
    "a text without its type": [{"text": "a"}],
    "a text without its text": [{"type": "text"}],
    "a text that is none": [{"type": "text", "text": 5}],
    "a picture": [{"type": "image_url", "image_url": {"url": IMAGE}}],
    "a picture by a plain string": [{"type": "image_url", "image_url": IMAGE}],
    "a picture without its url": [{"type": "image_url"}],
    "a picture without a type": [{"image_url": IMAGE}],
    "a refusal": [{"type": "refusal", "refusal": "no"}],
    "a thought": [{"type": "thinking", "thinking": "no"}],
    "an input text": [{"type": "input_text", "text": "a"}],
    "an output text": [{"type": "output_text", "text": "a"}],
    "a part of no kind": [{"type": "nope"}],
    "a file": [{"type": "file", "file": {"file_data": "x"}}],
    "a video": [{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}],
}
MESSAGES: dict[str, Any] = {
    "null": None,
    "a string": "a",
    "none": [],
    "a message that is a list": [[1]],
    "a message without a role": [{"content": "a"}],
    "a role that is a number": [{"role": 5, "content": "a"}],
    "a role of one's own": [{"role": "critic", "content": "a"}],
    "a message without content": [{"role": "user"}],
    "a name that is a number": [{"role": "user", "content": "a", "name": 5}],
    "a result without a call": [{"role": "tool", "content": "a"}],
    "a call without a function": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function"}]}],
    "a call of another type": [
        {"role": "assistant", "tool_calls": [{**CALLING["tool_calls"][0], "type": "true"}]}
    ],
    "arguments that are an object": [
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "x", "arguments": {"city": "Rome"}}}
            ],
        }
    ],
}
FIELDS: dict[str, dict[str, Any]] = {
    "thinking_token_budget as text": {"thinking_token_budget": "a"},
    "thinking_token_budget false": {"thinking_token_budget": False},
    "repetition_detection as a list": {"repetition_detection": ["a"]},
    "repetition_detection without a count": {"repetition_detection": {"max_pattern_size": 2}},
    "watermarking as a list": {"watermarking": [{}]},
    "logprob_token_ids without logprobs": {"logprob_token_ids": [1]},
    "a structural tag without structures": {"response_format": {"type": "structural_tag"}},
    "too many answers": {"n": 99999999},
    "truncated to nothing": {"truncate_prompt_tokens": 0},
    "several mistakes": {"model": 5, "temperature": "x", "n": "a", "ignore_eos": []},
    "stream_interval 0": {"stream_interval": 0},
    "prompt_logprobs in a stream": {"prompt_logprobs": 1, "stream": True},
    "five stop strings": {"stop": ["a"] * 5},
    "a template with the request": {"chat_template": "{{ 1 }}"},
}


def forms() -> dict[str, Row]:
    """Messages and fields of every form, most of them wrong."""
    user = {"role": "user", "content": "Say: hello"}
    base = {"max_tokens": 2, "temperature": 0}
    rows = {}
    for server in ("chat", "vision"):
        for name, content in CONTENTS.items():
            if server == "chat" or name in (
                "a picture",
                "a picture by a plain string",
                "a picture without its url",
            ):
                messages = [{"role": "user", "content": content}]
                rows[f"content of {name} to {server}"] = Row(server, CHAT, {"messages": messages, **base})
    for name, messages in MESSAGES.items():
        rows[f"messages: {name}"] = Row("chat", CHAT, {"messages": messages, **base})
        rows[f"messages: {name}, to be counted"] = Row("chat", "/tokenize", {"messages": messages})
    for name, fields in FIELDS.items():
        rows[f"chat: {name}"] = Row("chat", CHAT, {"messages": [user], **base, **fields})
        if "chat_template" not in fields:
            rows[f"completion: {name}"] = Row(
                "chat", "/v1/completions", {"prompt": "hello", **base, **fields}
            )
    for name, body in {
        "nothing": {},
        "prompt_embeds": {"prompt_embeds": "none", "prompt": "a"},
        "a number": {"prompt": 5},
        "an empty list": {"prompt": []},
    }.items():
        rows[f"completion of {name}"] = Row("chat", "/v1/completions", body)
    for name, body in {
        "effort nope": {"reasoning": {"effort": "nope"}},
        "truncation 1": {"truncation": 1},
        "include nope": {"include": ["nope"]},
        "no tool_choice": {"tool_choice": {"type": "function", "function": {"name": "a"}}},
        "penalty 3": {"presence_penalty": 3},
        "several mistakes": {"metadata": [], "input": None, "stop": 5, "user": 5},
    }.items():
        rows[f"response: {name}"] = Row("chat", RESPONSES, {"input": "Say: hello", **body})
    return rows


def trusted() -> dict[str, Row]:
    """What only a client may set that the server trusts: nothing, something, and what is no mapping."""
    user = {"role": "user", "content": "Say: hello"}
    paths: dict[str, tuple[str, dict[str, Any]]] = {
        CHAT: ("strict", {"messages": [user], "max_tokens": 2}),
        "/tokenize": ("strict", {"prompt": "a"}),
        "/v1/completions": ("strict", {"prompt": "a", "max_tokens": 2}),
        RESPONSES: ("strict", {"input": "a", "max_output_tokens": 4}),
        "/v1/embeddings": ("embed", {"input": "a"}),
        "/pooling": ("embed", {"input": "a"}),
        "/score": ("rerank", {"text_1": "a", "text_2": "b"}),
        "/v1/rerank": ("rerank", {"query": "a", "documents": ["b"]}),
        "/classify": ("rerank", {"input": "a"}),
    }
    return {
        f"{name} {what} to {path}": Row(server, path, {**body, name: value})
        for path, (server, body) in paths.items()
        for name in ("mm_processor_kwargs", "media_io_kwargs")
        for what, value in (("nothing", {}), ("something", {"a": {}}))
    }


def pooling() -> dict[str, Row]:
    """What is pooled: messages without a chat template, texts beside messages, texts cut to nothing."""
    user = {"role": "user", "content": "Say: hello"}
    rows = {}
    for server, path in (
        ("embed", "/v1/embeddings"),
        ("embed", "/pooling"),
        ("rerank", "/pooling"),
        ("rerank", "/classify"),
    ):
        for name, messages in {
            "no messages": [],
            "a message": [user],
            "no content": [{"role": "user"}],
        }.items():
            rows[f"{name} to {path} of {server}"] = Row(server, path, {"messages": messages})
        for name, messages in {"none": [], "a number": 5, "a list of null": [None]}.items():
            rows[f"a text beside messages, {name}, to {path} of {server}"] = Row(
                server, path, {"input": "a", "messages": messages}
            )
        rows[f"a text cut to nothing to {path} of {server}"] = Row(
            server, path, {"input": "a", "truncate_prompt_tokens": 0}
        )
    for server in ("embed", "rerank"):
        for size in (0, 1, -2):
            rows[f"a score of texts cut to {size} by {server}"] = Row(
                server, "/score", {"text_1": "a", "text_2": "b", "truncate_prompt_tokens": size}
            )
            rows[f"a rank of texts cut to {size} by {server}"] = Row(
                server, "/v1/rerank", {"query": "a", "documents": ["b"], "truncate_prompt_tokens": size}
            )
    return rows


RESPONSE_FIELDS: dict[str, list[Any]] = {
    "previous_input_messages": [5, [], "a", {}],
    "text": [5, {}, {"format": 5}, {"format": {"type": "nope"}}, {"verbosity": "x"}],
    "tools": [5, False, [1], {"a": 1}, [{"type": "nope"}], [{"type": "function"}], [{"type": "web_search"}]],
    "tool_choice": [5, [], {}, "a", {"type": "nope"}],
    "input": [
        *([], [1], [{}], 5, [{"role": "user"}], [{"role": "nope", "content": "a"}], [{"type": "nope"}]),
        *([{"type": "function_call"}], [{"role": "user", "content": [{"type": "nope"}]}]),
    ],
}


def mutants() -> dict[str, Row]:
    """Requests with one field that is something else than it should be, of those that made a difference."""
    user = {"role": "user", "content": "Say: hello"}
    rows = {
        f"response: {name} {json.dumps(value)}": Row(
            "strict", RESPONSES, {"input": "a", "max_output_tokens": 4, name: value}
        )
        for name, values in RESPONSE_FIELDS.items()
        for value in values
    }
    for value in ([], 0, "a", True):
        for path, body in ((CHAT, {"messages": [user]}), ("/v1/completions", {"prompt": "a"})):
            rows[f"structured_outputs {json.dumps(value)} to {path}"] = Row(
                "strict", path, {**body, "max_tokens": 2, "structured_outputs": value}
            )
    for value in ("a", "1", [], -5):
        rows[f"logprobs {json.dumps(value)} of a completion"] = Row(
            "strict", "/v1/completions", {"prompt": "a", "max_tokens": 2, "logprobs": value}
        )
    for name, more in {
        "left open and begun": {"continue_final_message": True},
        "left open": {"continue_final_message": True, "add_generation_prompt": False},
        "no tools": {"tools": []},
    }.items():
        rows[f"to be counted: {name}"] = Row("strict", "/tokenize", {"messages": [user], **more})
    return rows


ROWS: dict[str, Row] = {
    **orders(),
    **tools_and_formats(),
    **forms(),
    **trusted(),
    **pooling(),
    **mutants(),
}


def recorded() -> dict[str, Any]:
    """What the live servers answered: row to outline."""
    return json.loads(ANSWERS.read_text("utf-8")) if ANSWERS.exists() else {}


def main(everything: bool) -> None:
    """Ask the live servers what is not known yet, or everything, and write it down."""
    answers = {} if everything else {name: one for name, one in recorded().items() if name in ROWS}
    servers = find_servers()
    for name, row in ROWS.items():
        if name not in answers:
            # A connection each: after a 500 vLLM closes it, with the next request on its way.
            with httpx.Client(base_url=servers[row.server], timeout=60) as http:
                answers[name] = ask(http, row)
    lines = [f"{json.dumps(name)}: {json.dumps(answers[name], ensure_ascii=False)}" for name in ROWS]
    ANSWERS.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main("--all" in sys.argv)
