"""What is refused, and in which words: those of vLLM 0.32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vllm_connect.sim.answers.tokens import VOCABULARY_SIZE
from vllm_connect.sim.http.errors import LateError, refused

from .conftest import CHAT, Caller, said, tool

X = {"messages": said("x")}


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (
            {"messages": []},
            "Cannot apply chat template to an empty conversation. Provide at least one message.",
            None,
        ),
        (
            {**X, "temperature": -1},
            "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
            "temperature",
        ),
        ({**X, "top_p": 2}, "top_p must be in (0, 1], got 2.0. (parameter=top_p, value=2.0)", "top_p"),
        (
            {**X, "max_tokens": 0},
            "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
            "max_tokens",
        ),
        ({**X, "n": 0}, "n must be at least 1, got 0.", None),
        ({**X, "n": 2, "temperature": 0}, "n must be 1 when using greedy sampling, got 2.", None),
        (
            {**X, "top_logprobs": 2},
            "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)",
            "top_logprobs",
        ),
        (
            {**X, "logprobs": True, "top_logprobs": 99},
            "Requested sample logprobs of 99, which is greater than max allowed: 20 (parameter=logprobs, "
            "value=99)",
            "logprobs",
        ),
        (
            {**X, "stream_options": {"include_usage": True}},
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            "stream_options",
        ),
        (
            {**X, "tools": []},
            "`tools` must not be an empty array. Either provide at least one tool or omit the field "
            "entirely. "
            "(parameter=tools)",
            "tools",
        ),
        (
            {**X, "tool_choice": "auto"},
            "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)",
            "tool_choice",
        ),
        (
            {**X, "tools": [tool()], "tool_choice": "always"},
            'Invalid value for `tool_choice`: always! Only named tools, "none", "auto" or "required" are '
            "supported. "
            "(parameter=tool_choice)",
            "tool_choice",
        ),
        (
            {**X, "tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            "The tool specified in `tool_choice` does not match any of the specified `tools` "
            "(parameter=tool_choice)",
            "tool_choice",
        ),
        (
            {**X, "structured_outputs": {"choice": ["a"], "regex": "a"}},
            "You can only use one kind of constraints for structured outputs ('json', 'regex' or 'choice').",
            None,
        ),
        ({**X, "structured_outputs": {"choice": []}}, "Choice '[]' cannot be an empty list", None),
        ({**X, "structured_outputs": {"grammar": "root ::= nope"}}, "Invalid grammar specification.", None),
        (
            {**X, "response_format": {"type": "json_schema"}},
            "When response_format type is 'json_schema', the 'json_schema' field must be provided. "
            "(parameter=response_format)",
            "response_format",
        ),
        (
            {**X, "cache_salt": ""},
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
            "cache_salt",
        ),
        (
            {**X, "chat_template": "{{ x }}"},
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
            "request with "
            "untrusted chat template.",
            None,
        ),
        (
            {**X, "logit_bias": {"99999999": 1}},
            "token_id(s) [99999999] in logit_bias contain out-of-vocab token ids. Vocabulary size: "
            f"{VOCABULARY_SIZE} (parameter=logit_bias, value=[99999999])",
            "logit_bias",
        ),
        (
            {**X, "continue_final_message": True, "add_generation_prompt": True},
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
            None,
        ),
        ({**X, "stop": [""]}, "stop cannot contain an empty string.", None),
    ],
)
def test_bad_values(ask: Caller, body: dict[str, Any], message: str, param: str | None) -> None:
    expected = {"message": message, "type": "BadRequestError", "param": param, "code": 400}
    assert ask.error(CHAT, **body) == expected


@pytest.mark.parametrize(
    ("body", "lines", "param"),
    [
        (
            {},
            ["'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 0 items>'"],
            "messages",
        ),
        (
            {**X, "temperature": "hot"},
            [
                "'float_parsing', 'loc': 'body.temperature', 'msg': 'Input should be a valid number, "
                "unable to parse "
                "string as a number', 'input': 'hot'"
            ],
            "temperature",
        ),
        (
            {**X, "temperature": "hot", "n": "many"},
            [
                "'int_parsing', 'loc': 'body.n', 'msg': 'Input should be a valid integer, unable to parse "
                "string as an "
                "integer', 'input': 'many'",
                "'float_parsing', 'loc': 'body.temperature', 'msg': 'Input should be a valid number, "
                "unable to parse "
                "string as a number', 'input': 'hot'",
            ],
            "n",
        ),
        (
            {**X, "stop": 5},
            [
                "'string_type', 'loc': 'body.stop', 'msg': 'Input should be a valid string', 'input': '5'",
                "'list_type', 'loc': 'body.stop', 'msg': 'Input should be a valid list', 'input': '5'",
            ],
            "stop",
        ),
        (
            {**X, "seed": 2**70},
            [
                "'less_than_equal', 'loc': 'body.seed', 'msg': 'Input should be less than or equal to "
                "9223372036854775807', 'input': '1180591620717411303424', 'ctx': {'le': 9223372036854775807}"
            ],
            "seed",
        ),
    ],
)
def test_bad_forms(ask: Caller, body: dict[str, Any], lines: list[str], param: str) -> None:
    error = ask.error(CHAT, **body)
    word = "error" if len(lines) == 1 else "errors"
    told = [f"{len(lines)} validation {word}:", *(f"  {{'type': {line}}}" for line in lines)]
    assert error["message"] == "\n".join(told)
    assert (error["type"], error["param"]) == ("Bad Request", f"body.{param}")


def test_many_errors_are_not_all_told(ask: Caller) -> None:
    message = ask.error(CHAT, messages=[{"content": "x"}])["message"]
    assert message.startswith("11 validation errors:\n")
    assert message.endswith("\n  ...and 1 more errors")


@pytest.mark.parametrize(
    "name",
    [
        *("min_tokens", "skip_special_tokens", "priority", "echo", "request_id", "bad_words"),
        *("length_penalty", "ignore_eos", "add_special_tokens"),
    ],
)
def test_nulls_that_are_refused(ask: Caller, name: str) -> None:
    assert ask.error(CHAT, **X, **{name: None})["param"] == f"body.{name}"


@pytest.mark.parametrize(
    "name",
    [
        *("n", "stop", "stop_token_ids", "temperature", "top_p", "top_k", "min_p", "seed", "top_logprobs"),
        *("return_token_ids", "max_tokens", "model", "tools", "tool_choice", "stream", "stream_options"),
    ],
)
def test_nulls_that_are_taken(ask: Caller, name: str) -> None:
    assert ask.post(CHAT, **X, **{name: None}).status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/embeddings", "encoding_format"), ("/v1/rerank", "top_n"), ("/rerank", "max_tokens_per_doc")],
)
def test_nulls_that_pooling_refuses(ask: Caller, path: str, name: str) -> None:
    body = {"input": "x"} if path == "/v1/embeddings" else {"query": "x", "documents": ["y"]}
    assert ask.error(path, **body, **{name: None})["param"] == f"body.{name}"


def test_too_long(serve: Callable[..., Caller]) -> None:
    caller = serve(max_model_len=64)
    expected = {
        "message": "This model's maximum context length is 64 tokens. However, your prompt contains at "
        "least 65 input "
        "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the "
        "input "
        "prompt. (parameter=input_tokens, value=65)",
        "type": "BadRequestError",
        "param": "input_tokens",
        "code": 400,
    }
    long = "x " * 100
    assert caller.error(CHAT, messages=said(long)) == expected
    assert caller.error(CHAT, messages=said(long), stream=True) == expected
    assert caller.error("/v1/completions", prompt=["ok", long], stream=True) == expected
    assert caller.error("/v1/responses", input=long, stream=True) == expected
    assert caller.error("/v1/embeddings", input=["ok", long]) == expected
    assert caller.error("/rerank", query="x", documents=[long]) == expected
    assert caller.error(CHAT, messages=said("x"), max_tokens=99)["param"] == "max_tokens"
    cut = caller.json(CHAT, messages=said(long), truncate_prompt_tokens=10)
    assert cut["usage"]["prompt_tokens"] == 10
    cut = caller.json("/v1/embeddings", input=long, truncate_prompt_tokens=-1)
    assert cut["usage"]["prompt_tokens"] == 64
    long_answer = caller.json(CHAT, messages=said("Say: x"), ignore_eos=True)
    assert long_answer["usage"]["total_tokens"] == 64


def test_unknown_models(serve: Callable[..., Caller]) -> None:
    caller = serve(models=["a", "b"])
    nested = {
        "message": "The model `nope` does not exist. Valid aliases: a, b.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }
    assert caller.error(CHAT, 404, model="nope", **X, stream=True) == nested
    assert caller.error("/v1/completions", 404, model="nope", prompt="x") == nested
    assert caller.error("/v1/responses", 404, model="nope", input="x") == nested
    assert caller.error("/tokenize", 404, model="nope", prompt="x") == nested
    brief = {**nested, "message": "The model `nope` does not exist.", "param": None}
    assert caller.error("/v1/embeddings", 404, model="nope", input="x") == brief
    assert caller.error("/rerank", 404, model="nope", query="x", documents=["y"]) == brief
    assert caller.json(CHAT, model="b", **X)["model"] == "a"
    assert caller.json(CHAT, **X)["model"] == "a"


def test_bodies_that_are_none(ask: Caller) -> None:
    def message(content: bytes, kind: str = "application/json") -> Any:
        reply = ask.http.post(CHAT, content=content, headers={"content-type": kind})
        assert reply.status_code == 400
        return reply.json()

    invalid = message(b'{"model": ')["error"]
    assert invalid["param"] == "body.10"
    assert "'json_invalid'" in invalid["message"]
    assert "Expecting value" in invalid["message"]
    assert message(b"")["error"]["param"] == "body"
    assert "model_attributes_type" in message(b"[]")["error"]["message"]
    assert "Unsupported Media Type" in message(b"{}", "text/plain")["error"]["message"]
    assert message(b'{"model": "\xff"}') == {"detail": "There was an error parsing the body"}


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_what_the_engine_refuses_comes_too_late_for_a_stream(ask: Caller, path: str) -> None:
    body = {**X, "prompt": "x", "logit_bias": {"99999999": 1}}
    error, done = ask.events(path, **body)
    assert done == "[DONE]"
    assert error["error"]["code"] == 400
    assert ask.error(path, **body) == error["error"]


def test_bad_schemas(ask: Caller) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    error = ask.error(CHAT, **X, response_format=form)
    assert error["message"].startswith("Failed to transform json schema into a grammar: [")
    assert error["message"].endswith('<path>:4944: Unsupported type "nonsense"')
    strict = tool("x", strict=True, a={"type": "nonsense"})
    late = ask.events(CHAT, **X, tools=[strict], tool_choice="required")
    assert late[0]["error"]["message"] == "Invalid structural tag specification."


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "prompt": {"id": "x"}}, "prompt"),
        ({"input": "x", "tool_choice": "required"}, "tool_choice"),
    ],
)
def test_responses_that_are_refused(ask: Caller, body: dict[str, Any], param: str) -> None:
    assert ask.error("/v1/responses", **body)["param"] == param


def test_responses_are_not_stored(ask: Caller) -> None:
    expected = {
        "message": "Response with id 'resp_x' not found.",
        "type": "invalid_request_error",
        "param": "response_id",
        "code": 404,
    }
    assert ask.error("/v1/responses", 404, input="x", previous_response_id="resp_x") == expected
    assert ask.http.get("/v1/responses/resp_x").json()["error"] == expected
    assert ask.http.post("/v1/responses/resp_x/cancel").json()["error"] == expected


def test_completions_that_are_refused(ask: Caller) -> None:
    assert ask.error("/v1/completions", prompt="")["param"] == "prompt"
    assert ask.error("/v1/completions", prompt=[])["message"] == "You must pass at least one prompt"
    assert ask.error("/v1/completions", prompt=[[]])["message"] == "The decoder prompt cannot be empty"
    assert ask.error("/v1/completions", prompt="x", suffix="y")["param"] == "suffix"
    assert "is out of vocabulary" in ask.error("/v1/completions", prompt=[99_999_999])["message"]


def test_pooling_that_is_refused(ask: Caller) -> None:
    assert ask.error("/v1/embeddings", input=[])["message"] == "You must pass at least one prompt"
    assert ask.error("/v1/embeddings", input="x", normalize=True)["param"] == "normalize"
    assert ask.error("/v1/embeddings")["message"].startswith("7 validation errors:")
    assert ask.error("/classify")["message"].startswith("2 validation errors:")
    assert ask.error("/score")["message"].startswith("8 validation errors:")
    assert ask.error("/v1/rerank", query="x", documents=[{"text": "a"}])["message"].startswith(
        "4 validation errors:"
    )
    assert ask.error("/v1/rerank", query="x", documents=[])["message"] == (
        "At least one text_pair element must be given"
    )
    assert ask.error("/score", text_1=["a", "b"], text_2=["a", "b", "c"])["message"] == (
        "Input lengths must be either 1:1, 1:N or N:N"
    )


def test_pictures_for_a_text_model(serve: Callable[..., Caller]) -> None:
    caller = serve(models="text-only", multimodal=False)
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    assert caller.error(CHAT, messages=said(picture))["message"] == "text-only is not a multimodal model"


def test_routes_that_are_not_there(serve: Callable[..., Caller]) -> None:
    caller = serve(tasks="embed")
    for path in (CHAT, "/v1/completions", "/v1/responses", "/classify", "/v1/audio/transcriptions", "/nope"):
        reply = caller.post(path)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"}), path
    for path in ("/v1/embeddings", "/pooling", "/rerank", "/v1/rerank", "/v2/rerank", "/score", "/v1/score"):
        assert caller.post(path).status_code == 400, path
    reply = caller.http.get("/v1/embeddings")
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
    assert reply.headers["allow"] == "POST"
    reply = caller.http.get("/v1/models/")
    assert (reply.status_code, reply.headers["location"]) == (307, f"{caller.sim.url}/v1/models")


@pytest.mark.parametrize(
    ("tasks", "there", "absent"),
    [
        ("generate", [CHAT, "/v1/completions", "/v1/responses"], ["/v1/embeddings", "/rerank", "/pooling"]),
        ("rerank", ["/rerank", "/score", "/classify", "/pooling"], [CHAT, "/v1/embeddings"]),
        ("classify", ["/classify", "/pooling"], ["/rerank", "/score"]),
        ("transcription", ["/v1/audio/transcriptions", "/v1/audio/translations"], [CHAT, "/pooling"]),
    ],
)
def test_tasks(serve: Callable[..., Caller], tasks: str, there: list[str], absent: list[str]) -> None:
    caller = serve(tasks={tasks})
    assert all(caller.post(path).status_code == 400 for path in there)
    assert all(caller.post(path).status_code == 404 for path in absent)
    assert all(caller.http.get(path).status_code == 200 for path in ("/health", "/v1/models", "/version"))


def test_keys(serve: Callable[..., Caller]) -> None:
    caller = serve(api_key=["one", "two"])
    for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic one"}, {"x-api-key": "one"}):
        for path in ("/v1/models", "/v2/rerank", "/v1/nope", "/inference/x"):
            reply = caller.http.get(path, headers=headers)
            assert (reply.status_code, reply.json()) == (401, {"error": "Unauthorized"})
        assert caller.http.get("/health", headers=headers).status_code == 200
        assert caller.http.post("/rerank", json={}, headers=headers).status_code == 400
    assert caller.http.get("/v1/models", headers={"Authorization": "Bearer two"}).status_code == 200


def test_flat_errors(serve: Callable[..., Caller]) -> None:
    reply = serve(error_shape="flat").post(CHAT, model="nope", **X)
    assert list(reply.json()) == ["object", "message", "type", "param", "code"]
    assert reply.json()["object"] == "error"
    assert reply.json()["code"] == reply.status_code == 404


def test_request_ids_as_headers(serve: Callable[..., Caller]) -> None:
    caller = serve(request_id_headers=True)
    reply = caller.http.get("/version", headers={"X-Request-Id": "abc"})
    assert reply.headers["x-request-id"] == "abc"


def test_late_errors_are_errors() -> None:
    assert isinstance(refused("x", late=True), LateError)
