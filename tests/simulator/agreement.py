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
    "vision": {
        **{"models": "tiny-vision", "tasks": "generate", "max_model_len": 2048},
        "prompt_tokens_details": False,
    },
    "open": {
        **{"models": "tiny-open", "tasks": "generate", "max_model_len": 2048, "multimodal": False},
        **{"scale_out": True, "lora": True, "dev": True},
    },
    "embed": {"models": "tiny-embed", "tasks": "embed", "max_model_len": 256, "template": "none"},
    "rerank": {
        **{"models": "tiny-rerank", "tasks": ["rerank", "classify"], "max_model_len": 512},
        **{"labels": ["LABEL_0"], "template": "none"},
    },
    "whisper": {"models": "tiny-whisper", "tasks": "transcription", "max_model_len": 448},
}


class Row(NamedTuple):
    """A request: to which server, which path, with what; audio requests get a sound as their `file`.

    With `GET` as its body it is a GET.
    """

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
    if row.body == "GET":
        return outline(http.get(row.path))
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
    # The kinds of detail are those of the openai SDK that is installed, for vLLM and the simulator alike.
    value = re.sub(r"'auto', 'low'(, 'high')? or '(high|original)'", "KINDS", value)
    value = re.sub(r"(vocabulary range \[0, )\d+", r"\1N", value)
    value = re.sub(r"\[\d\d:\d\d:\d\d\]", "[TIME]", value)
    value = re.sub(r"(?<=in response )[0-9a-f]{16}", "ID", value)
    return re.sub(r"(0x)[0-9a-f]{6,}", r"\1N", value)


def kind_of(payload: Any) -> Any:
    """What kind of answer a success is."""
    if isinstance(payload, list):
        return [kind_of(one) for one in payload]
    if isinstance(payload, dict) and (kind := kind_of_step(payload)):
        return kind
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


def kind_of_step(payload: dict[str, Any]) -> Any:
    """What kind of message it is, or of step of one that is made in several; `None` if it is none."""
    if payload.get("type") == "message":
        kinds = [block["type"] for block in payload["content"]]
        return [kinds, payload.get("stop_reason"), payload.get("stop_sequence"), sorted(payload["usage"])]
    if "sampling_params" in payload:
        params = payload["sampling_params"]
        return [sorted(payload), sorted(params), payload["reasoning_ended"]]
    if "request_id" in payload:
        told = [[*sorted(choice), choice["finish_reason"]] for choice in payload["choices"]]
        return [sorted(payload), told, payload["usage"]]
    if "stream_state" in payload:
        chunk = payload["chunk"]
        return [
            sorted(chunk),
            [sorted(choice) for choice in chunk["choices"]],
            sorted(payload["stream_state"]),
        ]
    return None


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
    if events[0].get("type") in ("message_start", "error"):
        return told_in_order(events)
    if "type" in events[0]:
        return [event["type"] for event in events if not event["type"].endswith(".delta")]
    found: dict[int, dict[str, Any]] = {}
    for choice in (choice for event in events for choice in event.get("choices", ())):
        delta = choice.get("delta", choice)
        message = found.setdefault(
            choice.get("index", 0), {"content": "", "tool_calls": [], "finish_reason": None}
        )
        message["content"] += delta.get("content") or delta.get("text") or ""
        message["reasoning"] = message.get("reasoning") or delta.get("reasoning")
        for call in delta.get("tool_calls") or ():
            if call["function"].get("name"):
                message["tool_calls"].append(call)
        message["finish_reason"] = choice.get("finish_reason") or message["finish_reason"]
    return [answer_kind(message, message) for _, message in sorted(found.items())]


def told_in_order(events: list[Any]) -> list[Any]:
    """The events of an Anthropic message, several deltas of one kind as one, and how it ended."""
    told: list[Any] = []
    for event in events:
        inner = event.get("delta") or event.get("content_block") or event.get("error") or {}
        kind = [event["type"], inner.get("type"), event.get("index")]
        if event["type"] == "message_delta":
            kind += [inner["stop_reason"], inner["stop_sequence"], sorted(event["usage"])]
        if not told or told[-1] != kind:
            told.append(kind)
    return told


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


