"""Reader: what real servers sent, as the SDK would have built it; and what servers should not send."""

import json
from pathlib import Path

import openai.types
import pytest
from openai._models import construct_type
from openai.types.audio import Transcription, TranscriptionVerbose
from openai.types.chat import chat_completion, chat_completion_chunk, chat_completion_message

from vllm_connect import types
from vllm_connect._wire.objects import ErrorInReply, NotAReply, Reader, read_object
from vllm_connect._wire.sse import SSESplitter
from vllm_connect.types._extras import Extra
from vllm_connect.types.audio import TranscriptionChunk

ROWS = json.loads((Path(__file__).parent / "data" / "replies.json").read_text("utf-8"))
OURS_AND_THE_SDKS = {  # by path and whether streamed: our type, its required field, the SDK's type
    ("/v1/chat/completions", False): (types.ChatCompletion, "choices", chat_completion.ChatCompletion),
    ("/v1/chat/completions", True): (
        types.ChatCompletionChunk, "choices", chat_completion_chunk.ChatCompletionChunk,
    ),
    ("/v1/completions", False): (types.Completion, "choices", openai.types.Completion),
    ("/v1/completions", True): (types.Completion, "choices", openai.types.Completion),
    ("/score", False): (types.ScoreResponse, "data", None),
    ("/v1/score", False): (types.ScoreResponse, "data", None),
    ("/classify", False): (types.ClassificationResponse, "data", None),
    ("/pooling", False): (types.PoolingResponse, "data", None),
    ("/tokenize", False): (types.TokenizeResponse, "tokens", None),
    ("/detokenize", False): (types.DetokenizeResponse, "prompt", None),
    ("/v1/audio/transcriptions", False): (Transcription, "text", Transcription),
    ("/v1/audio/transcriptions", True): (TranscriptionChunk, "choices", None),
    ("/v1/audio/translations", True): (TranscriptionChunk, "choices", None),
}  # fmt: skip


def recorded(*paths):
    """(name, our type, its required field, the SDK's type, the bytes) of every reply and every chunk."""
    found = []
    for row in ROWS:
        streamed = row["content_type"].startswith("text/event-stream")
        key = (row["path"], streamed)
        if key not in OURS_AND_THE_SDKS or (paths and row["path"] not in paths):
            continue
        content = row["body"].encode()
        datas = [event.data for event in SSESplitter().feed(content)][:-1] if streamed else [content]
        for number, data in enumerate(datas):
            found.append(pytest.param(*OURS_AND_THE_SDKS[key], data, id=f"{row['name']} {number or ''}"))
    return found


def test_recorded_covers_every_type():
    assert {row["path"] for row in ROWS} >= {path for path, _ in OURS_AND_THE_SDKS}
    assert len(recorded()) > 180


@pytest.mark.parametrize(("ours", "required", "sdks", "data"), recorded())
def test_as_the_sdk_would(ours, required, sdks, data):
    payload = json.loads(data)
    read = Reader(ours, required)(data)
    assert type(read) is ours
    assert read.to_dict() == payload  # nothing lost, nothing added
    assert read.to_dict() == construct_type(type_=ours, value=json.loads(data)).to_dict()
    assert read == construct_type(type_=ours, value=json.loads(data))
    if sdks is not None:
        assert isinstance(read, sdks)
        assert read.to_dict() == construct_type(type_=sdks, value=json.loads(data)).to_dict()


@pytest.mark.parametrize(("ours", "required", "sdks", "data"), recorded("/v1/chat/completions"))
def test_every_part_is_of_the_sdks_class(ours, required, sdks, data):
    read = Reader(ours, required)(data)
    module = chat_completion if ours is types.ChatCompletion else chat_completion_chunk
    for choice in read.choices:
        assert isinstance(choice, module.Choice)
        message = choice.message if ours is types.ChatCompletion else choice.delta
        cls = chat_completion_message.ChatCompletionMessage
        assert isinstance(message, cls if ours is types.ChatCompletion else chat_completion_chunk.ChoiceDelta)
        for call in message.tool_calls or ():
            expected = chat_completion_chunk.ChoiceDeltaToolCall
            if ours is types.ChatCompletion:
                expected = openai.types.chat.ChatCompletionMessageFunctionToolCall
            assert isinstance(call, expected)
        if choice.logprobs is not None:
            assert isinstance(choice.logprobs, module.ChoiceLogprobs)
            assert isinstance(choice.logprobs.content[0].logprob, float)
    if read.usage is not None:
        assert isinstance(read.usage, openai.types.CompletionUsage)
        assert isinstance(read.usage.completion_tokens, int)


