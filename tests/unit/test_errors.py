"""Error payloads as HTTP errors: every recorded one, every known shape, every status; the class tree."""

import copy
import json
import pickle
import re
from pathlib import Path

import openai
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vllm_connect import errors
from vllm_connect._calls import failures
from vllm_connect._transport._httpx import httpx
from vllm_connect._wire.payloads import find_error, read_error
from vllm_connect.errors import VLLMError

RECORDED = json.loads((Path(__file__).parent / "data" / "error_exchanges.json").read_text("utf-8"))

SDK_CLASS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}


def sdk_class(status):
    return SDK_CLASS.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)


MESSAGES = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
AUDIO = {"model": "m", "file": ("a.wav", b"RIFF")}
RERANK = ("rerank.create", {"model": "m", "query": "q", "documents": ["a", "b"]})
CALLS = {
    "/v1/completions": ("completions.create", {"model": "m", "prompt": "Hi"}),
    "/v1/embeddings": ("embeddings.create", {"model": "m", "input": "Hi"}),
    "/v1/rerank": RERANK,
    "/rerank": RERANK,
    "/v2/rerank": RERANK,
    "/score": ("score.create", {"model": "m", "text_1": "a", "text_2": "b"}),
    "/classify": ("classify.create", {"model": "m", "input": "a"}),
    "/pooling": ("pooling.create", {"model": "m", "input": "a"}),
    "/tokenize": ("tokenize", {"model": "m", "prompt": "a"}),
    "/detokenize": ("detokenize", {"model": "m", "tokens": [1]}),
    "/v1/models": ("models.list", {}),
    "/v1/audio/transcriptions": ("audio.transcriptions.create", AUDIO),
    "/v1/responses": ("responses.create", {"model": "m", "input": "Hi"}),
}
CHAT = ("chat.completions.create", MESSAGES)


async def failure(client, call):
    operation, params = call
    with pytest.raises(VLLMError) as raised:
        await client(operation, **params)
    return raised.value


def check(error, status, operation):
    """What holds of every error reply."""
    assert isinstance(error, sdk_class(status))
    assert error.status_code == status
    assert type(error).__name__ in (sdk_class(status).__name__, "ContextLengthError")
    assert (error.operation, error.key_name, error.server_url) == (operation, "default", "http://gpu:8000")
    assert str(error).startswith(f"Error code: {status} - ")
    assert str(error).endswith(f" [{operation}, key 'default', http://gpu:8000]")
    assert error.message == str(error)


def told(payload):
    """What a recorded payload says, read without the parser under test: message, code, type, param, body."""
    if payload is None:
        return "empty reply", None, None, None, None
    error = payload.get("error", payload)
    if isinstance(error, str):
        return error, None, None, None, error
    message = error.get("message", error.get("detail"))
    return message, error.get("code"), error.get("type"), error.get("param"), error


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda exchange: exchange["name"])
async def test_recorded(canned, exchange):
    streamed = exchange["status"] == 200
    data = exchange["body"].removeprefix("data: ").partition("\n\n")[0]
    message, code, kind, param, body = told(json.loads(data) if data else None)
    status = code if streamed else exchange["status"]
    call = CALLS.get(exchange["path"], CHAT)
    if streamed:
        call = (call[0], {**call[1], "stream": True})
    headers = {"content-type": exchange["content_type"]} if exchange["content_type"] else {}
    client = canned((exchange["status"], exchange["body"].encode(), headers))
    error = await failure(client, call)
    check(error, status, call[0])
    assert error.http_status == exchange["status"]
    assert message.strip() in error.message
    code = None if code is None else str(code)  # the SDK's doing
    assert (error.code, error.type, error.param, error.body) == (code, kind, param, body)
    assert isinstance(error, errors.ContextLengthError) == ("maximum context length" in message)


def test_recorded_has_them_all():
    names = [exchange["name"] for exchange in RECORDED]
    assert len(names) == len(set(names)) == 172
    assert {exchange["status"] for exchange in RECORDED} == {200, 307, 400, 401, 403, 404, 405, 422, 501}
    too_long = [name for name in names if re.search("longer than|too long|max_tokens larger", name)]
    assert len(too_long) == 11  # so the rule in `test_recorded` is not empty


JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain; charset=utf-8"}
HTML = {"content-type": "text/html"}
NGINX = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>"
    b"</center>\r\n<hr><center>nginx/1.25.3</center>\r\n</body>\r\n</html>\r\n"
)
FLAT = {"object": "error", "message": "boom", "type": "BadRequestError", "param": "model", "code": 400}
VALIDATION = [
    {"loc": ["body", "input"], "msg": "Field required", "type": "missing"},
    {"loc": ["body", "n", 0], "msg": "Not an integer", "type": "int_parsing"},
]
RAY = {"message": "bad", "type": "list_type", "param": "[1]", "code": "invalid_parameter"}

# what it is: the body, its headers, then what the error shall have: message, code, type, param, body
SHAPES = {
    "nested": (
        {"error": {"message": "boom", "type": "BadRequestError", "param": "model", "code": 400}}, JSON,
        "boom", 400, "BadRequestError", "model",
        {"message": "boom", "type": "BadRequestError", "param": "model", "code": 400},
    ),
    "nested, no message": ({"error": {"code": 404}}, JSON, "error code 404", 404, None, None, {"code": 404}),
    "nested, code as text": (
        {"error": {"message": "boom", "code": "503"}}, JSON, "boom", 503, None, None,
        {"message": "boom", "code": "503"},
    ),
    "nested, Ray's code": ({"error": RAY}, JSON, "bad", "invalid_parameter", "list_type", "[1]", RAY),
    "flat": (FLAT, JSON, "boom", 400, "BadRequestError", "model", FLAT),
    "flat, without its mark": ({"message": "boom", "code": 400}, JSON, "boom", 400, None, None,
                               {"message": "boom", "code": 400}),
    "RunPod": ({"code": 404, "object": "error"}, JSON, "error code 404", 404, None, None,
               {"code": 404, "object": "error"}),
    "string": ({"error": "Unauthorized"}, JSON, "Unauthorized", None, None, None, "Unauthorized"),
    "string, scaling": (
        {"error": "The model is currently scaling. Please try again later."}, JSON,
        "The model is currently scaling. Please try again later.", None, None, None,
        "The model is currently scaling. Please try again later.",
    ),
    "string, production-stack": (
        {"error": "Invalid request: missing 'model' in request body."}, JSON,
        "Invalid request: missing 'model' in request body.", None, None, None,
        "Invalid request: missing 'model' in request body.",
    ),
    "detail": ({"detail": "Not Found"}, JSON, "Not Found", None, None, None, {"detail": "Not Found"}),
    "detail, Ray": (
        {"detail": "Could not find model llama"}, JSON, "Could not find model llama", None, None, None,
        {"detail": "Could not find model llama"},
    ),
    "detail, list": (
        {"detail": VALIDATION}, JSON, "body.input: Field required; body.n.0: Not an integer",
        None, None, None, {"detail": VALIDATION},
    ),
    "detail, beside other fields": (
        {"detail": "slow down", "instance": 5}, JSON, "slow down", None, None, None,
        {"detail": "slow down", "instance": 5},
    ),
    "typed": (
        {"type": "error", "error": {"type": "not_found_error", "message": "boom"}}, JSON,
        "boom", None, "not_found_error", None, {"type": "not_found_error", "message": "boom"},
    ),
    "Cohere": (
        {"message": "boom", "id": "1"}, JSON, "boom", None, None, None, {"message": "boom", "id": "1"}
    ),
    "another object": ({"status": "sad"}, JSON, '{"status":"sad"}', None, None, None, {"status": "sad"}),
    "HTML, nginx": (
        NGINX, HTML, "HTML reply: 502 Bad Gateway", None, None, None, NGINX.decode().strip()
    ),
    "HTML without a title": (b"<p>down", HTML, "HTML reply: <p>down", None, None, None, "<p>down"),
    "plain text": (b"Internal Server Error", TEXT, "Internal Server Error", None, None, None,
                   "Internal Server Error"),
    "plain text, llm-d": (
        b"inference error: ResourceExhausted - too busy", TEXT,
        "inference error: ResourceExhausted - too busy", None, None, None,
        "inference error: ResourceExhausted - too busy",
    ),
    "plain text, long": (b"x" * 600, TEXT, "x" * 500 + "…", None, None, None, "x" * 600),
    "not UTF-8": (b"\xff\xfe down", TEXT, "�� down", None, None, None, "�� down"),
    "broken JSON": (b'{"error": {"mess', JSON, '{"error": {"mess', None, None, None, '{"error": {"mess'),
    "empty": (b"", {}, "empty reply", None, None, None, None),
    "blank": (b" \r\n", TEXT, "empty reply", None, None, None, None),
    "null": (b"null", JSON, "null", None, None, None, None),
    "list": (b'["a"]', JSON, '["a"]', None, None, None, ["a"]),
    "number": (b"5", JSON, "5", None, None, None, 5),
    "JSON string": (b'"no"', JSON, '"no"', None, None, None, "no"),
}  # fmt: skip