PICTURE = IMAGE.partition(",")[2]
PICTURES: dict[str, Any] = {
    "a few bytes": "data:image/png;base64,AAAA",
    "nothing": "data:image/png;base64,",
    "no base64": "data:image/png;base64,?!",
    "base64 with a space": "data:image/png;base64, " + PICTURE,
    "base64 for URLs": "data:image/png;base64,-_-_",
    "base64 without its end": "data:image/png;base64," + PICTURE.rstrip("="),
    "text": "data:image/png," + PICTURE,
    "a URL without its data": "data:image/png;base64",
    "data without a type": "data:;base64," + PICTURE,
    "data of another type": "data:text/plain;base64," + PICTURE,
    "the beginning of a picture": "data:image/png;base64," + PICTURE[:40],
    "http without a host": "http://",
    "a file": "file:///etc/hostname",
    "another scheme": "ftp://nowhere.invalid/a.png",
    "no URL": "hello",
    "an empty URL": "",
    "a null": None,
    "a number": 5,
}


def pictures() -> dict[str, Row]:
    """Pictures in all forms to a model that looks at them, by every route that takes some."""
    rows = {}
    for name, url in PICTURES.items():
        part = {"type": "image_url", "image_url": {"url": url}}
        messages = [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
        asked = {"messages": messages, "max_tokens": 2, "temperature": 0}
        rows[f"a picture of {name}"] = Row("vision", CHAT, asked)
        rows[f"a picture of {name}, streamed"] = Row("vision", CHAT, {**asked, "stream": True})
        rows[f"a picture of {name} to be counted"] = Row("vision", "/tokenize", {"messages": messages})
    whole = {"type": "image_url", "image_url": {"url": IMAGE}}
    for name, part in {
        "with a detail": {**whole, "image_url": {"url": IMAGE, "detail": "low"}},
        "with a detail of no kind": {**whole, "image_url": {"url": IMAGE, "detail": "nope"}},
        "with a name": {**whole, "uuid": "a"},
        "of embeddings": {"type": "image_embeds", "image_embeds": "AAAA"},
        "in a file": {"type": "file", "file": {"file_data": "x"}},
        "of Responses": {"type": "input_image", "image_url": IMAGE},
    }.items():
        content = [{"type": "text", "text": "a"}, part]
        asked = {"messages": [{"role": "user", "content": content}], "max_tokens": 2, "temperature": 0}
        rows[f"a picture {name}"] = Row("vision", CHAT, asked)
    for role in ("system", "assistant"):
        turns = [{"role": role, "content": [whole]}, {"role": "user", "content": "a"}]
        rows[f"a picture by the {role}"] = Row("vision", CHAT, {"messages": turns, "max_tokens": 2})
    rows["the second picture broken"] = Row(
        "vision",
        CHAT,
        {
            "messages": [
                {"role": "user", "content": [whole, {**whole, "image_url": {"url": "hello"}}]},
            ],
            "max_tokens": 2,
        },
    )
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


MESSAGES_PATH, COUNT_PATH = "/v1/messages", "/v1/messages/count_tokens"
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
BLOCKS: dict[str, Any] = {
    "none": [],
    "a number": 5,
    "null": None,
    "a bare string": ["a"],
    "no type": [{"text": "a"}],
    "a type of no kind": [{"type": "nope"}],
    "an empty text": [{"type": "text", "text": ""}],
    "a text that is none": [{"type": "text", "text": 5}],
    "two texts": [{"type": "text", "text": "Say: hello"}, {"type": "text", "text": "b"}],
    "a picture": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE[22:]}}
    ],
    "a broken picture": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    ],
    "a picture that is not base64": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "?!"}}
    ],
    "a picture by its URL": [{"type": "image", "source": {"type": "url", "url": IMAGE}}],
    "a picture without a URL": [{"type": "image", "source": {"type": "url"}}],
    "a picture from nowhere": [{"type": "image"}],
    "a picture of no kind": [{"type": "image", "source": 5}],
    "a document": [{"type": "document", "source": {"type": "text", "data": "a"}}],
    "a result without a call": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}],
    "a result with a picture": [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": {"type": "url", "url": IMAGE}},
            ],
        }
    ],
    "an added tool": [{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "a"}}],
    "thinking": [{"type": "thinking", "thinking": "no", "signature": "a"}],
    "redacted thinking": [{"type": "redacted_thinking", "data": "a"}],
}
MESSAGE_FIELDS: dict[str, dict[str, Any]] = {
    "another model": {"model": "nobody"},
    "no model": {"model": ""},
    "a model that is a number": {"model": 5},
    "no messages": {"messages": []},
    "messages as text": {"messages": "a"},
    "a role of one's own": {"messages": [{"role": "critic", "content": "a"}]},
    "a tool's role": {"messages": [{"role": "tool", "content": "a"}]},
    "a message without content": {"messages": [{"role": "user"}]},
    "no tokens": {"max_tokens": 0},
    "too many tokens": {"max_tokens": 99999},
    "tokens as text": {"max_tokens": "a"},
    "temperature 5": {"temperature": 5},
    "temperature as text": {"temperature": "a"},
    "top_p 0": {"top_p": 0},
    "top_k -5": {"top_k": -5},
    "five stop sequences": {"stop_sequences": ["a"] * 5},
    "stop sequences as text": {"stop_sequences": "a"},
    "an empty stop sequence": {"stop_sequences": [""]},
    "a stop sequence": {"stop_sequences": ["ell"]},
    "a system": {"system": "Be kind."},
    "a system as a list": {"system": [{"type": "text", "text": "Be kind."}]},
    "a system of no kind": {"system": [{"type": "nope"}]},
    "a system as a number": {"system": 5},
    "a system that adds a tool": {
        "system": [{"type": "tool_addition", "tool": {"type": "tool_reference", "name": "a"}}]
    },
    "a system in the middle": {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "content": "b"},
            {"role": "user", "content": "Say: hello"},
        ]
    },
    "an answer begun": {
        "messages": [{"role": "user", "content": "Say: hello"}, {"role": "assistant", "content": "he"}]
    },
    "a call and its result": {
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": "What is the weather in Rome?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Rome"}}
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}]},
        ],
    },
    "no thinking": {"thinking": {"type": "disabled"}},
    "thinking as it likes": {"thinking": {"type": "adaptive"}},
    "thinking with a small budget": {"thinking": {"type": "enabled", "budget_tokens": 5}},
    "thinking with a large budget": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "thinking without a budget": {"thinking": {"type": "enabled"}},
    "thinking of no kind": {"thinking": {"type": "nope"}},
    "thinking as a flag": {"thinking": True},
    "an effort": {"output_config": {"effort": "low"}},
    "an effort of no kind": {"output_config": {"effort": "nope"}},
    "a schema": {
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "maxLength": 5}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            }
        }
    },
    "a schema that is none": {
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "nope"}}}
    },
    "a salt": {"cache_salt": "a/b"},
    "an empty salt": {"cache_salt": ""},
    "metadata as text": {"metadata": "a"},
    "a field of one's own": {"nope": 1},
    "a service tier": {"service_tier": "auto"},
    "no tools": {"tools": []},
    "tools as text": {"tools": "a"},
    "a tool without a schema": {"tools": [{"name": "a"}]},
    "a tool without a name": {"tools": [{"input_schema": {}}]},
    "a tool of Anthropic's": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "a choice of no tools": {"tool_choice": {"type": "any"}},
    "the choice of a tool of none": {"tool_choice": {"type": "tool", "name": "a"}},
    "the choice of another tool": {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "nope"}},
    "the choice of a tool without a name": {"tools": [TOOL], "tool_choice": {"type": "tool"}},
    "a choice of no kind": {"tools": [TOOL], "tool_choice": {"type": "nope"}},
    "a choice as text": {"tools": [TOOL], "tool_choice": "auto"},
    **{
        f"a tool, {kind}": {
            "tools": [TOOL],
            "tool_choice": {"type": kind, **({"name": "get_weather"} if kind == "tool" else {})},
            "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
        }
        for kind in ("auto", "any", "tool", "none")
    },
    "a tool, no choice": {
        "tools": [TOOL],
        "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    },
    "cut off": {"max_tokens": 2},
}