def find(name, path):
    row = next(row for row in ROWS if row["name"] == name and row["path"] == path)
    return row["body"].encode()


def test_vllms_own_fields_are_typed():
    read = Reader(types.ChatCompletion, "choices")
    assert read(find("chat: chat: stop string", "/v1/chat/completions")).choices[0].stop_reason == "5"
    assert isinstance(
        read(find("chat: chat: stop_token_ids", "/v1/chat/completions")).choices[0].stop_reason, int
    )
    prompt = read(find("chat: chat: return_prompt_text", "/v1/chat/completions")).prompt_text
    assert prompt.startswith("<|im_start|>user\nSay: hello world")
    complete = Reader(types.Completion, "choices")
    answer = complete(find("chat: completions: token ids", "/v1/completions")).choices[0]
    assert (answer.prompt_token_ids, answer.token_ids) == ([50, 51, 52], [13] * 6)
    answer = complete(find("chat: completions: prompt_logprobs", "/v1/completions")).choices[0]
    assert answer.prompt_logprobs[0] is None
    assert answer.prompt_logprobs[1]["341"]["decoded_token"] == " capital"
    reasoned = read(find("chat: chat: plain, reasoning model", "/v1/chat/completions"))
    assert reasoned.choices[0].message.reasoning
    assert reasoned.usage.completion_tokens_details.reasoning_tokens > 0
    assert isinstance(reasoned.usage.prompt_tokens_details.created_cache_tokens, int)
    for cls, fields in {
        types.ChatCompletion: "prompt_logprobs prompt_token_ids prompt_text kv_transfer_params metrics",
        types.Choice: "stop_reason token_ids routed_experts",
        types.ChatCompletionMessage: "reasoning",
        types.ChatCompletionChunk: "prompt_token_ids prompt_text kv_transfer_params metrics",
        types.ChunkChoice: "stop_reason token_ids",
        types.ChoiceDelta: "reasoning",
        types.CompletionChoice: "stop_reason token_ids prompt_token_ids prompt_logprobs",
    }.items():
        assert all(isinstance(getattr(cls, name), Extra) for name in fields.split())
        assert cls.model_fields.keys().isdisjoint(fields.split())


def test_recorded_replies_hold_no_field_that_is_not_typed():
    """So that a field of vLLM's that is not typed shows up here."""
    untyped = set()

    def walk(value, where):
        if isinstance(value, openai.BaseModel):
            cls = type(value)
            untyped.update(
                f"{cls.__name__}.{name}"
                for name in value.model_extra or ()
                if not isinstance(getattr(cls, name, None), Extra)
            )
            for name in type(value).model_fields:
                walk(getattr(value, name), name)
        elif isinstance(value, list):
            for item in value:
                walk(item, where)

    for param in recorded("/v1/chat/completions", "/v1/completions", "/tokenize", "/score", "/classify"):
        ours, required, _, data = param.values
        walk(Reader(ours, required)(data), "")
    assert not untyped


def test_verbose_transcription():
    data = find("whisper: transcribe: response_format verbose_json", "/v1/audio/transcriptions")
    read = Reader(TranscriptionVerbose, "text")(data)
    assert type(read) is TranscriptionVerbose
    assert read.to_dict() == construct_type(type_=TranscriptionVerbose, value=json.loads(data)).to_dict()
    assert read.duration == 1.5
    assert read.segments[0].text == " This is a low tone."


# --- what other versions and servers send ----------------------------------------------------------

CHAT = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
CHUNK = {**CHAT, "object": "chat.completion.chunk"}