STATUSES = [400, 401, 402, 403, 404, 405, 408, 409, 413, 418, 422, 429, 500, 501, 502, 503, 504, 529]


@pytest.mark.parametrize("shape", SHAPES)
async def test_shape_with_every_status(canned, shape):
    body, headers, message, *fields = SHAPES[shape]
    client = canned(*((status, body, headers) for status in STATUSES))
    for status in STATUSES:  # the status on the wire wins over any code in the payload
        error = await failure(client, CHAT)
        check(error, status, "chat.completions.create")
        assert error.http_status == status
        assert message in error.message
        code = fields[0] if fields[0] is None else str(fields[0])  # the SDK's doing
        assert [error.code, error.type, error.param, error.body] == [code, *fields[1:]]
    assert len(client.requests) == len(STATUSES)


@pytest.mark.parametrize(
    "wording",
    [
        "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049",
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "Input length (513) exceeds model's maximum context length (512).",
        "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
        "The prompt (total length 5000) is too long to fit into the model (context length 4096).",
        "'max_tokens' is too large: 1000. This model's maximum context length is 4096 tokens and …",
        "The prompt is 300 tokens, greater than the context length of 256",
    ],
)
async def test_context_length(canned, wording):
    payload = {"error": {"message": wording, "type": "BadRequestError", "param": None, "code": 400}}
    client = canned((400, payload), (200, payload), (500, payload))
    for http_status in (400, 200):
        error = await failure(client, CHAT)
        assert type(error) is errors.ContextLengthError
        assert error.http_status == http_status
    assert type(await failure(client, CHAT)) is errors.InternalServerError


@pytest.mark.parametrize(
    "message",
    [
        "truncate_prompt_tokens value is greater than max_model_len. Please request a smaller size.",
        "Maximum file size exceeded (parameter=audio_filesize_mb, value=28.6)",
        "Requested sample logprobs of 99, which is greater than max allowed: 20",
    ],
)
async def test_not_context_length(canned, message):
    error = await failure(canned((400, {"error": {"message": message, "code": 400}})), CHAT)
    assert type(error) is errors.BadRequestError


# --- the classes -----------------------------------------------------------------------------------


async def test_other_bodies_of_errors(canned):
    client = canned((422, {"reason": "sad", "hint": 5}), (400, b"", {}), (422, {"detail": [{"msg": "no"}]}))
    with pytest.raises(openai.UnprocessableEntityError, match=r'422 - \{"reason":"sad","hint":5\}'):
        await client("chat.completions.create", **MESSAGES)
    with pytest.raises(openai.BadRequestError, match="Error code: 400 - empty reply"):
        await client("chat.completions.create", **MESSAGES)
    with pytest.raises(openai.UnprocessableEntityError, match="no"):
        await client("chat.completions.create", **MESSAGES)


def drawn_tree():
    """(class, parent) of every line of the tree in the module's docstring, and its `= openai.…`."""
    path, found = [], {}
    for line in re.findall(r"^    [ |+x·]*\w[^\n]*$", errors.__doc__.partition("\n\n`=`")[0], re.MULTILINE):
        column = re.search(r"\w", line.replace(" x ", "   ")).start()
        name = line[column:].split()[0]
        path = [(c, n) for c, n in path if c < column]
        same = re.search(r"= openai\.(\w+)", line)
        found[name] = (path[-1][1] if path else None, same and same[1])
        path.append((column, name))
    return found