def anthropic() -> dict[str, Row]:
    """Anthropic's Messages: what is asked in all forms, whole, streamed, and counted."""
    base = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Say: hello"}]}
    create = {**base, "max_tokens": 60, "temperature": 0}
    rows = {
        "a message": Row("chat", MESSAGES_PATH, create),
        "a message of nothing": Row("chat", MESSAGES_PATH, {}),
        "a message that is no JSON": Row("chat", MESSAGES_PATH, "{"),
        "a message to be counted": Row("chat", COUNT_PATH, base),
        "a message of nothing to be counted": Row("chat", COUNT_PATH, {}),
        "a message to a strict template, with a system in the middle": Row(
            "strict",
            MESSAGES_PATH,
            {**create, "model": "tiny-strict", **MESSAGE_FIELDS["a system in the middle"]},
        ),
    }
    for name, fields in MESSAGE_FIELDS.items():
        rows[f"a message: {name}"] = Row("chat", MESSAGES_PATH, {**create, **fields})
        rows[f"a message: {name}, streamed"] = Row(
            "chat", MESSAGES_PATH, {**create, **fields, "stream": True}
        )
        rows[f"a message to be counted: {name}"] = Row("chat", COUNT_PATH, {**base, **fields})
    for name, content in BLOCKS.items():
        messages = [{"role": "user", "content": content}]
        rows[f"a message of {name}"] = Row("chat", MESSAGES_PATH, {**create, "messages": messages})
        rows[f"a message of {name} to be counted"] = Row("chat", COUNT_PATH, {**base, "messages": messages})
        if "picture" in name:
            to = {**create, "messages": messages, "model": "tiny-vision", "max_tokens": 4}
            rows[f"a message of {name} to vision"] = Row("vision", MESSAGES_PATH, to)
    return rows