def chat(message, **choice):
    return {**CHAT, "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


def chunk(delta, **choice):
    return {**CHUNK, "choices": [{"index": 0, "delta": delta, **choice}]}


def read_chat(payload):
    return Reader(types.ChatCompletion, "choices")(json.dumps(payload).encode())


def read_chunk(payload):
    return Reader(types.ChatCompletionChunk, "choices")(json.dumps(payload).encode())


@pytest.mark.parametrize("reason", ["abort", "repetition", "error", "anything", None])
def test_any_finish_reason(reason):
    answer = read_chat(chat({"role": "assistant", "content": "a"}, finish_reason=reason))
    assert answer.choices[0].finish_reason == reason
    assert read_chunk(chunk({}, finish_reason=reason)).choices[0].finish_reason == reason


@pytest.mark.parametrize(
    ("sent", "reasoning"),
    [
        ({"reasoning_content": "older"}, "older"),
        ({"reasoning_content": "older", "reasoning": None}, "older"),
        ({"reasoning_content": "older", "reasoning": ""}, "older"),
        ({"reasoning_content": "both", "reasoning": "both"}, "both"),
        ({"reasoning_content": None, "reasoning": "newer"}, "newer"),
        ({"reasoning": "newer"}, "newer"),
        ({"reasoning": [{"type": "text", "text": "in "}, "parts"]}, "in parts"),
        ({"reasoning": 5}, "5"),
        ({"reasoning_content": None}, None),
        ({"reasoning": ""}, ""),
        ({}, None),
    ],
)
def test_reasoning_is_read_whatever_the_server_calls_it(sent, reasoning):
    message = read_chat(chat({"role": "assistant", "content": "a", **sent})).choices[0].message
    delta = read_chunk(chunk({"content": "a", **sent})).choices[0].delta
    assert message.reasoning == reasoning
    assert delta.reasoning == (reasoning or "")
    for part in (message, delta):
        assert part.model_extra == sent  # as the SDK keeps it
        assert hasattr(part, "reasoning_content") == ("reasoning_content" in sent)


def test_reasoning_content_in_a_text_is_left_alone():
    text = 'the key "reasoning_content" is old'
    assert read_chat(chat({"role": "assistant", "content": text})).choices[0].message.content == text


@pytest.mark.parametrize("missing", ["id", "object", "created", "model"])
def test_lenient_about_what_is_not_needed(missing):
    for payload, read, part in (
        (chat({"role": "assistant", "content": "a"}), read_chat, "message"),
        (chunk({"content": "a"}), read_chunk, "delta"),
    ):
        del payload[missing]
        answer = read(payload)
        assert getattr(answer, missing) is None
        assert isinstance(answer.choices[0], (types.Choice, types.ChunkChoice))
        assert getattr(answer.choices[0], part).content == "a"


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "a"}},
        {"index": None, "message": {"role": "ai", "content": "a"}},
        {"index": 0, "message": {"role": "assistant", "content": "a", "tool_calls": [{"function": None}]}},
        {"index": "0", "message": {"role": "assistant", "content": "a"}, "logprobs": []},
    ],
)
def test_lenient_about_choices(choice):
    answer = read_chat({**CHAT, "choices": [choice]})
    assert isinstance(answer, chat_completion.ChatCompletion)
    assert isinstance(answer.choices[0], types.Choice)
    assert answer.choices[0].message.content == "a"


@pytest.mark.parametrize("delta", [{}, {"delta": None}])
def test_a_message_in_place_of_a_delta_is_read(delta):
    message = {"role": "assistant", "content": "a", "reasoning_content": "b"}
    choice = {"index": 0, "finish_reason": "stop", "message": message, **delta}
    read = read_chunk({**CHUNK, "choices": [choice]}).choices[0]
    assert isinstance(read, types.ChunkChoice)
    assert (read.delta.content, read.delta.reasoning, read.finish_reason) == ("a", "b", "stop")


def test_delta_null():
    last = read_chunk(chunk(None, finish_reason="stop")).choices[0]
    assert (last.delta.content, last.delta.reasoning, last.finish_reason) == (None, "", "stop")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"5", b'"text"', b"{}", b'{"choices": null}', b'{"choices": 5}',
        b'{"choices": {"index": 0}}', b'{"choice": []}', b'{"choices": [', b"<html>", b"data: {}",
    ],
)  # fmt: skip
def test_not_a_reply(data):
    with pytest.raises(NotAReply) as raised:
        Reader(types.ChatCompletion, "choices")(data)
    assert repr(data[:200])[1:] in str(raised.value)


@pytest.mark.parametrize("content", ["choices", "text"])
def test_required_field_of_the_wrong_type(content):
    with pytest.raises(NotAReply):
        Reader(types.ChatCompletion, "choices")(json.dumps({**CHAT, "choices": content}).encode())
    with pytest.raises(NotAReply):
        Reader(Transcription, "text")(b'{"text": ["a"]}')


@pytest.mark.parametrize("name", ["choices", "data", "text"])
def test_error_payload(name):
    for payload in (
        {"error": {"message": "boom", "code": 400}},
        {"object": "error", "message": "boom", "code": 400},
        {**chat({"role": "assistant", "content": "a"}), "error": {"message": "boom", "code": 400}},
    ):
        with pytest.raises(ErrorInReply, match="boom") as raised:
            Reader(types.ChatCompletion, name)(json.dumps(payload).encode())
        assert raised.value.error.status == 400


def test_read_object():
    assert read_object(b' {"a": 1}\n') == {"a": 1}
    with pytest.raises(NotAReply, match="no JSON object"):
        read_object(b"[1]")
    with pytest.raises(NotAReply, match="not JSON"):
        read_object(b"{")
    with pytest.raises(ErrorInReply, match="boom"):
        read_object(b'{"error": "boom"}')