def test_tree_is_as_drawn():
    tree = drawn_tree()
    assert tree.pop("openai.OpenAIError") == (None, None)
    defined = {
        name: cls for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, VLLMError)
    }  # fmt: skip
    assert tree.keys() == defined.keys()
    for name, (parent, same) in tree.items():
        expected = openai.OpenAIError if name == "VLLMError" else defined[parent]
        assert expected in defined[name].__bases__, name
        if same:
            assert same == name or name == "IncompleteStreamError" or name == "InvalidResponseError"
        if same or parent == "APIStatusError":
            assert issubclass(defined[name], getattr(openai, same or name)), name


def test_status_classes_are_the_sdks():
    for status, cls in failures._STATUS_CLASSES.items():
        assert issubclass(cls, SDK_CLASS[status])
        assert cls.__name__ == SDK_CLASS[status].__name__
    assert failures._STATUS_CLASSES.keys() == SDK_CLASS.keys()


# --- nothing makes the parser fail -----------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
words = st.sampled_from(["error", "Unauthorized", "404", "²²²", "5" * 5000, "BadRequestError", 404])
values = scalars | words
lists = st.lists(values | st.dictionaries(st.sampled_from(["loc", "msg"]), values), max_size=3)


def objects(inner):
    names = ("message", "detail", "code", "type", "object", "status", "param", "id", "status_code")
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, values | lists), "error": inner})


payloads = values | lists | objects(values | lists | objects(values))


@settings(deadline=None, max_examples=300)
@given(payloads)
@example({"detail": [{"loc": None, "msg": 5}, {"loc": 5}, {"msg": "m"}, {}, None]})
@example({"error": {"code": "²²²", "status": "5" * 5000, "status_code": True}})
def test_find_error_never_fails(payload):
    found = find_error(payload)
    if found is None:
        return
    assert isinstance(payload, dict)
    assert isinstance(found.message, str)
    assert found.message
    assert found.status is None or 400 <= found.status <= 599
    assert 0 <= found.weight <= 3


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60) | payloads.map(lambda payload: json.dumps(payload).encode()))
def test_read_error_never_fails(content):
    found = read_error(content)
    assert isinstance(found.message, str)
    assert found.message
    assert found.status is None or 400 <= found.status <= 599
    assert 0 <= found.weight <= 3


COPIES = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
STREAM = [b'data: {"id":"a","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n']


@pytest.mark.parametrize("duplicate", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize(
    ("reply", "params"),
    [
        ((404, {"error": {"message": "no such model", "type": "NotFoundError", "code": 404}}), {}),
        ((200, {"error": {"message": "maximum context length is 9", "code": 400}}), {}),
        ((200, {"choices": []}), {}),
        (httpx.ConnectError("refused"), {}),
        ((200, STREAM, {"content-type": "text/event-stream"}), {"stream": True}),
    ],
    ids=["status", "in a 200", "invalid", "connection", "cut stream"],
)
async def test_copies_and_pickles(canned, duplicate, reply, params):
    """A pool of processes hands errors over as pickles; the key stays behind."""
    client = canned(reply, api_key="sk-secret", default_headers={"X-Token": "sk-secret"})
    with pytest.raises(VLLMError) as raised:
        await read_all(await client("chat.completions.create", **MESSAGES, **params))
    error, twin = raised.value, duplicate(raised.value)
    assert (type(twin), str(twin), twin.args) == (type(error), str(error), error.args)
    kept = vars(twin).keys() - {"request", "response"}
    assert {name: getattr(twin, name) for name in kept} == {name: getattr(error, name) for name in kept}
    assert twin.operation == error.operation == "chat.completions.create"
    if hasattr(error, "request"):
        assert (twin.request.method, twin.request.url) == (error.request.method, error.request.url)
        assert error.request.headers["authorization"] == "Bearer sk-secret"
        assert not twin.request.headers.get("authorization")
    if hasattr(error, "response"):
        assert twin.response.status_code == error.response.status_code
        assert twin.response.request is twin.request
        assert error.response.request.headers["authorization"]
    assert b"sk-secret" not in pickle.dumps(error)


def test_copies_of_what_is_refused_before_a_request():
    twin = pickle.loads(pickle.dumps(errors.UnsupportedOperationError("images.generate", "no images")))
    assert str(twin) == "images.generate is not supported by vllm: no images"
    assert (twin.operation, twin.reason, twin.provider) == ("images.generate", "no images", "vllm")


async def read_all(reply):
    if hasattr(reply, "__aiter__"):
        return [chunk async for chunk in reply]
    return list(reply)