GENERATE, ABORT = "/inference/v1/generate", "/inference/v1/abort_requests"
# Tokens of text in tiny-chat's vocabulary and in the simulator's, none of them special.
TOKENS = [40, 41, 42, 43]
SAMPLED = {"max_tokens": 2, "temperature": 0}
GENERATED: dict[str, Any] = {
    "tokens": {},
    "no sampling parameters": {"sampling_params": None},
    "sampling parameters as a number": {"sampling_params": 5},
    "temperature as text": {"sampling_params": {"temperature": "a"}},
    "temperature 5": {"sampling_params": {"temperature": 5}},
    "max_tokens 0": {"sampling_params": {"max_tokens": 0}},
    "several answers, greedy": {"sampling_params": {**SAMPLED, "n": 2}},
    "several answers": {"sampling_params": {"max_tokens": 2, "n": 2, "seed": 1}},
    "a parameter of one's own": {"sampling_params": {**SAMPLED, "nope": 1}},
    "logprobs": {"sampling_params": {**SAMPLED, "logprobs": 2}},
    "too many logprobs": {"sampling_params": {**SAMPLED, "logprobs": 200}},
    "no tokens": {"token_ids": []},
    "tokens as text": {"token_ids": "a"},
    "a negative token": {"token_ids": [-1]},
    "a token too large": {"token_ids": [99999999]},
    "another model": {"model": "nobody"},
    "a text": {"output_mode": "text"},
    "a text with logprobs": {"output_mode": "text", "sampling_params": {**SAMPLED, "logprobs": 1}},
    "a text that is not detokenized": {
        "output_mode": "text",
        "sampling_params": {**SAMPLED, "detokenize": False},
    },
    "a mode of no kind": {"output_mode": "nope"},
    "the prompt's tokens": {"return_token_ids": True},
    "an empty salt": {"cache_salt": ""},
    "a priority as text": {"priority": "a"},
    "usage": {"stream_options": {"include_usage": True}},
    "usage all along": {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    "parts to a model without eyes": {"content_parts": [{"type": "image_url", "url": IMAGE}]},
    "features that are none": {"features": {}},
    "kwargs of one's own": {"reasoning_parser_kwargs": {"a": 1}},
}
RENDERED: dict[str, dict[str, Any]] = {
    "plain": {},
    "to the end": {"max_tokens": None},
    "sampled": {
        **{"temperature": 0.5, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "seed": 3, "stop": "x"},
        **{"stop_token_ids": [5], "min_tokens": 1, "ignore_eos": True, "logit_bias": {"5": 1}},
        **{"bad_words": ["a"], "frequency_penalty": 1, "presence_penalty": 1, "repetition_penalty": 1.1},
        **{"n": 2, "prompt_logprobs": 1, "include_stop_str_in_output": True, "allowed_token_ids": [1]},
        **{"vllm_xargs": {"a": 1}, "thinking_token_budget": 3},
    },
    "streamed": {"stream": True, "stream_options": {"include_usage": True}},
    "with beams": {"use_beam_search": True},
    "another model": {"model": "nobody"},
    "temperature 5": {"temperature": 5},
    "offsets": {"return_token_offsets": True},
    "structured": {"structured_outputs": {"choice": ["a"]}},
    "a JSON object": {"response_format": {"type": "json_object"}},
    "tokens": {"return_token_ids": True},
    "named": {"request_id": "me", "cache_salt": "a", "priority": 1},
}
CHAT_RENDERED: dict[str, dict[str, Any]] = {
    **RENDERED,
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "tools": {"tools": [WEATHER]},
    "tools demanded": {"tools": [WEATHER], "tool_choice": "required"},
    "a tool demanded": {"tools": [WEATHER], "tool_choice": NAMED},
    "no thinking": {"reasoning_effort": "none"},
    "no thinking for the template": {"chat_template_kwargs": {"enable_thinking": False}},
    "hidden thinking": {"include_reasoning": False},
    "no messages": {"messages": []},
    "messages as a number": {"messages": 5},
    "a picture": {"messages": [{"role": "user", "content": CONTENTS["a picture"]}]},
    "to be continued": {"continue_final_message": True, "add_generation_prompt": False},
}


def scaled_out() -> dict[str, Row]:
    """A chat in three steps: rendered, generated, derendered."""
    user = {"role": "user", "content": "Say: hello"}
    rows = {}
    for name, fields in GENERATED.items():
        body = {"token_ids": TOKENS, "sampling_params": SAMPLED, **fields}
        rows[f"generated: {name}"] = Row("open", GENERATE, body)
        rows[f"generated: {name}, streamed"] = Row("open", GENERATE, {**body, "stream": True})
    for name, body in {
        "nothing": {},
        "ids": {"request_ids": ["nobody's"]},
        "one id": {"request_ids": "nobody's"},
        "a list": [],
        "no JSON": "{",
    }.items():
        rows[f"aborted: {name}"] = Row("open", ABORT, body)
    for name, fields in CHAT_RENDERED.items():
        body = {"messages": [user], **({} if "max_tokens" in fields else {"max_tokens": 4}), **fields}
        rows[f"chat rendered: {name}"] = Row("open", f"{CHAT}/render", body)
    for name, fields in RENDERED.items():
        body = {"prompt": "hello", "max_tokens": 4, **fields}
        rows[f"completion rendered: {name}"] = Row("open", "/v1/completions/render", body)
    for name, fields in {
        "nothing": {},
        "texts": {"prompt": ["a", "b"]},
        "tokens": {"prompt": [[40], [41, 42]]},
        "the prompt alone": {"prompt": "a", "max_tokens": 0, "echo": True},
        "a suffix": {"prompt": "a", "suffix": "b"},
    }.items():
        rows[f"completion rendered of {name}"] = Row("open", "/v1/completions/render", fields)
    for name in ("a message", "a message of nothing", *(f"a message: {each}" for each in MESSAGE_FIELDS)):
        asked = anthropic()[name].body
        if asked.get("model") == "tiny-chat":
            asked = {**asked, "model": "tiny-open"}
        rows[f"{name}, rendered"] = Row("open", "/v1/messages/render", asked)
    for name, fields in {
        "a text": {"input": "Say: hello"},
        "nothing": {},
        "an earlier one": {"input": "a", "previous_response_id": "a"},
        "in the background": {"input": "a", "background": True},
        "streamed": {"input": "a", "stream": True},
        "with a limit": {"input": "a", "max_output_tokens": 5, "temperature": 0},
        "another model": {"input": "a", "model": "nobody"},
    }.items():
        rows[f"response rendered: {name}"] = Row("open", f"{RESPONSES}/render", fields)
    return rows | derendered() | refused_steps()


def derendered() -> dict[str, Row]:
    """Generated tokens made an answer of, whole and in pieces."""
    asked = {"messages": [{"role": "user", "content": "Say: hello"}]}
    choice = {"index": 0, "token_ids": TOKENS}
    whole, piece = {"choices": [choice]}, {"stream": True, "generate_chunk": {"choices": [choice]}}
    prompt = {"prompt_token_ids": [40]}
    chats: dict[str, Any] = {
        "nothing": {},
        "no request": {"generate_response": whole},
        "tokens": {"generate_response": whole, "chat_request": asked},
        "counted": {"generate_response": whole, "chat_request": asked, "prompt_tokens": 7, **prompt},
        "no tokens": {"generate_response": {"choices": [{**choice, "token_ids": []}]}, "chat_request": asked},
        "no choices": {"generate_response": {"choices": []}, "chat_request": asked},
        "a negative token": {
            "generate_response": {"choices": [{**choice, "token_ids": [-1]}]},
            "chat_request": asked,
        },
        "a text": {"generate_response": {**whole, "output_mode": "text"}, "chat_request": asked},
        "a number": {"generate_response": 5, "chat_request": asked},
        "another model": {"generate_response": whole, "chat_request": asked, "model": "nobody"},
        "too many tokens": {
            "generate_response": {"choices": [{**choice, "token_ids": TOKENS * 1000}]},
            "chat_request": asked,
        },
        "too long a prompt": {
            "generate_response": whole,
            "chat_request": asked,
            "prompt_token_ids": TOKENS * 1000,
        },
        "a chunk": {**piece, **prompt, "chat_request": asked},
        "a chunk without a request": {**piece, **prompt},
        "a chunk without a prompt": {**piece, "chat_request": asked},
        "the last chunk": {
            **{"stream": True, **prompt, "chat_request": asked},
            "generate_chunk": {"choices": [{**choice, "token_ids": [], "finish_reason": "stop"}]},
        },
        "a chunk of usage": {
            **{"stream": True, **prompt, "chat_request": asked},
            "generate_chunk": {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        },
        "a chunk of two": {
            **{"stream": True, **prompt, "chat_request": asked},
            "generate_chunk": {"choices": [choice, {**choice, "index": 1}]},
        },
        "a chunk with a state that does not add up": {
            **{**piece, **prompt, "chat_request": asked},
            "stream_state": {"output_token_ids": [40], "output_chunk_lens": []},
        },
    }
    texts: dict[str, Any] = {
        "nothing": {},
        "none": {"generate_responses": []},
        "tokens": {"generate_responses": [whole]},
        "two prompts": {"generate_responses": [whole, whole], "prompt_tokens": [1, 2]},
        "another number of prompts": {"generate_responses": [whole], "prompt_tokens": [1, 2]},
        "no tokens": {"generate_responses": [{"request_id": "a", "choices": [{**choice, "token_ids": []}]}]},
        "another model": {"generate_responses": [whole], "model": "nobody"},
        "a chunk": piece,
        "a chunk of two": {
            "stream": True,
            "generate_chunk": {"choices": [choice, {**choice, "index": 1}]},
        },
    }
    return {
        f"{what} derendered: {name}": Row("open", path, body)
        for what, path, bodies in (
            ("chat", f"{CHAT}/derender", chats),
            ("completion", "/v1/completions/derender", texts),
        )
        for name, body in bodies.items()
    }


def refused_steps() -> dict[str, Row]:
    """The steps of a server that was not told to make them."""
    paths = [f"{path}/render" for path in (CHAT, "/v1/completions", MESSAGES_PATH, RESPONSES)]
    paths += [f"{CHAT}/derender", "/v1/completions/derender", GENERATE, ABORT]
    return {f"{path} of a server that does not": Row("chat", path, {}) for path in paths}


BATCHES: dict[str, dict[str, Any]] = {
    "two": {},
    "none": {"messages": []},
    "an empty one": {"messages": [[]]},
    "one conversation": {"messages": [{"role": "user", "content": "a"}]},
    "messages as a number": {"messages": 5},
    "another model": {"model": "nobody"},
    "several answers": {"n": 2},
    "one answer": {"n": 1},
    "with beams": {"use_beam_search": True},
    "with tools": {"tools": [WEATHER], "tool_choice": "auto"},
    "with tools alone": {"tools": [WEATHER]},
    "streamed": {"stream": True},
    "logprobs": {"logprobs": True, "top_logprobs": 1},
    "too many logprobs": {"logprobs": True, "top_logprobs": 100},
    "logprobs of tokens without logprobs": {"logprob_token_ids": [1]},
    "temperature 5": {"temperature": 5},
    "temperature as text": {"temperature": "a"},
    "a schema that is none": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nope"}}}
    },
    "a structural tag that is none": {"response_format": {"type": "structural_tag"}},
    "choices": {"structured_outputs": {"choice": ["a", "b"]}},
    "five stop strings": {"stop": ["a"] * 5},
    "cut off": {"max_tokens": 2},
    "too long": {"max_tokens": 99999},
    "tokens": {"return_token_ids": True},
    "a picture": {"messages": [[{"role": "user", "content": CONTENTS["a picture"]}]]},
    "a role of one's own": {"messages": [[{"role": "critic", "content": "a"}]]},
    "a part that is text": {"messages": [[{"role": "user", "content": CONTENTS["a text"]}]]},
    "hidden thinking": {"include_reasoning": False},
    "null": {"temperature": None, "max_tokens": None, "stop": None, "n": None},
}
SCORINGS: dict[str, dict[str, Any]] = {
    "texts": {},
    "tokens": {"query": [40], "items": [[41], [42]]},
    "mixed items": {"items": ["a", [41]]},
    "no items": {"items": []},
    "items as text": {"items": "a"},
    "no labels": {"label_token_ids": []},
    "one label": {"label_token_ids": [40]},
    "a label too large": {"label_token_ids": [99999999]},
    "a negative label": {"label_token_ids": [-1]},
    "labels as text": {"label_token_ids": "a"},
    "another model": {"model": "nobody"},
    "a query as a number": {"query": 5},
    "an empty query": {"query": "", "items": [""]},
    "a query alone": {"items": [""]},
    "in the whole vocabulary": {"apply_softmax": False},
    "items first": {"item_first": True},
    "an empty salt": {"cache_salt": ""},
    "a priority as text": {"priority": "a"},
    "a query that is too long": {"query": TOKENS * 1000, "items": [[41]]},
}


def batches_and_scores() -> dict[str, Row]:
    """Several conversations at once, and how likely labels are."""
    conversations = [[{"role": "user", "content": f"Say: {word}"}] for word in ("hello", "goodbye")]
    batch = {"messages": conversations, "max_tokens": 40, "temperature": 0}
    scoring = {"query": "Is it red? ", "items": ["a", "b"], "label_token_ids": [40, 41]}
    return {
        **{f"batch: {name}": Row("open", f"{CHAT}/batch", {**batch, **f}) for name, f in BATCHES.items()},
        # The other server trusts requests with their own.
        "batch: a template": Row("chat", f"{CHAT}/batch", {**batch, "chat_template": "a"}),
        "batch: nothing": Row("open", f"{CHAT}/batch", {}),
        "batch: a list": Row("open", f"{CHAT}/batch", []),
        **{
            f"scored: {name}": Row("open", "/generative_scoring", {**scoring, **fields})
            for name, fields in SCORINGS.items()
        },
        "scored: nothing": Row("open", "/generative_scoring", {}),
    }


def operated() -> dict[str, Row]:
    """What an operator asks, as far as it changes nothing; and LoRA adapters that there are not."""
    posts = (
        *("/sleep?level=5", "/sleep?level=a&mode=y", "/sleep?mode=x", "/pause?mode=x", "/is_sleeping"),
        *("/wake_up", "/wake_up?tags=weights", "/wake_up?tags=nope", "/resume"),
        *("/reset_prefix_cache", "/reset_prefix_cache?reset_running_requests=x", "/server_info"),
    )
    gets = ("/sleep", "/is_sleeping", "/is_paused", "/server_info", "/server_info?config_format=json")
    rows = {f"POST {path}": Row("open", path, {}) for path in posts}
    rows |= {f"GET {path}": Row("open", path, "GET") for path in (*gets, "/server_info?config_format=x")}
    rows |= {f"{path} of a server that does not": Row("chat", path, {}) for path in ("/sleep", "/resume")}
    rows |= {
        f"aborted by an operator: {name}": Row("open", "/abort_requests", body)
        for name, body in {"ids": {"request_ids": ["nobody's"]}, "a list": [], "no JSON": "{"}.items()
    }
    adapters: dict[str, Any] = {
        "nothing": {},
        "empty": {"lora_name": "", "lora_path": ""},
        "a model's name": {"lora_name": "tiny-open", "lora_path": "/nowhere"},
        "from nowhere": {"lora_name": "a", "lora_path": "/nowhere/at/all"},
        "from no name": {"lora_name": "a", "lora_path": "nowhere"},
        "a flag as text": {"lora_name": "a", "lora_path": "/nowhere", "load_inplace": "nope"},
        "numbers": {"lora_name": 5, "lora_path": 5},
        "no JSON": "{",
    }
    for name, body in adapters.items():
        rows[f"adapter loaded: {name}"] = Row("open", "/v1/load_lora_adapter", body)
        rows[f"adapter unloaded: {name}"] = Row("open", "/v1/unload_lora_adapter", body)
    for verb in ("load", "unload"):
        rows[f"adapter: {verb} by a server that does not"] = Row("chat", f"/v1/{verb}_lora_adapter", {})
    return rows


SOUNDS: dict[str, dict[str, str]] = {
    "plain": {},
    "another model": {"model": "nobody"},
    "an empty model": {"model": ""},
    "a broken file": {"file": "not a sound"},
    "temperature as text": {"temperature": "a"},
    "temperature 5": {"temperature": "5"},
    "temperature -1": {"temperature": "-1"},
    "a language": {"language": "en"},
    "a language of no kind": {"language": "xx"},
    "a language in full": {"language": "english"},
    "an empty language": {"language": ""},
    "a language to": {"to_language": "de"},
    "a language of no kind to": {"to_language": "xx"},
    "a prompt": {"prompt": "hello"},
    **{
        f"format {form}": {"response_format": form}
        for form in ("json", "text", "srt", "vtt", "verbose_json", "diarized_json", "nope", "")
    },
    "streamed": {"stream": "true"},
    "streamed, perhaps": {"stream": "nope"},
    "streamed verbosely": {"stream": "true", "response_format": "verbose_json"},
    "streamed as text": {"stream": "true", "response_format": "text"},
    "usage": {"stream": "true", "stream_include_usage": "true"},
    "usage without a stream": {"stream_include_usage": "true"},
    "usage all along": {
        **{"stream": "true", "stream_include_usage": "true"},
        "stream_continuous_usage_stats": "true",
    },
    "times of segments": {"timestamp_granularities[]": "segment"},
    "times of words": {"timestamp_granularities[]": "word", "response_format": "verbose_json"},
    "times of no kind": {"timestamp_granularities[]": "nope"},
    "a seed": {"seed": "1"},
    "a seed as text": {"seed": "a"},
    "three tokens": {"max_completion_tokens": "3"},
    "no tokens": {"max_completion_tokens": "0"},
    "fewer than no tokens": {"max_completion_tokens": "-1"},
    "tokens as text": {"max_completion_tokens": "a"},
    "too many tokens": {"max_completion_tokens": "9999"},
    "top_p 5": {"top_p": "5"},
    "top_p as text": {"top_p": "a"},
    "top_k -5": {"top_k": "-5"},
    "min_p 5": {"min_p": "5"},
    "frequency_penalty 5": {"frequency_penalty": "5"},
    "repetition_penalty 0": {"repetition_penalty": "0"},
    "presence_penalty as text": {"presence_penalty": "a"},
    "a field of one's own": {"nope": "1"},
    "xargs that are no JSON": {"vllm_xargs": "a"},
    "logprobs": {"include[]": "logprobs"},
    "in chunks": {"chunking_strategy": "auto"},
    "hotwords": {"hotwords": "a"},
    "watermarking of no kind": {"watermarking": "nope"},
}


def sounds() -> dict[str, Row]:
    """Forms with a sound, well and badly filled in, to be written down and to be translated."""
    return {
        f"{what}: {name}": Row("whisper", f"/v1/audio/{what}s", fields)
        for what in ("transcription", "translation")
        for name, fields in SOUNDS.items()
    }


ROWS: dict[str, Row] = {
    **orders(),
    **tools_and_formats(),
    **forms(),
    **pictures(),
    **trusted(),
    **pooling(),
    **mutants(),
    **anthropic(),
    **scaled_out(),
    **batches_and_scores(),
    **operated(),
    **sounds(),
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
